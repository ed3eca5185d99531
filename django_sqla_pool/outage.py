"""Who may try to connect while the server is away.

It owns the knowledge that a server does not accept connections, and the times of the next attempts. It opens nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Outage"]

# The first retry comes soon, since a slot may come free at any moment; the longest pause keeps the first success within
# half a second of the server's return.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5


class Outage:
    """Lets one thread at a time try a server that is away, with growing pauses, while the others wait for its result."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # _lock guards all that follows; _changed is notified whenever a waiter has reason to look again. The lock is taken
        # by itself: Condition.__enter__ is Python code, and an interrupt inside it would leave the lock taken.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.error: BaseException | None = None  # why the last attempt failed; None: the server is not known to be away
        self._began_at = 0.0
        self._is_somebody_trying = False
        self._next_attempt = 0.0
        self._pause = FIRST_PAUSE

    def wait_turn(self, until: float, has_idle: Callable[[], bool]) -> bool:
        """Wait until the caller may try, the server is back, or a connection has come in; false if ``until`` passed."""
        with self._lock:
            while self.error is not None and not has_idle():
                now = self._clock()
                # Before the deadline is looked at: who has no time to wait (TIMEOUT 0) may be the only one who ever comes.
                if not self._is_somebody_trying and now >= self._next_attempt:
                    self._is_somebody_trying = True
                    return True
                if now >= until:
                    return False
                wake = until if self._is_somebody_trying else min(until, self._next_attempt)
                self._changed.wait(wake - now)
            return True

    def failed(self, error: BaseException) -> bool:
        """Note that an attempt failed because the server is away; true if it was the first of them."""
        with self._lock:
            now = self._clock()
            is_first = self.error is None
            if is_first:
                self._began_at = now
            self.error = error
            self._is_somebody_trying = False
            self._next_attempt = now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._changed.notify_all()
            return is_first

    def ended(self) -> float | None:
        """Note that the server answered: everybody may try. Returns how many seconds it was away; None if it was not."""
        with self._lock:
            seconds = None if self.error is None else self._clock() - self._began_at
            self.error = None
            self._is_somebody_trying = False
            self._pause = FIRST_PAUSE
            self._changed.notify_all()
            return seconds

    def pass_turn(self) -> None:
        """Leave the attempt to somebody else."""
        with self._lock:
            self._is_somebody_trying = False
            self._changed.notify_all()

    def wake(self) -> None:
        """Let those who wait look for a connection that has come in."""
        with self._lock:
            self._changed.notify_all()
