"""What one borrower did, the next does not see. Every test uses one connection for both."""

from __future__ import annotations

import pytest
from django.db import Error, IntegrityError, connections

from tests.support.sessions import session_id


@pytest.fixture
def table(wrapper, observer):
    """An empty table of one number."""
    engine = " ENGINE=InnoDB" if wrapper.vendor == "mysql" else ""
    observer.query("DROP TABLE IF EXISTS numbers")
    observer.query(f"CREATE TABLE numbers (n integer){engine}")
    yield "numbers"
    wrapper.close()
    observer.query("DROP TABLE numbers")


def execute(wrapper, *statements):
    with wrapper.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def assert_untouched(wrapper, observer, session):
    """The next borrower has the same session, in autocommit mode, with no transaction and nothing of it written."""
    assert session_id(wrapper) == session
    assert wrapper.get_autocommit() is True
    execute(wrapper, "INSERT INTO numbers VALUES (2)")
    assert observer.query("SELECT n FROM numbers") == [(2,)]
    wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1


@pytest.mark.parametrize("begin", ["BEGIN", "START TRANSACTION", "START TRANSACTION READ ONLY"])
def test_a_raw_begin_never_finished(wrapper, observer, table, begin):
    session = session_id(wrapper)
    execute(wrapper, begin, *([] if "ONLY" in begin else ["INSERT INTO numbers VALUES (1)"]))
    wrapper.close()
    assert_untouched(wrapper, observer, session)


def test_a_failed_transaction(wrapper, observer, table):
    session = session_id(wrapper)
    execute(wrapper, "BEGIN", "INSERT INTO numbers VALUES (1)")
    with pytest.raises(Error):
        execute(wrapper, "SELECT nothing_of_that_name")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


def test_a_transaction_begun_in_a_string_of_several_statements(make_wrapper, observer, table):
    # Only here does PyMySQL need leave to send several at once.
    options = {"client_flag": 2 | 1 << 16} if connections["mysql"].Database.__name__ == "pymysql" else {}
    wrapper = make_wrapper(OPTIONS=options if observer.wrapper.vendor == "mysql" else {})
    session = session_id(wrapper)
    execute(wrapper, "BEGIN; INSERT INTO numbers VALUES (1)")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


def test_a_string_of_several_statements_that_fails_in_the_middle(make_wrapper, observer, table):
    options = {"client_flag": 2 | 1 << 16} if connections["mysql"].Database.__name__ == "pymysql" else {}
    wrapper = make_wrapper(OPTIONS=options if observer.wrapper.vendor == "mysql" else {})
    session = session_id(wrapper)
    with pytest.raises(Error):
        execute(wrapper, "BEGIN; INSERT INTO numbers VALUES (1); INSERT INTO nowhere VALUES (1)", "SELECT 1")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


def test_manual_transaction_management_left_on(wrapper, observer, table):
    session = session_id(wrapper)
    wrapper.set_autocommit(False)
    execute(wrapper, "INSERT INTO numbers VALUES (1)")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


def test_autocommit_switched_off_on_the_drivers_connection(wrapper, observer, table):
    session = session_id(wrapper)
    if wrapper.vendor == "mysql":
        wrapper.connection.autocommit(False)
    else:
        wrapper.connection.autocommit = False
    execute(wrapper, "INSERT INTO numbers VALUES (1)")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


@pytest.mark.parametrize("alias", ["mysql"])
def test_autocommit_switched_off_by_a_statement(wrapper, observer, table):
    session = session_id(wrapper)
    execute(wrapper, "SET autocommit = 0", "INSERT INTO numbers VALUES (1)")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


@pytest.mark.parametrize("alias", ["mysql"])
@pytest.mark.parametrize("left", ["START TRANSACTION", "SET autocommit = 0"])
def test_a_procedure_that_opens_a_transaction_and_fails(wrapper, observer, table, left):
    observer.query("DROP PROCEDURE IF EXISTS open_and_fail")
    observer.query(f"CREATE PROCEDURE open_and_fail() BEGIN {left}; INSERT INTO numbers VALUES (1); SIGNAL SQLSTATE '45000'; END")
    session = session_id(wrapper)
    with pytest.raises(Error):
        execute(wrapper, "CALL open_and_fail()")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_procedure_that_fails_in_a_way_that_django_translates_by_itself(wrapper, observer, table):
    observer.query("DROP PROCEDURE IF EXISTS open_and_overflow")
    observer.query(
        "CREATE PROCEDURE open_and_overflow() BEGIN START TRANSACTION; INSERT INTO numbers VALUES (1);"
        " SELECT CAST(1 AS UNSIGNED) - 2; END"
    )
    session = session_id(wrapper)
    with pytest.raises(IntegrityError, match="1690"):
        execute(wrapper, "CALL open_and_overflow()")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


@pytest.mark.parametrize("alias", ["default"])
def test_a_transaction_block_of_psycopg_that_was_never_left(wrapper):
    if wrapper.Database.__name__ == "psycopg2":
        wrapper.ensure_connection()
        assert not hasattr(wrapper.connection, "transaction"), "psycopg2 has no such blocks"
        return
    session = session_id(wrapper)
    block = wrapper.connection.transaction()
    block.__enter__()
    execute(wrapper, "COMMIT")
    wrapper.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}


@pytest.mark.parametrize("alias", ["default"])
def test_reset_session_and_what_is_set_on_the_drivers_object(make_wrapper):
    wrapper = make_wrapper(RESET="session")
    session = session_id(wrapper)
    if wrapper.Database.__name__ == "psycopg2":
        wrapper.connection.set_client_encoding("LATIN1")
    else:
        wrapper.connection.read_only = True
    wrapper.close()
    assert session_id(wrapper) != session
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT %s", ["é"])
        assert cursor.fetchone() == ("é",)
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_procedure_that_opens_a_transaction_and_succeeds(wrapper, observer, table):
    observer.query("DROP PROCEDURE IF EXISTS open_and_leave")
    observer.query("CREATE PROCEDURE open_and_leave() BEGIN START TRANSACTION; INSERT INTO numbers VALUES (1); END")
    session = session_id(wrapper)
    execute(wrapper, "CALL open_and_leave()")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


def test_a_cursor_kept_after_close(wrapper):
    session = session_id(wrapper)
    cursor = wrapper.cursor()
    cursor.execute("SELECT 1")
    wrapper.close()
    with pytest.raises(Error):
        cursor.execute("SELECT 2")
    assert session_id(wrapper) == session


def test_results_that_were_never_read(wrapper):
    session = session_id(wrapper)
    cursor = wrapper.cursor()
    cursor.execute("SELECT 1 UNION ALL SELECT 2")
    cursor.fetchone()
    wrapper.close()
    assert session_id(wrapper) == session


@pytest.mark.parametrize("alias", ["mysql"])
def test_an_unbuffered_result_half_read(make_wrapper):
    cursors = __import__(f"{connections['mysql'].Database.__name__}.cursors", fromlist=["SSCursor"])
    wrapper = make_wrapper(OPTIONS={"cursorclass": cursors.SSCursor})
    cursor = wrapper.cursor()
    cursor.execute("SELECT seq FROM seq_1_to_100000")
    cursor.fetchone()
    wrapper.close()
    assert session_id(wrapper) > 0
    assert wrapper.find_pool().snapshot().in_use == 1


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_rollback_that_begins_the_next_transaction_costs_the_connection(wrapper):
    session = session_id(wrapper)
    execute(wrapper, "SET SESSION completion_type = 'CHAIN'", "BEGIN")
    wrapper.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}


@pytest.mark.parametrize("alias", ["default"])
def test_an_abandoned_iterator(wrapper, observer):
    session = session_id(wrapper)
    cursor = wrapper.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 1000)")
    assert cursor.fetchmany(10)
    wrapper.close()
    assert session_id(wrapper) == session
    with wrapper.cursor() as other:
        other.execute("SELECT count(*) FROM pg_cursors")
        assert other.fetchone()[0] == 0
    cursor.close()  # late, as a generator's finally clause does it: nothing may reach the next borrower


@pytest.mark.parametrize("alias", ["default"])
def test_iterators_of_two_borrowers_do_not_clash(make_wrapper):
    for _ in range(3):  # each borrower is the first of its wrapper: Django's names for the cursors are the same
        wrapper = make_wrapper()
        cursor = wrapper.chunked_cursor()
        cursor.execute("SELECT generate_series(1, 1000)")
        assert cursor.fetchone() == (1,)
        wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1


@pytest.mark.parametrize("alias", ["default"])
def test_an_abandoned_iterator_in_a_failed_transaction(wrapper):
    session = session_id(wrapper)
    wrapper.set_autocommit(False)
    cursor = wrapper.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 1000)")
    with pytest.raises(Error):
        execute(wrapper, "SELECT nothing_of_that_name")
    wrapper.close()
    assert session_id(wrapper) == session


@pytest.mark.parametrize("alias", ["default"])
def test_what_cannot_be_undone_costs_the_connection(wrapper):
    session = session_id(wrapper)
    wrapper.set_autocommit(False)
    wrapper.connection.tpc_begin(wrapper.connection.xid(1, "never", "finished"))  # rollback() is refused from here on
    wrapper.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}


SESSION_STATE = {
    "default": [
        ("SET statement_timeout = '12s'", "SHOW statement_timeout", "0"),
        ("SET search_path = pg_catalog", "SHOW search_path", '"$user", public'),
        ("SET TIME ZONE 'Asia/Tokyo'", "SHOW TIME ZONE", "UTC"),
        ("CREATE TEMPORARY TABLE t (n integer)", "SELECT count(*) FROM pg_class WHERE relname = 't'", 0),
        ("SELECT pg_advisory_lock(7)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", 0),
        ("LISTEN something", "SELECT count(*) FROM pg_listening_channels()", 0),
        ("PREPARE p AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements", 0),
    ],
    "mysql": [
        ("SET @x = 7", "SELECT @x IS NULL", 1),
        ("SET SESSION sql_mode = 'ANSI'", "SELECT @@sql_mode = @@global.sql_mode", 1),
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@tx_isolation", "READ-COMMITTED"),
        ("SET NAMES latin1", "SELECT @@character_set_client", "utf8mb4"),
        ("SELECT GET_LOCK('l', 1)", "SELECT IS_USED_LOCK('l') IS NULL", 1),
        ("SET time_zone = '+09:00'", "SELECT @@time_zone = @@global.time_zone", 1),
        ("USE information_schema", "SELECT DATABASE() = 'information_schema'", 0),
    ],
}


@pytest.mark.parametrize("at", range(7))
def test_reset_session_restores_the_whole_session(make_wrapper, alias, at):
    change, question, expected = SESSION_STATE[alias][at]
    wrapper = make_wrapper(RESET="session")
    session = session_id(wrapper)
    execute(wrapper, change)
    wrapper.close()
    assert session_id(wrapper) == session
    with wrapper.cursor() as cursor:
        cursor.execute(question)
        assert cursor.fetchone()[0] == expected


def test_reset_session_after_a_transaction_that_was_left_open(make_wrapper, observer, table):
    wrapper = make_wrapper(RESET="session")
    session = session_id(wrapper)
    execute(wrapper, "BEGIN", "INSERT INTO numbers VALUES (1)")
    wrapper.close()
    assert_untouched(wrapper, observer, session)


@pytest.mark.parametrize("alias", ["default"])
def test_reset_session_and_prepared_statements_of_the_driver(make_wrapper):
    options = {"prepare_threshold": 0, "server_side_binding": True}
    wrapper = make_wrapper(RESET="session", OPTIONS=options if _driver("default") == "psycopg" else {})
    for _ in range(3):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT %s::int", [1])
            assert cursor.fetchone() == (1,)
        wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1


def _driver(alias):
    return connections[alias].Database.__name__
