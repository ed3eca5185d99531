"""Engines of others, pooled: django-prometheus on both servers, underneath our engine and on top of it."""

from __future__ import annotations

import copy
import itertools
import threading

import pytest
from django.db import DatabaseError, Error, OperationalError, connections
from django.db.utils import load_backend
from prometheus_client import REGISTRY

from tests.support.sessions import session_id

_numbers = itertools.count(1)


@pytest.fixture(params=["under", "over"])
def side(request):
    return request.param


@pytest.fixture
def engine(side, alias):
    return f"tests.third_party.prometheus_{side}.{'mysql' if alias == 'mysql' else 'postgresql'}"


@pytest.fixture
def make_wrapper(engine, alias):
    """A function that makes a wrapper of the engine; those of one test share their settings, but for what is changed."""
    name, made = f"counted{next(_numbers)}", []

    def make(**changes):
        settings = copy.deepcopy(connections[alias].settings_dict)
        settings.update({"ENGINE": engine, "POOL_OPTIONS": {"IDLE_TIMEOUT": 500.0 + next(_numbers)}, **changes})
        made.append(load_backend(engine).DatabaseWrapper(settings, name))
        return made[-1]

    yield make
    for wrapper in made:
        wrapper.inc_thread_sharing()
        wrapper.close()
        wrapper.close_pool()


@pytest.fixture
def wrapper(make_wrapper):
    return make_wrapper()


def count(wrapper, name, **labels):
    """Return what django-prometheus has counted for this wrapper's alias."""
    labels |= {"alias": wrapper.alias, "vendor": wrapper.vendor}
    return REGISTRY.get_sample_value(f"django_db_{name}", labels) or 0


def ask(wrapper, sql="SELECT 1"):
    with wrapper.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


def test_ten_requests_use_one_connection_which_is_counted_once(wrapper):
    sessions = set()
    for _ in range(10):
        sessions.add(session_id(wrapper))
        wrapper.close()
    assert len(sessions) == 1
    snapshot = wrapper.find_pool().snapshot()
    assert (snapshot.opened, snapshot.checkouts) == (1, 10)
    assert count(wrapper, "new_connections_total") == 1
    assert count(wrapper, "new_connection_errors_total") == 0


def test_every_connection_that_is_opened_is_counted(wrapper, make_wrapper):
    other = make_wrapper(POOL_OPTIONS=wrapper.settings_dict["POOL_OPTIONS"])
    assert session_id(wrapper) != session_id(other)
    assert count(wrapper, "new_connections_total") == wrapper.find_pool().snapshot().opened == 2
    for each in (wrapper, other):
        each.close()
    wrapper.close_pool()
    ask(wrapper)
    assert count(wrapper, "new_connections_total") == wrapper.find_pool().snapshot().opened == 3


def test_a_statement_counts_once_however_often_its_connection_was_lent(wrapper):
    # A pool that repeats the set-up of a connection has its cursors wrapped once more at every checkout.
    for _ in range(20):
        wrapper.ensure_connection()
        wrapper.close()
    before = count(wrapper, "execute_total")
    timed = count(wrapper, "query_duration_seconds_count")
    ask(wrapper)
    ask(wrapper)
    wrapper.close()
    ask(wrapper)
    assert wrapper.find_pool().snapshot().opened == 1
    assert count(wrapper, "execute_total") == before + 3
    assert count(wrapper, "query_duration_seconds_count") == timed + 3


def test_a_checkout_and_a_checkin_count_no_statement(wrapper):
    ask(wrapper)
    wrapper.close()
    before = count(wrapper, "execute_total")
    wrapper.ensure_connection()
    wrapper.close()
    assert count(wrapper, "execute_total") == before


def test_many_at_once_and_failures_are_counted(wrapper):
    wrapper.ensure_connection()
    wrapper.close()
    before = count(wrapper, "execute_total")
    with wrapper.cursor() as cursor:
        cursor.executemany("SELECT %s", [(1,), (2,), (3,)])
    assert count(wrapper, "execute_many_total") == 3
    # mysqlclient and PyMySQL execute one by one, and are counted at both.
    assert count(wrapper, "execute_total") >= before + 3
    with pytest.raises(DatabaseError) as caught:
        ask(wrapper, "SELECT nothing_of_that_name")
    kind = type(caught.value.__cause__).__name__
    assert count(wrapper, "errors_total", type=kind) == 1


def test_a_connection_that_can_not_be_opened_is_counted_as_such(make_wrapper):
    wrapper = make_wrapper(PORT=1, POOL_OPTIONS={"CONNECT_RETRY": 0})
    with pytest.raises(OperationalError):
        wrapper.ensure_connection()
    assert count(wrapper, "new_connections_total") == count(wrapper, "new_connection_errors_total") == 1
    assert wrapper.find_pool().snapshot().in_use == 0


def test_a_cursor_kept_after_close_is_of_no_use(wrapper):
    session = session_id(wrapper)
    kept = wrapper.cursor()
    wrapper.close()
    with pytest.raises((Error, wrapper.Database.Error)):
        kept.execute("SELECT 1")
    assert session_id(wrapper) == session


@pytest.mark.parametrize("alias", ["default"])
def test_a_named_cursor_works_and_leaves_nothing(wrapper):
    cursor = wrapper.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 10)")
    assert cursor.fetchone() == (1,)
    wrapper.close()
    assert ask(wrapper, "SELECT count(*) FROM pg_cursors") == (0,)
    assert wrapper.find_pool().snapshot().opened == 1


def test_threads_share_the_connections_and_the_counts(make_wrapper):
    pool_options = {"POOL_SIZE": 2, "MAX_OVERFLOW": 0, "IDLE_TIMEOUT": 400.0 + next(_numbers)}
    wrappers = [make_wrapper(POOL_OPTIONS=pool_options) for _ in range(8)]
    for wrapper in wrappers[:2]:
        ask(wrapper)  # opens a connection; what that counts is not the question here
    for wrapper in wrappers:
        wrapper.inc_thread_sharing()
        wrapper.close()
    before = count(wrappers[0], "execute_total")

    def work(wrapper):
        for _ in range(25):
            ask(wrapper)
            wrapper.close()

    threads = [threading.Thread(target=work, args=[wrapper]) for wrapper in wrappers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    snapshot = wrappers[0].find_pool().snapshot()
    assert (snapshot.opened, snapshot.checkouts) == (2, 202)
    assert count(wrappers[0], "new_connections_total") == 2
    assert count(wrappers[0], "execute_total") == before + 200
