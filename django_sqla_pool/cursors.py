"""Django's cursor wrappers, which look at each statement for one that leaves a cursor open past the end of its transaction.

They own nothing. No status word of a server shows such a cursor, and to ask for them would cost every check-in a round trip; to
look for a word in a statement costs half a microsecond, and half of Django's own calls around a statement are spared in return.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from . import known

__all__ = ["looking_cursors"]

MakeCursor = Callable[[Any, Any], Any]


class _Passed:
    """What Django's CursorWrapper makes or looks for anew at each use, when it is found to be missing; behind it, so that what it
    has wins.

    The driver's errors are translated as Django does, but by a ``try`` that costs nothing where there is none.
    """

    db: Any
    cursor: Any

    def __init_subclass__(cls, **details: Any) -> None:
        super().__init_subclass__(**details)
        if cls.__getattr__ is not CursorWrapper.__getattr__:  # type: ignore[attr-defined]
            # What a kind of somebody's own does with what it does not have is its business.
            for name in [name for name in _PASSED if getattr(cls, name) is getattr(_Passed, name)]:
                setattr(cls, name, _Missing())

    def fetchone(self) -> Any:
        try:
            return self.cursor.fetchone()
        except BaseException:
            with self.db.wrap_database_errors:
                raise

    def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.cursor.fetchmany(*args, **kwargs)
        except BaseException:
            with self.db.wrap_database_errors:
                raise

    def fetchall(self) -> Any:
        try:
            return self.cursor.fetchall()
        except BaseException:
            with self.db.wrap_database_errors:
                raise

    def close(self) -> Any:
        return self.cursor.close()


_PASSED = ("fetchone", "fetchmany", "fetchall", "close")


class _Missing:
    """An attribute that is not there, so that ``__getattr__()`` is asked."""

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError


def _note(db: Any, sql: Any, word: str) -> None:
    """Tell a wrapper of a statement that has the word in it."""
    try:
        text, is_suspect = sql, word in sql.lower()
    except (AttributeError, TypeError):
        # psycopg's composed statements, templates and bytes show their text in their representation.
        text, is_suspect = repr(sql), True
    if is_suspect:
        db._note_statement(text)


@functools.cache
def _looking(kind: Any, word: str) -> Any:
    class LookingCursor(kind, _Passed):  # type: ignore[misc]
        # What Django's last two are for is its own business; with names, to pass them on costs half.
        def _execute(self, sql: Any, params: Any, many: Any = None, context: Any = None) -> Any:
            _note(self.db, sql, word)
            return kind._execute(self, sql, params, many, context)

        def _executemany(self, sql: Any, param_list: Any, *details: Any) -> Any:
            self.db._note_statement(sql if isinstance(sql, str) else repr(sql))
            return kind._executemany(self, sql, param_list, *details)

    return LookingCursor


@functools.cache
def _plain(word: str) -> Any:
    """Make the class of cursors that are Django's own, with nothing around them."""

    class PlainCursor(_looking(CursorWrapper, word)):  # type: ignore[misc]
        def execute(self, sql: Any, params: Any = None) -> Any:
            """As Django does, in one step instead of six, where it would only pass the statement on."""
            db = self.db
            if (
                type(self) is not PlainCursor  # it may do more
                or db.execute_wrappers
                or CursorWrapper.execute is not known.execute
                or CursorWrapper._execute_with_wrappers is not known.execute_with_wrappers  # type: ignore[attr-defined]
                or CursorWrapper._execute is not known.send  # type: ignore[attr-defined]
                or not apps.ready  # it may warn
            ):
                return super().execute(sql, params)
            if not isinstance(sql, str) or word in sql.lower():
                _note(db, sql, word)
            db.validate_no_broken_transaction()
            try:
                return self.cursor.execute(sql) if params is None else self.cursor.execute(sql, params)
            except BaseException:
                with db.wrap_database_errors:
                    raise

    return PlainCursor


def looking_cursors(base: type[BaseDatabaseWrapper], word: str) -> dict[str, MakeCursor]:
    """Return, by name, the methods of ``base`` that wrap cursors, as its pooled subclass is to have them.

    ``word``: in lower case; a statement that has it is noted.
    """
    methods = {name: _with_looking_cursors(getattr(base, name), word) for name in ("make_cursor", "make_debug_cursor")}
    if base.make_cursor is known.make_cursor:
        plain = _plain(word)

        def make_cursor(self: BaseDatabaseWrapper, cursor: Any) -> Any:
            return plain(cursor, self)

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
