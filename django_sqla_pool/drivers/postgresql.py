"""psycopg 3 and psycopg2."""

from __future__ import annotations

import abc
import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any

from .base import Driver, Liveness, NoAnswer, ResetFailed
from .libpq import LibPQ

__all__ = ["Psycopg", "Psycopg2"]

# libpq does not hand out the SQLSTATE of a failed connect, so the text must do. Python leaves LC_MESSAGES at "C", so libpq's
# own texts are English; a server that speaks another language is not waited for, which is what Django alone does.
_PG_REFUSALS = (
    "Connection refused",
    "No such file or directory",  # the Unix socket of a server that is down
    "Connection reset by peer",
    "Connection timed out",
    "timeout expired",
    "No route to host",
    "Network is unreachable",
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send",
    "SSL SYSCALL error",
    "the database system is ",  # starting up, shutting down, in recovery mode, not yet accepting connections
    "terminating connection",
    "too many clients",
    "too many connections",
    "remaining connection slots",
    "no more connections allowed",  # PgBouncer: max_client_conn
    "server login has been failing",  # PgBouncer: its server is away
    "query_wait_timeout",
    # target_session_attrs, while a standby is being promoted: read-write and primary, and both with libpq before 14.
    "session is read-only",
    "server is in hot standby mode",
    "could not make a writable connection",
)
_CONNECTION_BAD = 1
_PG_IDLE, _PG_INTRANS, _PG_INERROR = 0, 2, 3
_PGRES_EMPTY_QUERY = 0
_PSYCOPG2_PREPARED = 5  # psycopg2.extensions.STATUS_PREPARED


class _PostgreSQL(Driver):
    holding_word = "hold"
    holding_pattern = re.compile(r"\bDECLARE\b.*\bHOLD\b", re.IGNORECASE | re.DOTALL)

    def is_closed(self) -> bool:
        return bool(self.connection.closed)

    def is_disconnect(self, error: BaseException) -> bool:
        if self.is_closed():
            return True
        # 57P01 to 57P05: ended by an administrator, a crash, a dropped database or an idle timeout; class 08: connection
        # exceptions.
        return _sqlstate(error).startswith(("57P", "08"))

    def is_demotion(self, error: BaseException) -> bool:
        # read_only_sql_transaction. Where nobody asked for a server that takes writes, it may be meant: a replica, or a READ
        # ONLY transaction.
        return _sqlstate(error) == "25006" and self.target_session_attrs() in ("read-write", "primary")

    @abc.abstractmethod
    def target_session_attrs(self) -> str | None:
        """Return what libpq was told of the server to choose, be it in OPTIONS, in a service file or in the environment."""

    @staticmethod
    def is_refusal(error: BaseException) -> bool:
        text = str(error)
        return any(refusal in text for refusal in _PG_REFUSALS)

    def ping_by_libpq(self, libpq: Any, seconds: float) -> None:
        """Send an empty query: no snapshot, no transaction, and neither driver knows of it or begins one for it.

        ``libpq``: psycopg 3's PGconn, or what has the same methods.
        """
        deadline = time.monotonic() + seconds
        libpq.send_query(b"")
        statuses = []
        while True:
            while libpq.flush() or libpq.is_busy():
                if not self.is_readable(deadline - time.monotonic()):
                    raise NoAnswer(seconds)
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:
                break
            statuses.append(result.status)
        if statuses != [_PGRES_EMPTY_QUERY]:
            raise ResetFailed(f"ping answered with status {statuses}")

    def close_held_cursors(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("CLOSE ALL")

    def restore_autocommit(self) -> None:
        if self.connection.autocommit is not self.autocommit:
            self.connection.autocommit = self.autocommit

    def reset_session(self) -> None:
        self.connection.autocommit = True  # DISCARD ALL is refused inside a transaction
        self.restore_client_state()  # before it: psycopg2 has some of it in settings of the session as well
        with self.connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")
        self.restore_autocommit()


def _sqlstate(error: BaseException) -> str:
    # sqlstate: psycopg 3; pgcode: psycopg2.
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


class Psycopg(_PostgreSQL):
    """psycopg 3.

    Asks its PGconn where that is as good: psycopg's own properties are functions in Python around it.
    """

    client_state = (
        "isolation_level",
        "read_only",
        "deferrable",
        "row_factory",
        "cursor_factory",
        "server_cursor_factory",
        "prepare_threshold",
        "prepared_max",
        "_notice_handlers",
        "_notify_handlers",
        "_notifies_backlog",
    )

    def __init__(self, connection: Any, autocommit: bool, parameters: Mapping[str, Any]) -> None:
        super().__init__(connection, autocommit, parameters)
        self._pgconn = connection.pgconn
        # psycopg's own properties and methods for these are functions in Python.
        self._has_attributes = all(hasattr(connection, name) for name in ("_autocommit", "_num_transactions", "_tpc"))

    def remember_session(self) -> None:
        super().remember_session()
        self._adapters = _copied_adapters(self.connection.adapters)

    def is_closed(self) -> bool:
        return bool(self._pgconn.status == _CONNECTION_BAD)

    def is_quiet(self) -> bool:
        return not self.poll() and bool(self._pgconn.status != _CONNECTION_BAD)

    def reset(self, had_errors: bool) -> None:
        # What the steps of every driver come to, in one, for a connection on which there is nothing to undo.
        connection, pgconn = self.connection, self._pgconn
        if (
            not self._has_attributes
            or pgconn.transaction_status
            or pgconn.pipeline_status
            or connection._autocommit is not self.autocommit
            or connection._num_transactions
            or connection._tpc
            or connection.lock.locked()
        ):
            super().reset(had_errors)

    def is_idle(self, had_errors: bool) -> bool:
        # libpq follows the status of every ReadyForQuery, errors included; a pipeline can hide what is still to come.
        connection = self.connection
        pgconn = self._pgconn
        if getattr(connection, "_num_transactions", 0):
            raise ResetFailed("a transaction() block of psycopg was not left")
        if getattr(connection, "_tpc", None):
            raise ResetFailed("a two-phase transaction of psycopg was not finished")
        if connection.lock.locked():
            self.check_free()
        return pgconn.transaction_status == _PG_IDLE and not pgconn.pipeline_status

    def check_free(self) -> None:
        # stream() and notifies() hold it as long as their generators are suspended.
        if self.connection.lock.locked():
            raise ResetFailed("a generator of psycopg was not read to its end")

    def look_closer(self) -> Liveness:
        # A notice, a notification or a changed parameter is harmless: one ping and it is lent.
        with contextlib.suppress(Exception):
            self._pgconn.consume_input()
        return Liveness.DEAD if self.is_closed() else Liveness.SUSPICIOUS

    def ping(self, seconds: float) -> None:
        self.ping_by_libpq(self._pgconn, seconds)

    def target_session_attrs(self) -> str | None:
        values = {option.keyword: option.val for option in self._pgconn.info}
        value = values.get(b"target_session_attrs")
        return value.decode() if value else None

    def rollback(self) -> None:
        if self._pgconn.transaction_status not in (_PG_INTRANS, _PG_INERROR):
            raise ResetFailed("a statement is still running")
        self.connection.rollback()

    def restore_client_state(self) -> None:
        super().restore_client_state()
        self.connection._adapters = _copied_adapters(self._adapters)  # nothing tells whether something was registered

    def reset_session(self) -> None:
        super().reset_session()
        # DISCARD ALL has dropped the prepared statements; psycopg must not execute them by name any more.
        self.connection._prepared.clear()


class Psycopg2(_PostgreSQL):
    """psycopg2."""

    client_state = ("isolation_level", "readonly", "deferrable", "cursor_factory", "encoding", "notices", "notifies")

    def remember_session(self) -> None:
        super().remember_session()
        self._typecasters = (dict(self.connection.string_types), dict(self.connection.binary_types))

    def is_quiet(self) -> bool:
        return not self.poll() and not self.connection.closed

    def reset(self, had_errors: bool) -> None:
        # What the steps of every driver come to, in one, for a connection on which there is nothing to undo.
        connection = self.connection
        if (
            connection.get_transaction_status()
            or connection.status == _PSYCOPG2_PREPARED
            or connection.autocommit is not self.autocommit
        ):
            super().reset(had_errors)

    def is_idle(self, had_errors: bool) -> bool:
        connection = self.connection
        if connection.status == _PSYCOPG2_PREPARED:
            raise ResetFailed("a two-phase transaction of psycopg2 was not finished")
        return bool(connection.get_transaction_status() == _PG_IDLE)

    def ping(self, seconds: float) -> None:
        libpq = LibPQ.of(self.connection)
        if libpq is not None:
            self.ping_by_libpq(libpq, seconds)
            return
        # A psycopg2 with libpq built into it, out of reach. Without a deadline: only its own functions are left.
        was = self.connection.autocommit
        self.connection.autocommit = True  # else psycopg2 begins a transaction for the ping
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT 1")  # psycopg2 takes the answer to an empty query for an error
        if was is not True:
            self.connection.autocommit = was

    def target_session_attrs(self) -> str | None:
        return self.connection.info.dsn_parameters.get("target_session_attrs")  # type: ignore[no-any-return]

    def rollback(self) -> None:
        if self.connection.get_transaction_status() not in (_PG_INTRANS, _PG_INERROR):
            raise ResetFailed("a statement is still running")
        self.connection.rollback()
        # psycopg2's rollback() does nothing in autocommit mode, even after a raw BEGIN.
        if not self.is_idle(False):
            with self.connection.cursor() as cursor:
                cursor.execute("ROLLBACK")

    def restore_client_state(self) -> None:
        super().restore_client_state()
        # These two can't be set, only changed.
        for types, were in zip((self.connection.string_types, self.connection.binary_types), self._typecasters, strict=True):
            types.clear()
            types.update(were)


def _copied_adapters(adapters: Any) -> Any:
    return type(adapters)(adapters)
