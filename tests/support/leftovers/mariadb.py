"""What may be left behind on MariaDB, by mysqlclient and PyMySQL."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.db import connections

from .leftover import (
    INSERT,
    OWN_ATTRIBUTE,
    ROLE,
    Leftover,
    an_atomic_block,
    ask,
    attribute,
    autocommit_off,
    both,
    calling,
    failing,
    half_read,
    on_connection,
    seen,
    sql,
)

_my_unfinished = both(
    ask("SELECT @@autocommit, @@in_transaction"),
    ask("SELECT count(*) FROM numbers"),
    lambda wrapper: bool(wrapper.connection.get_autocommit()),
)


def _several() -> dict[str, Any]:
    # FOUND_ROWS, as Django has it, and MULTI_STATEMENTS, which mysqlclient has by itself.
    return {"client_flag": 2 | 1 << 16}


def _cursors(wrapper: Any) -> Any:
    return import_module(f"{wrapper.Database.__name__}.cursors")


def _unbuffered() -> dict[str, Any]:
    return {"cursorclass": _cursors(SimpleNamespace(Database=connections["mysql"].Database)).SSCursor}


SEVERAL = {"PyMySQL": _several}
# It fails when Django closes the cursor, and Django says nothing of it.
SEVERAL_FAIL = sql(f"BEGIN; {INSERT}; SELECT nothing")
UNBUFFERED = {"mysqlclient": _unbuffered, "PyMySQL": _unbuffered}
OVERFLOWING = f"START TRANSACTION; {INSERT}; SELECT CAST(1 AS UNSIGNED) - 2"
MARIADB_UNFINISHED = [
    Leftover("``BEGIN`` by a statement", sql("BEGIN", INSERT), _my_unfinished),
    Leftover("``START TRANSACTION READ ONLY``", sql("START TRANSACTION READ ONLY"), _my_unfinished),
    Leftover("``BEGIN`` in a string of several statements", sql(f"BEGIN; {INSERT}"), _my_unfinished, options=SEVERAL),
    Leftover("the same, and the last one fails", SEVERAL_FAIL, _my_unfinished, options=SEVERAL),
    Leftover("a transaction in which a statement failed", failing("BEGIN", INSERT, "SELECT nothing"), _my_unfinished),
    Leftover("a savepoint", sql("BEGIN", "SAVEPOINT s", INSERT), _my_unfinished),
    Leftover("an ``atomic()`` block never left", an_atomic_block, _my_unfinished),
    Leftover("``set_autocommit(False)``", autocommit_off, _my_unfinished),
    Leftover(
        "``autocommit()`` of the driver's object",
        on_connection(lambda connection: connection.autocommit(False)),
        _my_unfinished,
    ),
    Leftover("``SET autocommit = 0``", sql("SET autocommit = 0", INSERT), _my_unfinished),
    Leftover("a procedure that begins a transaction", calling("a", f"START TRANSACTION; {INSERT}"), _my_unfinished),
    Leftover(
        "the same, and it fails", calling("b", f"START TRANSACTION; {INSERT}; SIGNAL SQLSTATE '45000'", True), _my_unfinished
    ),
    Leftover("the same, in a way that Django translates", calling("c", OVERFLOWING, True), _my_unfinished),
    Leftover(
        "a procedure that switches autocommit off",
        calling("d", f"SET autocommit = 0; {INSERT}; SIGNAL SQLSTATE '45000'", True),
        _my_unfinished,
    ),
    Leftover("``completion_type = CHAIN``", sql("SET SESSION completion_type = 'CHAIN'", "BEGIN"), _my_unfinished),
    Leftover("two-phase commit, begun", sql("XA START 'x'", INSERT), _my_unfinished),
    Leftover("two-phase commit, ended", sql("XA START 'x'", INSERT, "XA END 'x'"), _my_unfinished),
    Leftover(
        "two-phase commit, prepared",
        sql("XA START 'x'", INSERT, "XA END 'x'", "XA PREPARE 'x'"),
        _my_unfinished,
        is_seen=False,
    ),
    Leftover(
        "an unbuffered cursor of Django's, half-read",
        half_read(lambda wrapper: wrapper.cursor(), "SELECT seq FROM seq_1_to_3"),
        _my_unfinished,
        is_seen=False,
        options=UNBUFFERED,
    ),
    Leftover(
        "an unbuffered cursor of the driver's, half-read",
        half_read(lambda wrapper: wrapper.connection.cursor(_cursors(wrapper).SSCursor), "SELECT seq FROM seq_1_to_3"),
        _my_unfinished,
        is_seen=False,
    ),
    Leftover(
        "the same, with more than the socket holds",
        half_read(lambda wrapper: wrapper.connection.cursor(_cursors(wrapper).SSCursor), "SELECT seq FROM seq_1_to_1000000"),
        _my_unfinished,
        is_seen=False,
    ),
    Leftover(
        "the first of two results read, the second one begins a transaction",
        half_read(lambda wrapper: wrapper.connection.cursor(), f"SELECT 1; BEGIN; {INSERT}"),
        _my_unfinished,
        is_seen=False,
        options=SEVERAL,
    ),
    Leftover(
        "``HANDLER`` ... ``OPEN``",
        sql("HANDLER numbers OPEN AS h"),
        both(ask("HANDLER h READ FIRST"), _my_unfinished),
    ),
]
MARIADB_SESSION = [
    Leftover("user variable", sql("SET @x = 7"), ask("SELECT @x")),
    Leftover("``sql_mode``", sql("SET SESSION sql_mode = 'ANSI'"), ask("SELECT @@sql_mode")),
    Leftover("time zone", sql("SET time_zone = '+09:00'"), ask("SELECT @@time_zone")),
    Leftover("isolation level", sql("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"), ask("SELECT @@tx_isolation")),
    Leftover("read-only", sql("SET SESSION TRANSACTION READ ONLY"), ask("SELECT @@tx_read_only")),
    Leftover(
        "both, for the next transaction only",
        sql("SET TRANSACTION READ ONLY"),
        ask("INSERT INTO numbers VALUES (1)"),
        is_seen=False,
    ),
    Leftover("statement timeout", sql("SET SESSION max_statement_time = 12"), ask("SELECT @@max_statement_time")),
    Leftover("``SET ROLE``", sql(f"CREATE OR REPLACE ROLE {ROLE}", f"SET ROLE {ROLE}"), ask("SELECT CURRENT_ROLE()")),
    Leftover("current database", sql("USE information_schema"), ask("SELECT DATABASE()")),
    Leftover(
        "``SET NAMES``",
        sql("SET NAMES latin1"),
        ask("SELECT @@character_set_client, @@character_set_results, @@collation_connection"),
    ),
    Leftover("temporary table", sql("CREATE TEMPORARY TABLE t (n integer)"), ask("SELECT count(*) FROM t")),
    Leftover("``GET_LOCK()``", sql("SELECT GET_LOCK('l', 1)"), ask("SELECT IS_USED_LOCK('l') IS NULL")),
    Leftover("``LOCK TABLES``", sql("LOCK TABLES numbers READ"), ask("SELECT count(*) FROM others")),
    Leftover("``PREPARE``", sql("PREPARE p FROM 'SELECT 1'"), ask("EXECUTE p")),
    Leftover("``LAST_INSERT_ID()``", sql("SELECT LAST_INSERT_ID(7)"), ask("SELECT LAST_INSERT_ID()")),
]


def _decoder(connection: Any) -> None:
    mapping = connection.converter if hasattr(connection, "converter") else connection.decoders
    mapping[3] = mapping[8] = lambda value: "made by the first"  # LONG, LONGLONG


def _encoder(connection: Any) -> None:
    connection.encoders[int] = lambda value, mapping: "7"


MARIADB_OBJECT = [
    Leftover(
        "``cursorclass``",
        lambda wrapper: attribute("cursorclass", _cursors(wrapper).DictCursor)(wrapper),
        seen("cursorclass"),
    ),
    Leftover("``encoders``", on_connection(_encoder), ask("SELECT %s", 1)),
    Leftover("``converter``, ``decoders``", on_connection(_decoder), ask("SELECT CAST(1 AS SIGNED)")),
    Leftover(
        "``messages``",
        {"mysqlclient": on_connection(lambda connection: connection.messages.append("first"))},
        seen("messages"),
    ),
    Leftover(
        "``set_character_set()``",
        on_connection(lambda connection: connection.set_character_set("latin1")),
        both(seen("encoding"), ask("SELECT @@character_set_client, @@collation_connection")),
    ),
    Leftover("``use_unicode``", {"PyMySQL": attribute("use_unicode", False)}, ask("SELECT 'a'")),
    Leftover(
        "``select_db()``",
        on_connection(lambda connection: connection.select_db("information_schema")),
        ask("SELECT DATABASE()"),
    ),
    OWN_ATTRIBUTE,
]
