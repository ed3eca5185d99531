"""What differs between the drivers, where no other test would notice."""

from __future__ import annotations

import os
import socket
import time
import types

import pytest
from django.db import connections

from django_sqla_pool import pooled, verifier
from django_sqla_pool.drivers import Liveness, NoAnswer, driver_class, libpq, mysql, native
from tests.support.leftovers import MARIADB_UNFINISHED
from tests.support.sessions import session_id
from tests.support.threads import in_thread, wait_until
from tests.test_borrowers import execute, outcome, tables  # noqa: F401  (a fixture)
from tests.test_round_trips import make_proxied, measured, one_select, proxy  # noqa: F401  (fixtures)


def test_an_engine_with_another_driver_cannot_be_pooled():
    from django.db.backends.sqlite3.base import DatabaseWrapper

    with pytest.raises(TypeError, match="can't pool connections of 'sqlite3'"):
        pooled(DatabaseWrapper)


def test_a_driver_is_known_by_its_module(wrapper):
    assert driver_class(wrapper.Database).__name__.lower().startswith(("psycopg", "mysqlclient", "pymysql"))
    with pytest.raises(TypeError, match="it knows psycopg, psycopg2, MySQLdb, pymysql"):
        driver_class(types.ModuleType("oracledb"))


def test_the_probe_tells_quiet_from_closed(wrapper, observer):
    session = session_id(wrapper)
    driver = wrapper._lease.physical.driver
    assert driver.probe() is Liveness.QUIET
    observer.kill(session)
    wait_until(lambda: driver.probe() is not Liveness.QUIET)  # a server may forget a session before its socket closes
    with pytest.raises(Exception, match=r"terminat|closed|gone|Lost|killed|status"):
        driver.ping(2)
    wrapper._lease.end("dead")


def test_a_connection_closed_by_the_driver_is_dead_whatever_its_descriptor_is_now(wrapper):
    wrapper.ensure_connection()
    driver = wrapper._lease.physical.driver
    quiet, other = socket.socketpair()
    descriptor = driver.fileno()
    wrapper.connection.close()
    os.dup2(quiet.fileno(), descriptor)
    try:
        assert driver.probe() is Liveness.DEAD
        assert not driver.is_quiet()
    finally:
        for number in (quiet.detach(), other.detach(), descriptor):
            os.close(number)


def test_a_connection_closed_while_idle_is_not_lent(wrapper):
    session = session_id(wrapper)
    raw = wrapper.connection
    wrapper.close()
    raw.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"dead": 1}


def test_a_ping_that_is_not_answered_ends_at_its_deadline(make_proxied, proxy):  # noqa: F811
    wrapper = make_proxied()
    wrapper.ensure_connection()
    driver = wrapper._lease.physical.driver
    proxy.settled().hold_answers()
    began = time.monotonic()
    with in_thread("pings", lambda: driver.ping(0.2)) as outcome:
        pass
    assert [(type(error), str(error)) for error in outcome] == [(NoAnswer, "no answer within 0.2 s")]
    assert time.monotonic() - began >= 0.2
    wrapper._lease.end("dead")


def test_a_ping_costs_one_round_trip_and_leaves_nothing_to_be_read(make_proxied, proxy):  # noqa: F811
    wrapper = make_proxied()
    one_select(wrapper)
    driver = wrapper._lease.physical.driver
    trips, statements = measured(proxy, lambda: driver.ping(5))
    assert trips == 1, statements
    assert driver.probe() is Liveness.QUIET
    assert driver.is_idle(False)
    assert session_id(wrapper)


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_ping_changes_no_timeout_of_the_users(make_wrapper):
    wrapper = make_wrapper(OPTIONS={"read_timeout": 77})
    wrapper.ensure_connection()
    driver = wrapper._lease.physical.driver
    driver.ping(5)
    one_select(wrapper)
    # mysqlclient's timeouts are the library's, and a ping has nothing to do with them.
    if type(driver).__name__ == "PyMySQL":
        assert driver.connection._sock.gettimeout() == 77


@pytest.mark.parametrize("alias", ["default"])
def test_a_ping_leaves_a_blocking_libpq_blocking(wrapper):
    wrapper.ensure_connection()
    pgconn = getattr(wrapper.connection, "pgconn", None)
    for nonblocking in (0, 1) if pgconn is not None else ():
        pgconn.nonblocking = nonblocking
        wrapper._lease.physical.driver.ping(5)
        assert pgconn.nonblocking == nonblocking


@pytest.mark.parametrize("alias", ["default"])
class TestPsycopg2:
    """What psycopg2 alone has. (psycopg 3 has its own way to libpq, and must do the same in the end.)"""

    @pytest.fixture(autouse=True, params=["libpq in reach", "libpq out of reach"])
    def reach(self, request, monkeypatch):
        if request.param == "libpq out of reach":
            monkeypatch.setattr(libpq, "_library", lambda path: None)

    def test_a_ping_begins_no_transaction_whatever_autocommit_is(self, make_wrapper):
        for autocommit in (True, False):
            wrapper = make_wrapper(AUTOCOMMIT=autocommit)
            wrapper.ensure_connection()
            driver = wrapper._lease.physical.driver
            driver.ping(5)
            assert driver.is_idle(False)
            assert wrapper.connection.autocommit is autocommit
            assert session_id(wrapper)
            wrapper.rollback()
            wrapper.close()

    def test_a_notice_that_comes_with_a_ping_is_kept(self, wrapper, observer):
        wrapper.ensure_connection()
        driver = wrapper._lease.physical.driver
        with wrapper.cursor() as cursor:
            cursor.execute("LISTEN news")
        observer.query("NOTIFY news, 'something'")
        driver.ping(5)
        assert driver.is_idle(False)
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)

    def test_a_dead_session_does_not_answer(self, wrapper, observer):
        session = session_id(wrapper)
        driver = wrapper._lease.physical.driver
        observer.kill(session)
        with pytest.raises(Exception, match=r"terminat|closed|status"):
            driver.ping(5)
        with pytest.raises(Exception, match=r"closed|no connection|terminat"):
            driver.ping(5)


def test_an_extension_module_that_hides_libpq_is_one_without(wrapper):
    import _socket

    assert libpq._library(_socket.__file__) is None


@pytest.fixture
def without_status(monkeypatch):
    """mysqlclient as it is when linked with MySQL's own library, which does not show the status word."""
    if connections["mysql"].Database.__name__ == "MySQLdb":
        monkeypatch.setattr(mysql.Native, "has_status", False)


@pytest.mark.usefixtures("without_status")
@pytest.mark.parametrize("alias", ["mysql"])
class TestMySQLWithoutTheStatusWord:
    """mysqlclient with a library that does not show it. (PyMySQL always does, and must do the same in the end.)"""

    @pytest.mark.parametrize("leftover", MARIADB_UNFINISHED, ids=lambda leftover: leftover.what.replace("`", ""))
    def test_what_was_left_unfinished_is_not_passed_on(self, make_wrapper, observer, tables, leftover):  # noqa: F811
        assert outcome(make_wrapper, observer, leftover) in ("gone", "closed")

    def test_nobody_waits_for_the_rollback(self, make_proxied, proxy):  # noqa: F811
        wrapper = make_proxied()
        one_select(wrapper)
        proxy.settled()
        proxy.hold_answers()
        wrapper.close()  # would wait for ever, if it did
        proxy.resume()
        one_select(wrapper)
        assert wrapper.find_pool().snapshot().opened == 1

    def test_without_pre_ping_the_answer_is_read_as_well(self, make_wrapper):
        wrapper = make_wrapper(PRE_PING=False)
        session = session_id(wrapper)
        for _ in range(3):
            wrapper.close()
            assert session_id(wrapper) == session

    def test_an_answer_that_does_not_come_costs_the_connection(self, wrapper, observer):
        session = session_id(wrapper)
        observer.kill(session)
        wrapper.close()
        assert session_id(wrapper) != session
        assert sum(wrapper.find_pool().snapshot().closed.values()) == 1

    def test_the_answer_to_the_rollback_is_the_liveness_check(self, make_wrapper, observer):
        wrapper = make_wrapper(PING_AFTER=1e6)
        session = session_id(wrapper)
        wrapper.close()
        observer.kill(session)
        assert session_id(wrapper) != session
        assert wrapper.find_pool().snapshot().closed == {"dead": 1}

    def test_who_waits_for_the_answer_in_vain_gets_another_connection(self, make_proxied, proxy, monkeypatch):  # noqa: F811
        monkeypatch.setattr(verifier, "ANSWER_WITHIN", 0.2)
        wrapper = make_proxied(PING_AFTER=0)
        session = session_id(wrapper)
        proxy.settled().lose()
        wrapper.close()
        assert session_id(wrapper) != session
        assert wrapper.find_pool().snapshot().closed == {"dead": 1}

    def test_the_session_is_reset(self, make_wrapper):
        wrapper = make_wrapper(RESET="session")
        session = session_id(wrapper)
        execute(wrapper, "SET @x = 7")
        wrapper.close()
        assert session_id(wrapper) == session
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT @x")
            assert cursor.fetchone() == (None,)

    def test_a_ping_is_sent_after_the_answer_was_read(self, make_wrapper):
        wrapper = make_wrapper(PING_AFTER=0)
        session = session_id(wrapper)
        wrapper.close()
        assert session_id(wrapper) == session

    def test_the_status_word_is_not_made_up(self, wrapper):
        wrapper.ensure_connection()
        native = getattr(wrapper._lease.physical.driver, "_native", None)
        if native is not None:
            native.look = None
            with pytest.raises(mysql.ResetFailed, match="does not tell"):
                native.status()


def test_a_connection_that_mysqlclient_does_not_open_up_has_no_native_side(monkeypatch):
    monkeypatch.setattr(native.sys, "modules", {"MySQLdb._mysql": types.SimpleNamespace(__file__=None)})
    assert native.Native.of(object()) is None


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_session_that_cannot_be_reset_costs_the_connection(make_wrapper, monkeypatch):
    wrapper = make_wrapper(RESET="session")
    session = session_id(wrapper)
    driver = wrapper._lease.physical.driver
    if hasattr(driver, "_native"):
        driver._native.reset_connection = lambda: True  # as mysql_reset_connection() says that it failed
    else:
        driver.connection._sock.shutdown(socket.SHUT_RDWR)
    wrapper.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_reset_session_has_what_the_options_ask_for_at_the_start(make_wrapper):
    options = {"sql_mode": "ANSI", "init_command": "SET @greeting = 'hello'"}
    wrapper = make_wrapper(RESET="session", OPTIONS=options)
    for _ in range(2):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT @@sql_mode LIKE '%%ANSI%%', @greeting, @@character_set_client")
            assert cursor.fetchone() == (1, "hello", "utf8mb4")
            cursor.execute("SET SESSION sql_mode = '', @greeting = 'bye', NAMES latin1")
        wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_session_without_a_database_is_reset_as_well(make_wrapper):
    wrapper = make_wrapper(RESET="session", NAME="")
    session = session_id(wrapper)
    wrapper.close()
    assert session_id(wrapper) == session
    execute(wrapper, "USE information_schema")
    wrapper.close()
    assert session_id(wrapper) != session, "no statement takes that back"
    assert wrapper.find_pool().snapshot().closed == {"reset failed": 1}


def test_a_ping_leaves_manual_transaction_management_as_it_is(make_wrapper):
    wrapper = make_wrapper(AUTOCOMMIT=False, PING_AFTER=0)
    session = session_id(wrapper)
    wrapper.close()
    wrapper.ensure_connection()
    driver = wrapper._lease.physical.driver
    assert driver.is_idle(False), "the ping has begun a transaction"
    assert wrapper.get_autocommit() is False
    assert session_id(wrapper) == session
    wrapper.rollback()


@pytest.mark.parametrize("alias", ["default"])
def test_a_psycopg_without_an_attribute_that_is_looked_at_is_reset_by_its_methods(wrapper):
    wrapper.ensure_connection()
    connection = wrapper.connection
    getattr(connection, "__dict__", {}).pop("_tpc", None)  # it is psycopg's own; psycopg2 has neither
    driver = type(wrapper._lease.physical.driver)(connection, True, {})
    driver.reset(False)
    connection.autocommit = False
    driver.reset(False)
    assert connection.autocommit is True
