"""Packages: what the machine must carry for the tests, and Debian's package that brings each thing.

Installs only what is missing, only where it may, and leaves no service running that was not running before.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import machine
from .machine import ServerError
from .mariadb import ZONES, MariaDB
from .postgresql import PostgreSQL
from .server import Server
from .services import unstarted


@dataclass(frozen=True)
class Need:
    """One thing the tests need; ``is_there`` says whether the machine has it."""

    what: str
    is_there: Callable[[], bool]
    packages: tuple[str, ...]
    services: tuple[str, ...] = ()


def _has(kind: type[Server]) -> bool:
    try:
        kind.find_programs()
    except ServerError:
        return False
    return True


def _postgresql_packages() -> tuple[str, ...]:
    installed = machine.newest_first("/usr/lib/postgresql/[0-9]*/bin/postgres")
    if installed:
        return (f"postgresql-{Path(installed[0]).parent.parent.name}-postgis-3",)
    return ("postgresql", "postgresql-postgis")


PGBOUNCER = Need("PgBouncer", lambda: machine.find_program("pgbouncer") is not None, ("pgbouncer",), ("pgbouncer",))


def server_needs() -> list[Need]:
    """The servers themselves, less those that the environment names."""
    needs = [
        Need("a PostgreSQL server with PostGIS", lambda: _has(PostgreSQL), _postgresql_packages(), ("postgresql",)),
        Need("a MariaDB server", lambda: _has(MariaDB), ("mariadb-server",), ("mariadb",)),
        Need("time zones", (ZONES / "Europe" / "Paris").exists, ("tzdata",)),
        PGBOUNCER,
        Need("openssl", lambda: machine.find_program("openssl") is not None, ("openssl",)),
    ]
    named = [bool(os.environ.get(kind.variable)) for kind in (PostgreSQL, MariaDB)]
    is_named = [*named, *[all(named)] * (len(needs) - len(named))]
    return [need for need, without in zip(needs, is_named, strict=True) if not without]


def build_needs() -> list[Need]:
    """What compiling mysqlclient and running Django's GIS take, whichever the interpreter."""
    return [
        Need("a C compiler", lambda: shutil.which("gcc") is not None or shutil.which("cc") is not None, ("gcc",)),
        Need("C headers", Path("/usr/include/stdio.h").exists, ("libc6-dev",)),
        Need("pkg-config", lambda: machine.find_program("pkg-config") is not None, ("pkg-config",)),
        Need("MariaDB's client library with headers", _has_client_headers, ("libmariadb-dev",)),
        Need("GDAL", lambda: ctypes.util.find_library("gdal") is not None, ("gdal-bin",)),
        Need("GEOS", lambda: ctypes.util.find_library("geos_c") is not None, ("libgeos-c1v5",)),
    ]


def _has_client_headers() -> bool:
    pkg_config = machine.find_program("pkg-config")
    if pkg_config is None:
        return False
    names = ("libmariadb", "mariadb", "mysqlclient")  # the order in which mysqlclient's own build asks
    return any(subprocess.run([pkg_config, "--exists", name], check=False).returncode == 0 for name in names)


def provide(needs: Iterable[Need]) -> None:
    """See to it that every need is met, installing Debian's packages where that is allowed.

    Raises: ServerError - what is missing, and the command that brings it.
    """
    missing = [need for need in needs if not need.is_there()]
    if not missing:
        return
    packages = [package for need in missing for package in need.packages]
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    things = ", ".join(need.what for need in missing)
    advice = (
        f"missing on this machine: {things}. On Debian or Ubuntu, as root: {command}\n"
        f"Servers that run elsewhere are named by {PostgreSQL.variable}=postgres://user:password@host:port/ "
        f"and {MariaDB.variable}=mysql://user:password@host:port/"
    )
    prefix = _apt_prefix()
    if prefix is None:
        raise ServerError(f"{advice}\n(not installed now: this needs apt-get, and root or sudo without a password)")
    print(f"Installing for the tests, with apt-get: {' '.join(packages)}", flush=True)
    with unstarted(prefix, [service for need in missing for service in need.services]):
        _install(prefix, packages, advice)
    if still := [need.what for need in missing if not need.is_there()]:
        raise ServerError(f"after `{command}` there is still missing: {', '.join(still)}")


def _apt_prefix() -> list[str] | None:
    """The words to put before apt-get; None if we may not use it."""
    if machine.find_program("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def _install(prefix: list[str], packages: list[str], advice: str) -> None:
    env = ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "LC_ALL=C.UTF-8"]
    apt = [*prefix, *env, "apt-get", "-o", "DPkg::Lock::Timeout=120", "-q", "-y"]
    install = [*apt, "--no-install-recommends", "install", *packages]
    with tempfile.TemporaryFile("w+") as log:

        def succeeds(words: list[str]) -> bool:
            log.seek(0)
            log.truncate()
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=900, check=False)
            return done.returncode == 0

        # The lists may be missing (a container) or older than what the mirrors still carry: only then fetch them.
        if succeeds(install) or (succeeds([*apt, "update"]) and succeeds(install)):
            return
        log.seek(0)
        raise ServerError(f"apt-get failed:\n{log.read()[-3000:]}\n{advice}")
