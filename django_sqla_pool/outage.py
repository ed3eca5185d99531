"""Who may try to connect while the server is away.

It owns the knowledge that a server does not accept connections, and the times of the next attempts. It opens nothing.
"""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

__all__ = ["NotTried", "Outage", "Ticket"]

# The first retry comes soon, since a slot may come free at any moment; the longest pause keeps the first success within
# half a second of the server's return.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5

T = TypeVar("T")


class NotTried(Exception):
    """The time was up before it was this ticket's turn."""


class Ticket:
    """A place in the line of an outage; whoever tries in vain comes back to the place that he had."""

    __slots__ = ("bell", "number")

    def __init__(self, number: int, lock: threading.RLock) -> None:
        self.number = number
        self.bell = threading.Condition(lock)  # rung when there is reason to look again

    def __lt__(self, other: Ticket) -> bool:
        return self.number < other.number


class Outage:
    """Has those who want a connection from a server that is away stand in line.

    Only the first in line may take a connection that has come in, or try, one thread at a time and with growing pauses. So
    nobody is overtaken by who has just given a connection back, and a server that is full or starting is not stormed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        # _lock guards all that follows. It is taken by itself: Condition.__enter__ is Python code, and an interrupt inside
        # it would leave the lock taken. An RLock: the garbage collector may run in between, and somebody's finaliser may give a
        # connection back.
        self._lock = threading.RLock()
        self.error: BaseException | None = None  # why the last attempt failed; None: the server is not known to be away
        self.answers = 0  # how often the server has answered
        self._began_at = 0.0
        self._line: list[Ticket] = []  # sorted
        self._trying: Ticket | None = None  # out of the line
        self._next_attempt = 0.0
        self._pause = FIRST_PAUSE
        self._news: deque[BaseException | float] = deque()  # outages that began, by their error, and ended, after so many seconds
        self._teller = threading.Lock()  # held by who says the news; nobody waits for it

    def draw(self) -> Ticket:
        """Return a ticket: behind all that were drawn before."""
        return Ticket(next(self._numbers), self._lock)

    def wait_turn(self, ticket: Ticket, until: float, take_idle: Callable[[], T | None]) -> T | None:
        """Wait in line for what ``take_idle`` gives. Returns None if the caller may try instead, or the server is back.

        Raises: NotTried - ``until`` has passed.
        """
        with self._lock:
            bisect.insort(self._line, ticket)
            try:
                while self.error is not None:
                    is_first = self._line[0] is ticket
                    if is_first and (idle := take_idle()) is not None:
                        return idle
                    now = self._clock()
                    may_try = is_first and self._trying is None
                    # Before the deadline is looked at: who has no time to wait (TIMEOUT 0) may be the only one who comes.
                    if may_try and now >= self._next_attempt:
                        self._trying = ticket
                        return None
                    if now >= until:
                        raise NotTried
                    ticket.bell.wait((min(until, self._next_attempt) if may_try else until) - now)
                return None
            finally:
                self._line.remove(ticket)
                self._ring_first_locked()

    def failed(self, error: BaseException, ticket: Ticket | None, answers: int) -> None:
        """Note that an attempt failed because the server is away.

        ``answers``: how many there were when the attempt began. If there are more, the server has come back since: what this
        one met is over, and another outage would be announced, and the others made to wait, for nothing.
        """
        with self._lock:
            if answers != self.answers:
                return
            is_first = self.error is None
            self.error = error
            if is_first:
                self._began_at = self._clock()
                self._news.append(error)
            # Several may have begun before the first of them failed: they are no reason for a longer pause.
            if is_first or self._had_turn_locked(ticket):
                self._next_attempt = self._clock() + self._pause
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def ended(self) -> None:
        """Note that the server answered: everybody may try."""
        with self._lock:
            self.answers += 1
            if self.error is not None:
                self._news.append(self._clock() - self._began_at)
            self.error = self._trying = None
            self._pause = FIRST_PAUSE
            for ticket in self._line:
                ticket.bell.notify()

    def tell(self, began: Callable[[BaseException], None], ended: Callable[[float], None]) -> None:
        """Say what is new, in the order in which it came to be. Who is saying something already says this as well, after that."""
        while self._news and self._teller.acquire(blocking=False):
            try:
                news = self._news.popleft() if self._news else None
                if isinstance(news, BaseException):
                    began(news)
                elif news is not None:
                    ended(news)
            finally:
                self._teller.release()

    def pass_turn(self, ticket: Ticket) -> None:
        """Leave the attempt to somebody else, if it was this ticket's."""
        with self._lock:
            self._had_turn_locked(ticket)

    def wake(self) -> None:
        """Let the first in line look for a connection that has come in."""
        with self._lock:
            self._ring_first_locked()

    def _had_turn_locked(self, ticket: Ticket | None) -> bool:
        had_turn = ticket is not None and self._trying is ticket
        if had_turn:
            self._trying = None
            self._ring_first_locked()
        return had_turn

    def _ring_first_locked(self) -> None:
        if self._line:
            self._line[0].bell.notify()
