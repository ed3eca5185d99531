"""The life of a wrapper's connection: Django's own objects and errors, with a pool behind them."""

from __future__ import annotations

import copy
import gc
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from django.db import ProgrammingError, connections, transaction
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.signals import connection_created
from django.db.utils import load_backend

from django_sqla_pool import housekeeper, known, pooled, reconnect
from django_sqla_pool import wrapper as wrapper_module
from tests.support.sessions import session_id


def test_django_holds_the_drivers_own_connection(wrapper):
    wrapper.ensure_connection()
    assert type(wrapper.connection).__module__.partition(".")[0] == wrapper.Database.__name__.partition(".")[0]


def test_a_connection_that_is_given_back_is_lent_again(wrapper):
    first = session_id(wrapper)
    wrapper.close()
    assert wrapper.connection is None
    assert session_id(wrapper) == first


def test_a_wrapper_is_lent_the_connection_that_it_had_last(make_wrapper):
    wrappers = [make_wrapper() for _ in range(3)]
    sessions = [session_id(wrapper) for wrapper in wrappers]
    for wrapper in wrappers:
        wrapper.close()
    assert [session_id(wrapper) for wrapper in wrappers] == sessions


def test_two_wrappers_never_hold_the_same_connection(make_wrapper):
    one, other = make_wrapper(), make_wrapper()
    assert session_id(one) != session_id(other)
    assert one.find_pool() is other.find_pool()


def test_a_connection_is_set_up_once(wrapper, monkeypatch):
    calls = []
    for name in ("get_connection_params", "get_new_connection", "init_connection_state"):
        original = getattr(type(wrapper), name)

        def counted(self, *args, name=name, original=original):
            calls.append(name)
            return original(self, *args)

        monkeypatch.setattr(type(wrapper), name, counted)
    for _ in range(3):
        wrapper.ensure_connection()
        wrapper.close()
    assert calls == ["get_connection_params", "get_new_connection", "init_connection_state"]


def test_connection_created_is_sent_at_every_checkout_and_for_nothing_else(wrapper):
    seen = []

    def receive(connection, **kwargs):
        seen.append(connection)

    connection_created.connect(receive)
    try:
        for _ in range(2):
            wrapper.ensure_connection()
            wrapper.close()
    finally:
        connection_created.disconnect(receive)
    assert seen == [wrapper, wrapper]


def test_atomic_in_a_receiver_is_a_transaction(wrapper, observer):
    observer.query("DROP TABLE IF EXISTS visits")
    observer.query("CREATE TABLE visits (n integer)")

    def visit(connection, **kwargs):
        with suppress(LookupError), _as_connection(connection), transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO visits VALUES (1)")
            raise LookupError

    connection_created.connect(visit)
    try:
        for _ in range(2):  # on a connection that was opened for it, and on one that was idle
            wrapper.ensure_connection()
            wrapper.close()
    finally:
        connection_created.disconnect(visit)
    assert observer.query("SELECT count(*) FROM visits")[0][0] == 0
    wrapper.find_pool().dispose()
    observer.query("DROP TABLE visits")


def test_what_connecting_sets_on_a_wrapper_every_borrower_has(make_wrapper):
    fresh = make_wrapper()
    fresh.ensure_connection()
    level = fresh.isolation_level
    fresh.close()
    warm = make_wrapper()
    warm.ensure_connection()
    assert warm.find_pool().snapshot().opened == 1
    assert warm.isolation_level == level


def test_close_inside_atomic_and_then_a_query_is_djangos_own_error(wrapper):
    connections_alias = wrapper.alias
    with pytest.raises(ProgrammingError, match="Cannot open a new connection in an atomic block"):
        with _as_connection(wrapper), transaction.atomic(using=connections_alias):
            wrapper.ensure_connection()
            wrapper.close()
            assert wrapper.connection is None
            wrapper.cursor()
    assert wrapper.find_pool().snapshot().in_use == 0


@pytest.mark.parametrize("by", ["a resumed lease", "a checkout", "a checkout inside Django's connect()"])
def test_a_receiver_that_fails_costs_no_connection(by, wrapper, monkeypatch):
    def fail(**kwargs):
        raise LookupError("a receiver's bug")

    if "Django" in by:
        monkeypatch.setattr(known, "connect", object())
    connection_created.connect(fail)
    try:
        for _ in range(3):
            if by == "a checkout" and wrapper._previous is not None:
                wrapper._previous.close()
            with pytest.raises(LookupError):
                wrapper.ensure_connection()
            assert wrapper.connection is None
    finally:
        connection_created.disconnect(fail)
    figures = wrapper.find_pool().snapshot()
    assert (figures.in_use, figures.opened) == (0, 1)


@contextmanager
def interrupt_at(line):
    """Raise KeyboardInterrupt before the n-th line of these two modules that is executed from now on; yield how many were."""
    passed = [0]

    def trace(frame, event, _):
        if frame.f_code.co_filename not in (wrapper_module.__file__, reconnect.__file__):
            return None
        if event == "line":
            passed[0] += 1
            if passed[0] == line:
                raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(previous)


def test_an_interrupt_anywhere_in_connect_leaves_django_and_pool_of_one_mind(wrapper):
    session_id(wrapper)
    wrapper.close()
    assert wrapper.wrap_database_errors  # made when it is first asked for
    attributes = set(vars(wrapper))
    for line in range(1, 200):
        with suppress(KeyboardInterrupt), interrupt_at(line) as passed:
            wrapper.ensure_connection()
        assert set(vars(wrapper)) == attributes
        assert (wrapper.connection is None) is (wrapper._lease is None)
        assert wrapper.find_pool().snapshot().in_use == (wrapper.connection is not None)
        wrapper.close()
        if passed[0] < line:
            break
    assert 10 < line < 199
    assert session_id(wrapper)


@pytest.mark.parametrize("is_known", [True, False])
def test_an_interrupt_anywhere_in_the_first_connect_leaves_a_wrapper_that_can_be_used(is_known, make_wrapper, monkeypatch):
    if not is_known:
        monkeypatch.setattr(known, "connect", object())
    for line in range(1, 200):
        wrapper = make_wrapper()
        with suppress(KeyboardInterrupt), interrupt_at(line) as passed:
            wrapper.ensure_connection()
        assert (wrapper.connection is None) is (wrapper._lease is None)
        assert session_id(wrapper)
        wrapper.close()
        assert wrapper.find_pool().snapshot().in_use == 0
        if passed[0] < line:
            break
    assert 10 < line < 199


def test_closing_twice_gives_back_once(wrapper):
    wrapper.ensure_connection()
    wrapper.close()
    wrapper.close()
    assert wrapper.find_pool().snapshot().checkouts == 1


def test_a_copied_wrapper_does_not_give_back_what_the_original_uses(wrapper):
    session = session_id(wrapper)
    twin = copy.copy(wrapper)
    twin.close()
    assert wrapper.find_pool().snapshot().in_use == 1
    assert session_id(wrapper) == session


def test_a_wrapper_that_is_collected_gives_its_place_back(make_wrapper):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=10)
    other = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=10)
    lost = wrapper.copy()
    session = session_id(lost)
    del lost
    gc.collect()
    # Waits for the place, which the housekeeper frees; the connection might have been in the middle of anything.
    assert session_id(other) != session
    assert other.find_pool().snapshot().closed == {"abandoned": 1}


def test_a_thread_that_ends_gives_its_place_back_without_the_garbage_collector(make_wrapper):
    kept = []  # the wrapper lives on: it is the thread that ends

    def request():
        kept.append(make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=10))
        with kept[0].cursor() as cursor:
            cursor.execute("BEGIN")

    gc.disable()
    try:
        thread = threading.Thread(target=request)
        thread.start()
        thread.join(30)
        assert session_id(make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=10))
    finally:
        gc.enable()
    assert kept[0].find_pool().snapshot().closed == {"abandoned": 1}


def test_a_connection_shared_with_other_threads_survives_the_one_that_opened_it(make_wrapper):
    wrappers = []

    def open_and_share():
        wrapper = make_wrapper()
        wrapper.inc_thread_sharing()
        wrappers.append((wrapper, session_id(wrapper)))

    thread = threading.Thread(target=open_and_share)
    thread.start()
    thread.join(30)
    ((wrapper, session),) = wrappers
    done = threading.Event()
    housekeeper.submit(done.set)  # after what the end of the thread has submitted
    assert done.wait(10)
    assert session_id(wrapper) == session
    wrapper.dec_thread_sharing()


def test_a_connection_opened_for_another_thread_stays_when_the_thread_that_opened_it_ends(wrapper):
    """As in Django's own test of passing a connection to a thread: sharing ends as soon as that thread has ended."""
    go_on, done, sessions = threading.Event(), threading.Event(), []
    housekeeper.submit(lambda: go_on.wait(30))  # it looks at the end of the thread only after sharing has ended
    wrapper.inc_thread_sharing()
    thread = threading.Thread(target=lambda: sessions.append(session_id(wrapper)))
    thread.start()
    thread.join(30)
    wrapper.dec_thread_sharing()
    go_on.set()
    housekeeper.submit(done.set)
    assert done.wait(10)
    assert session_id(wrapper) == sessions[0]


def test_a_connection_taken_away_without_close_is_not_lost(wrapper):
    session = session_id(wrapper)
    wrapper.connection = None
    assert session_id(wrapper) != session
    figures = wrapper.find_pool().snapshot()
    assert (figures.in_use, figures.closed) == (1, {"abandoned": 1})


def test_an_unconnected_wrapper_is_not_usable(wrapper):
    assert wrapper.is_usable() is False
    wrapper.ensure_connection()
    assert wrapper.is_usable() is True


def test_conn_max_age_keeps_its_meaning(make_wrapper):
    wrapper = make_wrapper(CONN_MAX_AGE=None)
    wrapper.ensure_connection()
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is not None
    wrapper = make_wrapper(CONN_MAX_AGE=0)
    wrapper.ensure_connection()
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


def test_a_health_check_that_fails_replaces_the_connection(make_wrapper, observer):
    wrapper = make_wrapper(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    session = session_id(wrapper)
    wrapper.close_if_unusable_or_obsolete()
    observer.kill(session)
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"dead": 1}


def test_a_health_check_of_somebody_elses_is_believed(make_wrapper, monkeypatch):
    wrapper = make_wrapper(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    session = session_id(wrapper)
    wrapper.close_if_unusable_or_obsolete()
    monkeypatch.setattr(wrapper, "is_usable", lambda: False)  # as an engine's own that asks for more, a replica's lag say
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"dead": 1}


def test_a_health_check_that_succeeds_keeps_the_connection(make_wrapper):
    wrapper = make_wrapper(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    session = session_id(wrapper)
    wrapper.close_if_unusable_or_obsolete()
    assert session_id(wrapper) == session


def test_a_wrapper_that_is_not_pooled_has_no_pool_to_close(alias):
    unpooled = type(connections[alias])(connections[alias].settings_dict, NO_DB_ALIAS)
    unpooled.close_pool()
    assert unpooled.find_pool() is None


def test_an_engine_that_calls_djangos_init_by_its_name_connects_by_itself(make_wrapper):
    template = make_wrapper()
    base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper

    def __init__(self, *args):
        base.__init__(self, *args)

    wrapper = type("Engine", (type(template),), {"__init__": __init__})(template.settings_dict, template.alias)
    wrapper.close_if_unusable_or_obsolete()
    assert session_id(wrapper)
    assert wrapper.find_pool() is None
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


def test_an_engine_with_a_new_of_its_own_is_given_what_it_is_made_from(make_wrapper):
    template = make_wrapper()
    base = load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper
    made = []

    def __new__(cls, settings, alias):
        made.append((settings, alias))
        return base.__new__(cls)

    wrapper = pooled(type("Engine", (base,), {"__new__": __new__}))(template.settings_dict, template.alias)
    assert made == [(template.settings_dict, template.alias)]
    assert session_id(wrapper)
    assert wrapper.find_pool().snapshot().in_use == 1
    wrapper.close()
    wrapper.close_pool()


def test_a_connection_that_cannot_be_set_up_is_closed(make_wrapper, observer):
    plain = make_wrapper()

    class Failing(type(plain)):
        def init_connection_state(self):
            super().init_connection_state()
            with self.cursor() as cursor:
                cursor.execute("SELECT * FROM nowhere")

    before = observer.sessions()
    wrapper = Failing(plain.settings_dict, plain.alias)
    for _ in range(3):
        with pytest.raises(ProgrammingError, match="nowhere"):
            wrapper.ensure_connection()
    observer.wait_until_gone(observer.sessions() - before)
    figures = wrapper.find_pool().snapshot()
    assert (figures.in_use, figures.idle, figures.opened) == (0, 0, 0)


def test_a_job_that_fails_does_not_end_the_housekeeper(wrapper, caplog):
    wrapper.ensure_connection()  # so that it runs
    done = threading.Event()

    def fail():
        raise LookupError("a job's bug")

    housekeeper.submit(fail)
    housekeeper.submit(done.set)
    assert done.wait(10)
    assert "a job's bug" in caplog.text


def test_a_round_that_fails_is_made_again(wrapper, monkeypatch, caplog):
    pool = wrapper.find_pool()
    done = threading.Event()

    def fail():
        monkeypatch.setattr(pool, "sweep", lambda: done.set())
        raise LookupError("a round's bug")

    housekeeper.submit(lambda: monkeypatch.setattr(pool, "sweep", fail))  # the last job: nobody wakes it for the second round
    assert done.wait(10)
    assert "a round's bug" in caplog.text


def test_the_cursor_for_creating_databases_bypasses_the_pool(wrapper, observer):
    before = {pool.name: pool.opened for pool in _snapshots()}
    with wrapper._nodb_cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone()[0] == 1
    assert {pool.name: pool.opened for pool in _snapshots()} == before


def test_the_representation_is_djangos(wrapper):
    assert repr(wrapper) == f"<DatabaseWrapper vendor={wrapper.vendor!r} alias={wrapper.alias!r}>"


def _snapshots():
    from django_sqla_pool import snapshots

    return snapshots()


def _as_connection(wrapper):
    """Let transaction.atomic(using=alias) find this wrapper."""
    from contextlib import contextmanager

    @contextmanager
    def swapped():
        original = connections[wrapper.alias]
        connections[wrapper.alias] = wrapper
        try:
            yield
        finally:
            connections[wrapper.alias] = original

    return swapped()
