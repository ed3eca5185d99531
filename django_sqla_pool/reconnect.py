"""What Django's connect() does to a wrapper, done for one that goes on with the connection that it had before.

It owns the knowledge of that method, and of whether this Django's is the one known here. A request that finds all as the last
one of its thread has left it is spared the calls by which Django has an engine open and set up a connection, and the stand-ins
that would answer them. It lends nothing.
"""

from __future__ import annotations

import time
from asyncio import _get_running_loop
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

__all__ = ["may_reconnect", "reconnect"]

# The names that Django's connect() uses, in order, in all releases that are supported. One that uses others does something that
# is not done here, and is left to do it itself.
CONNECT = (
    *("check_settings", "in_atomic_block", "savepoint_ids", "atomic_blocks", "needs_rollback", "settings_dict"),
    *("health_check_enabled", "time", "monotonic", "close_at", "closed_in_transaction", "errors_occurred", "health_check_done"),
    *("get_connection_params", "get_new_connection", "connection", "set_autocommit", "init_connection_state"),
    *("connection_created", "send", "__class__", "run_on_commit"),
)

_connect: Any = BaseDatabaseWrapper.connect


def is_known(connect: Any) -> bool:
    """Tell whether a function is Django's connect() as it is known here."""
    code = getattr(getattr(connect, "__wrapped__", None), "__code__", None)  # async_unsafe() is around it
    return code is not None and code.co_names == CONNECT


_is_known = is_known(_connect)


def may_reconnect(connect: Any) -> bool:
    """Tell whether a wrapper's method is Django's connect(), known here, and would not refuse, as it does under an event loop."""
    return _is_known and getattr(connect, "__func__", None) is _connect and _get_running_loop() is None


def reconnect(wrapper: Any, connection: Any) -> None:
    """Do to a wrapper what connect() does, with a connection of the settings that it was connected by before."""
    wrapper.check_settings()
    settings = wrapper.settings_dict
    wrapper.in_atomic_block = False
    wrapper.savepoint_ids = []
    wrapper.atomic_blocks = []
    wrapper.needs_rollback = False
    wrapper.health_check_enabled = settings["CONN_HEALTH_CHECKS"]
    max_age = settings["CONN_MAX_AGE"]
    wrapper.close_at = None if max_age is None else time.monotonic() + max_age
    wrapper.closed_in_transaction = False
    wrapper.errors_occurred = False
    wrapper.health_check_done = True
    wrapper.connection = connection
    wrapper.note_autocommit(settings["AUTOCOMMIT"])
    if connection_created.receivers:
        connection_created.send(sender=wrapper.__class__, connection=wrapper)
    wrapper.run_on_commit = []
