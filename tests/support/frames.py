"""What a client asks its server, read from the bytes of one connection.

Owns: the framing of the PostgreSQL and MySQL protocols, as far as counting questions needs it. Never touches a socket.

A *question* is a message after which a client has to wait for the server: one question, one round trip. Questions are counted,
and not changes of direction, because TCP may cut one message into many pieces and glue many into one. Logging in is no question.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol


class WireError(Exception):
    """The bytes can not be read, or the proxy failed: what was counted is worth nothing."""


class Reader(Protocol):
    """Reads one connection. Both methods take the bytes as they come, before they are passed on."""

    # True once the client has begun to log in: a probe or a cancel request opens a socket, but no session.
    is_session: bool

    def questions(self, data: bytes) -> Iterator[str]:
        """Take bytes sent by the client and yield each question that they complete, as text."""

    def answer(self, data: bytes) -> None:
        """Take bytes sent by the server."""


class PostgreSQL:
    """Source: "Frontend/Backend Protocol" in PostgreSQL's manual, "Message Flow" and "Message Formats"."""

    # Source: MAX_STARTUP_PACKET_LENGTH in the server.
    LONGEST_STARTUP = 10_000
    SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
    # Query, FunctionCall, Sync and Flush make the server answer all that stands before them; no other message makes it send.
    ASKING = {b"Q": "Query", b"F": "FunctionCall", b"S": "Sync", b"H": "Flush"}

    def __init__(self) -> None:
        self.is_session = False
        self._unread = bytearray()
        self._has_asked_for_encryption = False
        # What stands before the next Sync: the texts parsed or bound there. _prepared remembers named statements for later.
        self._batch: list[str] = []
        self._prepared: dict[str, str] = {}
        self._is_unanswered = False
        self._last_was_query = False

    def questions(self, data: bytes) -> Iterator[str]:
        self._unread += data
        while not self.is_session:
            if not (startup := self._cut(length_at=0)):
                return
            self._start(startup)
        while message := self._cut(length_at=1):
            question = self._read(bytes(message[:1]), bytes(message[5:]))
            if question is not None:
                yield question

    def answer(self, data: bytes) -> None:
        # To a request for encryption the server answers with one bare letter; all else it says is of no concern here.
        if self._has_asked_for_encryption:
            self._has_asked_for_encryption = False
            if data[:1] in (b"S", b"G"):
                raise WireError("what follows is encrypted, and can not be read: use sslmode=disable, gssencmode=disable")

    def _cut(self, length_at: int) -> bytearray | None:
        """Take one whole message off the unread bytes; the length counts itself, but not the letter before it."""
        if len(self._unread) < length_at + 4:
            return None
        length: int = struct.unpack_from("!I", self._unread, length_at)[0]
        if not self.is_session and length > self.LONGEST_STARTUP:
            raise WireError("this is no PostgreSQL client, or it begins with a TLS handshake: use sslmode=disable")
        end = length_at + length
        if len(self._unread) < end:
            return None
        message = self._unread[:end]
        del self._unread[:end]
        return message

    def _start(self, startup: bytearray) -> None:
        (code,) = struct.unpack_from("!I", startup, 4)
        if code in (self.SSL_REQUEST, self.GSS_REQUEST):
            self._has_asked_for_encryption = True
        elif code >> 16 == 3:
            self.is_session = True
        elif code != self.CANCEL_REQUEST:
            raise WireError(f"this is no PostgreSQL client: it begins with code {code}")

    def _read(self, letter: bytes, body: bytes) -> str | None:
        if letter in (b"P", b"B", b"D", b"E", b"C"):
            self._is_unanswered = True
        if letter == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[_text(name)] = _text(text)
            self._batch.append(_text(text))
        elif letter == b"B":
            _, name, _ = body.split(b"\0", 2)
            bound = self._prepared.get(_text(name), _text(name))
            if bound not in self._batch:
                self._batch.append(bound)
        elif letter in (b"c", b"f") and self._last_was_query:
            # COPY FROM STDIN is asked twice: for leave to send, and how it went. After a Sync, a second Sync asks that.
            return "CopyDone" if letter == b"c" else "CopyFail"
        elif letter == b"H" and not self._is_unanswered:
            return None  # libpq sends one after a Sync too; there is nothing left to flush
        elif letter in self.ASKING:
            self._is_unanswered = False
            self._last_was_query = letter == b"Q"
            question = _text(body.rstrip(b"\0")) if letter == b"Q" else "; ".join(self._batch) or self.ASKING[letter]
            self._batch.clear()
            return question
        return None


class MySQL:
    """Source: "Connection Phase" and "Command Phase" in MySQL's internals manual; MariaDB is the same in what is read here."""

    COMPRESS, SSL = 1 << 5, 1 << 11
    QUERY = 0x03
    # The server says nothing to these: COM_QUIT, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE.
    UNANSWERED = {0x01, 0x18, 0x19}
    NAMES = {
        0x02: "COM_INIT_DB",
        0x04: "COM_FIELD_LIST",
        0x09: "COM_STATISTICS",
        0x0E: "COM_PING",
        0x11: "COM_CHANGE_USER",
        0x16: "COM_STMT_PREPARE",
        0x17: "COM_STMT_EXECUTE",
        0x1A: "COM_STMT_RESET",
        0x1B: "COM_SET_OPTION",
        0x1F: "COM_RESET_CONNECTION",
    }

    def __init__(self) -> None:
        self.is_session = False
        self._unread = bytearray()
        self._continues = False

    def questions(self, data: bytes) -> Iterator[str]:
        self._unread += data
        while len(self._unread) >= 4:
            length, number = int.from_bytes(self._unread[:3], "little"), self._unread[3]
            if len(self._unread) < 4 + length:
                return
            body = bytes(self._unread[4 : 4 + length])
            del self._unread[: 4 + length]
            # A command is numbered 0, and so is the 257th packet of a long one.
            is_command = number == 0 and not self._continues
            self._continues = number == 255
            if not self.is_session:
                self._log_in(body)
            elif is_command and body[0] not in self.UNANSWERED:
                yield self._name(body)

    def answer(self, data: bytes) -> None:
        self._continues = False

    def _log_in(self, body: bytes) -> None:
        capabilities = int.from_bytes(body[:4], "little")
        if capabilities & self.SSL:
            raise WireError("client begins with a TLS handshake, which can not be read: use ssl_mode=DISABLED")
        if capabilities & self.COMPRESS:
            raise WireError("client compresses, which can not be read: connect without compression")
        self.is_session = True

    def _name(self, body: bytes) -> str:
        if body[0] == self.QUERY:
            # MySQL's own client library puts "no attributes, one set of them" before the text.
            return _text(body[1:].removeprefix(b"\x00\x01"))
        return self.NAMES.get(body[0], f"COM_0x{body[0]:02X}")


class Opaque:
    """What is encrypted: passed on, and not counted."""

    is_session = False

    def questions(self, data: bytes) -> Iterator[str]:
        return iter(())

    def answer(self, data: bytes) -> None:
        pass


READERS: dict[str, type[Reader]] = {"postgresql": PostgreSQL, "mysql": MySQL, "opaque": Opaque}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
