"""What is done in Django's stead, to spare a warm request its calls, is what Django would do, and left to whoever does more."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing
from functools import wraps
from types import SimpleNamespace
from unittest import mock

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DatabaseError, Error, IntegrityError, OperationalError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper
from django.db.transaction import TransactionManagementError
from django.db.utils import load_backend
from django.utils.functional import cached_property

from django_sqla_pool import PoolTimeout, known, pooled
from django_sqla_pool.opener import unpooled
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


@pytest.mark.parametrize("is_resumed", [False, True])
def test_an_end_closes_what_is_older_than_conn_max_age(is_resumed, make_wrapper):
    wrapper = make_wrapper(CONN_MAX_AGE=60)
    if is_resumed:
        wrapper.ensure_connection()
        wrapper.close()
    before = time.monotonic()
    wrapper.ensure_connection()
    assert before + 60 <= wrapper.close_at <= time.monotonic() + 60
    lent = wrapper.connection
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is lent
    wrapper.close_at = before
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


@pytest.fixture
def set_clock(monkeypatch):
    """Set the time for wrappers, Django's too, as tools do that freeze it for a test; the pool has its clock already."""

    def set_clock(clock):
        for module in ("django_sqla_pool.wrapper", "django_sqla_pool.reconnect", "django.db.backends.base.base"):
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=clock))

    return set_clock


@pytest.mark.parametrize("now", [5.0, 2e9])
def test_an_end_keeps_what_is_younger_than_conn_max_age_by_whatever_clock(now, make_wrapper, set_clock):
    wrapper = make_wrapper(CONN_MAX_AGE=60)
    set_clock(lambda: now)
    wrapper.ensure_connection()
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is not None
    set_clock(lambda: now + 60)
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


@pytest.mark.parametrize("is_resumed", [False, True])
def test_with_a_conn_max_age_of_0_no_clock_is_asked_at_the_end(is_resumed, wrapper, set_clock):
    assert wrapper.settings_dict["CONN_MAX_AGE"] == 0
    if is_resumed:
        wrapper.ensure_connection()
        wrapper.close()
    set_clock(None)
    wrapper.ensure_connection()
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


@pytest.mark.parametrize("where", ["wrapper", "class"])
def test_a_close_that_somebody_has_put_in_djangos_place_is_called(connected, where):
    with mock.patch.object(connected if where == "wrapper" else BaseDatabaseWrapper, "close") as close:
        connected.close_if_unusable_or_obsolete()
    assert close.call_count == 1
    assert connected.connection is not None


@pytest.mark.parametrize("end", ["close", "close_if_unusable_or_obsolete"])
def test_a_close_that_somebody_has_put_around_another_is_called(end, place, put, wrapper):
    wrapper.ensure_connection()
    calls = put(place, "close")
    getattr(wrapper, end)()
    assert len(calls) == 1
    assert wrapper.connection is None


def test_a_connection_of_no_pool_is_gone_when_it_is_closed(make_wrapper):
    with unpooled():
        wrapper = make_wrapper()
    wrapper.ensure_connection()
    wrapper.close()
    assert wrapper.connection is None


def test_a_close_of_a_wrapper_that_has_lost_its_connection_gives_nothing_back_yet(connected):
    lent, connected.connection = connected.connection, None
    connected.close()
    assert connected.find_pool().snapshot().in_use == 1  # as Django's close() has it; the next connect() sees to it
    connected.connection = lent
    connected.close()
    assert connected.find_pool().snapshot().in_use == 0


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


@pytest.mark.parametrize("name", sorted({*known.__all__} - {"CONNECT", "is_known", "unguarded"}))
def test_this_djangos_methods_are_known(name):
    of_cursors = {"execute": "execute", "execute_with_wrappers": "_execute_with_wrappers", "send": "_execute"}
    of_databases = {"take_cursor": "_cursor", "prepare_cursor": "_prepare_cursor"}
    if name in of_cursors:
        assert getattr(known, name) is getattr(CursorWrapper, of_cursors[name])
    else:
        assert getattr(known, name) is getattr(BaseDatabaseWrapper, of_databases.get(name, name))


def test_a_method_that_does_something_else_is_not_known():
    def connect(self):
        self.check_settings()
        self.a_later_addition = True

    @wraps(BaseDatabaseWrapper.connect)
    def around(self):
        connect(self)

    inside = BaseDatabaseWrapper.connect.__wrapped__
    assert known.is_known(inside, known.CONNECT)
    assert not known.is_known(inside, known.CONNECT, is_async_unsafe=True)
    assert not known.is_known(connect, known.CONNECT)
    assert not known.is_known(around, known.CONNECT, is_async_unsafe=True)


def test_this_djangos_guard_against_event_loops_is_known(wrapper):
    engine = type(wrapper)
    assert engine._cursor_makers == (engine.create_cursor, engine.create_cursor.__wrapped__)


def test_what_is_behind_another_guard_is_not_known(wrapper, monkeypatch):
    guarded = type(wrapper).create_cursor

    @wraps(guarded.__wrapped__)
    def watched(*args):
        return guarded(*args)

    assert known.unguarded(watched) is None
    assert known.unguarded(Proxy(guarded, [])) is None
    assert known.unguarded(guarded.__wrapped__) is None
    monkeypatch.setattr(known, "_GUARD", frozenset({"get_running_loop", "RuntimeError", "a_later_addition"}))
    assert known.unguarded(guarded) is None


# ------------------------------------------------------------------------------------------------------- an event loop


@pytest.mark.parametrize("name", ["cursor", "ensure_connection", "close"])
@pytest.mark.parametrize("is_connected", [True, False])
def test_what_django_refuses_under_an_event_loop_is_refused(name, is_connected, wrapper):
    if is_connected:
        wrapper.ensure_connection()
    before = wrapper.connection

    async def view():
        with pytest.raises(SynchronousOnlyOperation):
            getattr(wrapper, name)()

    asyncio.run(view())
    assert wrapper.connection is before
    wrapper.close()


@pytest.mark.parametrize("name", ["create_cursor", "_cursor"])
def test_the_making_of_a_cursor_is_refused_under_an_event_loop(name, connected):
    async def view():
        with pytest.raises(SynchronousOnlyOperation):
            getattr(connected, name)()

    asyncio.run(view())
    connected.close()


def test_a_cursor_of_a_connection_that_is_there_is_refused_by_whatever_engine(make_engine):
    def create_cursor(self, name=None):
        engine = load_backend(f"django.db.backends.{self.vendor}").DatabaseWrapper
        return engine.create_cursor.__wrapped__(self, name)  # which asks for no event loop

    wrapper = make_engine(create_cursor=create_cursor)
    wrapper.ensure_connection()

    async def view():
        with pytest.raises(SynchronousOnlyOperation):
            wrapper.cursor()

    asyncio.run(view())
    assert session_id(wrapper)
    wrapper.close()


def test_what_django_is_told_to_allow_under_an_event_loop_is_allowed(wrapper, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def view():
        wrapper.ensure_connection()
        first = session_id(wrapper)
        wrapper.close()
        return first, session_id(wrapper)

    first, second = asyncio.run(view())
    assert first == second
    wrapper.close()


# ------------------------------------------------------------------------------------------------------------ a cursor


class Proxy:
    """As tools that watch an application put around a method: to whoever asks, it is what it is around."""

    def __init__(self, method, calls):
        self._method = method
        self._calls = calls

    def __get__(self, instance, owner=None):
        return Proxy(self._method.__get__(instance, owner), self._calls)

    def __getattr__(self, name):
        return getattr(self._method, name)

    def __call__(self, *args, **kwargs):
        self._calls.append(args)
        return self._method(*args, **kwargs)


@pytest.fixture(params=["plain", "proxy"])
def put(request, monkeypatch):
    """Put another in the place of a method, on a class or a wrapper, that calls it; give the calls that it has had."""

    def put(place, name):
        calls = []
        method = getattr(place, name)

        def around(*args, **kwargs):
            calls.append(args)
            return method(*args, **kwargs)

        monkeypatch.setattr(place, name, around if request.param == "plain" else Proxy(method, calls))
        return calls

    return put


@pytest.fixture(params=["wrapper", "its class", "the engine's class", "Django's class"])
def place(request, wrapper):
    wrapper.ensure_connection()
    wrapper.close()
    engine = load_backend(f"django.db.backends.{wrapper.vendor}").DatabaseWrapper
    return {"wrapper": wrapper, "its class": type(wrapper), "the engine's class": engine}.get(request.param, BaseDatabaseWrapper)


@pytest.mark.parametrize("name", ["cursor", "_cursor", "ensure_connection", "_prepare_cursor", "validate_thread_sharing"])
def test_what_somebody_has_put_in_the_place_of_a_method_is_called_for_each_cursor(name, place, put, wrapper):
    calls = put(place, name)
    for number in (1, 2):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert len(calls) >= number
    # Connected once, whoever did it.
    figures = wrapper.find_pool().snapshot()
    assert (figures.in_use, figures.opened, figures.checkouts) == (1, 1, 2)
    wrapper.close()


@pytest.mark.parametrize("place", ["wrapper", "its class", "the engine's class"], indirect=True)
def test_what_somebody_has_put_in_the_place_of_what_makes_a_cursor_is_called_each_time(place, put, wrapper):
    calls = put(place, "create_cursor")
    for number in (1, 2):
        session_id(wrapper)
        assert len(calls) == number
    wrapper.close()


def test_an_ensure_connection_that_somebody_has_put_around_another_is_called(place, put, wrapper):
    calls = put(place, "ensure_connection")
    for number in (1, 2):
        wrapper.ensure_connection()
        assert len(calls) == number
    wrapper.close()


@pytest.mark.parametrize("use", ["ensure_connection", "cursor"])
@pytest.mark.parametrize("reset", ["rollback", "session"])
def test_what_connects_one_wrapper_whoever_asks_does_not_check_out_to_open(make_wrapper, use, reset):
    """Django's own tests put such a one in place."""
    wrapper = make_wrapper(POOL_SIZE=2, MAX_OVERFLOW=0, TIMEOUT=2, RESET=reset)
    bound = wrapper.ensure_connection
    with mock.patch.object(BaseDatabaseWrapper, "ensure_connection", side_effect=lambda: bound()):
        for _ in range(2):  # opened, and restored by what RESET says
            getattr(wrapper, use)()
            wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1


@pytest.mark.parametrize("use", ["ensure_connection", "cursor"])
@pytest.mark.parametrize("is_atomic", [True, False])
def test_what_is_put_in_the_place_of_djangos_ensure_connection_may_call_what_was_bound_before(is_atomic, use, connected):
    bound = connected.ensure_connection
    connected.close()
    connected.in_atomic_block = is_atomic
    with mock.patch.object(BaseDatabaseWrapper, "ensure_connection", side_effect=lambda: bound()) as ensure_connection:
        for number in (1, 2):  # when there is none, and when there is one
            getattr(connected, use)()
            assert ensure_connection.call_count == number
            assert connected.connection is not None
    connected.in_atomic_block = False
    connected.close()


def test_an_ensure_connection_that_runs_in_one_thread_is_called_in_another(connected):
    connected.inc_thread_sharing()
    raised = []

    def refuse():
        if not raised:
            raised.append(None)
            raised.extend(raised_in_another_thread(connected.ensure_connection))
        raise OperationalError

    with mock.patch.object(BaseDatabaseWrapper, "ensure_connection", side_effect=refuse):
        with pytest.raises(OperationalError):
            connected.ensure_connection()
    assert raised == [None, OperationalError]
    connected.dec_thread_sharing()


def test_an_ensure_connection_that_fails_is_called_again(wrapper):
    with mock.patch.object(BaseDatabaseWrapper, "ensure_connection", side_effect=OperationalError) as ensure_connection:
        for number in (1, 2):
            with pytest.raises(OperationalError):
                wrapper.ensure_connection()
            assert ensure_connection.call_count == number


def test_a_block_that_has_lost_its_connection_gets_no_other(connected):
    connected.in_atomic_block = True
    connected.close()
    for connect in (connected.ensure_connection, connected.cursor):
        with pytest.raises(ProgrammingError, match="in an atomic block"):
            connect()
    connected.in_atomic_block = connected.closed_in_transaction = False


def test_an_error_at_connecting_is_djangos(wrapper):
    error = wrapper.Database.OperationalError("as the driver says")
    with mock.patch.object(wrapper, "connect", side_effect=error), pytest.raises(OperationalError) as raised:
        wrapper.ensure_connection()
    assert raised.value.__cause__ is error


def test_a_connect_that_somebody_has_put_in_djangos_place_is_called_each_time(put, wrapper):
    wrapper.ensure_connection()
    wrapper.close()
    calls = put(BaseDatabaseWrapper, "connect")
    for number in (1, 2):
        wrapper.ensure_connection()
        wrapper.close()
        assert len(calls) == number


@pytest.mark.parametrize("where", ["an engine over ours", "an engine that ours is made from"])
def test_an_engines_own_way_to_prepare_a_cursor_is_taken(where, make_wrapper, make_engine):
    calls = []

    def prepare(self, cursor):
        calls.append(cursor)
        return BaseDatabaseWrapper._prepare_cursor(self, cursor)

    if where == "an engine over ours":
        wrapper = make_engine(_prepare_cursor=prepare)
    else:
        template = make_wrapper()
        base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper
        wrapper = pooled(type("Engine", (base,), {"_prepare_cursor": prepare}))(template.settings_dict, template.alias)
    wrapper.ensure_connection()
    calls.clear()
    wrapper.cursor().close()
    assert len(calls) == 1
    wrapper.close()
    wrapper.find_pool().dispose()


@pytest.mark.parametrize(
    "name", ["cursor", "_cursor", "_prepare_cursor", "validate_thread_sharing", "connect", "ensure_connection", "close"]
)
def test_a_method_of_a_class_that_comes_behind_ours_is_called(name, make_wrapper):
    calls = []
    djangos = getattr(BaseDatabaseWrapper, name)

    def method(self, *args):
        calls.append(args)
        return djangos(self, *args)

    template = make_wrapper()
    behind = type("Behind", (BaseDatabaseWrapper,), {name: method})
    wrapper = type("Engine", (type(template), behind), {})(template.settings_dict, template.alias)
    for _ in range(2):
        calls.clear()
        session_id(wrapper)
        wrapper.close()
        assert calls
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


def test_a_cursor_that_is_closed_is_closed_at_the_driver(connected):
    with connected.cursor() as cursor:
        cursor.execute("SELECT 1")
    if connected.vendor == "mysql":
        assert cursor.cursor.cursor.connection is None
    else:
        assert cursor.cursor.closed
    connected.close()


def test_a_fetch_method_that_somebody_gives_djangos_cursors_is_called(connected, monkeypatch):
    monkeypatch.setattr(CursorWrapper, "fetchone", lambda _: "theirs", raising=False)
    with connected.cursor() as cursor:
        assert cursor.fetchone() == "theirs"
    connected.close()


def test_a_cursor_that_finds_what_it_has_not_in_its_own_way_is_left_to_it(make_engine):
    found = []

    class Finding(CursorWrapper):
        def __getattr__(self, name):
            found.append(name)
            return getattr(self.cursor, name)

    template = make_engine()
    base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper
    engine = pooled(type("Engine", (base,), {"make_cursor": lambda self, cursor: Finding(cursor, self)}))
    wrapper = engine(template.settings_dict, template.alias)
    session_id(wrapper)
    found.clear()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert found == ["fetchone", "close"]
    wrapper.close()
    wrapper.find_pool().dispose()


def test_a_class_that_somebody_makes_of_a_cursors_is_asked_for_what_it_does_not_have(connected):
    # As a tool that is to find out what would query the database does.
    class Refusing:
        def __getattr__(self, name):
            raise LookupError(name)

    cursor = connected.cursor()
    cursor.execute("SELECT 1")
    refusing = type("Refusing", (Refusing, type(cursor)), {})(cursor.cursor, connected)
    with_one = type("WithOne", (Refusing, type(cursor)), {"fetchone": lambda self: "its own"})(cursor.cursor, connected)
    assert with_one.fetchone() == "its own"
    for name in ("fetchone", "fetchmany", "fetchall", "close", "rowcount"):
        with pytest.raises(LookupError, match=name):
            getattr(refusing, name)
    with pytest.raises(LookupError, match="close"), refusing:
        pass
    cursor.close()
    connected.close()


# --------------------------------------------------------------------------------------------------------- a statement


@pytest.mark.parametrize("name", ["execute", "_execute_with_wrappers", "_execute"])
def test_a_class_that_somebody_makes_of_a_cursors_has_its_methods_called(name, connected):
    calls = []
    cursor = connected.cursor()
    kind = type(cursor)

    def method(self, *args, **kwargs):
        calls.append(args)
        return getattr(kind, name)(self, *args, **kwargs)

    with type("Watching", (kind,), {name: method})(cursor.cursor, connected) as watching:
        watching.execute("SELECT 1")
        assert watching.fetchone() == (1,)
    assert len(calls) == 1
    connected.close()


@pytest.mark.parametrize("name", ["execute", "_execute_with_wrappers", "_execute"])
def test_what_somebody_has_put_in_the_place_of_a_cursors_method_is_called_for_each_statement(name, put, connected):
    calls = put(CursorWrapper, name)
    for number in (1, 2):
        with connected.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
            assert cursor.fetchall()[0] == (number,)
        assert len(calls) == number
    connected.close()


def test_an_execute_wrapper_is_called_for_each_statement(connected):
    seen = []

    def watch(execute, sql, params, many, context):
        seen.append((sql, params, many, context["connection"], context["cursor"]))
        return execute(sql, params, many, context)

    with connected.cursor() as cursor:
        cursor.execute("SELECT 1")
        with connected.execute_wrapper(watch):
            cursor.execute("SELECT %s", [2])
        cursor.execute("SELECT 3")
    assert seen == [("SELECT %s", [2], False, connected, cursor)]
    connected.close()


def test_a_statement_without_parameters_is_sent_as_it_is(connected):
    with connected.cursor() as cursor:
        cursor.execute("SELECT '%'")
        assert cursor.fetchone() == ("%",)
        cursor.execute("SELECT '%%', %s", ["a"])
        assert cursor.fetchone() == ("%", "a")
    connected.close()


def test_a_statement_in_a_broken_transaction_is_refused(connected):
    connected.needs_rollback = True
    with connected.cursor() as cursor, pytest.raises(TransactionManagementError):
        cursor.execute("SELECT 1")
    connected.needs_rollback = False
    connected.close()


def test_an_engines_own_check_of_the_transaction_is_made_for_each_statement(make_engine):
    calls = []
    wrapper = make_engine(validate_no_broken_transaction=lambda self: calls.append(1))
    session_id(wrapper)
    calls.clear()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("SELECT 1")
    assert calls == [1, 1]
    wrapper.close()


def test_a_statement_before_the_applications_are_ready_is_warned_of(connected, monkeypatch):
    monkeypatch.setattr(apps, "ready", False)
    monkeypatch.setattr(apps, "stored_app_configs", [])
    with connected.cursor() as cursor, pytest.warns(RuntimeWarning, match="app initialization"):
        cursor.execute("SELECT 1")
    connected.close()


@pytest.mark.parametrize("params", [None, ("1",)])
def test_an_error_of_a_statement_is_djangos(params, connected):
    with connected.cursor() as cursor, pytest.raises(ProgrammingError) as raised:
        cursor.execute("SELECT * FROM nowhere" + (" WHERE a = %s" if params else ""), params)
    assert isinstance(raised.value.__cause__, connected.Database.ProgrammingError)
    assert raised.value.args == raised.value.__cause__.args
    assert connected.errors_occurred
    assert connected._lease.had_errors
    connected.close()


@pytest.mark.parametrize("alias", ["mysql"])
def test_an_error_that_djangos_engine_takes_for_another_is_that(connected):
    with connected.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE tight (n INT UNSIGNED NOT NULL, CHECK (n < 5))")
        with pytest.raises(IntegrityError):
            cursor.execute("INSERT INTO tight VALUES (7)")
    connected._lease.end("disposed")
    connected.close()


# ------------------------------------------------------------------------------------------ the making of a cursor on MySQL


def rollbacks(wrapper):
    with wrapper.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Com_rollback'")
        return int(cursor.fetchone()[1])


@pytest.fixture(params=["the wrapper", "the engine's class", "the driver's class"])
def maker(request, connected):
    """Who has a method by which a cursor is made, and its name."""
    engine = load_backend("django.db.backends.mysql").DatabaseWrapper
    return {
        "the wrapper": (connected, "create_cursor"),
        "the engine's class": (engine, "create_cursor"),
        "the driver's class": (connected.Database.connections.Connection, "cursor"),
    }[request.param]


@pytest.mark.parametrize("alias", ["mysql"])
def test_what_somebody_has_put_in_the_place_of_what_makes_a_cursor_is_called_and_costs_no_rollback(maker, put, connected):
    before = rollbacks(connected)
    calls = put(*maker)
    for number in (1, 2):
        session_id(connected)
        assert len(calls) == number
        connected.close()
    assert rollbacks(connected) == before
    connected.close()


@pytest.mark.parametrize("alias", ["mysql"])
def test_an_engines_own_way_to_make_a_cursor_is_taken_and_costs_no_rollback(make_engine):
    calls = []

    def creating(base):
        def create_cursor(self, name=None):
            calls.append(name)
            return base.create_cursor(self, name)

        return type("Engine", (base,), {"create_cursor": create_cursor})

    template = make_engine()
    for engine in (pooled(creating(load_backend("django.db.backends.mysql").DatabaseWrapper)), creating(type(template))):
        wrapper = engine(template.settings_dict, template.alias)
        before = rollbacks(wrapper)
        calls.clear()
        for number in (1, 2):
            session_id(wrapper)
            assert len(calls) == number
            wrapper.close()
        assert rollbacks(wrapper) == before
        wrapper.close()
        wrapper.find_pool().dispose()


class Around:
    """A proxy that passes for what it is around, as tools that watch an application put one around a connection."""

    def __init__(self, connection):
        object.__setattr__(self, "_connection", connection)
        object.__setattr__(self, "calls", [])

    __class__ = property(lambda self: self._connection.__class__, lambda self, kind: setattr(self._connection, "__class__", kind))

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def __setattr__(self, name, value):
        setattr(self._connection, name, value)

    def cursor(self, *args, **kwargs):
        self.calls.append(args)
        return self._connection.cursor(*args, **kwargs)


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_connection_that_an_engine_has_put_his_own_around_makes_the_cursors(make_engine):
    def get_new_connection(self, parameters):
        return Around(load_backend("django.db.backends.mysql").DatabaseWrapper.get_new_connection(self, parameters))

    wrapper = make_engine(get_new_connection=get_new_connection)
    before = rollbacks(wrapper)
    wrapper.connection.calls.clear()
    session_id(wrapper)
    assert len(wrapper.connection.calls) == 1
    wrapper.close()
    assert rollbacks(wrapper) == before
    wrapper.close()


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_connection_that_somebody_opens_by_the_class_of_ours_makes_cursors(connected):
    with closing(type(connected.connection)(**connected.get_connection_params())) as another, another.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connected.close()


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_cursor_method_that_somebody_has_put_on_a_connection_is_called(connected):
    cursor, calls = connected.connection.cursor, []
    connected.connection.cursor = lambda *args: calls.append(args) or cursor(*args)
    session_id(connected)
    assert len(calls) == 1
    connected._lease.end("disposed")
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


def test_a_check_of_the_settings_that_somebody_has_put_in_djangos_place_is_made_each_time(place, put, wrapper):
    calls = put(place, "check_settings")
    for number in (1, 2):
        wrapper.ensure_connection()
        wrapper.close()
        assert len(calls) == number


@pytest.mark.parametrize("before", ["nothing", "a request", "a lease that has ended"])
def test_settings_that_django_refuses_are_refused_each_time(before, make_wrapper, settings):
    wrapper = make_wrapper(TIME_ZONE="Asia/Tokyo")
    settings.USE_TZ = True
    if before != "nothing":
        session_id(wrapper)
        lease = wrapper._lease
        wrapper.close()
        if before == "a lease that has ended":
            lease.close()
    settings.USE_TZ = False  # Django tells its own wrappers of that, of which this is none
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="USE_TZ is False"):
            wrapper.ensure_connection()
        assert wrapper.find_pool().snapshot().in_use == 0
    settings.USE_TZ = True
    assert session_id(wrapper)


def test_a_wrapper_is_spared_djangos_connect(wrapper):
    received = []

    def receive(connection, **_):
        received.append(connection)

    connection_created.connect(receive)
    try:
        with mock.patch.object(type(wrapper), "_connect_from") as connect_from:
            assert session_id(wrapper)
    finally:
        connection_created.disconnect(receive)
    assert connect_from.call_count == 0
    assert received == [wrapper]


def test_while_djangos_connect_runs_stand_ins_hide_an_engines_methods_and_no_longer(make_wrapper, monkeypatch):
    monkeypatch.setattr(known, "connect", object())
    full = {"POOL_SIZE": 1, "MAX_OVERFLOW": 0, "TIMEOUT": 0}
    wrapper, late = make_wrapper(**full), make_wrapper(**full)
    names = {"get_connection_params", "get_new_connection", "set_autocommit", "init_connection_state"}
    seen = []

    def receive(connection, **_):
        seen.append(names & set(vars(connection)))

    connection_created.connect(receive)
    try:
        wrapper.ensure_connection()
    finally:
        connection_created.disconnect(receive)
    assert seen == [set()]
    with pytest.raises(PoolTimeout):
        late.ensure_connection()
    assert names & set(vars(late)) == set()


def test_a_first_connect_is_refused_under_an_event_loop(wrapper):
    async def view():
        with pytest.raises(SynchronousOnlyOperation):
            wrapper.connect()

    asyncio.run(view())
    assert wrapper.connection is None


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_connect_that_fails_leaves_a_wrapper_as_djangos_does(is_known, is_atomic, make_wrapper, monkeypatch):
    full = {"POOL_SIZE": 1, "MAX_OVERFLOW": 0, "TIMEOUT": 0}
    make_wrapper(**full).ensure_connection()
    wrapper = make_wrapper(**full)
    vars(wrapper).update(
        in_atomic_block=is_atomic,
        savepoint_ids=["s1"],
        atomic_blocks=[object()],
        needs_rollback=True,
        closed_in_transaction=True,
        errors_occurred=True,
        health_check_done=False,
    )
    if not is_known:
        monkeypatch.setattr(known, "connect", object())
    with pytest.raises(PoolTimeout):
        wrapper.connect()
    left = (wrapper.connection, wrapper.in_atomic_block, wrapper.savepoint_ids, wrapper.atomic_blocks)
    assert left == (None, False, [], [])
    assert not wrapper.needs_rollback
    assert not wrapper.closed_in_transaction
    assert not wrapper.errors_occurred
    assert wrapper.health_check_done


@pytest.mark.parametrize("where", ["an engine that ours is made from", "Django's"])
def test_a_name_of_the_time_zone_that_is_somebodys_own_is_asked_for(where, make_wrapper, monkeypatch):
    asked = []

    def timezone_name(self):
        asked.append(self)
        return "UTC"

    template = make_wrapper()
    if where == "Django's":
        put = cached_property(timezone_name)
        put.__set_name__(BaseDatabaseWrapper, "timezone_name")
        monkeypatch.setattr(BaseDatabaseWrapper, "timezone_name", put)
        wrapper = type(template)(template.settings_dict, template.alias)
    else:
        base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper
        engine = type("Engine", (base,), {"timezone_name": cached_property(timezone_name)})
        wrapper = pooled(engine)(template.settings_dict, template.alias)
    wrapper.ensure_connection()
    assert wrapper in asked
    wrapper.close()
    wrapper.find_pool().dispose()


@pytest.mark.parametrize(
    ("is_on", "of_alias", "name"), [(True, None, "UTC"), (True, "Asia/Tokyo", "Asia/Tokyo"), (False, None, "Asia/Kabul")]
)
def test_the_name_of_the_time_zone_is_as_django_says(is_on, of_alias, name, make_wrapper, settings):
    settings.USE_TZ, settings.TIME_ZONE = is_on, "Asia/Kabul"
    wrapper = make_wrapper(TIME_ZONE=of_alias)
    assert wrapper.timezone_name == name
    engine = load_backend(f"django.db.backends.{wrapper.vendor}").DatabaseWrapper
    assert engine(wrapper.settings_dict, wrapper.alias).timezone_name == name


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
