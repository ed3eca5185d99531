"""The demo's virtual environment. Runs under any Python 3.10+, with the standard library alone."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .cleanup import Cleanup
from .failure import Failure
from .progress import stage

PROJECT = Path(__file__).resolve().parent.parent
CHECKOUT = PROJECT.parent
VENV = CHECKOUT / ".work" / "demo-venv"
PYTHON = VENV / "bin" / "python"
SITE = PROJECT / "requirements.txt"
SERVER = Path(__file__).with_name("requirements.txt")
INDEX = "pip could not install what the demo needs; check the way to the package index."
OWN_SERVER = "Or use a server of your own: make demo DATABASE_URL=postgres://user:password@host:port/"


def prepare(cleanup: Cleanup, url: str) -> None:
    """Make the environment, or keep it if nothing that it was made from has changed.

    It holds a PostgreSQL server if ``url`` names none, and mysqlclient if that is of use and can be had.
    """
    try:
        VENV.parent.mkdir(exist_ok=True)
        # Held until this process becomes the demo itself: two first runs would install over each other.
        lock = os.open(VENV.parent / "demo-venv.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise Failure(f"cannot write to {VENV.parent} ({error.strerror}); run from a checkout of your own.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with stage("waiting for another run to install"):
            fcntl.flock(lock, fcntl.LOCK_EX)

    if not _has("site"):
        with stage(f"making {VENV.relative_to(CHECKOUT)}"):
            _make(cleanup)
        with stage("installing the site") as step:
            _install(cleanup, "site", ["-r", str(SITE), "-e", f"{CHECKOUT}[postgresql,pymysql]"], INDEX, step)
    if not url and not _has("server"):
        with stage("installing PostgreSQL") as step:
            _install(cleanup, "server", ["-r", str(SERVER)], f"{INDEX} {OWN_SERVER}", step)
    if url.startswith("mysql:") and not _has("mysqlclient"):
        with stage("installing mysqlclient") as step:
            try:
                _install(cleanup, "mysqlclient", ["-e", f"{CHECKOUT}[mysql]"], "", step)
            except Failure:  # no wheel for this machine, and no compiler or headers to build it
                step("cannot be built here, PyMySQL takes its place")
                _remember("mysqlclient")


def _make(cleanup: Cleanup) -> None:
    has_ensurepip = importlib.util.find_spec("ensurepip") is not None
    options = ["--clear"] if has_ensurepip else ["--clear", "--without-pip"]
    remedy = "Install Python's venv module (Debian, Ubuntu: apt install python3-venv)."
    if importlib.util.find_spec("venv") is None:
        raise Failure(f"{sys.executable} cannot make virtual environments. {remedy}")
    command = [sys.executable, "-m", "venv", *options, str(VENV)]
    _call(cleanup, command, f"{sys.executable} could not make a virtual environment. {remedy}")
    if not has_ensurepip:  # Debian without python3-venv: the system's pip puts a pip into the environment
        packages = VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages), "pip"]
        _call(cleanup, command, f"{sys.executable} has no way to put pip into a virtual environment. {remedy}")


def _install(cleanup: Cleanup, part: str, requirements: list[str], remedy: str, step: Callable[[str], None]) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    _call(cleanup, command + requirements, remedy, step)
    _remember(part)


def _call(cleanup: Cleanup, command: list[str], remedy: str, step: Callable[[str], None] | None = None) -> None:
    child = cleanup.start(command, log=subprocess.PIPE, cwd=CHECKOUT)
    assert child.stdout is not None
    output: list[str] = []
    for line in child.stdout:
        output.append(line.decode(errors="replace").rstrip())
        if step and (found := re.match(r"Collecting ([\w.-]+)", output[-1])):
            step(found[1])
    if child.wait() != 0:
        raise Failure("\n".join([remedy, *output[-12:]]))


def _has(part: str) -> bool:
    stamp = VENV / f"has-{part}"
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == _made_from()


def _remember(part: str) -> None:
    VENV.joinpath(f"has-{part}").write_text(_made_from())


def _made_from() -> str:
    """A digest of all that the environment depends on; when it changes, the environment is made anew."""
    files = (SITE, SERVER, CHECKOUT / "setup.cfg", CHECKOUT / "pyproject.toml")
    parts = [sys.version, str(CHECKOUT), *(path.read_text() for path in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
