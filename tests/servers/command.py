"""Command: runs one command to its end, or ends it, and turns the signals that end a program into an exception.

One rule for Ctrl-C, SIGTERM and a closed terminal: the first raises Stopped where the main thread is, and every block
cleans up; the ones that follow are ignored, since each clean-up is bounded in time.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from . import keeper, processes

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How long a command may take over its own clean-up: tests that must stop a server of theirs.
GRACE_SECONDS = 15.0

_running: set[subprocess.Popen[bytes]] = set()


class Stopped(BaseException):
    """We were told to end. Not an Exception: nothing that handles errors may keep us from it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def status(self) -> int:
        """What a shell would report for a program ended by this signal."""
        return 128 + self.signum


def raise_when_stopped() -> None:
    """Make every signal that asks us to end raise Stopped, once."""

    def handle(signum: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signum)

    for each in SIGNALS:
        signal.signal(each, handle)


def run(words: Sequence[str], env: Mapping[str, str], on_line: Callable[[str], None] | None = None) -> int:
    """Run a command and return its status (128 + n if a signal ended it); ``on_line`` gets its output line by line.

    May be called from several threads. Only the main thread is told to end; it has to ``end_all()`` for the others.

    Raises: OSError - it cannot be started. Stopped - we were told to end; the command has ended by then.
    """
    output = None if on_line is None else subprocess.PIPE
    process = subprocess.Popen(words, env=env, stdout=output, stderr=None if output is None else subprocess.STDOUT)
    keeper.watch(process.pid)
    _running.add(process)
    try:
        if process.stdout is not None and on_line is not None:
            for line in process.stdout:
                on_line(line.decode(errors="replace"))
        status = process.wait()
    except BaseException as error:
        rest = _end(process, error.signum if isinstance(error, Stopped) else signal.SIGTERM)
        if on_line is not None:
            on_line(rest.decode(errors="replace"))
        raise
    finally:
        _running.discard(process)
        keeper.forget(process.pid)
        if process.stdout is not None:
            process.stdout.close()
    return status if status >= 0 else 128 - status


def end_all(signum: int) -> None:
    """End the commands that other threads are running, and all that these started; the threads read the rest."""
    commands = tuple(_running)
    for process in commands:
        if signum != signal.SIGINT:  # see _end()
            process.send_signal(signal.SIGINT)
    for process in commands:
        for harsher in (signal.SIGTERM, signal.SIGKILL):
            try:
                process.wait(GRACE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                _send_to_all(process, harsher)


def _end(process: subprocess.Popen[bytes], signum: int) -> bytes:
    """End a command and all that it started, within 2 * GRACE_SECONDS, and give what it still had to say."""
    # A terminal sends Ctrl-C to the command too, and a second one would break off its clean-up. In any other case it is
    # the signal to send all the same: pytest cleans up after it and tox passes it on; SIGTERM they just die of.
    if signum != signal.SIGINT:
        process.send_signal(signal.SIGINT)
    for harsher in (signal.SIGTERM, signal.SIGKILL):
        try:
            return process.communicate(timeout=GRACE_SECONDS)[0] or b""
        except subprocess.TimeoutExpired:
            _send_to_all(process, harsher)
    process.wait(GRACE_SECONDS)
    return b""


def _send_to_all(process: subprocess.Popen[bytes], signum: int) -> None:
    for pid in [*processes.descendants(process.pid, spare=keeper.MODULE), process.pid]:
        processes.send(pid, signum)
