"""Clearing: what the keeper's process does. Reads what to watch and forget; when the owner is gone, ends what is left."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable

from . import processes
from .keeper import MODULE

SERVER_PROGRAMS = frozenset({"postgres", "mariadbd", "mysqld", "pgbouncer"})


def clear_command(pid: int) -> None:
    """End a command and all that it has started."""
    # Not the keepers of what it has started: they have to clear up after it.
    family = [*processes.descendants(pid, spare=MODULE), pid]
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if _signal_until_gone(lambda: filter(processes.is_running, family), signum, 5):
            return


def clear_folder(home: str) -> None:
    """End the servers that live in a folder, and delete it."""
    # SIGQUIT: PostgreSQL's immediate shutdown, which still releases its memory; MariaDB ends in order. Both take a second.
    for signum in (signal.SIGQUIT, signal.SIGKILL):
        if _signal_until_gone(lambda: _servers_in(home), signum, 10):
            break
    shutil.rmtree(home, ignore_errors=True)


def _servers_in(home: str) -> Iterable[int]:
    for name in os.listdir("/proc"):
        words = processes.command_line(int(name)) if name.isdigit() else []
        if words and os.path.basename(words[0]) in SERVER_PROGRAMS and any(f"{home}/" in word for word in words):
            yield int(name)


def _signal_until_gone(find: Callable[[], Iterable[int]], signum: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    told: set[int] = set()
    while pids := set(find()):
        for pid in pids - told:
            processes.send(pid, signum)
        told |= pids
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # they are not our children: there is nothing to wait on
    return True


def main() -> None:
    watched: list[str] = []
    for line in sys.stdin:
        verb, _, what = line.rstrip("\n").partition(" ")
        if verb == "watch":
            watched.append(what)
        else:
            watched.remove(what)
    # The command first: it must not see the servers go and make something of it.
    for what in watched:
        if what.isdigit():
            clear_command(int(what))
    for what in watched:
        if not what.isdigit():
            clear_folder(what)


if __name__ == "__main__":
    main()
