"""What the libpq behind psycopg2 can do and psycopg2 does not offer: to ask without waiting for the answer."""

from __future__ import annotations

import ctypes
import functools
import sys
from types import SimpleNamespace
from typing import Any

from .base import ResetFailed

__all__ = ["LibPQ"]


@functools.cache
def _library(path: str) -> ctypes.PyDLL | None:
    """The library that an extension module is linked with; None if it keeps libpq's functions to itself."""
    # PyDLL keeps the GIL: none of these calls waits, and among busy threads it takes milliseconds to have it back.
    library = ctypes.PyDLL(path)
    if not hasattr(library, "PQsendQuery"):
        return None
    library.PQgetResult.restype = ctypes.c_void_p
    library.PQerrorMessage.restype = ctypes.c_char_p
    return library


class LibPQ:
    """A PGconn of psycopg2's, with the methods that psycopg 3's PGconn has.

    psycopg2 hands out the address of its PGconn; dlsym on the extension module searches the libraries that the module is
    linked with, so the functions found are those of the very library that opened the connection.
    """

    def __init__(self, library: ctypes.PyDLL, pgconn: int) -> None:
        self._library = library
        self._pgconn = ctypes.c_void_p(pgconn)

    @classmethod
    def of(cls, connection: Any) -> LibPQ | None:
        """Look behind a connection; None where psycopg2 does not allow it.

        Source: psycopg2's manual, ``connection.pgconn_ptr`` (since 2.8), which has been made for this.
        """
        library = _library(sys.modules["psycopg2._psycopg"].__file__ or "")
        return None if library is None else cls(library, connection.pgconn_ptr)

    def send_query(self, query: bytes) -> None:
        self._check(self._library.PQsendQuery(self._pgconn, query) == 1)

    def flush(self) -> bool:
        """Send what is still to be sent; true if something is left."""
        unsent: int = self._library.PQflush(self._pgconn)
        self._check(unsent >= 0)
        return bool(unsent)

    def consume_input(self) -> None:
        self._check(self._library.PQconsumeInput(self._pgconn) == 1)

    def is_busy(self) -> bool:
        """Tell whether get_result() would have to wait."""
        return bool(self._library.PQisBusy(self._pgconn))

    def get_result(self) -> SimpleNamespace | None:
        """Return the next result, of which only the status is kept; None after the last one."""
        address = self._library.PQgetResult(self._pgconn)
        if address is None:
            return None
        result = ctypes.c_void_p(address)
        status = self._library.PQresultStatus(result)
        self._library.PQclear(result)
        return SimpleNamespace(status=status)

    def _check(self, is_done: bool) -> None:
        if not is_done:
            raise ResetFailed(self._library.PQerrorMessage(self._pgconn).decode(errors="replace").strip())
