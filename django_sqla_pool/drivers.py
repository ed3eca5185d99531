"""What differs between the drivers: how to probe, ping, reset and close a connection, and what their errors mean.

A Driver object belongs to one connection and is used by one thread at a time. It owns no policy: when to do what, and what
follows from a failure, is the pool's. The drivers themselves are not imported here, only recognised.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import select
import socket
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["Driver", "Liveness", "ResetFailed", "driver_class"]


class Liveness(enum.Enum):
    """What the socket of an idle connection tells without a round trip."""

    QUIET = "quiet"  # nothing to read, not closed: alive, unless the network is silent
    SUSPICIOUS = "suspicious"  # something arrived that nobody asked for: only a ping can tell
    DEAD = "dead"  # the other side has closed


class ResetFailed(Exception):
    """A connection can't be brought back to a state that the next borrower may have."""


_CLOSED = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class Driver:
    """One connection, as its driver wants it handled.

    ``connection`` is the driver's own object; ``autocommit`` what Django's settings ask for. ``reset()`` and ``ping()``
    raise the driver's own error, or ResetFailed, and after that the connection must be closed.
    """

    # What Django's engine sets on a wrapper while it connects, and what a later borrower's wrapper needs as well. Of
    # these, facts are the same for every connection of a pool, and asked for once.
    wrapper_attributes: tuple[str, ...] = ("isolation_level",)
    facts: tuple[str, ...] = ()

    def __init__(self, connection: Any, autocommit: bool, parameters: Mapping[str, Any]) -> None:
        self.connection = connection
        self.autocommit = autocommit
        self.parameters = parameters
        self.wrapper_state: dict[str, Any] = {}
        # One poll object a connection: registering at each probe would double its price. poll, because select
        # fails on descriptors above 1023.
        self._poll = select.poll()
        self._poll.register(self.fileno(), select.POLLIN | _CLOSED)

    def fileno(self) -> int:
        """Return the descriptor of the connection's socket."""
        return int(self.connection.fileno())

    def is_closed(self) -> bool:
        """Tell whether the driver itself has closed the connection, or knows that it is lost."""
        raise NotImplementedError

    def probe(self) -> Liveness:
        """Look at the socket, without a round trip (about 1 µs)."""
        if self.is_closed():
            return Liveness.DEAD  # and its descriptor may be another socket's by now
        events = self._poll.poll(0)
        if not events:
            return Liveness.QUIET
        return Liveness.DEAD if events[0][1] & _CLOSED else Liveness.SUSPICIOUS

    def ping(self) -> None:
        """Ask the server for a sign of life: one round trip that leaves the transaction state as it is."""
        raise NotImplementedError

    def is_idle(self, had_errors: bool) -> bool:
        """Tell whether it is proven, without a round trip, that no transaction is open and no result half-read."""
        raise NotImplementedError

    def reset(self, had_errors: bool) -> None:
        """Roll back what is open and restore autocommit; no round trip where is_idle() proves it needless.

        ``had_errors``: a statement of this lease failed, so what the driver knows may be out of date.
        """
        if not self.is_idle(had_errors):
            self.rollback()
            if not self.is_idle(False):
                raise ResetFailed("still in a transaction after a rollback")
        self.restore_autocommit()

    def rollback(self) -> None:
        """Roll back, whoever began the transaction and however."""
        self.connection.rollback()

    def restore_autocommit(self) -> None:
        """Set autocommit to what the settings ask for, if it is not."""
        raise NotImplementedError

    def reset_session(self) -> None:
        """Bring the whole session back to what it was when the driver's ``connect()`` had returned.

        Only outside a transaction. What Django does after connecting has to be done again.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection. Never raises: there is nobody who could do anything about it."""
        with contextlib.suppress(Exception):
            self.connection.close()

    def is_disconnect(self, error: BaseException) -> bool:
        """Tell whether an error means that this connection is lost."""
        raise NotImplementedError

    @staticmethod
    def is_refusal(error: BaseException) -> bool:
        """Tell whether a failed open may succeed a moment later: the server is away, starting, stopping or full."""
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------------------- PostgreSQL

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
    "session is not read-write",  # target_session_attrs, while a standby is being promoted
    "session is read-only",
)
_PG_IDLE, _PG_INTRANS, _PG_INERROR = 0, 2, 3


class _PostgreSQL(Driver):
    def is_closed(self) -> bool:
        return bool(self.connection.closed)

    def is_disconnect(self, error: BaseException) -> bool:
        if self.is_closed():
            return True
        # sqlstate: psycopg 3; pgcode: psycopg2. 57P01 to 57P05: ended by an administrator, a crash, a dropped
        # database or an idle timeout; class 08: connection exceptions.
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
        return state.startswith(("57P", "08"))

    @staticmethod
    def is_refusal(error: BaseException) -> bool:
        text = str(error)
        return any(refusal in text for refusal in _PG_REFUSALS)

    def restore_autocommit(self) -> None:
        if self.connection.autocommit is not self.autocommit:
            self.connection.autocommit = self.autocommit

    def reset_session(self) -> None:
        self.connection.autocommit = True  # DISCARD ALL is refused inside a transaction
        with self.connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")
        self.restore_autocommit()


class Psycopg(_PostgreSQL):
    """psycopg 3."""

    def is_idle(self, had_errors: bool) -> bool:
        # libpq follows the status of every ReadyForQuery, errors included; a pipeline can hide what is still to come.
        pgconn = self.connection.pgconn
        return pgconn.transaction_status == _PG_IDLE and not pgconn.pipeline_status

    def probe(self) -> Liveness:
        liveness = super().probe()
        if liveness is Liveness.SUSPICIOUS:
            # A notice, a notification or a changed parameter is harmless; what is left after reading tells the rest.
            with contextlib.suppress(Exception):
                self.connection.pgconn.consume_input()
                liveness = super().probe()
                return liveness if liveness is Liveness.DEAD else Liveness.SUSPICIOUS
        return liveness

    def ping(self) -> None:
        # An empty query: no snapshot, no transaction, and psycopg sends no BEGIN for it.
        result = self.connection.pgconn.exec_(b"")
        if result.status != 0:  # PGRES_EMPTY_QUERY
            raise ResetFailed(f"ping answered with status {result.status}")

    def rollback(self) -> None:
        if self.connection.pgconn.transaction_status not in (_PG_INTRANS, _PG_INERROR):
            raise ResetFailed("a statement is still running")
        self.connection.rollback()

    def reset_session(self) -> None:
        super().reset_session()
        # DISCARD ALL has dropped the prepared statements; psycopg must not execute them by name any more.
        self.connection._prepared.clear()


class Psycopg2(_PostgreSQL):
    """psycopg2."""

    def is_idle(self, had_errors: bool) -> bool:
        return bool(self.connection.get_transaction_status() == _PG_IDLE)

    def ping(self) -> None:
        was = self.connection.autocommit
        self.connection.autocommit = True  # else psycopg2 begins a transaction for the ping
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT 1")  # psycopg2 takes the answer to an empty query for an error
        if was is not True:
            self.connection.autocommit = was

    def rollback(self) -> None:
        if self.connection.get_transaction_status() not in (_PG_INTRANS, _PG_INERROR):
            raise ResetFailed("a statement is still running")
        self.connection.rollback()
        # psycopg2's rollback() does nothing in autocommit mode, even after a raw BEGIN.
        if not self.is_idle(False):
            with self.connection.cursor() as cursor:
                cursor.execute("ROLLBACK")


# ----------------------------------------------------------------------------------------------------- MySQL and MariaDB

_IN_TRANSACTION = 0x0001 | 0x2000  # SERVER_STATUS_IN_TRANS, SERVER_STATUS_IN_TRANS_READONLY
_AUTOCOMMIT = 0x0002
_MORE_RESULTS = 0x0008
# CR_SERVER_GONE_ERROR, CR_SERVER_LOST, CR_COMMANDS_OUT_OF_SYNC, CR_SERVER_LOST_EXTENDED, ER_SERVER_SHUTDOWN,
# ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT, and 0: "(0, '')", the connection was closed already.
_MYSQL_DISCONNECTS = frozenset({0, 1053, 1927, 2006, 2013, 2014, 2055, 4031})
# CR_CONNECTION_ERROR, CR_CONN_HOST_ERROR, the lost ones above, ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS,
# ER_USER_LIMIT_REACHED, ER_SERVER_SHUTDOWN.
_MYSQL_REFUSALS = frozenset({2002, 2003, 2006, 2013, 2055, 1040, 1203, 1226, 1053})


class _MySQL(Driver):
    wrapper_attributes = ("isolation_level", "mysql_server_data")
    facts = ("mysql_server_data",)

    def status(self) -> int:
        """Return the server's status word, as of the last answer that carried one."""
        raise NotImplementedError

    def is_idle(self, had_errors: bool) -> bool:
        if had_errors:
            return False  # an ERR packet carries no status: only the answer to a ROLLBACK makes the word true again
        status = self.status()
        if status & _MORE_RESULTS:
            raise ResetFailed("results are still to be read")
        return not status & _IN_TRANSACTION

    def restore_autocommit(self) -> None:
        if bool(self.status() & _AUTOCOMMIT) is not self.autocommit:
            self.connection.autocommit(self.autocommit)

    def reset_session(self) -> None:
        self.reset_connection()
        connection, parameters = self.connection, self.parameters
        # COM_RESET_CONNECTION leaves the current database as it is, and forgets what connect() had set.
        if parameters.get("database"):
            connection.select_db(parameters["database"])
        connection.set_character_set(parameters["charset"], parameters.get("collation"))
        with connection.cursor() as cursor:
            if parameters.get("sql_mode"):
                cursor.execute("SET SESSION sql_mode = %s", (parameters["sql_mode"],))
            if parameters.get("init_command"):
                cursor.execute(parameters["init_command"])
        self.restore_autocommit()

    def reset_connection(self) -> None:
        """Send COM_RESET_CONNECTION and read its answer."""
        raise NotImplementedError

    def is_closed(self) -> bool:
        return not self.connection.open

    def is_disconnect(self, error: BaseException) -> bool:
        return self.is_closed() or bool(error.args) and error.args[0] in _MYSQL_DISCONNECTS

    @staticmethod
    def is_refusal(error: BaseException) -> bool:
        # PyMySQL says 2003 for a name that does not resolve as well; that will not be better in a moment.
        cause = getattr(error, "original_exception", None)
        return bool(error.args) and error.args[0] in _MYSQL_REFUSALS and not isinstance(cause, socket.gaierror)


class MySQLClient(_MySQL):
    """mysqlclient, linked with MariaDB's Connector/C or with MySQL's own client library."""

    def __init__(self, connection: Any, autocommit: bool, parameters: Mapping[str, Any]) -> None:
        super().__init__(connection, autocommit, parameters)
        self._native = _Native.of(connection)
        self._has_status = self._native is not None and self._native.has_status
        self._is_answer_due = False

    def status(self) -> int:
        if self._native is not None and self._has_status:
            return self._native.status()
        return _AUTOCOMMIT if self.connection.get_autocommit() else 0

    def is_idle(self, had_errors: bool) -> bool:
        # errno(): the last statement failed, even if Django never saw it.
        return super().is_idle(had_errors or bool(self.connection.errno()))

    def reset(self, had_errors: bool) -> None:
        if self._has_status:
            super().reset(had_errors)
            return
        # MySQL's library shows only the autocommit bit. So ROLLBACK is sent now, which frees the locks now, and its
        # answer is read at the next checkout, where it is the liveness check as well: nobody waits for it.
        self.connection.send_query(b"ROLLBACK")
        self._is_answer_due = True

    def probe(self) -> Liveness:
        if self._is_answer_due:
            try:
                self._read_answer()
            except Exception:
                return Liveness.DEAD
        return super().probe()

    def ping(self) -> None:
        if self._is_answer_due:
            self._read_answer()
        self.connection.ping()

    def reset_connection(self) -> None:
        if self._is_answer_due:
            self._read_answer()
        if self._native is None or self._native.reset_connection():
            raise ResetFailed("the client library can't reset the connection")

    def _read_answer(self) -> None:
        self._is_answer_due = False
        self.connection.read_query_result()
        self.restore_autocommit()


class PyMySQL(_MySQL):
    """PyMySQL, under the name of MySQLdb."""

    def fileno(self) -> int:
        return int(self.connection._sock.fileno())  # it has no public one

    def status(self) -> int:
        if self.is_closed():
            raise ResetFailed("the connection is closed")
        result = self.connection._result
        if result is not None and result.unbuffered_active:
            return _MORE_RESULTS
        return int(self.connection.server_status)

    def ping(self) -> None:
        self.connection.ping(reconnect=False)  # True, the default before 1.2, would lose the session in silence

    def reset_connection(self) -> None:
        self.connection._execute_command(0x1F, b"")  # COM_RESET_CONNECTION, for which it has no method
        self.connection._read_ok_packet()


class _Native:
    """What mysqlclient does not offer, asked of the C library that it is linked with.

    mysqlclient hands out its MYSQL structure as a capsule; dlsym on the extension module searches the libraries that
    the module is linked with, so the functions found are those of the very library that opened the connection.
    """

    _SERVER_STATUS = 30  # MARIADB_CONNECTION_SERVER_STATUS of enum mariadb_value in Connector/C's mysql.h, since 3.0

    def __init__(self, library: ctypes.CDLL, capsule: object) -> None:
        pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
            ("PyCapsule_GetPointer", ctypes.pythonapi)
        )
        self._mysql = ctypes.c_void_p(pointer(capsule, b"_mysql.connection.native_connection"))
        self._word = ctypes.c_uint(0)
        self._word_reference = ctypes.byref(self._word)
        self._reset_connection = library.mysql_reset_connection
        self._get_info = getattr(library, "mariadb_get_infov", None)  # MariaDB's library has it, MySQL's has not

    @classmethod
    def of(cls, connection: Any) -> _Native | None:
        """Look behind a connection; None where mysqlclient or its library is too old to allow it."""
        library = ctypes.CDLL(sys.modules["MySQLdb._mysql"].__file__)
        if hasattr(connection, "_get_native_connection") and hasattr(library, "mysql_reset_connection"):
            return cls(library, connection._get_native_connection())
        return None

    @property
    def has_status(self) -> bool:
        return self._get_info is not None

    def status(self) -> int:
        if self._get_info is None or self._get_info(self._mysql, self._SERVER_STATUS, self._word_reference):
            raise ResetFailed("the client library does not tell the server's status")
        return self._word.value

    def reset_connection(self) -> bool:
        """Send COM_RESET_CONNECTION; true if it failed."""
        return bool(self._reset_connection(self._mysql))


# ------------------------------------------------------------------------------------------------------------------------

_DRIVERS: dict[str, type[Driver]] = {
    "psycopg": Psycopg,
    "psycopg2": Psycopg2,
    "MySQLdb": MySQLClient,
    "pymysql": PyMySQL,
}


def driver_class(database: ModuleType) -> type[Driver]:
    """Return the Driver for a Django backend's ``Database`` module.

    Raises: TypeError - the module is none of psycopg, psycopg2, MySQLdb and PyMySQL.
    """
    name = database.__name__.partition(".")[0]
    try:
        return _DRIVERS[name]
    except KeyError:
        known = ", ".join(_DRIVERS)
        raise TypeError(f"django_sqla_pool can't pool connections of {name!r}; it knows {known}.") from None
