"""Processes: who is still there, who started whom, and a signal for them. Linux only, by /proc."""

from __future__ import annotations

import glob
import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def descendants(pid: int, spare: str = "") -> list[int]:
    """List the processes that this one has started, those that they have started, and so on.

    Left out, with all that it has started, is a process that has the word ``spare`` in its command line.
    """
    found: list[int] = []
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            children = [int(word) for word in Path(file).read_text().split()]
        except OSError:
            continue  # the thread has ended meanwhile
        for child in children:
            if not spare or spare not in command_line(child):
                found += [child, *descendants(child, spare)]
    return found


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def send(pid: int, signum: int) -> None:
    """Send a signal to a process that may have ended already."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
