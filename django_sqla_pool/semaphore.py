"""A first-come, first-served semaphore: who may have a connection, and who is next.

It owns the places of one pool and the line of those who wait for one. It knows nothing of connections.
"""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Closed", "FairSemaphore"]


class Closed(Exception):
    """The semaphore was closed while no place was taken: whoever comes later is at the wrong door."""


class FairSemaphore:
    """A semaphore whose places go to waiters in the order in which they came.

    A place that is given back is handed to the first waiter, so that nobody can overtake (``threading.Semaphore`` lets a
    running thread take it first, for ever if need be). ``limit`` None: any number of places.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        # _lock guards _taken, _line and _is_closed; held for a few instructions. If anybody waits, all places are taken.
        # An RLock: the garbage collector may run in between, and somebody's finaliser may close a connection.
        self._lock = threading.RLock()
        self._taken = 0
        self._line: deque[threading.Lock] = deque()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    def acquire(self, timeout: float) -> bool:
        """Take a place, waiting up to ``timeout`` seconds; false if none became free in time.

        Raises: Closed - after a ``close()`` that succeeded.
        """
        with self._lock:
            if (self.limit is None or self._taken < self.limit) and not self._is_closed:
                self._taken += 1
                return True
            if self._is_closed:
                raise Closed
        return timeout > 0 and self._wait(timeout)

    def _wait(self, timeout: float) -> bool:
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            # Again: making the lock may have run a finaliser, which gave a place back while nobody stood in line.
            if self._is_closed:
                raise Closed
            if self.limit is None or self._taken < self.limit:
                self._taken += 1
                return True
            self._line.append(turn)
        try:
            has_turn = turn.acquire(timeout=timeout)
        except BaseException:
            if not self._leave_line(turn):
                self.release()  # the place was handed over just before the interrupt
            raise
        # Handed over between the end of the wait and leaving the line: it is ours after all.
        return has_turn or not self._leave_line(turn)

    def release(self) -> None:
        """Give a place back: to the first in line, if anybody waits."""
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self._taken -= 1

    def close(self) -> bool:
        """Let nobody in any more, if no place is taken; false, and nothing changed, if one is."""
        with self._lock:
            self._is_closed = self._is_closed or not self._taken
            return self._is_closed

    def _leave_line(self, turn: threading.Lock) -> bool:
        with self._lock:
            try:
                self._line.remove(turn)
            except ValueError:
                return False
            return True
