"""What the C library behind mysqlclient knows and mysqlclient does not tell."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

from .base import ResetFailed

__all__ = ["Native"]


# One for all connections: each library, and each prototype, is a class of some kB.
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


@functools.cache
def _functions() -> tuple[Any, Any, Any]:
    """What resets a connection, tells its status, and goes to its next result; None where the library has no such function."""
    path = sys.modules["MySQLdb._mysql"].__file__
    reset = getattr(ctypes.CDLL(path), "mysql_reset_connection", None)
    # PyDLL keeps the GIL: these two look into memory, and among busy threads it takes up to 5 ms to have the GIL back.
    memory = ctypes.PyDLL(path)
    # MariaDB's library has the first, MySQL's has not.
    return reset, getattr(memory, "mariadb_get_infov", None), getattr(memory, "mysql_next_result", None)


class Native:
    """What mysqlclient does not offer, asked of the C library that it is linked with.

    mysqlclient hands out its MYSQL structure as a capsule; dlsym on the extension module searches the libraries that
    the module is linked with, so the functions found are those of the very library that opened the connection.
    """

    _SERVER_STATUS = 30  # MARIADB_CONNECTION_SERVER_STATUS of enum mariadb_value in Connector/C's mysql.h, since 3.0

    def __init__(self, capsule: object) -> None:
        # A reference to what is there is the pointer, made beforehand: one in a c_void_p would be made anew for each call.
        address = _pointer(capsule, b"_mysql.connection.native_connection")
        mysql = ctypes.byref(ctypes.c_char.from_address(address))
        reset_connection, get_info, next_result = (function and functools.partial(function, mysql) for function in _functions())
        self._reset_connection, self._next_result = reset_connection, next_result
        self.word = ctypes.c_uint(0)
        #: Has the server's status, as of its last answer, in ``word``; true, if that failed. None: the library does not know it.
        self.look = get_info and functools.partial(get_info, self._SERVER_STATUS, ctypes.byref(self.word))

    @classmethod
    def of(cls, connection: Any) -> Native | None:
        """Look behind a connection; None where mysqlclient or its library is too old to allow it."""
        if hasattr(connection, "_get_native_connection") and _functions()[0] is not None:
            return cls(connection._get_native_connection())
        return None

    @property
    def has_status(self) -> bool:
        return self.look is not None

    def status(self) -> int:
        if self.look is None or self.look():
            raise ResetFailed("the client library does not tell the server's status")
        return self.word.value

    def has_unread_rows(self) -> bool:
        """Tell whether rows of an unbuffered result are still to be read: then the library is "out of sync".

        Only where the status says that there is no further result: going to that one would ask the server.
        """
        return bool(self._next_result() > 0)

    def reset_connection(self) -> bool:
        """Send COM_RESET_CONNECTION; true if it failed."""
        return bool(self._reset_connection())
