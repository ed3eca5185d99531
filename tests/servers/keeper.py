"""The keeper: ends the servers of an owner that was killed and could not do it itself. Never imports anything of ours.

It is a process of its own in a session of its own, so neither Ctrl-C nor a signal to the owner's group reaches it. Its
standard input is a pipe from the owner; however the owner ends, the kernel closes that pipe, and the keeper clears away
what is still on its list: the server programs with that folder in their command line, then the folder.
"""

from __future__ import annotations

import atexit
import glob
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SERVER_PROGRAMS = frozenset({"postgres", "mariadbd", "mysqld"})

_keeper: subprocess.Popen[bytes] | None = None


def watch(home: Path) -> None:
    """From now on the keeper clears ``home`` away should this process end without having called forget()."""
    global _keeper
    if _keeper is None:
        _keeper = subprocess.Popen(
            [sys.executable, "-I", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        atexit.register(_dismiss, os.getpid())
    _tell("watch", home)


def forget(home: Path) -> None:
    """``home`` has been cleared away by its owner."""
    _tell("forget", home)


def _tell(verb: str, home: Path) -> None:
    if _keeper is None or _keeper.stdin is None:
        raise AssertionError("bug: the keeper is told about a folder before there is a keeper")
    _keeper.stdin.write(f"{verb} {home}\n".encode())
    _keeper.stdin.flush()


def _dismiss(owner: int) -> None:
    # A forked child inherits this hook, but neither the keeper nor what it watches.
    if _keeper is not None and os.getpid() == owner:
        _keeper.communicate(timeout=60)


def _server_processes(home: str) -> Iterator[int]:
    for file in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = Path(file).read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) in SERVER_PROGRAMS and any(home + "/" in word for word in words):
            yield int(file.split("/")[2])


def _signal_until_gone(home: str, signum: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    told: set[int] = set()
    while pids := set(_server_processes(home)):
        for pid in pids - told:
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                continue
        told |= pids
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # they are not our children: there is nothing to wait on
    return True


def clear(home: str) -> None:
    """End the servers of this folder, at once but letting them release their shared memory, and delete it."""
    # SIGQUIT: PostgreSQL's immediate shutdown; MariaDB ends in order. Both are done within a second.
    if not _signal_until_gone(home, signal.SIGQUIT, 10):
        _signal_until_gone(home, signal.SIGKILL, 10)
    shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    homes: list[str] = []
    for line in sys.stdin:
        verb, _, home = line.rstrip("\n").partition(" ")
        if verb == "watch":
            homes.append(home)
        else:
            homes.remove(home)
    for home in homes:
        clear(home)


if __name__ == "__main__":
    main()
