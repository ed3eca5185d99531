"""What may be left behind on PostgreSQL, by psycopg 3 and psycopg2."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import DatabaseError

from .leftover import (
    INSERT,
    OWN_ATTRIBUTE,
    Leave,
    Leftover,
    Look,
    an_atomic_block,
    ask,
    attribute,
    autocommit_off,
    both,
    driver_of,
    failing,
    half_read,
    on_connection,
    seen,
    sql,
)


def _pg_unfinished(wrapper: Any) -> Any:
    info = wrapper.connection.info
    return ask("SELECT count(*) FROM numbers")(wrapper), int(info.transaction_status), wrapper.connection.autocommit


def _entered(manager: Any) -> Any:
    manager.__enter__()
    return manager


def _copying(connection: Any) -> Any:
    return _entered(connection.cursor().copy("COPY numbers FROM STDIN"))


def _streaming(connection: Any) -> Any:
    rows = connection.cursor().stream("SELECT generate_series(1, 100000)")
    assert next(rows)
    return rows


def _notifies(connection: Any) -> Any:
    connection.execute("LISTEN news")
    connection.execute("NOTIFY news")
    notifies = connection.notifies()
    assert next(notifies)
    return notifies


def _committing(wrapper: Any) -> Any:
    try:
        wrapper.set_autocommit(False)
        sql("SELECT 1")(wrapper)
        wrapper.commit()
        wrapper.set_autocommit(True)
    except DatabaseError as error:
        return type(error).__name__
    return "committed"


def _begun_two_phases(connection: Any) -> None:
    connection.tpc_begin(connection.xid(1, "never", "finished"))
    with connection.cursor() as cursor:
        cursor.execute(INSERT)


def _prepared_two_phases(connection: Any) -> None:
    _begun_two_phases(connection)
    connection.tpc_prepare()


def _in_a_transaction(leave: Leave) -> Leave:
    def both_of_them(wrapper: Any) -> Any:
        wrapper.set_autocommit(False)
        return leave(wrapper)

    return both_of_them


SERIES = "SELECT generate_series(1, 1000)"
HOLDING = f"DECLARE c CURSOR WITH HOLD FOR {SERIES}"
POSTGRESQL_UNFINISHED = [
    Leftover("``BEGIN`` by a statement", sql("BEGIN", INSERT), _pg_unfinished),
    Leftover("``BEGIN READ ONLY`` by a statement", sql("BEGIN READ ONLY"), _pg_unfinished),
    Leftover("``BEGIN`` in a string of several statements", sql(f"BEGIN; {INSERT}"), _pg_unfinished),
    Leftover("the same, and the last one fails", failing(f"BEGIN; {INSERT}; SELECT nothing"), _pg_unfinished),
    Leftover("a transaction in which a statement failed", failing("BEGIN", INSERT, "SELECT nothing"), _pg_unfinished),
    Leftover("a savepoint", sql("BEGIN", "SAVEPOINT s", INSERT), _pg_unfinished),
    Leftover("an ``atomic()`` block never left", an_atomic_block, _pg_unfinished),
    Leftover("``set_autocommit(False)``", autocommit_off, _pg_unfinished),
    Leftover("``autocommit`` of the driver's object", attribute("autocommit", False), _pg_unfinished),
    Leftover(
        "a ``transaction()`` block of the driver",
        {"psycopg 3": on_connection(lambda connection: _entered(connection.transaction()))},
        _pg_unfinished,
    ),
    Leftover("two-phase commit, begun", _in_a_transaction(on_connection(_begun_two_phases)), _pg_unfinished),
    Leftover("two-phase commit, prepared", _in_a_transaction(on_connection(_prepared_two_phases)), _committing, is_seen=False),
    Leftover(
        "a pipeline",
        {"psycopg 3": on_connection(lambda connection: _entered(connection.pipeline()))},
        lambda wrapper: (_pg_unfinished(wrapper), wrapper.connection.pgconn.pipeline_status),
    ),
    Leftover("``COPY``, half-way", {"psycopg 3": on_connection(_copying)}, _pg_unfinished, is_seen=False),
    Leftover("``stream()``, half-read", {"psycopg 3": on_connection(_streaming)}, _pg_unfinished, is_seen=False),
    Leftover("``notifies()``, half-read", {"psycopg 3": on_connection(_notifies)}, _pg_unfinished, is_seen=False),
    Leftover(
        "``.iterator()``, half-read",
        half_read(lambda wrapper: wrapper.chunked_cursor(), SERIES),
        both(ask("SELECT count(*) FROM pg_cursors"), _pg_unfinished),
    ),
    Leftover(
        "``.iterator()`` in a transaction, half-read",
        _in_a_transaction(half_read(lambda wrapper: wrapper.chunked_cursor(), SERIES)),
        both(ask("SELECT count(*) FROM pg_cursors"), _pg_unfinished),
    ),
    Leftover(
        "a named cursor of the driver",
        _in_a_transaction(half_read(lambda wrapper: wrapper.connection.cursor("raw"), SERIES)),
        both(ask("SELECT count(*) FROM pg_cursors"), _pg_unfinished),
    ),
    Leftover(
        "``DECLARE`` by a statement",
        sql("BEGIN", f"DECLARE c CURSOR FOR {SERIES}"),
        both(ask("SELECT count(*) FROM pg_cursors"), _pg_unfinished),
    ),
    Leftover(
        "``DECLARE`` ... ``WITH HOLD`` by a statement",
        sql(HOLDING),
        both(ask("SELECT count(*) FROM pg_cursors"), _pg_unfinished),
    ),
    Leftover(
        "the same in a ``DO`` block",
        sql(f"DO $$ BEGIN EXECUTE '{HOLDING}'; END $$"),
        both(ask("SELECT count(*) FROM pg_cursors"), _pg_unfinished),
    ),
]


def _setting(name: str, value: str, what: str = "") -> Leftover:
    return Leftover(what or f"``{name}``", sql(f"SET {name} = {value}"), ask(f"SHOW {name}"))


def _run_often(wrapper: Any) -> None:
    for _ in range(7):  # psycopg prepares what was executed five times
        wrapper.connection.execute("SELECT 1 + %s", [1])


def _function_that_holds(wrapper: Any) -> None:
    with wrapper.connection.cursor() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION holds() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE '{HOLDING}'; END $$"
        )
    sql("SELECT holds()")(wrapper)


POSTGRESQL_SESSION = [
    _setting("search_path", "pg_catalog"),
    Leftover("time zone", sql("SET TIME ZONE 'Asia/Tokyo'"), ask("SHOW TIME ZONE")),
    Leftover("``SET ROLE``", sql("SET ROLE pg_monitor"), ask("SELECT current_user")),
    Leftover(
        "``SET SESSION AUTHORIZATION``",
        sql("SET SESSION AUTHORIZATION pg_monitor"),
        ask("SELECT session_user, current_user"),
    ),
    Leftover(
        "isolation level",
        sql("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        ask("SHOW transaction_isolation"),
    ),
    Leftover("read-only", sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), ask("SHOW transaction_read_only")),
    _setting("statement_timeout", "'12s'", "statement timeout"),
    _setting("client_encoding", "'LATIN1'"),
    _setting("application_name", "'first'"),
    Leftover("a setting of your own", sql("SET my.tenant = '7'"), ask("SELECT coalesce(current_setting('my.tenant', true), '')")),
    Leftover(
        "temporary table",
        sql("CREATE TEMPORARY TABLE t (n integer)"),
        ask("SELECT count(*) FROM pg_class WHERE relname = 't'"),
    ),
    Leftover(
        "advisory lock",
        sql("SELECT pg_advisory_lock(7)"),
        ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
    ),
    Leftover("``LISTEN``", sql("LISTEN something"), ask("SELECT count(*) FROM pg_listening_channels()")),
    Leftover("``PREPARE``", sql("PREPARE p AS SELECT 1"), ask("SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'")),
    Leftover(
        "statements prepared by the driver",
        {"psycopg 3": _run_often},
        ask("SELECT count(*) FROM pg_prepared_statements"),
        options={"psycopg 3": lambda: {"prepare_threshold": 5, "server_side_binding": True}},
    ),
    Leftover(
        "a ``WITH HOLD`` cursor made on the driver's object",
        half_read(lambda wrapper: wrapper.connection.cursor("raw", withhold=True), SERIES),
        ask("SELECT count(*) FROM pg_cursors"),
    ),
    Leftover("the same, declared by a function of the server's", _function_that_holds, ask("SELECT count(*) FROM pg_cursors")),
    Leftover("``lastval()``", sql("CREATE TEMPORARY SEQUENCE s", "SELECT nextval('s')"), ask("SELECT lastval()")),
]


def _psycopg_adapter(connection: Any) -> None:
    from psycopg.types.numeric import FloatLoader

    connection.adapters.register_loader("int4", FloatLoader)


def _psycopg_type(connection: Any) -> None:
    from psycopg.types import TypeInfo

    TypeInfo("mine", 700007, 700008).register(connection)


def _psycopg2_adapter(connection: Any) -> None:
    from psycopg2 import extensions

    extensions.register_type(extensions.new_type((23,), "MINE", lambda value, cursor: "mine"), connection)


def _serializable(connection: Any) -> None:
    connection.isolation_level = 3 if hasattr(connection, "readonly") else import_module("psycopg").IsolationLevel.SERIALIZABLE


def _unread_notification(connection: Any) -> None:
    with connection.cursor() as cursor:
        for statement in ("LISTEN news", "NOTIFY news", "UNLISTEN news", "SELECT 1"):
            cursor.execute(statement)


def _notice(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE NOTICE 'seen'; END $$")


def _unused(*_: Any) -> None:
    """A callback that does nothing."""


def _both_pg(name: str, value: Any, psycopg2_name: str = "") -> dict[str, Leave]:
    return {"psycopg 3": attribute(name, value), "psycopg2": attribute(psycopg2_name or name, value)}


def _either(name: str, psycopg2_name: str) -> Look:
    return lambda wrapper: seen(name if driver_of(wrapper) == "psycopg 3" else psycopg2_name)(wrapper)


def _row_factory(*_: Any) -> Any:
    return lambda values: ["made by", "the first"]


def _psycopg_cursor(connection: Any) -> None:
    connection.cursor_factory = type("Mine", (connection.cursor_factory or import_module("psycopg2.extensions").cursor,), {})


POSTGRESQL_OBJECT = [
    Leftover(
        "``isolation_level``",
        on_connection(_serializable),
        both(seen("isolation_level"), ask("SHOW default_transaction_isolation")),
    ),
    Leftover("``read_only``, ``readonly``", _both_pg("read_only", True, "readonly"), _either("read_only", "readonly")),
    Leftover("``deferrable``", _both_pg("deferrable", True), seen("deferrable")),
    Leftover("``row_factory``", {"psycopg 3": attribute("row_factory", _row_factory)}, seen("row_factory")),
    Leftover("``cursor_factory``", on_connection(_psycopg_cursor), seen("cursor_factory")),
    Leftover(
        "``server_cursor_factory``",
        {"psycopg 3": lambda wrapper: setattr(wrapper.connection, "server_cursor_factory", object)},
        seen("server_cursor_factory"),
    ),
    Leftover("``prepare_threshold``", {"psycopg 3": attribute("prepare_threshold", 99)}, seen("prepare_threshold")),
    Leftover("``prepared_max``", {"psycopg 3": attribute("prepared_max", 99)}, seen("prepared_max")),
    Leftover(
        "adapters and typecasters",
        {"psycopg 3": on_connection(_psycopg_adapter), "psycopg2": on_connection(_psycopg2_adapter)},
        ask("SELECT 1::int4"),
    ),
    Leftover(
        "types registered",
        {"psycopg 3": on_connection(_psycopg_type)},
        lambda wrapper: wrapper.connection.adapters.types.get("mine"),
    ),
    Leftover(
        "notice handlers",
        {"psycopg 3": on_connection(lambda connection: connection.add_notice_handler(_unused))},
        seen("_notice_handlers"),
    ),
    Leftover(
        "notify handlers",
        {"psycopg 3": on_connection(lambda connection: connection.add_notify_handler(_unused))},
        seen("_notify_handlers"),
    ),
    Leftover("notices received", {"psycopg2": on_connection(_notice)}, seen("notices")),
    Leftover(
        "notifications received",
        on_connection(_unread_notification),
        lambda wrapper: len(_either("_notifies_backlog", "notifies")(wrapper)),
    ),
    Leftover(
        "``set_client_encoding()``",
        {"psycopg2": on_connection(lambda connection: connection.set_client_encoding("LATIN1"))},
        both(seen("encoding"), ask("SHOW client_encoding")),
    ),
    OWN_ATTRIBUTE,
]
