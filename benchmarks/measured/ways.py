"""Ways: what "take a connection" and "give it back" are, for a wrapper and for a bare QueuePool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connections

_lock = threading.Lock()
_queue_pools: dict[int, Any] = {}

Take = Callable[[], Any]
Give = Callable[[Any], None]


def wrapper_way() -> tuple[Take, Give]:
    """Take and give for the calling thread's wrapper: what Django does at the first query and at a request's end."""
    wrapper = connections["default"]
    # Where connections are kept, a request's end looks whether this one may be; else it closes, which gives it back.
    end = wrapper.close_if_unusable_or_obsolete if wrapper.settings_dict["CONN_MAX_AGE"] is None else wrapper.close

    def take() -> Any:
        wrapper.ensure_connection()
        return wrapper

    return take, lambda _: end()


def queue_pool_way(size: int) -> tuple[Take, Give]:
    """Take and give for SQLAlchemy's QueuePool as it stands, on connections that Django has opened."""
    with _lock:
        if size not in _queue_pools:
            from sqlalchemy.pool import QueuePool

            # reset_on_return: ROLLBACK costs MariaDB a round trip, which is not what is compared here.
            _queue_pools[size] = QueuePool(_connect, pool_size=size, max_overflow=0, reset_on_return=None)
    pool = _queue_pools[size]
    return pool.connect, lambda connection: connection.close()


def way(is_queue_pool: bool, size: int) -> tuple[Take, Give]:
    return queue_pool_way(size) if is_queue_pool else wrapper_way()


def _connect() -> Any:
    wrapper = connections.create_connection("default")
    wrapper.inc_thread_sharing()
    wrapper.connect()
    connection, wrapper.connection = wrapper.connection, None
    return connection
