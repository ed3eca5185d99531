"""What one pool says: in the log one line for an event, not one for each connection that it concerns; and PoolTimeout.

It owns the sentences, and what has to be remembered so as not to repeat them. It decides nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import CodeType
from typing import TYPE_CHECKING

from . import housekeeper
from .errors import PoolTimeout

if TYPE_CHECKING:
    from .lease import Lease
    from .physical import Physical
    from .snapshot import Snapshot

__all__ = ["Reports", "Stack", "stack_of_borrower", "thread_name"]

log = logging.getLogger("django_sqla_pool")

Stack = list[tuple[CodeType, int]]

# A connection that was open when another one died, and is found dead within so many seconds, died of the same cause:
# the time in which a pool that is used finds all that a restart has left.
SAME_EVENT = 60.0
SUM_UP_AFTER = 5.0  # seconds from the first line of such an event to the one that counts the rest
DEEPEST = 100  # frames; below Django's handler and some twenty of middleware there is room for a deep view


class Reports:
    """The log of one pool. May be called from any thread."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        # _lock guards the rest. An RLock: the garbage collector may run in between, and somebody's finaliser may log.
        self._lock = threading.RLock()
        self._died_at = float("-inf")  # when the first connection of the last event was found dead
        self._more_dead = 0  # how many since then, of those that were open at that moment

    def closed(self, physical: Physical, reason: str) -> None:
        """Say that a connection was closed; of those that die together only the first is worth a warning."""
        now = self._clock()
        level = logging.INFO
        if reason == "dead":
            with self._lock:
                if physical.opened_at <= self._died_at and now < self._died_at + SAME_EVENT:
                    level = logging.DEBUG
                    self._more_dead += 1
                    housekeeper.submit(housekeeper.wake)  # who will sum up
                else:
                    level = logging.WARNING
                    self._died_at = now
        log.log(level, "%s: closed a connection (%s) after %.0f s", self._name, reason, now - physical.opened_at)

    def sum_up(self) -> float | None:
        """Say how many more connections died together, when it is time.

        Returns: seconds until it is; None if there is nothing to say.
        """
        with self._lock:
            if not self._more_dead:
                return None
            pause = self._died_at + SUM_UP_AFTER - self._clock()
            if pause > 0:
                return pause
            count, self._more_dead = self._more_dead, 0
        log.warning("%s: closed %d more (dead)", self._name, count)
        return None

    def refused(self, error: BaseException, connect_retry: float) -> None:
        """Say that the server has begun to refuse connections."""
        text = " ".join(str(error).split())
        log.warning(
            "%s: the server does not accept connections; each checkout tries for %g s: %s", self._name, connect_retry, text
        )

    def accepted(self, seconds: float) -> None:
        """Say that the server accepts connections again."""
        log.warning("%s: the server accepts connections again, after %.1f s", self._name, seconds)

    def shared(self, error: BaseException) -> None:
        """Say that a thread goes on with another one's connection, since none could be opened for it."""
        log.debug("%s: threads share connections, since no other could be opened: %s", self._name, " ".join(str(error).split()))

    def left(self, error: BaseException) -> None:
        """Say that the server takes no more writes, or is out of its cluster."""
        log.warning("%s: the server has lost its role, all connections are closed: %s", self._name, " ".join(str(error).split()))

    def held(self, lease: Lease, seconds: float) -> None:
        """Say who holds a connection for longer than LEAK_AFTER."""
        frames = [traceback.FrameSummary(code.co_filename, line, code.co_name) for code, line in reversed(lease.stack or [])]
        log.warning(
            "%s: a connection has been out for %.1f s, longer than LEAK_AFTER, in thread %r. It was taken at:\n%s",
            self._name,
            seconds,
            thread_name(lease, threading.enumerate()),
            "".join(traceback.StackSummary.from_list(frames).format()).rstrip(),
        )

    def timeout(
        self, figures: Snapshot, timeout: float, oldest: Lease | None, threads: Iterable[threading.Thread]
    ) -> PoolTimeout:
        """Return the error of a checkout that waited in vain: this is for who asked, and not for the log.

        ``threads``: those that there were while the ``oldest`` lease was out; its own may have given back and ended since.
        """
        text = (
            f"{self._name}: no connection became free within {timeout:g} s "
            f"(in use {figures.in_use} of {figures.limit}, waiting {figures.waiting}"
        )
        advice = "Raise POOL_SIZE or MAX_OVERFLOW, or find what holds connections for so long."
        if oldest is not None:
            text += f", oldest lease out for {self._clock() - oldest.since:.1f} s in thread {thread_name(oldest, threads)!r}"
        if figures.last_error:
            text += f", last open failed: {figures.last_error}"
            advice = "See why the server does not accept connections; a larger pool would not help."
        return PoolTimeout(f"{text}). {advice}")

    def returned(self, seconds: float) -> None:
        """Say that a connection which ``held`` was about has come back."""
        log.warning("%s: the connection that was out for longer than LEAK_AFTER is back, after %.1f s", self._name, seconds)


def stack_of_borrower() -> Stack:
    """Return the calls that led here, innermost first, without those inside this package.

    Code and line only: some 0.1 µs a frame, and nothing of the frames is kept alive.
    """
    found: Stack = []
    frame = sys._getframe(1)
    package = __name__.partition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    caller = frame
    while caller is not None and len(found) < DEEPEST:
        found.append((caller.f_code, caller.f_lineno))
        caller = caller.f_back  # type: ignore[assignment]
    return found


def thread_name(lease: Lease, threads: Iterable[threading.Thread]) -> str:
    """Return the name of the thread that a lease was given to, if it is one of these."""
    names = {thread.ident: thread.name for thread in threads}
    return names.get(lease.thread, f"ended, {lease.thread}")
