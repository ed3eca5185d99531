"""Processes: starts programs that must not outlive us, and says how much CPU time they have used."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers import machine

STOP_SECONDS = 10.0


@contextlib.contextmanager
def started(
    words: Sequence[str | Path], env: Mapping[str, str], log: Path, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for as long as the block lasts; what it says goes to ``log``."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*mortal(), *map(str, words)],
            **{"env": {**os.environ, **env}, "stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **options},
            start_new_session=True,  # Ctrl-C is for us; we end it
        )
    try:
        yield process
    finally:
        stop(process)


def mortal() -> list[str]:
    """The words to put before a command so that it is told to end even if this process is killed outright."""
    setpriv = machine.find_program("setpriv")
    return [str(setpriv), "--pdeathsig", "TERM", "--"] if setpriv else []


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that was started in a session of its own, and all that it started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and all that it has started, with all their threads, ended ones included.

    Source: the kernel's include/linux/posix-timers_types.h; this is the clock that clock_getcpuclockid(3) gives, which
    counts in nanoseconds, where /proc/pid/stat counts in ticks of 10 ms.
    """
    return sum(time.clock_gettime((~member << 3) | 2) for member in _family(pid))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            for child in children.read_text().split():
                yield from _family(int(child))
