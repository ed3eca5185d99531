"""The methods of Django's wrappers, of databases and of cursors, that are known here: what ours do instead is what they do.

It owns the names that each of them uses, in order, the same in all releases that are supported. One that uses others, in another
Django or since somebody has put his own there, does something that is not done here, and is left to do it itself.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.utils.asyncio import async_unsafe
from django.utils.functional import cached_property

__all__ = [
    "CONNECT",
    "check_settings",
    "close",
    "connect",
    "cursor",
    "ensure_connection",
    "execute",
    "execute_with_wrappers",
    "is_known",
    "make_cursor",
    "prepare_cursor",
    "send",
    "take_cursor",
    "timezone_name",
    "unguarded",
    "validate_thread_sharing",
]

CONNECT = (
    *("check_settings", "in_atomic_block", "savepoint_ids", "atomic_blocks", "needs_rollback", "settings_dict"),
    *("health_check_enabled", "time", "monotonic", "close_at", "closed_in_transaction", "errors_occurred", "health_check_done"),
    *("get_connection_params", "get_new_connection", "connection", "set_autocommit", "init_connection_state"),
    *("connection_created", "send", "__class__", "run_on_commit"),
)
_ENSURE_CONNECTION = (
    *("connection", "in_atomic_block", "closed_in_transaction", "ProgrammingError", "wrap_database_errors", "connect"),
)
_CURSOR = ("_cursor",)
_TAKE_CURSOR = ("close_if_health_check_failed", "ensure_connection", "wrap_database_errors", "_prepare_cursor", "create_cursor")
_PREPARE_CURSOR = ("validate_thread_sharing", "queries_logged", "make_debug_cursor", "make_cursor")
_MAKE_CURSOR = ("utils", "CursorWrapper")
_VALIDATE_THREAD_SHARING = ("allow_thread_sharing", "_thread_ident", "_thread", "get_ident", "DatabaseError", "alias")
_EXECUTE = ("_execute_with_wrappers", "_execute")
_EXECUTE_WITH_WRAPPERS = ("db", "reversed", "execute_wrappers", "functools", "partial")
_SEND = (
    *("apps", "ready", "stored_app_configs", "warnings", "warn", "APPS_NOT_READY_WARNING_MSG", "RuntimeWarning", "db"),
    *("validate_no_broken_transaction", "wrap_database_errors", "cursor", "execute"),
)
_TIMEZONE_NAME = ("settings", "USE_TZ", "TIME_ZONE", "settings_dict")
_CHECK_SETTINGS = ("settings_dict", "settings", "USE_TZ", "ImproperlyConfigured", "alias")
_CLOSE = (
    *("validate_thread_sharing", "run_on_commit", "closed_in_transaction", "connection", "_close", "in_atomic_block"),
    "needs_rollback",
)
# In no order: that in which an ``except`` comes depends on the interpreter.
_GUARD = frozenset({"get_running_loop", "RuntimeError", "os", "environ", "get", "SynchronousOnlyOperation"})


def is_known(method: Any, names: tuple[str, ...], *, is_async_unsafe: bool = False) -> bool:
    """Tell whether a function uses these names. ``is_async_unsafe``: it is inside what Django's decorator of that name makes."""
    function = getattr(method, "__wrapped__", None) if is_async_unsafe else method
    code = getattr(function, "__code__", None)
    return code is not None and code.co_names == names


def unguarded(method: Any) -> Any:
    """Return the function that Django's ``async_unsafe()`` guards here; None, if it is not around it, or not known."""
    guard = async_unsafe(unguarded).__code__
    is_guarded = type(method) is FunctionType and method.__code__ is guard and frozenset(guard.co_names) == _GUARD
    return method.__wrapped__ if is_guarded else None


def _django(name: str, names: tuple[str, ...], *, is_async_unsafe: bool = False, of: type = BaseDatabaseWrapper) -> Any:
    found = getattr(of, name)
    method = found.func if isinstance(found, cached_property) else found
    return found if is_known(method, names, is_async_unsafe=is_async_unsafe) else object()


#: Django's own; nobody's, where it is not known. Compare them with what the class has, not with a bound method: a proxy that
#: somebody has put around one has the same ``__func__``.
connect = _django("connect", CONNECT, is_async_unsafe=True)
ensure_connection = _django("ensure_connection", _ENSURE_CONNECTION, is_async_unsafe=True)
cursor = _django("cursor", _CURSOR, is_async_unsafe=True)
take_cursor = _django("_cursor", _TAKE_CURSOR)
prepare_cursor = _django("_prepare_cursor", _PREPARE_CURSOR)
make_cursor = _django("make_cursor", _MAKE_CURSOR)
validate_thread_sharing = _django("validate_thread_sharing", _VALIDATE_THREAD_SHARING)
close = _django("close", _CLOSE, is_async_unsafe=True)
check_settings = _django("check_settings", _CHECK_SETTINGS)
timezone_name = _django("timezone_name", _TIMEZONE_NAME)
execute = _django("execute", _EXECUTE, of=CursorWrapper)
execute_with_wrappers = _django("_execute_with_wrappers", _EXECUTE_WITH_WRAPPERS, of=CursorWrapper)
send = _django("_execute", _SEND, of=CursorWrapper)
