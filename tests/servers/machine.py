"""What the machine gives a server: a program, an account, a folder, a port. Starts and stops nothing."""

from __future__ import annotations

import glob
import os
import pwd
import random
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: Every folder the harness makes begins with this word, so that a leftover can be told from anything else.
PREFIX = "django_sqla_pool-"

#: Debian keeps PostgreSQL's programs and the servers themselves out of an ordinary user's PATH.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class ServerError(Exception):
    """A server that cannot be had, or does not do what it was told. The text is meant for the user as it stands."""


def find_program(*names: str, folders: Iterable[str] = ()) -> Path | None:
    """Find the first of these programs (a program may have had several names), in the folders given, else in PATH."""
    path = os.pathsep.join([*folders] or [os.environ.get("PATH", ""), *_MORE_FOLDERS])
    for name in names:
        if found := shutil.which(name, path=path):
            return Path(found)
    return None


def newest_first(pattern: str) -> list[str]:
    """Expand a pattern of folders whose last number is a version, the highest version first."""

    def version(path: str) -> list[int]:
        return [int("".join(c for c in part if c.isdigit()) or -1) for part in path.split("/")]

    return sorted(glob.glob(pattern), key=version, reverse=True)


def account(*names: str) -> str | None:
    """Say whom to run a server as: None for whoever we are, an account without rights when we are root.

    Source: PostgreSQL refuses to run as root, and MariaDB does so only when told to.
    """
    if os.geteuid() != 0:
        return None
    for name in (*names, "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ServerError(f"running as root, and none of the accounts {', '.join(names)}, nobody exists to run a server as")


def make_folder(kind: str, owner: str | None) -> Path:
    """Make a temporary folder that only ``owner`` (None: we) can look into, and can reach."""
    parent = tempfile.gettempdir()
    if owner is not None and not _open_to_all(Path(parent)):
        parent = "/tmp"  # root's own TMPDIR may lie where no other account can go
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=parent)).resolve()
    give(folder, owner)
    return folder


def give(path: Path, owner: str | None) -> None:
    """Hand a file or folder of ours over to the account that a server runs as."""
    if owner is not None:
        entry = pwd.getpwnam(owner)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def free_port() -> int:
    """Choose a port on 127.0.0.1 that nobody uses.

    It lies below the range from which the kernel serves outgoing connections: those open and close by the thousand
    during a test run, and one of them could otherwise sit on the port of a server that is being restarted.
    """
    try:
        first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first_ephemeral = 32768
    ports = range(20000, first_ephemeral if first_ephemeral > 21000 else 32768)
    for port in random.sample(ports, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"none of 100 ports tried on 127.0.0.1 between {ports[0]} and {ports[-1]} is free")


def _open_to_all(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (folder.resolve(), *folder.resolve().parents))
