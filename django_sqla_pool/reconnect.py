"""What Django's connect() does to a wrapper, done for one that goes on with the connection that it had before.

It owns the knowledge of that method, and of whether this Django's is the one known here. A request that finds all as the last
one of its thread has left it is spared the calls by which Django has an engine open and set up a connection, and the stand-ins
that would answer them. It lends nothing.
"""

from __future__ import annotations

import time
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

__all__ = ["is_plain", "known_connect", "reconnect", "state_of"]

# The names that Django's connect() uses, in order, in all releases that are supported. One that uses others does something that
# is not done here, and is left to do it itself.
CONNECT = (
    *("check_settings", "in_atomic_block", "savepoint_ids", "atomic_blocks", "needs_rollback", "settings_dict"),
    *("health_check_enabled", "time", "monotonic", "close_at", "closed_in_transaction", "errors_occurred", "health_check_done"),
    *("get_connection_params", "get_new_connection", "connection", "set_autocommit", "init_connection_state"),
    *("connection_created", "send", "__class__", "run_on_commit"),
)


def is_known(connect: Any) -> bool:
    """Tell whether a function is Django's connect() as it is known here."""
    code = getattr(getattr(connect, "__wrapped__", None), "__code__", None)  # async_unsafe() is around it
    return code is not None and code.co_names == CONNECT


#: Only where a wrapper's is this one may it be reconnected; nobody's is ``object()``.
known_connect = BaseDatabaseWrapper.connect if is_known(BaseDatabaseWrapper.connect) else object()


def state_of(connection: Any, autocommit: bool) -> dict[str, Any]:
    """Return what connect() leaves on a wrapper with this connection, whatever else the settings say."""
    return {
        "in_atomic_block": False,
        "needs_rollback": False,
        "closed_in_transaction": False,
        "errors_occurred": False,
        "health_check_done": True,
        "connection": connection,
        "autocommit": autocommit,
    }


def is_plain(wrapper_class: type[BaseDatabaseWrapper]) -> bool:
    """Tell whether what is set on its wrappers is merely kept, and check_settings() asks what a lookup compares as well."""
    names = state_of(None, True)
    return (
        wrapper_class.check_settings is BaseDatabaseWrapper.check_settings
        and wrapper_class.__setattr__ is object.__setattr__
        and not any(hasattr(getattr(wrapper_class, name, None), "__set__") for name in names)
    )


def reconnect(wrapper: Any, state: dict[str, Any]) -> None:
    """Do to a wrapper what connect() does, with a connection and settings with which connect() has been called on it before.

    ``state``: of that connection, by ``state_of()``.
    """
    settings = wrapper.settings_dict
    wrapper.__dict__.update(state)  # one step instead of nine
    wrapper.savepoint_ids = []
    wrapper.atomic_blocks = []
    wrapper.health_check_enabled = settings["CONN_HEALTH_CHECKS"]
    max_age = settings["CONN_MAX_AGE"]
    wrapper.close_at = None if max_age is None else time.monotonic() + max_age
    if wrapper.run_commit_hooks_on_set_autocommit_on:
        wrapper.note_autocommit(wrapper.autocommit)
    if connection_created.receivers:
        connection_created.send(sender=wrapper.__class__, connection=wrapper)
    wrapper.run_on_commit = []
