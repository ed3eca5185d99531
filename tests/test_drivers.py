"""What differs between the drivers, where no other test would notice."""

from __future__ import annotations

import types

import pytest
from django.db import connections

from django_sqla_pool import pooled
from django_sqla_pool.drivers import Liveness, driver_class
from tests.support.sessions import session_id
from tests.test_borrowers import assert_untouched, execute, table  # noqa: F401  (a fixture)
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
    assert driver.probe() in (Liveness.DEAD, Liveness.SUSPICIOUS)
    with pytest.raises(Exception, match=r"terminat|closed|gone|Lost|killed|status"):
        driver.ping()
    wrapper._lease.end("dead")


def test_a_connection_closed_by_the_driver_is_dead_whatever_its_descriptor_is_now(wrapper):
    wrapper.ensure_connection()
    driver = wrapper._lease.physical.driver
    wrapper.connection.close()
    assert driver.probe() is Liveness.DEAD


def test_a_connection_closed_while_idle_is_not_lent(wrapper):
    session = session_id(wrapper)
    raw = wrapper.connection
    wrapper.close()
    raw.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"dead": 1}


@pytest.fixture
def without_status(monkeypatch):
    """mysqlclient as it is when linked with MySQL's own library, which does not show the status word."""
    if connections["mysql"].Database.__name__ == "MySQLdb":
        from django_sqla_pool.drivers import mysql

        monkeypatch.setattr(mysql.Native, "has_status", False)


@pytest.mark.usefixtures("without_status")
@pytest.mark.parametrize("alias", ["mysql"])
class TestMySQLWithoutTheStatusWord:
    """mysqlclient with a library that does not show it. (PyMySQL always does, and must do the same in the end.)"""

    @pytest.mark.parametrize(
        "left", [["BEGIN", "INSERT INTO numbers VALUES (1)"], ["SET autocommit = 0", "INSERT INTO numbers VALUES (1)"]]
    )
    def test_what_was_left_open_is_undone(self, wrapper, observer, table, left):  # noqa: F811
        session = session_id(wrapper)
        execute(wrapper, *left)
        wrapper.close()
        assert_untouched(wrapper, observer, session)

    def test_nobody_waits_for_the_rollback(self, make_proxied, proxy):  # noqa: F811
        wrapper = make_proxied()
        one_select(wrapper)
        proxy.settled()
        proxy.hold_answers()
        wrapper.close()  # would wait for ever, if it did
        proxy.resume()
        one_select(wrapper)
        assert wrapper.find_pool().snapshot().opened == 1

    def test_the_answer_to_the_rollback_is_the_liveness_check(self, make_wrapper, observer):
        wrapper = make_wrapper(PING_AFTER=1e6)
        session = session_id(wrapper)
        wrapper.close()
        observer.kill(session)
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
