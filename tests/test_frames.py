"""What counts as a question, message by message; tests/test_wire.py asks the same of real drivers and servers."""

from __future__ import annotations

import struct

import pytest

from tests.support.frames import MySQL, PostgreSQL, WireError


def pg(letter: str, *words: str, more: bytes = b"") -> bytes:
    body = b"".join(word.encode() + b"\0" for word in words) + more
    return letter.encode() + struct.pack("!I", len(body) + 4) + body


def startup(code: int, body: bytes = b"") -> bytes:
    return struct.pack("!II", 8 + len(body), code) + body


def my(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


LOGIN = startup(3 << 16, b"user\0me\0\0") + pg("p", "secret")
SSL, GSS, CANCEL = (startup(code) for code in (80877103, 80877104, 80877102))
HELLO = my(1, (0x200).to_bytes(4, "little") + b"me")

PARSE, BIND = pg("P", "", "SELECT $1", more=b"\0\0"), pg("B", "", "", more=b"\0" * 6)
DESCRIBE, EXECUTE, SYNC, FLUSH = pg("D", more=b"P\0"), pg("E", "", more=b"\0" * 4), pg("S"), pg("H")
PREPARE, BIND_PREPARED = pg("P", "ready", "SELECT 2", more=b"\0\0"), pg("B", "", "ready", more=b"\0" * 6)
ASK = PARSE + BIND + DESCRIBE + EXECUTE


def postgresql(messages: bytes, piece: int = 1 << 20) -> list[str]:
    reader = PostgreSQL()
    stream = LOGIN + messages
    return [text for at in range(0, len(stream), piece) for text in reader.questions(stream[at : at + piece])]


@pytest.mark.parametrize(
    "messages, questions",
    [
        (b"", []),
        (pg("Q", "SELECT 1"), ["SELECT 1"]),
        (pg("Q", ""), [""]),
        (pg("Q", "BEGIN") + pg("Q", "COMMIT") + pg("X"), ["BEGIN", "COMMIT"]),
        (ASK + SYNC, ["SELECT $1"]),
        # Preparing a statement is a round trip, and so is each of its uses.
        (PREPARE + SYNC + BIND_PREPARED + EXECUTE + SYNC, ["SELECT 2", "SELECT 2"]),
        (PREPARE + BIND_PREPARED + EXECUTE + SYNC, ["SELECT 2"]),
        # A pipeline may wait for a result without ending; what follows a Sync has nothing left to flush.
        (ASK + FLUSH + ASK + SYNC + FLUSH, ["SELECT $1", "SELECT $1"]),
        (SYNC + SYNC, ["Sync", "Sync"]),
        (pg("F", more=b"\0" * 10), ["FunctionCall"]),
        # COPY FROM STDIN is asked twice, in the simple protocol and in the extended one.
        (pg("Q", "COPY t FROM STDIN") + pg("d", more=b"1\n") + pg("c"), ["COPY t FROM STDIN", "CopyDone"]),
        (pg("Q", "COPY t FROM STDIN") + pg("f", "no"), ["COPY t FROM STDIN", "CopyFail"]),
        (ASK + SYNC + pg("d", more=b"1\n") + pg("c") + SYNC, ["SELECT $1", "Sync"]),
    ],
)
def test_postgresql_questions_however_tcp_cuts_them(messages, questions):
    assert postgresql(messages) == postgresql(messages, piece=1) == postgresql(messages, piece=7) == questions


def test_a_postgresql_client_may_ask_for_encryption_and_be_refused():
    reader = PostgreSQL()
    for request in (GSS, SSL):
        assert list(reader.questions(request)) == []
        reader.answer(b"N")
    assert not reader.is_session
    assert list(reader.questions(LOGIN + pg("Q", "SELECT 1"))) == ["SELECT 1"]
    assert reader.is_session


def test_a_request_to_cancel_is_no_session():
    reader = PostgreSQL()
    assert list(reader.questions(CANCEL)) == []
    assert not reader.is_session


@pytest.mark.parametrize("request_, answer", [(SSL, b"S"), (GSS, b"G")])
def test_a_postgresql_connection_that_becomes_encrypted_is_refused(request_, answer):
    reader = PostgreSQL()
    list(reader.questions(request_))
    with pytest.raises(WireError, match="sslmode=disable"):
        reader.answer(answer)


@pytest.mark.parametrize(
    "first, message",
    [
        (b"\x16\x03\x01\x02\x00", "TLS handshake"),
        (startup(1), "no PostgreSQL client"),
        (b"GET / HTTP/1.1\r\n", "no PostgreSQL client"),
    ],
)
def test_what_postgresql_would_not_understand_is_refused(first, message):
    with pytest.raises(WireError, match=message):
        list(PostgreSQL().questions(first))


def mysql(messages: bytes, piece: int = 1 << 20) -> list[str]:
    reader = MySQL()
    stream = HELLO + messages
    return [text for at in range(0, len(stream), piece) for text in reader.questions(stream[at : at + piece])]


@pytest.mark.parametrize(
    "messages, questions",
    [
        (b"", []),
        (my(3, b"a second step of logging in"), []),
        (my(0, b"\x03SELECT 1") + my(0, b"\x01"), ["SELECT 1"]),
        (my(0, b"\x03\x00\x01SELECT 1"), ["SELECT 1"]),
        (my(0, b"\x03BEGIN; SELECT 1"), ["BEGIN; SELECT 1"]),
        (my(0, b"\x0e") + my(0, b"\x02db") + my(0, b"\xfa"), ["COM_PING", "COM_INIT_DB", "COM_0xFA"]),
        # Only the first and the third of these are answered.
        (my(0, b"\x16SELECT ?") + my(0, b"\x18rest") + my(0, b"\x17") + my(0, b"\x19"), ["COM_STMT_PREPARE", "COM_STMT_EXECUTE"]),
        # A file sent for LOAD DATA LOCAL, long enough for the numbers of its packets to begin again.
        (my(0, b"\x03LOAD") + b"".join(my(number % 256, b"\x03") for number in range(2, 300)), ["LOAD"]),
    ],
)
def test_mysql_questions_however_tcp_cuts_them(messages, questions):
    assert mysql(messages) == mysql(messages, piece=1) == mysql(messages, piece=7) == questions


def test_a_mysql_answer_ends_the_numbering_of_what_was_asked():
    reader = MySQL()
    assert list(reader.questions(HELLO + my(0, b"\x03LOAD") + my(255, b"a piece of the file"))) == ["LOAD"]
    reader.answer(my(0, b"\x00"))
    assert list(reader.questions(my(0, b"\x03SELECT 1"))) == ["SELECT 1"]


@pytest.mark.parametrize("capability, message", [(1 << 11, "TLS handshake"), (1 << 5, "compresses")])
def test_a_mysql_connection_that_can_not_be_read_is_refused(capability, message):
    with pytest.raises(WireError, match=message):
        list(MySQL().questions(my(1, capability.to_bytes(4, "little"))))
