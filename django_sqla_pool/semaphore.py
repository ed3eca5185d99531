"""A first-come, first-served semaphore: who may have a connection, and who is next.

It owns the places of one pool and the line of those who wait for one. It knows nothing of connections.
"""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["FairSemaphore"]


class FairSemaphore:
    """A semaphore whose places go to waiters in the order in which they came.

    A place that is given back is handed to the first waiter, so that nobody can overtake (``threading.Semaphore`` lets a
    running thread take it first, for ever if need be). ``limit`` None: any number of places.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        # _lock guards _free and _line; held for a few instructions. If anybody waits, _free is 0.
        self._lock = threading.Lock()
        self._free = 0 if limit is None else limit
        self._line: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    def acquire(self, timeout: float) -> bool:
        """Take a place, waiting up to ``timeout`` seconds; false if none became free in time."""
        if self.limit is None:
            return True
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if timeout <= 0:
                return False
            turn = threading.Lock()
            turn.acquire()
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
        if self.limit is None:
            return
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self._free += 1

    def _leave_line(self, turn: threading.Lock) -> bool:
        with self._lock:
            try:
                self._line.remove(turn)
            except ValueError:
                return False
            return True
