"""A first-come, first-served semaphore: who may have a connection, and who is next.

It owns the places of one pool and the line of those who wait for one. It knows nothing of connections.
"""

from __future__ import annotations

import contextlib
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
        # A place that is free is an item of ``free``, taken and put back by single atomic operations: while nobody waits, no
        # lock is touched, at which threads that are interrupted would make the others wait. Who finds somebody in line
        # takes none; who puts one back while somebody stands there, or steps into the line, hands over what is free.
        self.free: deque[None] = deque([None] * (limit or 0))
        # _lock guards ``line``, handing over, and the two below; held for a few instructions. An RLock: the garbage collector
        # may run in between, and somebody's finaliser may close a connection.
        self._lock = threading.RLock()
        self.line: deque[threading.Lock] = deque()
        self._taken = 0  # counted only where there is no limit
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self.line)

    def acquire(self, timeout: float) -> bool:
        """Take a place, waiting up to ``timeout`` seconds; false if none became free in time.

        Raises: Closed - after a ``close()`` that succeeded.
        """
        if not self.line:
            try:
                self.free.pop()
            except IndexError:
                pass  # none is free, or there is no limit, or it was closed
            else:
                return True
        with self._lock:
            if self._takes_place_locked():
                return True
        if timeout <= 0:
            return False
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            if self._is_closed:
                raise Closed
            self.line.append(turn)
            self._hand_over_locked()  # what was put back meanwhile, by who did not see us in the line
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
            with self._lock:
                self._taken -= 1
            return
        self.free.append(None)
        if self.line:
            with self._lock:
                self._hand_over_locked()

    def close(self) -> bool:
        """Let nobody in any more, if no place is taken; false, and nothing changed, if one is."""
        with self._lock:
            if not self._is_closed:
                # Taken one by one: others may take some meanwhile, and then it is not closed.
                found = 0
                with contextlib.suppress(IndexError):
                    while True:
                        self.free.pop()
                        found += 1
                self._is_closed = not self._taken and found == (self.limit or 0)
                if not self._is_closed:
                    self.free.extend([None] * found)
                    self._hand_over_locked()
            return self._is_closed

    def _takes_place_locked(self) -> bool:
        if self._is_closed:
            raise Closed
        if self.limit is None:
            self._taken += 1
            return True
        if self.line:
            return False
        try:
            self.free.pop()
        except IndexError:
            return False
        return True

    def _hand_over_locked(self) -> None:
        while self.line:
            try:
                self.free.pop()
            except IndexError:
                return
            try:
                turn = self.line.popleft()
            except IndexError:  # a finaliser has handed over meanwhile
                self.free.append(None)
                return
            turn.release()

    def _leave_line(self, turn: threading.Lock) -> bool:
        with self._lock:
            try:
                self.line.remove(turn)
            except ValueError:
                return False
            return True
