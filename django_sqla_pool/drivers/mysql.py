"""mysqlclient and PyMySQL."""

from __future__ import annotations

import abc
import functools
import math
import re
import socket
from collections.abc import Mapping
from typing import Any

from .base import Driver, NoAnswer, ResetFailed
from .native import Native

__all__ = ["MySQLClient", "PyMySQL"]

# ER_OPTION_PREVENTS_STATEMENT, of any option; its text names the option as it is written, in every language.
_PREVENTED_BY_OPTION = 1290
# ER_READ_ONLY_MODE. Not 1792: a READ ONLY transaction is the borrower's own.
_READ_ONLY_MODE = 1836
# ER_UNKNOWN_COM_ERROR, which Galera uses for "WSREP has not yet prepared node for application use".
_UNKNOWN_COMMAND = 1047
_IN_TRANSACTION = 0x0001 | 0x2000  # SERVER_STATUS_IN_TRANS, SERVER_STATUS_IN_TRANS_READONLY
_AUTOCOMMIT = 0x0002
_MORE_RESULTS = 0x0008
_CHANGEABLE = _IN_TRANSACTION | _MORE_RESULTS | _AUTOCOMMIT  # by a borrower
# CR_SERVER_GONE_ERROR, CR_SERVER_LOST, CR_COMMANDS_OUT_OF_SYNC, CR_SERVER_LOST_EXTENDED, ER_SERVER_SHUTDOWN,
# ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT, CR_SSL_CONNECTION_ERROR (a lost connection under TLS, to Connector/C), and
# 0: "(0, '')", the connection was closed already.
_MYSQL_DISCONNECTS = frozenset({0, 1053, 1927, 2006, 2013, 2014, 2026, 2055, 4031})
# CR_CONNECTION_ERROR, CR_CONN_HOST_ERROR, the lost ones above, ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS,
# ER_USER_LIMIT_REACHED, ER_SERVER_SHUTDOWN.
_MYSQL_REFUSALS = frozenset({2002, 2003, 2006, 2013, 2055, 1040, 1203, 1226, 1053})


@functools.cache
def _counting(kind: Any) -> Any:
    """Make a class of connections that is the driver's, but counts the cursors that it makes.

    An ERR packet carries no status, so a transaction that was begun by a statement which failed, as a procedure can, is seen by
    nobody who has not seen the error; and closing a cursor takes that from the connection. Django's cursors tell of their errors.
    Those that were made behind Django's back do not: where there are more cursors than Django has asked for, nothing is known.
    """

    class Counting(kind):  # type: ignore[misc]
        cursors_made = 0

        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            self.cursors_made += 1
            return kind.cursor(self, *args, **kwargs)

    Counting.__module__, Counting.__qualname__, Counting.__name__ = kind.__module__, kind.__qualname__, kind.__name__
    return Counting


class _MySQL(Driver):
    holding_word = "handler"
    holding_pattern = re.compile(r"\bHANDLER\b.*\bOPEN\b", re.IGNORECASE | re.DOTALL)
    wrapper_attributes = ("isolation_level", "mysql_server_data")
    facts = ("mysql_server_data",)

    def __init__(self, connection: Any, autocommit: bool, parameters: Mapping[str, Any]) -> None:
        super().__init__(connection, autocommit, parameters)
        self._untouched = _AUTOCOMMIT if autocommit else 0
        try:
            connection.__class__ = _counting(connection.__class__)  # the object stays the driver's own
        except (AttributeError, TypeError):  # it is none, but what a tool that watches it has put around it
            connection.cursors_made = math.nan  # never as many as are seen: after each use it is rolled back

    def is_quiet(self) -> bool:
        return not self.poll() and bool(self.connection.open)

    @abc.abstractmethod
    def status(self) -> int:
        """Return the server's status word, as of the last answer that carried one."""

    def is_idle(self, had_errors: bool) -> bool:
        if had_errors:
            return False  # an ERR packet carries no status: only the answer to a ROLLBACK makes the word true again
        status = self.status()
        if status & _MORE_RESULTS:
            raise ResetFailed("results are still to be read")
        return not status & _IN_TRANSACTION

    def see_all_cursors(self) -> None:
        self.cursors_seen = self.connection.cursors_made

    def reset(self, had_errors: bool) -> None:
        if self.connection.cursors_made != self.cursors_seen:
            self.see_all_cursors()
            had_errors = True  # for all that is known
        # One look at the word tells whether there is anything to undo.
        if had_errors or self.status() & _CHANGEABLE != self._untouched:
            super().reset(had_errors)

    def close_held_cursors(self) -> None:
        raise ResetFailed("what HANDLER ... OPEN has opened can't be closed by anybody who does not know its name")

    def restore_autocommit(self) -> None:
        if bool(self.status() & _AUTOCOMMIT) is not self.autocommit:
            self.connection.autocommit(self.autocommit)

    def remember_session(self) -> None:
        super().remember_session()
        self._database, self._role = self._database_and_role()

    def _database_and_role(self) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT DATABASE(), CURRENT_ROLE()")
            return cursor.fetchone()

    def reset_session(self) -> None:
        self.reset_connection()
        self.restore_client_state()
        connection, parameters = self.connection, self.parameters
        # COM_RESET_CONNECTION leaves the current database and MariaDB's role as they are, and forgets what connect() had set.
        connection.set_character_set(parameters["charset"], parameters.get("collation"))
        database, role = self._database_and_role()
        if role != self._role:
            raise ResetFailed("the role was changed")
        if database != self._database:
            connection.select_db(self._database)  # raises if it was none: no statement goes back to that
        with connection.cursor() as cursor:
            if parameters.get("sql_mode"):
                cursor.execute("SET SESSION sql_mode = %s", (parameters["sql_mode"],))
            if parameters.get("init_command"):
                cursor.execute(parameters["init_command"])
        self.restore_autocommit()

    @abc.abstractmethod
    def reset_connection(self) -> None:
        """Send COM_RESET_CONNECTION and read its answer."""

    def is_closed(self) -> bool:
        return not self.connection.open

    def is_disconnect(self, error: BaseException) -> bool:
        return self.is_closed() or (bool(error.args) and error.args[0] in _MYSQL_DISCONNECTS)

    def is_demotion(self, error: BaseException) -> bool:
        number = error.args[0] if error.args else None
        if number == _PREVENTED_BY_OPTION:
            return any(option in str(error) for option in ("read-only", "read_only"))
        return number == _READ_ONLY_MODE or _is_outside_its_cluster(error)

    @staticmethod
    def is_refusal(error: BaseException) -> bool:
        if _is_outside_its_cluster(error):
            return True
        # PyMySQL says 2003 for a name that does not resolve as well; that will not be better in a moment.
        cause = getattr(error, "original_exception", None)
        return bool(error.args) and error.args[0] in _MYSQL_REFUSALS and not isinstance(cause, socket.gaierror)


def _is_outside_its_cluster(error: BaseException) -> bool:
    return bool(error.args) and error.args[0] == _UNKNOWN_COMMAND and "WSREP" in str(error)


class MySQLClient(_MySQL):
    """mysqlclient, linked with MariaDB's Connector/C or with MySQL's own client library."""

    client_state = ("cursorclass", "encoders", "converter", "messages", "encoding", "executemany_fallback", "_binary_prefix")

    def __init__(self, connection: Any, autocommit: bool, parameters: Mapping[str, Any]) -> None:
        super().__init__(connection, autocommit, parameters)
        self._native = Native.of(connection)
        self._has_status = self._native is not None and self._native.has_status

    def status(self) -> int:
        if self._has_status:
            native: Any = self._native
            return int(native.status())
        return _AUTOCOMMIT if self.connection.get_autocommit() else 0

    def reset(self, had_errors: bool) -> None:
        if self._has_status:
            native: Any = self._native
            # errno(): the last statement failed, even if it needed no cursor.
            if (
                had_errors
                or self.connection.cursors_made != self.cursors_seen
                or self.connection.errno()
                or native.look()
                or native.word.value & _CHANGEABLE != self._untouched
                or native.has_unread_rows()
            ):
                super().reset(had_errors or bool(self.connection.errno()))
                if native.has_unread_rows():
                    raise ResetFailed("rows are still to be read")
            return
        # MySQL's library shows only the autocommit bit. So ROLLBACK is sent now, which frees the locks now, and its
        # answer is read at the next checkout, where it is the liveness check as well: nobody waits for it. NO CHAIN: with
        # completion_type = CHAIN it would begin the next transaction, which nothing here would show.
        self.connection.send_query(b"ROLLBACK AND NO CHAIN")
        self.is_answer_due = True

    def ping(self, seconds: float) -> None:
        # Not COM_PING: the library's function for it sends and reads in one, and read_timeout is not for it alone.
        self.connection.send_query(b"DO 0")
        self._read_within(seconds)

    def reset_connection(self) -> None:
        if self.is_answer_due:
            self.is_answer_due = False
            self.connection.read_query_result()  # a rollback takes as long as it takes
        if self._native is None or self._native.reset_connection():
            raise ResetFailed("the client library can't reset the connection")

    def read_answer(self, seconds: float) -> None:
        self.is_answer_due = False
        self._read_within(seconds)
        self.restore_autocommit()

    def _read_within(self, seconds: float) -> None:
        # The answer is one small packet, so what makes the socket readable is all of it.
        if not self.is_readable(seconds):
            raise NoAnswer(seconds)
        self.connection.read_query_result()


class PyMySQL(_MySQL):
    """PyMySQL, under the name of MySQLdb."""

    client_state = (
        "cursorclass",
        "encoders",
        "decoders",
        "use_unicode",
        "encoding",
        "max_allowed_packet",
        "_read_timeout",
        "_write_timeout",
    )

    def fileno(self) -> int:
        return int(self.connection._sock.fileno())  # it has no public one

    def status(self) -> int:
        if self.is_closed():
            raise ResetFailed("the connection is closed")
        # It takes the status word from what it reads; what it has not read yet may have begun a transaction.
        return _MORE_RESULTS if self._has_unread_results() else int(self.connection.server_status)

    def is_idle(self, had_errors: bool) -> bool:
        if self._has_unread_results():  # before anything is sent: it would read all of them first, however many
            raise ResetFailed("results are still to be read")
        return super().is_idle(had_errors)

    def _has_unread_results(self) -> bool:
        result = self.connection._result
        return result is not None and bool(result.unbuffered_active or result.has_next)

    def ping(self, seconds: float) -> None:
        connection = self.connection
        # Its own timeout holds under TLS as well, where a readable socket may have half a record.
        was, connection._read_timeout = connection._read_timeout, seconds
        try:
            connection.ping(reconnect=False)  # True, the default before 1.2, would lose the session in silence
        except Exception as error:
            if isinstance(error.__context__, TimeoutError):
                raise NoAnswer(seconds) from error
            raise
        finally:
            connection._read_timeout = was

    def reset_connection(self) -> None:
        self.connection._execute_command(0x1F, b"")  # COM_RESET_CONNECTION, for which it has no method
        self.connection._read_ok_packet()
