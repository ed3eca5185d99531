"""Owns everything that must not outlive the demo, and the signals that end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .failure import Failure

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

Command = Sequence[str | Path]

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a signal that asks for the same."""


class Cleanup:
    """Ends what was begun, last first, once, whatever happens."""

    def __init__(self) -> None:
        # _handle() runs between any two steps of the main thread, which is the only one to touch these.
        self._ends: list[Callable[[], None]] = []
        self._is_armed = False
        self._is_held = False
        self._received: int | None = None

    def run(self, work: Callable[[], None]) -> int:
        """Call ``work``, end all that it began, and return the exit status."""
        status = 0
        for number in ENDING_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._handle)
        try:
            # The inner block disarms the signals; one that comes before that is caught by the outer block.
            try:
                self._is_armed = True
                signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)  # blocked by hand_over()
                work()
            finally:
                self._is_armed = False
        except Interrupted:
            print(f"\nEnding ({signal.Signals(self._received or signal.SIGINT).name}).", flush=True)
            status = 128 + (self._received or signal.SIGINT)
        except Failure as failure:
            print(f"demo: {failure}", file=sys.stderr, flush=True)
            status = 1
        except BrokenPipeError:  # `make demo | head`: nobody listens any more, nor to what follows
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 1
        finally:
            status = self._end_all() or status
        return status

    def hand_over(self, program: Path, arguments: list[str]) -> None:
        """Become another program, whose own ``Cleanup`` gets the signals that come meanwhile."""
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        if self._received is not None:
            sys.exit(128 + self._received)
        os.execv(program, [str(program), *arguments])

    def add(self, end: Callable[[], None]) -> None:
        """Have ``end`` called at the end. It may be called after the thing has ended by itself."""
        self._ends.append(end)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep signals back while something is begun and registered, so that nothing is begun and forgotten."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._received is not None and self._is_armed:
                self._is_armed = False
                raise Interrupted

    def start(
        self, command: Command, *, log: Path | int, stop_by: int = signal.SIGTERM, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own, where the terminal's Ctrl-C does not reach it before we do."""
        with self.held():
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if isinstance(log, Path) else log
            try:
                child = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                    **options,
                )
            finally:
                if isinstance(log, Path):
                    os.close(output)
            self.add(lambda: stop(child, stop_by))
        return child

    def has_ended(self, child: subprocess.Popen[bytes]) -> bool:
        """Tell whether a child has ended. Signals are held back meanwhile.

        An exception in the midst of ``Popen.poll()``, or of ``wait()`` with a deadline, can leave the lock of both taken for
        ever; then nobody hears of the child's end any more.
        """
        with self.held():
            return child.poll() is not None

    def _end_all(self) -> int:
        status = 0
        while self._ends:
            try:
                self._ends.pop()()
            except (Failure, OSError, subprocess.SubprocessError) as failure:
                print(f"demo: {failure}", file=sys.stderr, flush=True)
                status = 1
        return status

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received = number
            if self._is_armed and not self._is_held:
                self._is_armed = False
                raise Interrupted


def stop(child: subprocess.Popen[bytes], by: int = signal.SIGTERM, within: float = 10.0) -> None:
    """End a child and whatever it started: politely first, then without asking."""
    if child.poll() is not None:
        return  # and its number may be another's by now
    child.send_signal(by)
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        child.kill()
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait(within)


def _end_with_parent() -> None:
    """Linux: have the child told to end even if this process is killed outright."""
    if sys.platform == "linux" and ctypes is not None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
