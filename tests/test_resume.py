"""A request that finds all as the last one of its thread has left it goes on by the same lease, and nobody can tell."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
from collections import deque
from unittest import mock

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from django_sqla_pool import housekeeper, known, pooled
from tests.support.sessions import session_id


@pytest.fixture
def lease(wrapper):
    """The lease of a request that is over."""
    wrapper.ensure_connection()
    lease = wrapper._lease
    wrapper.close()
    return lease


def is_resumed(wrapper, lease):
    wrapper.ensure_connection()
    return wrapper._lease is lease


def in_another_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_the_next_request_goes_on_by_the_same_lease(wrapper, lease):
    figures = wrapper.find_pool().snapshot()
    assert (figures.in_use, figures.idle, figures.checkouts) == (0, 1, 1)
    for number in (2, 3):
        assert is_resumed(wrapper, lease)
        figures = wrapper.find_pool().snapshot()
        assert (figures.in_use, figures.idle, figures.checkouts) == (1, 0, number)
        wrapper.close()
    lease.close()
    assert wrapper.find_pool().snapshot().checkouts == 3


@pytest.mark.parametrize("is_by_checkout", [False, True])
def test_a_wrapper_is_left_as_djangos_own_connect_leaves_it(wrapper, lease, is_by_checkout, monkeypatch):
    if is_by_checkout:
        lease.close()  # for good

    def connected():
        vars(wrapper).update(
            in_atomic_block=False,
            savepoint_ids=["s1"],
            atomic_blocks=[object()],
            needs_rollback=True,
            health_check_enabled=None,
            close_at=None,
            closed_in_transaction=True,
            errors_occurred=True,
            health_check_done=False,
            autocommit=None,
            run_on_commit=[(set(), int, False)],
            run_commit_hooks_on_set_autocommit_on=True,
            isolation_level="of the last one",
        )
        wrapper.ensure_connection()
        state = {name: value for name, value in vars(wrapper).items() if not isinstance(value, float)}
        wrapper.closed_in_transaction = False
        wrapper.close()
        return state, wrapper._previous

    with mock.patch.object(type(wrapper), "_connect_from") as connect_from:
        ours, by = connected()
    assert connect_from.call_count == 0
    assert (by is lease) is not is_by_checkout
    monkeypatch.setattr(known, "connect", object())
    djangos, by = connected()
    assert by is not lease
    assert ours.keys() == djangos.keys()
    different = {name for name in djangos if ours[name] != djangos[name]}
    assert different - {"_previous"} == {"_lease"}


def test_what_an_interrupt_has_lost_just_after_it_was_resumed_is_given_back(wrapper, lease):
    pool = wrapper.find_pool()
    assert pool.resume(lease)  # and here it comes
    assert not is_resumed(wrapper, lease)
    assert pool.snapshot().in_use == 1
    wrapper.close()
    assert pool.snapshot().in_use == 0


def test_max_age_counts_from_the_resumption(make_wrapper):
    wrapper = make_wrapper(CONN_MAX_AGE=60)
    wrapper.ensure_connection()
    first = wrapper.close_at
    lease = wrapper._lease
    wrapper.close()
    assert is_resumed(wrapper, lease)
    assert wrapper.close_at > first


def fail(wrapper):
    wrapper.ensure_connection()
    with pytest.raises(DatabaseError), wrapper.cursor() as cursor:
        cursor.execute("SELECT no_such_column")
    wrapper.close()


def dispose(wrapper):
    wrapper.find_pool().dispose()


def change_settings(wrapper):
    wrapper.settings_dict["POOL_OPTIONS"]["TIMEOUT"] = 29


def change_time_zone(wrapper):
    vars(wrapper)["timezone_name"] = "Asia/Kathmandu"  # Django has it made anew when TIME_ZONE or USE_TZ is another


def lose_another(wrapper):
    pool = wrapper.find_pool()
    first, second = pool.checkout(), pool.checkout()
    first.close()
    second.end("dead")
    second.close()


@pytest.mark.parametrize("what_happens", [fail, dispose, change_settings, change_time_zone, lose_another])
def test_what_is_out_of_the_ordinary_is_left_to_a_checkout(wrapper, lease, what_happens):
    what_happens(wrapper)
    assert not is_resumed(wrapper, lease)
    assert session_id(wrapper)


def test_a_connection_that_was_killed_is_not_resumed(wrapper, lease, observer):
    killed = session_id(wrapper)
    wrapper.close()
    observer.kill(killed)
    assert not is_resumed(wrapper, lease)
    assert session_id(wrapper) != killed
    assert dict(wrapper.find_pool().snapshot().closed) == {"dead": 1}


def test_a_connection_that_another_thread_has_taken_is_not_resumed(wrapper, lease):
    with wrapper.find_pool().checkout() as other:
        assert other.physical is lease.physical
        assert not is_resumed(wrapper, lease)
        assert wrapper.connection is not other.connection


def test_a_connection_that_is_above_pool_size_is_not_resumed(make_wrapper):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=1)
    with wrapper.find_pool().checkout():
        wrapper.ensure_connection()
        lease = wrapper._lease
        wrapper.close()
        assert not is_resumed(wrapper, lease)


def test_a_connection_that_has_to_be_pinged_is_not_resumed(make_wrapper):
    wrapper = make_wrapper(PING_AFTER=0)
    wrapper.ensure_connection()
    lease = wrapper._lease
    wrapper.close()
    assert not is_resumed(wrapper, lease)


def test_once_the_overflow_has_gone_leases_are_resumed_again(make_wrapper):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=1)
    overflow = wrapper.find_pool().checkout()
    wrapper.ensure_connection()
    overflow.end("disposed")
    overflow.close()
    lease = wrapper._lease
    wrapper.close()
    assert is_resumed(wrapper, lease)


def test_a_connection_that_has_expired_is_not_resumed(wrapper, lease):
    lease.physical.expires_at = 0.0
    assert not is_resumed(wrapper, lease)
    assert dict(wrapper.find_pool().snapshot().closed) == {"expired": 1}


def test_while_a_dead_connection_is_being_closed_no_other_is_resumed(wrapper, lease, monkeypatch):
    pool = wrapper.find_pool()
    first, dead = pool.checkout(), pool.checkout()
    assert first.physical is lease.physical
    first.close()
    close = type(dead.physical.record).close
    seen = []

    def late(record):
        seen.append(pool.resume(lease))
        close(record)

    monkeypatch.setattr(type(dead.physical.record), "close", late)
    dead.end("dead")
    dead.close()
    assert seen == [False]


def test_what_a_closed_connection_was_used_for_still_counts(wrapper, lease):
    pool = wrapper.find_pool()
    before = pool.snapshot()
    pool.dispose()
    after = pool.snapshot()
    assert before.checkouts == after.checkouts == 1
    assert before.wait_seconds == after.wait_seconds > 0
    assert before.use_seconds == after.use_seconds > 0


def learn_of_an_outage(wrapper, monkeypatch):
    """Have a pool with one idle connection learn that its server accepts no more; returns a list of the error to be met next."""
    pool = wrapper.find_pool()
    wrapper.ensure_connection()
    wrapper.close()
    errors = [RuntimeError("refused")]

    def fail():
        raise errors[0]

    monkeypatch.setattr(pool.opener, "open", fail)
    monkeypatch.setattr(pool.opener, "is_refusal", lambda error: str(error) == "refused")
    with pool.checkout(), pytest.raises(RuntimeError, match="refused"):
        pool.checkout()
    return errors


def test_while_the_server_is_away_nobody_resumes(make_wrapper, monkeypatch):
    wrapper = make_wrapper(CONNECT_RETRY=0)
    learn_of_an_outage(wrapper, monkeypatch)
    lease = wrapper._previous
    assert not is_resumed(wrapper, lease)
    assert wrapper.find_pool().snapshot().last_error == "refused"


def test_when_the_server_has_answered_leases_are_resumed_again(make_wrapper, monkeypatch):
    wrapper = make_wrapper(CONNECT_RETRY=0)
    errors = learn_of_an_outage(wrapper, monkeypatch)
    errors[0] = RuntimeError("wrong password")
    with wrapper.find_pool().checkout(), pytest.raises(RuntimeError, match="wrong password"):
        wrapper.find_pool().checkout()
    wrapper.ensure_connection()
    lease = wrapper._lease
    wrapper.close()
    assert is_resumed(wrapper, lease)


class TimeLimit(Exception):
    """Raised by a signal's handler, as Celery's soft time limit is."""


@pytest.mark.parametrize(
    ("where", "interrupt"), [("in line", KeyboardInterrupt), ("in line", TimeLimit), ("in the attempt", KeyboardInterrupt)]
)
def test_an_interrupt_says_nothing_of_a_server_that_is_away(make_wrapper, monkeypatch, where, interrupt):
    wrapper = make_wrapper(CONNECT_RETRY=0.2)
    pool = wrapper.find_pool()
    with monkeypatch.context() as patch:
        errors = learn_of_an_outage(wrapper, patch)
        errors[0] = interrupt()
        with pool.checkout():
            if where == "in line":
                patch.setattr(pool._queue, "_take_idle", mock.Mock(side_effect=interrupt))
            with pytest.raises(interrupt):
                pool.checkout()
        assert pool.snapshot().last_error == "refused"
    with pool.checkout(), pool.checkout():  # the turn has passed to who comes next
        assert pool.snapshot().last_error == ""


def test_whoever_waits_comes_before_whoever_would_resume(make_wrapper):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0)
    wrapper.ensure_connection()
    pool = wrapper.find_pool()
    order = []

    def wait():
        with pool.checkout():
            order.append("who waited")

    thread = threading.Thread(target=wait)
    thread.start()
    while not pool.snapshot().waiting:
        threading.Event().wait(0.001)
    wrapper.close()
    wrapper.ensure_connection()
    order.append("who came back")
    thread.join(30)
    assert order == ["who waited", "who came back"]
    assert pool.snapshot().opened == 1


def test_somebody_who_lines_up_at_the_last_moment_comes_first_as_well(wrapper, lease):
    pool = wrapper.find_pool()
    pool.line.append(threading.Lock())
    assert not pool.resume(lease)
    pool.line.clear()
    assert pool.resume(lease)
    lease.close()


@pytest.mark.parametrize("is_first", [True, False], ids=["before the original", "after the original"])
def test_a_copy_of_a_wrapper_takes_a_lease_of_its_own(wrapper, lease, is_first):
    other = copy.copy(wrapper)
    for one in (other, wrapper) if is_first else (wrapper, other):
        assert is_resumed(one, lease) is (one is wrapper and not is_first)
    assert session_id(other) != session_id(wrapper)
    wrapper.close()
    other.close()
    assert wrapper.find_pool().snapshot().in_use == 0


def test_an_engines_own_connect_is_called_each_time(make_wrapper):
    template = make_wrapper()

    class Engine(load_backend(f"django.db.backends.{template.vendor}").DatabaseWrapper):
        calls = 0

        def connect(self):
            type(self).calls += 1
            super().connect()

    wrapper = pooled(Engine)(template.settings_dict, template.alias)
    for number in (1, 2, 3):
        session_id(wrapper)
        assert wrapper.calls == number
        wrapper.close()
    wrapper.find_pool().dispose()


def dispose_of_generation(pool, physical):
    pool._queue.new_generation()


def leave_an_answer(pool, physical):
    physical.driver.is_answer_due = True  # another borrower has come and gone


def dispose_in_overflow(pool, physical):
    others = [pool.checkout() for _ in range(6)]
    assert physical in {other.physical for other in others}
    for other in others:
        if other.physical is physical:
            other.close()
    pool._queue.new_generation()


@pytest.mark.parametrize("happens", [dispose_of_generation, leave_an_answer, dispose_in_overflow])
def test_what_happens_between_the_look_and_the_taking_is_seen(wrapper, lease, monkeypatch, happens):
    pool, physical = wrapper.find_pool(), lease.physical
    free = pool._places.free

    class Late(deque):
        def pop(self):
            monkeypatch.setattr(pool._places, "free", free)
            happens(pool, physical)
            return free.pop()

    monkeypatch.setattr(pool._places, "free", Late())
    assert not pool.resume(lease)
    assert not pool.is_out(lease)
    assert pool.snapshot().in_use + len(free) == pool.options.limit
    physical.driver.is_answer_due = False
    assert session_id(wrapper)


def test_what_was_disposed_of_between_the_taking_and_the_second_look_is_closed(wrapper, lease, monkeypatch):
    pool, idle = wrapper.find_pool(), wrapper.find_pool()._queue.idle

    class Late(dict):
        def pop(self, record, default):
            taken = idle.pop(record, default)
            monkeypatch.setattr(pool._queue, "idle", idle)
            pool.dispose()
            return taken

    monkeypatch.setattr(pool._queue, "idle", Late())
    assert not pool.resume(lease)
    assert dict(pool.snapshot().closed) == {"disposed": 1}
    assert len(pool._places.free) == pool.options.limit


def test_what_happens_while_a_connection_comes_back_is_seen(wrapper, lease, monkeypatch):
    pool, driver = wrapper.find_pool(), lease.physical.driver
    assert is_resumed(wrapper, lease)
    reset = driver.reset

    def late(had_errors):
        pool.dispose()
        reset(had_errors)

    monkeypatch.setattr(driver, "reset", late)
    wrapper.close()
    assert dict(pool.snapshot().closed) == {"disposed": 1}, "at once: whoever disposes is about to drop the database"
    assert not is_resumed(wrapper, lease)


def test_a_connection_that_somebody_has_kept_for_himself_is_not_lent_again(wrapper, lease):
    assert is_resumed(wrapper, lease)
    kept, wrapper.connection = wrapper.connection, None
    wrapper.close_if_unusable_or_obsolete()
    assert session_id(wrapper)
    assert wrapper.connection is not kept
    assert dict(wrapper.find_pool().snapshot().closed) == {"abandoned": 1}


def test_an_engine_that_does_something_with_what_is_set_has_it_set(make_wrapper):
    template = make_wrapper()

    class Engine(type(template)):
        @property
        def connection(self):
            return self.kept

        @connection.setter
        def connection(self, connection):
            self.kept = connection

    wrapper = Engine(template.settings_dict, template.alias)
    for _ in range(3):
        assert session_id(wrapper)
        wrapper.close()
    wrapper.find_pool().dispose()


def test_where_the_kernel_marks_no_forks_leases_are_resumed_as_well(wrapper, lease, monkeypatch):
    monkeypatch.setattr("django_sqla_pool.wrapper.mark", bytearray(1))
    for _ in range(2):
        assert is_resumed(wrapper, lease)
        wrapper.close()


def test_a_thread_that_ends_between_two_requests_is_no_news_for_the_housekeeper(make_wrapper, monkeypatch):
    submitted = []
    kept = []

    def work():
        wrapper = make_wrapper()
        wrapper.ensure_connection()
        kept.append(wrapper._lease)
        wrapper.close()
        kept.append(wrapper)

    gc.collect()
    monkeypatch.setattr(housekeeper, "submit", submitted.append)
    in_another_thread(work)
    assert submitted == []
    assert not kept[0].pool.is_out(kept[0])


def test_another_thread_takes_a_lease_of_its_own(wrapper, lease):
    wrapper.inc_thread_sharing()
    found = []
    in_another_thread(lambda: found.append(is_resumed(wrapper, lease)))
    assert found == [False]


def test_a_connect_that_somebody_has_put_in_djangos_place_is_called(wrapper, lease):
    with mock.patch.object(BaseDatabaseWrapper, "connect", side_effect=DatabaseError("patched")):
        with pytest.raises(DatabaseError, match="patched"):
            wrapper.ensure_connection()
    assert session_id(wrapper)


def test_django_refuses_to_connect_under_an_event_loop(wrapper, lease):
    async def view():
        with pytest.raises(SynchronousOnlyOperation):
            wrapper.connect()

    asyncio.run(view())
    assert wrapper.connection is None
    assert wrapper.find_pool().snapshot().in_use == 0


def test_an_owner_that_goes_between_two_requests_is_no_news_for_the_housekeeper(make_wrapper, monkeypatch):
    submitted = []
    monkeypatch.setattr(housekeeper, "submit", submitted.append)
    pool = make_wrapper().find_pool()

    class Owner:
        _thread_ident = threading.get_ident()

    owner = Owner()
    lease = pool.checkout(owner)
    lease.pause()
    del owner
    gc.collect()
    assert submitted == []
    assert lease.owner() is None
    assert lease not in lease.siblings, "its thread would keep it for ever"


@pytest.mark.parametrize("is_kept", [True, False], ids=["the wrapper lives on", "the wrapper goes too"])
def test_a_thread_that_ends_gives_back_what_it_has_resumed(make_wrapper, is_kept):
    kept = []
    pool = make_wrapper().find_pool()

    def work():
        wrapper = make_wrapper()
        wrapper.ensure_connection()
        lease = wrapper._lease
        wrapper.close()
        kept.append(is_resumed(wrapper, lease))
        if is_kept:
            kept.append(wrapper)

    in_another_thread(work)
    assert kept[0]
    for _ in range(2000):
        if pool.snapshot().closed_count:
            break
        threading.Event().wait(0.005)
    assert pool.snapshot().in_use == 0
    assert dict(pool.snapshot().closed) == {"abandoned": 1}


def test_a_leak_is_reported_with_the_calls_that_resumed_the_lease(make_wrapper, caplog):
    wrapper = make_wrapper(LEAK_AFTER=0.01)
    wrapper.ensure_connection()
    lease = wrapper._lease
    wrapper.close()

    def the_second_borrower():
        return is_resumed(wrapper, lease)

    assert the_second_borrower()
    pool = wrapper.find_pool()
    for _ in range(2000):
        pool.sweep()
        if "the_second_borrower" in caplog.text:
            break
        threading.Event().wait(0.005)
    assert "the_second_borrower" in caplog.text
    wrapper.close()
    assert not is_resumed(wrapper, lease), "it was reported: the next one is to be another"
