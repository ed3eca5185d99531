"""The QueuePool that holds the idle connections and opens new ones: SQLAlchemy's, with a queue that nobody waits for.

It owns the open connections, their order, and what is done while the server is away. Who may have one, and what a
connection must be like to be lent, is decided above it, in pool.py.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
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

_ATTEMPTS = 100  # each of them fails only if another thread has taken or opened one in its midst
_BUSY_PART = 4  # threads are busy while a quarter of the connections is out: sixteen threads with four at work, four with one
_PHYSICAL = "django_sqla_pool"  # the key of our own entry in SQLAlchemy's info dict of a connection


class _Idle(QueueCommon[ConnectionPoolEntry]):
    """The idle connections, in the order in which they came back, without the conditions to wait at.

    The keys of a dict, since one may be asked for by name; each of its operations that is used here is atomic.
    """

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self.records: dict[ConnectionPoolEntry, bool] = {}  # true, all of them

    def qsize(self) -> int:
        return len(self.records)

    def put(self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None) -> None:
        self.records[item] = True

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        if self.use_lifo:
            with contextlib.suppress(KeyError):
                return self.records.popitem()[0]
        else:
            for item in tuple(self.records):
                if self.take(item):
                    return item
        raise Empty

    def take(self, item: ConnectionPoolEntry) -> bool:
        """Take this one; false if it is not here, since somebody else has taken it."""
        return self.records.pop(item, False)


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
            pool_size=options.limit or sys.maxsize,
            max_overflow=0,
            use_lifo=options.use_lifo,
            # pool.py resets, pings and recycles: on a monotonic clock, and without a round trip where it can.
            reset_on_return=None,
            recycle=-1,
            pre_ping=False,
        )
        # Guards how many there are, those being opened included. An RLock: the garbage collector may run in between, and
        # somebody's finaliser may close a connection.
        self._overflow_lock = threading.RLock()  # type: ignore[assignment]
        self._idle = cast(_Idle, self._pool)
        self.idle = self._idle.records  # whoever takes one out by a single atomic operation has it
        self._opener = opener
        self._options = options
        self._counters = counters
        self._reports = reports
        self._clock = clock
        self.outage = Outage(clock)
        self._pairs_up_to = options.pool_size if options.use_lifo else -1  # open connections
        self._may_open_own = True  # false while one is being opened, and from a failure until another has been opened
        self.physicals = counters.physicals  # a connection is among them from its opening to its closing
        self.generation = object()  # a connection of another one is to be closed instead of lent
        # An idle connection that came back under this permit may be lent again without a checkout, to who had it last. Another
        # one is issued at each event after which that may be wrong; none (None) while there is overflow, which is to go idle,
        # while the server is away, when those in line come first, and where the least recently used one is to be lent.
        self.permit: object = None
        self.renew_permit()

    @property
    def last_error(self) -> BaseException | None:
        """Why the last attempt to open a connection failed; None while the server is not known to be away."""
        return self.outage.error

    def new_generation(self) -> None:
        """Begin a new generation."""
        self.generation = object()
        self.renew_permit()

    def renew_permit(self) -> None:
        """Have each connection that is idle now go through a checkout before it is lent again."""
        with self._overflow_lock:  # the last of several that come together sees what all of them have done
            is_calm = self.outage.error is None and len(self.physicals) <= self._pairs_up_to
            self.permit = object() if is_calm else None

    def lend(self, deadline: float, preferred: Physical | None = None, fresh_since: float = 0.0) -> Physical:
        """Take an idle connection, or open one; while the server is away, go on trying for CONNECT_RETRY seconds.

        ``preferred``: the one that the borrower had last, so that busy threads come to have one each, as without a pool. One that
        has been idle since ``fresh_since`` or longer will be pinged. Not while there is overflow, which is to go idle.

        Without the proxy that QueuePool's ``connect()`` makes around a connection: it costs more than all the rest of a
        checkout, and what it is for, to give back what a borrower has lost, the pool's own leases do.

        Raises: the driver's own error - opening one failed.
        """
        if self.outage.error is None:
            if preferred is not None and len(self.physicals) <= self._pairs_up_to:
                found = self._take_own(preferred, fresh_since)
                if found is not None:
                    return found
            # What _take_or_open() below does as well, with three calls less: nearly every checkout finds an idle one.
            records = self.idle
            if records and self._options.use_lifo:
                try:
                    latest, _ = records.popitem()
                except KeyError:
                    pass
                else:
                    return latest.info[_PHYSICAL]  # type: ignore[no-any-return]
        give_up_at: float | None = None
        ticket: Ticket | None = None
        try:
            while True:
                error = self.outage.error
                if error is not None and self._options.connect_retry:
                    if give_up_at is None:
                        give_up_at = min(deadline, self._clock() + self._options.connect_retry)
                    ticket = ticket or self.outage.draw()
                    try:
                        record = self.outage.wait_turn(ticket, give_up_at, self._take_idle)
                    except NotTried:
                        raise type(error)(*error.args) from error  # a copy: the original belongs to another thread
                    if record is not None:
                        return record.info[_PHYSICAL]  # type: ignore[no-any-return]
                answers = self.outage.answers
                try:
                    return self._take_or_open().info[_PHYSICAL]  # type: ignore[no-any-return]
                except Exception as failure:
                    if not self._opener.is_refusal(failure):
                        self._end_outage()  # the server has answered, or nobody asked it
                        raise
                    self.outage.failed(failure, ticket, answers)
                    self.renew_permit()
                    self._tell()
                    now = self._clock()
                    if give_up_at is None:
                        give_up_at = min(deadline, now + self._options.connect_retry)
                    if now >= give_up_at:
                        raise
        finally:
            # An idle one came in, and nothing was tried; or an interrupt came, which says nothing of the server.
            if ticket is not None:
                self.outage.pass_turn(ticket)

    def _take_own(self, preferred: Physical, fresh_since: float) -> Physical | None:
        """Take or open a connection that this borrower will have for itself; None if it may as well share the one used last."""
        records = self.idle
        # So many threads at once that to share one means to take it from another, which then takes that of a third.
        is_busy = (len(self.physicals) - len(records)) * _BUSY_PART >= len(self.physicals)
        if not is_busy and (preferred.idle_since or 0.0) <= fresh_since and self._has_fresh(fresh_since):
            return None  # its own would be pinged, where another one need not be
        if records.pop(preferred.record, False):
            return preferred
        own = self._open_own(preferred)
        if own is None and is_busy:
            # The one that nobody has used for the longest time is most likely nobody's.
            for record in tuple(records):
                if records.pop(record, False):
                    return record.info[_PHYSICAL]  # type: ignore[no-any-return]
        return own

    def _has_fresh(self, fresh_since: float) -> bool:
        """Tell whether the idle connection that was used last was in use after that."""
        for record in reversed(tuple(self.idle)):
            return (record.info[_PHYSICAL].idle_since or 0.0) > fresh_since
        return False

    def put_back(self, physical: Physical) -> None:
        """Put a connection back that ``lend`` returned."""
        self.idle[physical.record] = True  # _idle.put(), without the call
        if self.outage.error is not None:
            self.outage.wake()

    def close_lent(self, physical: Physical, reason: str) -> None:
        """Close a connection that ``lend`` or ``take`` returned; only now may another be opened in its stead."""
        try:
            physical.record.close()
        finally:
            physical.record = None  # each has the other: the driver's object would live on until the garbage collector comes
            try:
                self._counters.count_close(physical, reason)
            finally:
                self._dec_overflow()
                self.renew_permit()  # it may have been the last one of the overflow

    def has(self, fault: Callable[[Physical], str | None]) -> bool:
        """Tell whether an idle connection has a fault; asks of each, up to the first that has one."""
        return any(fault(record.info[_PHYSICAL]) for record in tuple(self.idle))

    def take(self, fault: Callable[[Physical], str | None]) -> tuple[Physical, str] | None:
        """Take the least recently used idle connection that has a fault out of the queue, without opening any."""
        for record in tuple(self.idle):
            physical: Physical = record.info[_PHYSICAL]
            reason = fault(physical)
            if reason is not None and self._idle.take(record):
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
        try:
            self._counters.count_open(physical)
            self._may_open_own = True
            self._end_outage()
        except BaseException:  # an interrupt
            self._counters.count_close(physical, "abandoned")
            self._close_connection(driver.connection)
            raise
        return driver.connection

    def _take_or_open(self) -> ConnectionPoolEntry:
        # Not QueuePool's own _do_get(), which raises an error of SQLAlchemy's where there are as many as there may be.
        for _ in range(_ATTEMPTS):
            record = self._take_idle()
            if record is not None:
                return record
            if self._inc_overflow():
                return self._open_counted()
            # There are as many as there may be, and our caller has a place and no connection: one has come back since we looked.
        # None has: an interrupt has cost one at the very moment at which it was lent. It is counted, and will not come back.
        with self._overflow_lock:
            self._overflow += 1
        return self._open_counted()

    def _open_counted(self) -> ConnectionPoolEntry:
        try:
            return self._create_connection()
        except BaseException:
            self._dec_overflow()
            raise

    def _open_own(self, preferred: Physical) -> Physical | None:
        """Open a connection for who finds its own in use; None if there are enough, or if that fails: another will do."""
        if not self._may_open_own or preferred not in self.physicals:  # not in use, but closed
            return None
        with self._overflow_lock:
            if self._overflow + self.size() >= self._options.pool_size:
                return None
            self._overflow += 1
        self._may_open_own = False
        try:
            return self._open_counted().info[_PHYSICAL]  # type: ignore[no-any-return]
        except Exception as error:
            self._reports.shared(error)
            return None

    def _end_outage(self) -> None:
        self.outage.ended()
        self.renew_permit()
        self._tell()

    def _tell(self) -> None:
        self.outage.tell(lambda error: self._reports.refused(error, self._options.connect_retry), self._reports.accepted)

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        # The pool says in its own log why it closes; that closing a dead connection fails is no news.
        with contextlib.suppress(Exception):
            connection.close()
