"""Provision: what the suite needs and the machine has not: Django's source package, and an environment for each engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.matrix import interpreters
from tests.matrix.environments import ROOT
from tests.servers import ServerError

WORK = ROOT / ".work" / "django-suite"

#: What Django's tests/requirements/py3.txt names, less what is compiled, drives a browser or needs another server. tblib is no
#: matter of choice: without it the first failure in a worker ends the run.
WANTED = ("tblib", "aiosmtpd", "argon2-cffi", "bcrypt", "docutils", "Jinja2", "Pillow", "PyYAML", "sqlparse", "tzdata")

_VERSIONS = """
import json, platform
from importlib.metadata import distributions
found = {each.name: each.version for each in distributions()}
print(json.dumps({"CPython": platform.python_version(), **dict(sorted(found.items()))}))
"""


def environment(django: str, drivers: Sequence[str]) -> Path:
    """Return the python of an environment with this release of Django ("6.1") and these drivers, made if need be."""
    newest = max(interpreters.find(["py310", "py311", "py312", "py313"]).values(), default=None)
    if newest is None:
        raise ServerError("none of the supported interpreters runs here: CPython 3.10 to 3.13")
    words = [f"Django ~= {django}.0", "SQLAlchemy >= 2.0, < 2.2", *WANTED, *drivers]
    folder = WORK / "venvs" / f"{newest.factor}-django{django}-{drivers[0].partition('[')[0].partition(' ')[0]}"
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists() or made.read_text() != repr(words):
        shutil.rmtree(folder, ignore_errors=True)
        _run(newest.path, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)
        made.write_text(repr(words))
    return python


def versions(python: Path) -> dict[str, str]:
    """The versions of all that an environment holds."""
    found: dict[str, str] = json.loads(_run(str(python), "-I", "-c", _VERSIONS))
    return found


def source(django: str, python: Path) -> Path:
    """Return the folder of Django's source package of exactly this version, fetched by this python's pip if need be.

    Not by our own python's: one that is too old for a Django is not shown it. The tests are not in the wheel. They must
    belong to who runs them, whoever packed them.
    """
    folder = WORK / f"django-{django}"
    if folder.exists():
        return folder
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as work:
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "Django", "--dest", work]
        _run(str(python), "-m", "pip", *words, f"Django=={django}")
        (package,) = Path(work).glob("*.tar.gz")
        unpacked = Path(work, "unpacked")
        unpacked.mkdir()
        _run("tar", "-xzf", str(package), "--no-same-owner", "--strip-components=1", "-C", str(unpacked))
        unpacked.rename(folder)
    return folder


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"failed: {' '.join(words)}\n{(done.stderr or done.stdout)[-3000:]}")
    return done.stdout
