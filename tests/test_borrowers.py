"""What one borrower did, and what the next one sees: the tables of docs/between-borrowers.rst, and what fits in no table.

Each run compares the columns of its own two drivers. After a change that is meant they are written anew, with each flavour, by

    BETWEEN_BORROWERS=write python3 -m pytest tests/test_borrowers.py
"""

from __future__ import annotations

import contextlib
import functools
import os
from importlib import import_module

import pytest
from django.db import DatabaseError, Error, connections
from django.db.backends.utils import CursorWrapper

from django_sqla_pool import pooled
from tests.support import page
from tests.support.leftovers import LEFTOVERS, ROLE, TABLES, driver_of, sql
from tests.support.sessions import session_id
from tests.support.threads import wait_until
from tests.test_round_trips import make_proxied, measured, one_select, proxy  # noqa: F401  (fixtures)


def execute(wrapper, *statements):
    with wrapper.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def tables(observer):
    """The tables that leftovers need, empty; and afterwards nothing of what outlives a connection."""
    engine = " ENGINE=InnoDB" if observer.wrapper.vendor == "mysql" else ""
    for name in TABLES:
        observer.query(f"CREATE TABLE IF NOT EXISTS {name} (n integer){engine}")
    yield
    if engine:
        for _, length, _, data in observer.query("XA RECOVER"):
            wait_until(functools.partial(rolls_back, observer, data[:length].decode()))
        observer.query(f"DROP ROLE IF EXISTS {ROLE}")
    else:
        for (name,) in observer.query("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
            observer.query("ROLLBACK PREPARED %s", [name])
    for name in TABLES:
        observer.query(f"DROP TABLE {name}")


def rolls_back(observer, name):
    """Roll a prepared transaction back; false as long as it is that of a session whose end the server has not noticed."""
    try:
        observer.query(f"XA ROLLBACK '{name}'")
    except DatabaseError:
        return False
    return True


def outcome(make_wrapper, observer, leftover, **pool_options):
    """Have one borrower leave something, and say what the next one finds: gone, closed or stays."""
    driver = driver_of(connections[observer.wrapper.alias])
    options = leftover.options[driver]() if driver in leftover.options else {}
    first, second = (make_wrapper(OPTIONS=options, **pool_options) for _ in range(2))
    first.ensure_connection()
    before = leftover.look(first)
    raw = first.connection
    kept = leftover.leave_of(driver)(first)
    try:
        assert not leftover.is_seen or leftover.look(first) != before, "nothing was left"
        first.close()
        second.ensure_connection()
        after = leftover.look(second)
        if second.connection is not raw:
            assert after == before
            return "closed"
        return "gone" if after == before else "stays"
    finally:
        first.close()
        second.close()
        second.find_pool().dispose()
        disarm(kept)


def disarm(kept):
    """Have a cursor that was left half-read on a connection that is closed now not complain when it is collected."""
    if getattr(kept, "_result", None) is not None and hasattr(kept._result, "unbuffered_active"):
        kept._result.unbuffered_active = False  # PyMySQL would read the rest
    if hasattr(kept, "withhold"):
        with contextlib.suppress(Exception):
            kept.close()


def assert_as_on_the_page(name, rows, row, cells):
    """Compare some cells with those of the page; or write them there."""
    if os.environ.get("BETWEEN_BORROWERS") == "write":
        page.write(name, rows, row, cells)
    found = page.tables()[name][row]
    assert {column: found[column] for column in cells} == cells


OURS = {alias: driver_of(connections[alias]) for alias in LEFTOVERS}
ROWS = [(alias, name, row) for alias, names in LEFTOVERS.items() for name, rows in names.items() for row in rows]
CASES = [
    pytest.param(alias, name, row, reset, id=f"{name}-{row.what.replace('`', '')}-{reset}")
    for alias, name, row in ROWS
    for reset in page.RESETS
    if row.leave_of(OURS[alias])
]


@pytest.mark.parametrize(("alias", "name", "leftover", "reset"), CASES)
def test_what_the_next_borrower_sees(make_wrapper, observer, tables, alias, name, leftover, reset):
    if "two-phase" in leftover.what and alias == "default" and observer.query("SHOW max_prepared_transactions") == [("0",)]:
        pytest.skip("max_prepared_transactions is 0 on this server")
    found = outcome(make_wrapper, observer, leftover, RESET=reset)
    rows = [row.what for row in LEFTOVERS[alias][name]]
    assert_as_on_the_page(name, rows, leftover.what, {(OURS[alias], reset): found})
    assert make_wrapper(RESET=reset).find_pool().snapshot().closed.get("dead", 0) == 0, "found out at checkin, not later"


def test_what_a_driver_does_not_have():
    for alias, name, leftover in ROWS:
        if not leftover.leave_of(OURS[alias]):
            cells = {(OURS[alias], reset): "n/a" for reset in page.RESETS}
            assert_as_on_the_page(name, [row.what for row in LEFTOVERS[alias][name]], leftover.what, cells)


def test_the_page_has_every_row_and_no_other():
    expected = {name: [row.what for row in rows] for names in LEFTOVERS.values() for name, rows in names.items()}
    expected |= {f"round trips on {server}": list(COSTS) for server in ("PostgreSQL", "MariaDB")}
    assert {name: list(rows) for name, rows in page.tables().items()} == expected


def _cells(*resets):
    return {
        (name, row, driver): cell
        for name, rows in page.tables().items()
        for row, cells in rows.items()
        for (driver, reset), cell in cells.items()
        if reset in resets
    }


def test_nothing_unfinished_is_passed_on():
    found = {cell for (name, *_), cell in _cells("rollback", "session").items() if name.startswith("unfinished")}
    assert found == {"gone", "closed", "n/a"}


def test_nothing_stays_under_session():
    assert {cell for (name, *_), cell in _cells("session").items() if "round trips" not in name} == {"gone", "closed", "n/a"}


def failing_statement(wrapper):
    with pytest.raises(Error):
        execute(wrapper, "SELECT nothing_of_that_name")


COSTS = {
    "nothing": one_select,
    "a transaction left open": sql("BEGIN", "SELECT 1"),
    "a statement that failed": failing_statement,
}


@pytest.mark.parametrize("reset", page.RESETS)
@pytest.mark.parametrize("left", COSTS)
def test_what_a_checkin_costs(make_proxied, proxy, alias, left, reset):  # noqa: F811
    # The time zone that Django asks for is the session's from the start; what it is at the server is nobody's concern here.
    wrapper = make_proxied(RESET=reset, OPTIONS={"options": "-c TimeZone=UTC"} if alias == "default" else {})
    for _ in range(2):
        COSTS[left](wrapper)
        trips, _ = measured(proxy, wrapper.close)
    name = f"round trips on {'PostgreSQL' if alias == 'default' else 'MariaDB'}"
    assert_as_on_the_page(name, list(COSTS), left, {(OURS[alias], reset): str(trips)})
    assert wrapper.find_pool().snapshot().opened == 1


def debug_cursor(wrapper):
    wrapper.force_debug_cursor = True
    return wrapper.cursor()


def cursor_of_the_engines_own_kind(wrapper):
    class Own(CursorWrapper):
        pass

    class Engine(type(wrapper).__mro__[2]):
        def make_cursor(self, cursor):
            return Own(cursor, self)

    wrapper.__class__ = pooled(Engine)
    cursor = wrapper.cursor()
    assert isinstance(cursor, Own)
    return cursor


@pytest.mark.parametrize("alias", ["default"])
@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("make_cursor", [lambda wrapper: wrapper.cursor(), debug_cursor, cursor_of_the_engines_own_kind])
@pytest.mark.parametrize(
    "statement",
    [
        "declare c cursor with hold for select 1",
        b"DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT 1; DECLARE c SCROLL CURSOR\nWith /* out */ Hold FOR SELECT 1",
        lambda driver_sql: driver_sql.SQL("DECLARE {} CURSOR WITH HOLD FOR SELECT 1").format(driver_sql.Identifier("c")),
    ],
)
def test_a_held_cursor_is_closed_however_it_was_declared(make_wrapper, autocommit, make_cursor, statement):
    wrapper = make_wrapper(AUTOCOMMIT=autocommit)
    if callable(statement):
        statement = statement(import_module(f"{wrapper.Database.__name__}.sql"))
    with make_cursor(wrapper) as cursor:
        cursor.execute(statement)
        cursor.execute("COMMIT")
        cursor.execute("SELECT name FROM pg_cursors")
        assert ("c",) in cursor.fetchall()
        session = session_id(wrapper)
    wrapper.close()
    assert session_id(wrapper) == session
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_cursors")
        assert ("c",) not in cursor.fetchall()


@pytest.mark.parametrize("alias", ["default"])
def test_a_held_cursor_of_executemany_is_closed(wrapper):
    with wrapper.cursor() as cursor:
        cursor.executemany("DECLARE c CURSOR WITH HOLD FOR SELECT 1", [()])
    wrapper.close()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_cursors WHERE name = 'c'")
        assert cursor.fetchall() == []


@pytest.mark.parametrize("alias", ["default"])
def test_a_held_cursor_costs_one_round_trip_and_what_only_looks_like_one_none(make_proxied, proxy):  # noqa: F811
    wrapper = make_proxied()
    execute(wrapper, 'SELECT 1 AS hold, 2 AS "threshold"', "SELECT 'declared'")
    assert measured(proxy, wrapper.close) == (0, ())
    execute(wrapper, "DECLARE c CURSOR WITH HOLD FOR SELECT 1")
    assert measured(proxy, wrapper.close) == (1, ("CLOSE ALL",))


@pytest.mark.parametrize("alias", ["mysql"])
def test_an_error_handler_in_a_procedure_is_no_open_handler(make_wrapper):
    wrapper = make_wrapper()
    session = session_id(wrapper)
    execute(wrapper, "CREATE OR REPLACE PROCEDURE e() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END; END")
    wrapper.close()
    assert session_id(wrapper) == session


class Watched:
    """As tools that watch an application put around a connection: it passes on all but a change of its class."""

    def __init__(self, connection):
        vars(self)["connection"] = connection

    @property
    def __class__(self):
        return self.connection.__class__

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def __setattr__(self, name, value):
        if name == "__class__":
            raise AttributeError(name)
        setattr(self.connection, name, value)


@pytest.fixture(params=["plain", "watched"])
def unseen(request, make_wrapper):
    """A wrapper beside a table to write to unseen; its connection may be watched."""
    wrapper = make_wrapper()
    if request.param == "watched":
        kind = type(wrapper)
        watched = {"get_new_connection": lambda self, parameters: Watched(kind.get_new_connection(self, parameters))}
        wrapper = type("Engine", (kind,), watched)(wrapper.settings_dict, wrapper.alias)
    execute(wrapper, "CREATE OR REPLACE TABLE unseen (id int) ENGINE InnoDB")
    wrapper.close()
    yield wrapper
    execute(wrapper, "DROP TABLE unseen")
    wrapper.close()
    wrapper.find_pool().dispose()


@pytest.mark.parametrize("alias", ["mysql"])
@pytest.mark.parametrize("rows", ["", "SELECT 1; "], ids=["at once", "after rows"])
@pytest.mark.parametrize("maker", ["the driver", "the wrapper"])
def test_a_transaction_of_a_statement_that_failed_unseen_by_django_is_rolled_back(unseen, maker, rows):
    unseen.ensure_connection()
    lent = unseen.connection
    # The wrapper's has not been made ready by Django, and tells nobody of its errors either.
    cursor = lent.cursor() if maker == "the driver" else unseen.create_cursor()
    with contextlib.closing(cursor), pytest.raises(unseen.Database.Error, match="nonsense"):
        # Its last answer is the error, which carries no status.
        cursor.execute(f"BEGIN NOT ATOMIC {rows}START TRANSACTION; INSERT INTO unseen VALUES (1); SELECT nonsense; END")
        cursor.nextset()
    unseen.close()
    with unseen.cursor() as cursor:
        assert unseen.connection is lent
        cursor.execute("SELECT @@in_transaction, (SELECT count(*) FROM unseen)")
        assert cursor.fetchone() == (0, 0)


def test_a_cursor_kept_after_close(wrapper):
    session = session_id(wrapper)
    cursor = wrapper.cursor()
    cursor.execute("SELECT 1")
    wrapper.close()
    with pytest.raises(Error):
        cursor.execute("SELECT 2")
    assert session_id(wrapper) == session


def test_the_drivers_own_cursor_kept_after_close(wrapper):
    session = session_id(wrapper)
    cursor = wrapper.cursor().cursor
    if wrapper.vendor == "mysql":
        cursor = cursor.cursor  # inside Django's own for this engine
    wrapper.close()
    with pytest.raises(wrapper.Database.Error):
        cursor.execute("SELECT 2")
    assert session_id(wrapper) == session


def test_only_the_cursors_that_somebody_still_has_are_remembered(wrapper):
    kept = []
    for number in range(1000):
        cursor = wrapper.cursor()
        if not number % 10:
            kept.append(cursor)
    assert 100 <= len(wrapper._lease.cursors) <= 2 * 100 + 32
    wrapper.close()
    for cursor in (kept[0], kept[-1]):
        with pytest.raises(Error):
            cursor.execute("SELECT 1")


def test_results_that_were_never_read(wrapper):
    session = session_id(wrapper)
    cursor = wrapper.cursor()
    cursor.execute("SELECT 1 UNION ALL SELECT 2")
    cursor.fetchone()
    wrapper.close()
    assert session_id(wrapper) == session


def test_autocommit_that_was_turned_off_and_not_used(wrapper):
    session = session_id(wrapper)
    wrapper.set_autocommit(False)
    wrapper.close()
    assert session_id(wrapper) == session
    assert wrapper.connection.get_autocommit() if wrapper.vendor == "mysql" else wrapper.connection.autocommit


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
def test_an_abandoned_iterator_that_is_all_there_is_in_a_transaction(make_wrapper):
    wrapper = make_wrapper(AUTOCOMMIT=False)
    cursor = wrapper.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 1000)")
    assert cursor.fetchmany(10)
    wrapper.close()
    wrapper.ensure_connection()
    assert wrapper.find_pool().snapshot().opened == 1
    cursor.close()


@pytest.mark.parametrize("alias", ["default"])
def test_an_abandoned_iterator_beside_a_half_read_stream(wrapper):
    if driver_of(wrapper) == "psycopg2":
        wrapper.ensure_connection()
        assert not hasattr(wrapper.connection.cursor(), "stream"), "psycopg2 has no such thing"
        return
    session = session_id(wrapper)
    wrapper.set_autocommit(False)
    cursor = wrapper.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 1000)")
    rows = wrapper.connection.cursor().stream("SELECT generate_series(1, 1000)")
    assert next(rows)
    wrapper.close()  # to close the iterator's cursor would wait for the stream, for ever
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}
    rows.close()
    with contextlib.suppress(Error):
        cursor.close()


@pytest.mark.parametrize("alias", ["default"])
def test_a_prepared_transaction_is_the_servers_and_outlives_the_connection(make_wrapper, observer, tables):
    if observer.query("SHOW max_prepared_transactions") == [("0",)]:
        pytest.skip("max_prepared_transactions is 0 on this server")
    wrapper = make_wrapper(AUTOCOMMIT=False)  # with autocommit the driver itself would refuse to be reset
    session = session_id(wrapper)
    wrapper.rollback()
    wrapper.connection.tpc_begin(wrapper.connection.xid(1, "prepared", "here"))
    execute(wrapper, "INSERT INTO numbers VALUES (1)")
    wrapper.connection.tpc_prepare()
    wrapper.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}
    wrapper.close()
    ((name,),) = observer.query("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
    observer.query("COMMIT PREPARED %s", [name])
    assert observer.query("SELECT n FROM numbers") == [(1,)]


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
def test_reset_session_and_prepared_statements_of_the_driver(make_wrapper):
    options = {"prepare_threshold": 0, "server_side_binding": True}
    wrapper = make_wrapper(RESET="session", OPTIONS=options if driver_of(connections["default"]) == "psycopg 3" else {})
    for _ in range(3):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT %s::int", [1])
            assert cursor.fetchone() == (1,)
        wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1
