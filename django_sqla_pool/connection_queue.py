"""The QueuePool that holds the idle connections: SQLAlchemy's, with a queue that nobody waits for.

It owns the records of the idle connections and their order. Who may take one, and what a connection must be like to be
lent, is decided above it, in pool.py.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty, QueueCommon

__all__ = ["ConnectionQueue"]


class _Idle(QueueCommon[ConnectionPoolEntry]):
    """The idle connections: a deque, whose single operations are atomic, without the conditions to wait at."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self.records: deque[ConnectionPoolEntry] = deque()

    def qsize(self) -> int:
        return len(self.records)

    def put(self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None) -> None:
        self.records.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        try:
            return self.records.pop() if self.use_lifo else self.records.popleft()
        except IndexError:
            raise Empty from None


class ConnectionQueue(QueuePool):
    """A QueuePool that keeps every connection given back, and whose idle ones can be taken out and closed.

    Its caller lets no more threads in than there are places, so a connection is idle or a new one may be opened
    whenever one is asked for.
    """

    _queue_class = _Idle

    def __init__(self, creator: Callable[[ConnectionPoolEntry], Any], limit: int | None, use_lifo: bool) -> None:
        super().__init__(
            creator,  # type: ignore[arg-type]  # their protocol names the argument
            pool_size=limit or 0,  # 0: no limit
            max_overflow=0,
            timeout=0,
            use_lifo=use_lifo,
            # pool.py resets, pings and recycles: on a monotonic clock, and without a round trip where it can.
            reset_on_return=None,
            recycle=-1,
            pre_ping=False,
        )

    def lend(self) -> ConnectionPoolEntry:
        """Take an idle connection out of the queue, or open one.

        Without the proxy that ``connect()`` makes around a connection: it costs more than all the rest of a checkout, and
        what it is for, to give back what a borrower has lost, the pool's own leases do.
        """
        return self._do_get()

    def put_back(self, record: ConnectionPoolEntry) -> None:
        """Put a connection back that ``lend`` returned."""
        self._do_return_conn(record)

    def close_lent(self, record: ConnectionPoolEntry) -> None:
        """Close a connection that ``lend`` or ``take`` returned; only now may another be opened in its stead."""
        try:
            record.close()
        finally:
            self._dec_overflow()

    def take(self, is_wanted: Callable[[ConnectionPoolEntry], bool]) -> ConnectionPoolEntry | None:
        """Take the least recently used idle connection that is wanted out of the queue, without opening any."""
        records = cast(_Idle, self._pool).records
        for record in tuple(records):
            if is_wanted(record):
                with contextlib.suppress(ValueError):  # somebody else has taken it in the meantime
                    records.remove(record)
                    return record
        return None

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        # The pool says in its own log why it closes; that closing a dead connection fails is no news.
        with contextlib.suppress(Exception):
            connection.close()
