"""What Django's connect() does to a wrapper, done for one that has been lent a connection.

It owns the knowledge of what that method does. A request is spared the calls by which Django has an engine open and set up a
connection, and the stand-ins that would answer them. It lends nothing.
"""

from __future__ import annotations

import time
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

__all__ = ["is_plain", "reconnect", "state_of"]


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
    """Tell whether what is set on its wrappers is merely kept."""
    names = state_of(None, True)
    return wrapper_class.__setattr__ is object.__setattr__ and not any(
        hasattr(getattr(wrapper_class, name, None), "__set__") for name in names
    )


def reconnect(wrapper: Any, state: dict[str, Any], since: float) -> None:
    """Do to a wrapper what connect() does, after its check of the settings.

    ``state``: of that connection, by ``state_of()``. ``since``: when it was lent; with a CONN_MAX_AGE of 0 it is obsolete then.
    """
    settings = wrapper.settings_dict
    wrapper.__dict__.update(state)  # one step instead of nine
    wrapper.savepoint_ids = []
    wrapper.atomic_blocks = []
    wrapper.health_check_enabled = settings["CONN_HEALTH_CHECKS"]
    max_age = settings["CONN_MAX_AGE"]
    wrapper.close_at = None if max_age is None else time.monotonic() + max_age if max_age else since
    if wrapper.run_commit_hooks_on_set_autocommit_on:
        wrapper.note_autocommit(wrapper.autocommit)
    if connection_created.receivers:
        connection_created.send(sender=wrapper.__class__, connection=wrapper)
    wrapper.run_on_commit = []
