"""What is done in Django's stead, to spare a warm request its calls, is what Django would do, and left to whoever does more."""

from __future__ import annotations

import asyncio
import threading
from functools import wraps
from unittest import mock

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, Error, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from django_sqla_pool import known, pooled
from tests.support.sessions import session_id


@pytest.fixture
def connected(wrapper):
    wrapper.ensure_connection()
    return wrapper


@pytest.fixture
def make_engine(make_wrapper):
    """Make a wrapper of an engine built on ours, with more methods."""

    def make(**methods):
        template = make_wrapper()
        return type("Engine", (type(template),), methods)(template.settings_dict, template.alias)

    yield make
    make_wrapper().find_pool().dispose()


def raised_in_another_thread(call):
    raised = []

    def work():
        try:
            call()
        except Exception as error:
            raised.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return raised


# ------------------------------------------------------------------------------------------------- the end of a request


def test_an_end_inside_atomic_ends_the_block_for_good(connected):
    connected.in_atomic_block = True
    connected.close_if_unusable_or_obsolete()
    assert connected.connection is None
    assert connected.closed_in_transaction
    assert connected.needs_rollback
    connected.in_atomic_block = connected.closed_in_transaction = False


def test_an_end_drops_what_was_to_be_run_on_commit(connected):
    connected.run_on_commit = [(set(), int, False)]
    connected.close_if_unusable_or_obsolete()
    assert connected.run_on_commit == []


def test_an_end_in_another_thread_is_refused(connected):
    assert raised_in_another_thread(connected.close_if_unusable_or_obsolete) == [DatabaseError]
    assert connected.connection is not None


def test_an_end_under_an_event_loop_is_refused(connected):
    async def view():
        with pytest.raises(SynchronousOnlyOperation):
            connected.close_if_unusable_or_obsolete()

    asyncio.run(view())
    assert connected.connection is not None


@pytest.mark.parametrize("where", ["wrapper", "class"])
def test_a_close_that_somebody_has_put_in_djangos_place_is_called(connected, where):
    with mock.patch.object(connected if where == "wrapper" else BaseDatabaseWrapper, "close") as close:
        connected.close_if_unusable_or_obsolete()
    assert close.call_count == 1
    assert connected.connection is not None


def test_an_engines_own_close_is_called(make_engine):
    calls = []

    def close(self):
        calls.append(1)
        BaseDatabaseWrapper.close(self)

    wrapper = make_engine(close=close)
    wrapper.ensure_connection()
    wrapper.close_if_unusable_or_obsolete()
    assert calls == [1]
    assert wrapper.connection is None


# ------------------------------------------------------------------------------------------------ what of Django is known


@pytest.mark.parametrize("name", ["connect", "ensure_connection", "cursor", "prepare_cursor", "make_cursor"])
def test_this_djangos_methods_are_known(name):
    django = {"cursor": "_cursor", "prepare_cursor": "_prepare_cursor"}.get(name, name)
    assert getattr(known, name) is getattr(BaseDatabaseWrapper, django)


def test_this_djangos_cursors_make_their_fetch_methods_anew():
    assert {"fetchone", "fetchmany", "fetchall"} <= known.fetches


def test_a_method_that_does_something_else_is_not_known():
    def connect(self):
        self.check_settings()
        self.a_later_addition = True

    @wraps(BaseDatabaseWrapper.connect)
    def around(self):
        connect(self)

    assert not known.is_known(connect, known.CONNECT)
    assert not known.is_known(connect, known.CONNECT, is_async_unsafe=True)
    assert not known.is_known(around, known.CONNECT, is_async_unsafe=True)


# ------------------------------------------------------------------------------------------------------------ a cursor


@pytest.mark.parametrize("where", ["wrapper", "class", "engine"])
def test_an_ensure_connection_that_somebody_has_put_in_djangos_place_is_called_for_each_cursor(where, connected, make_engine):
    if where == "engine":
        connected = make_engine(ensure_connection=BaseDatabaseWrapper.ensure_connection)
        connected.ensure_connection()
    place = {"wrapper": connected, "class": BaseDatabaseWrapper, "engine": type(connected)}[where]
    with mock.patch.object(place, "ensure_connection", autospec=True) as ensure_connection:
        connected.cursor().close()
        connected.cursor().close()
    assert ensure_connection.call_count == 2
    connected.close()


@pytest.mark.parametrize("where", ["Django", "an engine over ours", "an engine that ours is made from"])
def test_a_prepare_cursor_that_is_not_djangos_own_is_called(where, make_wrapper, make_engine):
    calls = []
    django = BaseDatabaseWrapper._prepare_cursor

    def prepare(self, cursor):
        calls.append(cursor)
        return django(self, cursor)

    if where == "an engine over ours":
        wrapper = make_engine(_prepare_cursor=prepare)
    else:
        wrapper = template = make_wrapper()
        if where == "an engine that ours is made from":
            base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper
            engine = pooled(type("Engine", (base,), {"_prepare_cursor": prepare}))
            wrapper = engine(template.settings_dict, template.alias)
    wrapper.ensure_connection()
    calls.clear()
    with mock.patch.object(BaseDatabaseWrapper, "_prepare_cursor", prepare if where == "Django" else django):
        wrapper.cursor().close()
    assert len(calls) == 1
    wrapper.close()
    wrapper.find_pool().dispose()


def test_an_engines_own_way_to_take_a_cursor_is_taken(make_wrapper):
    calls = []
    template = make_wrapper()
    base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper

    def take(self, name=None):
        calls.append(1)
        return base._cursor(self, name)

    wrapper = pooled(type("Engine", (base,), {"_cursor": take}))(template.settings_dict, template.alias)
    session_id(wrapper)
    wrapper.close()
    assert calls
    wrapper.find_pool().dispose()


def test_an_error_at_the_making_of_a_cursor_is_djangos(connected):
    error = connected.Database.OperationalError("as the driver says")
    with mock.patch.object(connected, "create_cursor", side_effect=error), pytest.raises(OperationalError) as raised:
        connected.cursor()
    assert raised.value.__cause__ is error
    connected.close()


def test_a_statement_is_logged_where_it_is_asked_for(connected):
    connected.force_debug_cursor = True
    with connected.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connected.queries_log[-1]["sql"] == "SELECT 1"
    connected.force_debug_cursor = False
    connected.close()


@pytest.mark.parametrize(
    ("fetch", "arguments", "count"),
    [("fetchone", {}, None), ("fetchmany", {"size": 2}, 2), ("fetchall", {}, 3)],
)
def test_the_fetch_methods_are_the_drivers_with_djangos_errors(fetch, arguments, count, connected):
    with connected.cursor() as cursor:
        cursor.execute("SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1")
        rows = getattr(cursor, fetch)(**arguments)
        assert tuple(rows) == ((1,) if count is None else ((1,),) * count)
    with connected.cursor() as cursor, pytest.raises(Error) as raised:
        getattr(cursor, fetch)()  # of nothing
    assert isinstance(raised.value.__cause__, connected.Database.Error)
    connected.close()


# --------------------------------------------------------------------------------------------------------- the thread


def test_a_cursor_in_another_thread_is_refused(connected):
    assert raised_in_another_thread(connected.cursor) == [DatabaseError]


def test_a_cursor_in_another_thread_of_a_wrapper_that_is_shared(connected):
    connected.inc_thread_sharing()
    try:
        assert raised_in_another_thread(lambda: session_id(connected)) == []
    finally:
        connected.dec_thread_sharing()


@pytest.mark.parametrize("is_over_ours", [True, False], ids=["built on ours", "ours built on it"])
def test_an_engine_that_asks_otherwise_who_may_use_it_is_asked(make_wrapper, make_engine, is_over_ours):
    calls = []

    def validate_thread_sharing(self):
        calls.append(1)

    if is_over_ours:
        wrapper = make_engine(validate_thread_sharing=validate_thread_sharing)
    else:
        template = make_wrapper()
        base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper
        engine = pooled(type("Engine", (base,), {"validate_thread_sharing": validate_thread_sharing}))
        wrapper = engine(template.settings_dict, template.alias)
    session_id(wrapper)  # and what Django asks once
    calls.clear()
    with wrapper.cursor():
        assert calls == [1]
    wrapper.close_if_unusable_or_obsolete()
    assert calls == [1, 1]
    wrapper.find_pool().dispose()


# --------------------------------------------------------------------------------------------------------- connecting


def test_an_engines_own_check_of_its_settings_is_made_each_time(make_engine):
    calls = []

    def check_settings(self):
        calls.append(1)

    wrapper = make_engine(check_settings=check_settings)
    for number in (1, 2, 3):
        wrapper.ensure_connection()
        assert len(calls) == number
        wrapper.close()


def test_an_engine_that_hears_of_what_is_set_hears_of_each_connection(make_engine):
    heard = []

    def __setattr__(self, name, value):
        if name == "connection" and value is not None:
            heard.append(value)
        object.__setattr__(self, name, value)

    wrapper = make_engine(__setattr__=__setattr__)
    wrapper.ensure_connection()  # this one was set on another wrapper as well, for it to be opened
    wrapper.close()
    heard.clear()
    for number in (1, 2, 3):
        wrapper.ensure_connection()
        assert len(heard) == number
        wrapper.close()
