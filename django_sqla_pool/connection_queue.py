"""The QueuePool that holds the idle connections and opens new ones: SQLAlchemy's, with a queue that nobody waits for.

It owns the open connections, their order, and what is done while the server is away. Who may have one, and what a
connection must be like to be lent, is decided above it, in pool.py.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty, QueueCommon

from .options import PoolOptions
from .outage import NotTried, Outage, Ticket
from .physical import Opener, Physical
from .reports import Reports
from .snapshot import Counters

__all__ = ["ConnectionQueue"]

_PHYSICAL = "django_sqla_pool"  # the key of our own entry in SQLAlchemy's info dict of a connection


class _Idle(QueueCommon[ConnectionPoolEntry]):
    """The idle connections: a deque, whose single operations are atomic, without the conditions to wait at."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self.records: deque[ConnectionPoolEntry] = deque()
        self.take = self.records.pop if use_lifo else self.records.popleft

    def qsize(self) -> int:
        return len(self.records)

    def put(self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None) -> None:
        self.records.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        try:
            return self.take()
        except IndexError:
            raise Empty from None


class ConnectionQueue(QueuePool):
    """A QueuePool that keeps every connection given back, and whose idle ones can be taken out and closed.

    Its caller lets no more threads in than there are places, so a connection is idle or a new one may be opened
    whenever one is asked for.
    """

    _queue_class = _Idle

    def __init__(
        self, opener: Opener, options: PoolOptions, counters: Counters, reports: Reports, clock: Callable[[], float]
    ) -> None:
        super().__init__(
            self._open,  # type: ignore[arg-type]  # their protocol names the argument
            pool_size=0,  # no limit here: the pool's places are the limit
            use_lifo=options.use_lifo,
            # pool.py resets, pings and recycles: on a monotonic clock, and without a round trip where it can.
            reset_on_return=None,
            recycle=-1,
            pre_ping=False,
        )
        self._idle = cast(_Idle, self._pool)
        self._opener = opener
        self._options = options
        self._counters = counters
        self._reports = reports
        self._clock = clock
        self._outage = Outage(clock)
        # Changed by single atomic operations only. A connection is among them from its opening to its closing.
        self.physicals: set[Physical] = set()
        self.generation = object()  # a connection of another one is to be closed instead of lent

    @property
    def last_error(self) -> BaseException | None:
        """Why the last attempt to open a connection failed; None while the server is not known to be away."""
        return self._outage.error

    def new_generation(self) -> object:
        """Begin a new generation, and return it."""
        self.generation = generation = object()
        return generation

    def lend(self, deadline: float) -> Physical:
        """Take an idle connection, or open one; while the server is away, go on trying for CONNECT_RETRY seconds.

        Without the proxy that QueuePool's ``connect()`` makes around a connection: it costs more than all the rest of a
        checkout, and what it is for, to give back what a borrower has lost, the pool's own leases do.

        Raises: the driver's own error - opening one failed.
        """
        # What _do_get() below does as well, with four calls less: nearly every checkout finds an idle one.
        if self._outage.error is None:
            try:
                idle = self._idle.take()
            except IndexError:
                pass
            else:
                return idle.info[_PHYSICAL]  # type: ignore[no-any-return]
        give_up_at: float | None = None
        ticket: Ticket | None = None
        while True:
            record: ConnectionPoolEntry | None = None
            try:
                error = self._outage.error
                if error is not None and self._options.connect_retry:
                    if give_up_at is None:
                        give_up_at = min(deadline, self._clock() + self._options.connect_retry)
                    ticket = ticket or self._outage.draw()
                    record = self._outage.wait_turn(ticket, give_up_at, self._take_idle)
                if record is None:
                    record = self._do_get()
            except NotTried:
                assert error is not None
                raise type(error)(*error.args) from error  # a copy: the original belongs to another thread
            except BaseException as failure:
                if not self._opener.is_refusal(failure):
                    self._end_outage()  # the server has answered, or nobody asked it
                    raise
                if self._outage.failed(failure, ticket):
                    self._reports.refused(failure, self._options.connect_retry)
                now = self._clock()
                if give_up_at is None:
                    give_up_at = min(deadline, now + self._options.connect_retry)
                if now >= give_up_at:
                    raise
            else:
                if self._outage.error is not None:
                    self._outage.pass_turn(ticket)  # an idle one came in: nothing was tried
                return record.info[_PHYSICAL]  # type: ignore[no-any-return]

    def put_back(self, physical: Physical) -> None:
        """Put a connection back that ``lend`` returned."""
        self._idle.records.append(physical.record)  # _idle.put(), without the call
        if self._outage.error is not None:
            self._outage.wake()

    def close_lent(self, physical: Physical, reason: str) -> None:
        """Close a connection that ``lend`` or ``take`` returned; only now may another be opened in its stead."""
        try:
            physical.record.close()
        finally:
            self.physicals.discard(physical)
            self._counters.count_close(reason)
            self._dec_overflow()

    def has(self, fault: Callable[[Physical], str | None]) -> bool:
        """Tell whether an idle connection has a fault; asks of each, up to the first that has one."""
        return any(fault(record.info[_PHYSICAL]) for record in tuple(self._idle.records))

    def take(self, fault: Callable[[Physical], str | None]) -> tuple[Physical, str] | None:
        """Take the least recently used idle connection that has a fault out of the queue, without opening any."""
        records = self._idle.records
        for record in tuple(records):
            physical: Physical = record.info[_PHYSICAL]
            reason = fault(physical)
            if reason is not None:
                with contextlib.suppress(ValueError):  # somebody else has taken it in the meantime
                    records.remove(record)
                    return physical, reason
        return None

    def _take_idle(self) -> ConnectionPoolEntry | None:
        with contextlib.suppress(Empty):
            return self._idle.get()
        return None

    def _open(self, record: ConnectionPoolEntry) -> Any:
        """Open a connection for a record: QueuePool's ``creator``."""
        generation = self.generation  # before opening: a dispose() meanwhile concerns this one as well
        driver = self._opener.open()
        now = self._clock()
        recycle = self._options.recycle
        # Jitter, only downwards, so that connections opened together do not expire together.
        expires_at = float("inf") if recycle == -1 else now + recycle * random.uniform(0.9, 1.0)
        physical = record.info[_PHYSICAL] = Physical(driver, record, now, expires_at, generation)
        self.physicals.add(physical)
        self._counters.count_open()
        self._end_outage()
        return driver.connection

    def _end_outage(self) -> None:
        if self._outage.error is not None and (seconds := self._outage.ended()) is not None:
            self._reports.accepted(seconds)

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        # The pool says in its own log why it closes; that closing a dead connection fails is no news.
        with contextlib.suppress(Exception):
            connection.close()
