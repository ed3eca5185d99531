"""The QueuePool that holds the idle connections: SQLAlchemy's, with two additions.

It owns the records of the idle connections and their order. Who may take one, and what a connection must be like to be
lent, is decided above it, in pool.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Queue

__all__ = ["ConnectionQueue"]


class ConnectionQueue(QueuePool):
    """A QueuePool that nobody ever waits for, and from which idle connections can be taken out and closed.

    It keeps every connection that is given back. Its caller lets no more threads in than there are places, so a
    connection is idle or a new one may be opened whenever one is asked for.
    """

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

    def take(self, is_wanted: Callable[[ConnectionPoolEntry], bool]) -> ConnectionPoolEntry | None:
        """Take the least recently used idle connection that is wanted out of the queue, without opening any."""
        idle = cast("Queue[ConnectionPoolEntry]", self._pool)
        with idle.mutex:
            for record in idle.queue:
                if is_wanted(record):
                    idle.queue.remove(record)
                    return record
        return None

    def close_taken(self, record: ConnectionPoolEntry) -> None:
        """Close a connection that ``take`` returned; only now may another be opened in its stead."""
        try:
            record.close()
        finally:
            self._dec_overflow()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        # QueuePool would keep the record of a closed connection and lend it before the live ones.
        if record.dbapi_connection is None:
            self._dec_overflow()
        else:
            super()._do_return_conn(record)

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        # The pool says in its own log why it closes; that closing a dead connection fails is no news.
        with contextlib.suppress(Exception):
            connection.close()
