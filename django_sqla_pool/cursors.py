"""Django's cursor wrappers, which look at each statement for one that leaves a cursor open past the end of its transaction.

They own nothing. No status word of a server shows such a cursor, and to ask for them would cost every check-in a round trip; to
look for a word in a statement costs half a microsecond.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from . import known

__all__ = ["looking_cursors"]

MakeCursor = Callable[[Any, Any], Any]


class _Fetches:
    """What Django's CursorWrapper makes anew at each use, when it is found to be missing; behind it, so that what it has wins."""

    db: Any
    cursor: Any

    def fetchone(self) -> Any:
        with self.db.wrap_database_errors:
            return self.cursor.fetchone()

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        with self.db.wrap_database_errors:
            return self.cursor.fetchmany(*args, **kwargs)

    def fetchall(self) -> Any:
        with self.db.wrap_database_errors:
            return self.cursor.fetchall()


@functools.cache
def _looking(kind: Any, word: str) -> Any:
    class LookingCursor(kind, _Fetches):  # type: ignore[misc]
        # What Django's last two are for is its own business; with names, to pass them on costs half.
        def _execute(self, sql: Any, params: Any, many: Any = None, context: Any = None) -> Any:
            try:
                text, is_suspect = sql, word in sql.lower()
            except (AttributeError, TypeError):
                # psycopg's composed statements, templates and bytes show their text in their representation.
                text, is_suspect = repr(sql), True
            if is_suspect:
                self.db._note_statement(text)
            return kind._execute(self, sql, params, many, context)

        def _executemany(self, sql: Any, param_list: Any, *details: Any) -> Any:
            self.db._note_statement(sql if isinstance(sql, str) else repr(sql))
            return kind._executemany(self, sql, param_list, *details)

    return LookingCursor


def looking_cursors(base: type[BaseDatabaseWrapper], word: str) -> dict[str, MakeCursor]:
    """Return, by name, the methods of ``base`` that wrap cursors, as its pooled subclass is to have them.

    ``word``: in lower case; a statement that has it is noted.
    """
    methods = {name: _with_looking_cursors(getattr(base, name), word) for name in ("make_cursor", "make_debug_cursor")}
    if base.make_cursor is known.make_cursor:
        looking = _looking(CursorWrapper, word)

        def make_cursor(self: BaseDatabaseWrapper, cursor: Any) -> Any:
            return looking(cursor, self)

        methods["make_cursor"] = make_cursor  # the same in half the time, for each cursor of each request
    return methods


def _with_looking_cursors(make: MakeCursor, word: str) -> MakeCursor:
    @functools.wraps(make)
    def method(self: BaseDatabaseWrapper, cursor: Any) -> Any:
        wrapped = make(self, cursor)
        if isinstance(wrapped, CursorWrapper):  # else it is something of the engine's own
            kind: Any = type(wrapped)
            wrapped.__class__ = _looking(kind, word)
        return wrapped

    return method
