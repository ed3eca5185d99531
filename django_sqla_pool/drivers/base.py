"""What the pool asks of every driver, and what holds for all of them."""

from __future__ import annotations

import abc
import copy
import ctypes
import enum
import functools
import re
import select
from collections import deque
from collections.abc import Mapping
from typing import Any

__all__ = ["Driver", "Liveness", "NoAnswer", "ResetFailed"]


class Liveness(enum.Enum):
    """What the socket of an idle connection tells without a round trip."""

    QUIET = "quiet"  # nothing to read, not closed: alive, unless the network is silent
    SUSPICIOUS = "suspicious"  # something arrived that nobody asked for: only a ping can tell
    DEAD = "dead"  # the other side has closed


class ResetFailed(Exception):
    """A connection can't be brought back to a state that the next borrower may have."""


class NoAnswer(ResetFailed):
    """The server was asked for a sign of life, and nothing came."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


_CLOSED = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class _PollFd(ctypes.Structure):
    """struct pollfd of poll(2)."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


# Not select.poll(), which lets go of the GIL: among busy threads it costs up to sys.getswitchinterval(), 5 ms, to have it
# back. With a timeout of 0 poll(2) never waits, so PyDLL, which keeps the GIL, is safe; gevent has nothing to patch in it.
# Without argtypes, and with what is no int made beforehand: checking them would cost as much as the call.
_poll = ctypes.PyDLL(None).poll
_ONE = ctypes.c_ulong(1)
_QUIET = Liveness.QUIET  # up to Python 3.10 an enum looks its members up by a function of its own, at each use


class Driver(abc.ABC):
    """One connection, as its driver wants it handled.

    ``connection`` is the driver's own object; ``autocommit`` what Django's settings ask for. ``reset()`` and ``ping()``
    raise the driver's own error, or ResetFailed, and after that the connection must be closed.
    """

    # What Django's engine sets on a wrapper while it connects, and what a later borrower's wrapper needs as well. Of
    # these, facts are the same for every connection of a pool, and asked for once.
    wrapper_attributes: tuple[str, ...] = ("isolation_level",)
    facts: tuple[str, ...] = ()
    # What a borrower may set on the driver's object, where no reset of the server's session reaches.
    client_state: tuple[str, ...] = ()
    # A word, in lower case, that every statement has which leaves a cursor open past the end of its transaction; and what else
    # such a statement has. It may be that of a column, so there are statements that only look like one.
    holding_word: str
    holding_pattern: re.Pattern[str]

    def __init__(self, connection: Any, autocommit: bool, parameters: Mapping[str, Any]) -> None:
        self.connection = connection
        self.autocommit = autocommit
        self.parameters = parameters
        self.wrapper_state: dict[str, Any] = {}
        self.reconnected_state: dict[str, Any] = {}  # and what Django's connect() leaves on a wrapper
        self.cursors_seen = 0  # how many have passed through Django; counted only by drivers whose wrappers' cursors are wrapped
        self.is_answer_due = False  # True: reset() has sent something, and left its answer to be read by read_answer()
        self._pollfd = _PollFd(self.fileno(), select.POLLIN | getattr(select, "POLLRDHUP", 0), 0)
        self.poll = functools.partial(_poll, ctypes.byref(self._pollfd), _ONE, 0)  # 0: nothing to read, not closed

    def fileno(self) -> int:
        """Return the descriptor of the connection's socket."""
        return int(self.connection.fileno())

    @abc.abstractmethod
    def is_closed(self) -> bool:
        """Tell whether the driver itself has closed the connection, or knows that it is lost."""

    @abc.abstractmethod
    def is_quiet(self) -> bool:
        """Tell whether the socket is as it should be. Only looks, so others may use the connection meanwhile."""

    def probe(self) -> Liveness:
        """Look at the socket, without a round trip (about 1 µs)."""
        if self.is_closed():
            return Liveness.DEAD  # and its descriptor may be another socket's by now
        if not self.poll():
            return _QUIET
        return Liveness.DEAD if self._pollfd.revents & _CLOSED else self.look_closer()

    def look_closer(self) -> Liveness:
        """Tell what to think of a connection on which something has arrived."""
        return Liveness.SUSPICIOUS

    def is_readable(self, seconds: float) -> bool:
        """Wait so long, without blocking other threads, until something arrives or the other side closes."""
        # Unlike probe() it has to let go of the GIL, and under gevent of the other greenlets. (select() fails above 1023.)
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLIN | _CLOSED)
        return bool(waiting.poll(max(0.0, seconds) * 1000))

    @abc.abstractmethod
    def ping(self, seconds: float) -> None:
        """Ask the server for a sign of life: one round trip that leaves the transaction state as it is.

        Raises: NoAnswer - none came within so many seconds.
        """

    @abc.abstractmethod
    def is_idle(self, had_errors: bool) -> bool:
        """Tell whether it is proven, without a round trip, that no transaction is open and no result half-read."""

    def reset(self, had_errors: bool) -> None:
        """Roll back what is open and restore autocommit; no round trip where is_idle() proves it needless.

        ``had_errors``: a statement of this lease failed, so what the driver knows may be out of date.
        """
        if not self.is_idle(had_errors):
            self.rollback()
            if not self.is_idle(False):
                raise ResetFailed("still in a transaction after a rollback")
        self.restore_autocommit()

    def read_answer(self, seconds: float) -> None:  # noqa: B027  (most drivers leave no answer)
        """Read the answer that is due; the connection must not be used before.

        Raises: NoAnswer - it did not come within so many seconds.
        """

    def may_hold(self, statement: str) -> bool:
        """Tell whether a statement may leave a cursor open that outlives its transaction."""
        return self.holding_pattern.search(statement) is not None

    @abc.abstractmethod
    def close_held_cursors(self) -> None:
        """Close all cursors that outlived their transactions. Only outside a transaction."""

    def rollback(self) -> None:
        """Roll back, whoever began the transaction and however."""
        self.connection.rollback()

    def check_free(self) -> None:  # noqa: B027  (most drivers never hold one back)
        """Raise ResetFailed if a command that was left half-way would make the next one wait for ever."""

    @abc.abstractmethod
    def restore_autocommit(self) -> None:
        """Set autocommit to what the settings ask for, if it is not."""

    def remember_session(self) -> None:
        """Note what reset_session() can't know otherwise, on a connection that was just set up."""
        connection = self.connection
        names = [name for name in self.client_state if hasattr(connection, name)]  # some came with a release of the driver
        self._client_state = {name: _copied(getattr(connection, name)) for name in names}
        self._attributes = set(_attributes(connection))

    def see_all_cursors(self) -> None:  # noqa: B027  (most drivers need not count them)
        """Take all cursors that were made so far for seen: those that were made to set the connection up."""

    def restore_client_state(self) -> None:
        """Put back what was set on the driver's object since it was set up. A part of reset_session()."""
        for name, was in self._client_state.items():
            if getattr(self.connection, name) != was:
                setattr(self.connection, name, _copied(was))
        for name in set(_attributes(self.connection)) - self._attributes:
            del vars(self.connection)[name]  # mysqlclient refuses delattr()

    @abc.abstractmethod
    def reset_session(self) -> None:
        """Bring the whole session back to what it was when the driver's ``connect()`` had returned.

        Only outside a transaction. What Django does after connecting has to be done again.
        """

    @abc.abstractmethod
    def is_disconnect(self, error: BaseException) -> bool:
        """Tell whether an error means that this connection is lost."""

    @abc.abstractmethod
    def is_demotion(self, error: BaseException) -> bool:
        """Tell whether an error means that the server has lost its role: it no longer takes writes, or left its cluster."""

    @staticmethod
    @abc.abstractmethod
    def is_refusal(error: BaseException) -> bool:
        """Tell whether a failed open may succeed a moment later: the server is away, starting, stopping or full."""


def _attributes(connection: Any) -> Mapping[str, Any]:
    return getattr(connection, "__dict__", {})  # psycopg2's has none


def _copied(value: Any) -> Any:
    return copy.copy(value) if isinstance(value, (dict, list, deque)) else value
