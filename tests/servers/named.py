"""Named servers: those the user runs and names by environment variables. Looks whether they answer, changes nothing."""

from __future__ import annotations

import socket
import struct
from urllib.parse import SplitResult, urlsplit

from .machine import ServerError
from .mariadb import MariaDB
from .postgresql import PostgreSQL
from .server import Server

#: How long a server may take to say its first word; a network's usual connect timeout is far beyond patience.
SECONDS = 5.0

#: Sent to PostgreSQL, which answers any client with one letter: S, N or E. Source: its manual, "SSLRequest".
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def check(kind: type[Server], url: str) -> None:
    """Raise ServerError unless ``url`` is well-formed and a server of this kind answers there.

    Asked without the password and without a driver: whether the account is right is for the tests' first query to say.
    """
    example = f"{kind.scheme}://user:password@host:port/"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ServerError(f"{kind.variable} is not a URL of the form {example}") from None
    if parts.scheme != kind.scheme or not parts.hostname or not parts.username or port is None:
        raise ServerError(f"{kind.variable} is {_shown(parts)}, not a URL of the form {example}")
    try:
        with socket.create_connection((parts.hostname, port), SECONDS) as connection:
            try:
                problem = _GREETINGS[kind](connection)
            except TimeoutError:
                problem = f"says nothing within {SECONDS:g} s, as {kind.__name__} would"
    except OSError as error:
        raise ServerError(f"{kind.variable}: no server answers at {_shown(parts)}: {error}") from None
    if problem:
        raise ServerError(f"{kind.variable}: what answers at {_shown(parts)} {problem}")


def _shown(parts: SplitResult) -> str:
    """The URL without its password, nor anything behind the address in which one may be hidden."""
    user, at, address = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{parts.scheme}://{name}{':***' if colon else ''}{at}{address}/"


def _greet_postgresql(connection: socket.socket) -> str:
    connection.sendall(SSL_REQUEST)
    return "" if connection.recv(1) in (b"S", b"N") else "is not PostgreSQL"


def _greet_mariadb(connection: socket.socket) -> str:
    # The server speaks first: 4 bytes of length and number, then 10 (the protocol) or 255 (a refusal, as text).
    greeting = connection.recv(512)
    if greeting[4:5] == b"\xff":
        return f"refuses us: {greeting[7:].decode(errors='replace')}"
    return "" if greeting[4:5] == b"\x0a" else "is not MariaDB or MySQL"


_GREETINGS = {PostgreSQL: _greet_postgresql, MariaDB: _greet_mariadb}
