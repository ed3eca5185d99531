"""The pool by itself: what it lends, keeps, checks and closes. On real servers, with a clock that the test turns."""

from __future__ import annotations

import gc
import logging
import random
import threading
import weakref
from unittest import mock

import pytest
from django.db import OperationalError

from django_sqla_pool import PoolTimeout
from django_sqla_pool.drivers import Liveness, NoAnswer
from django_sqla_pool.options import parse
from django_sqla_pool.pool import Pool
from tests.support.sessions import session_id
from tests.support.threads import in_thread


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_pool(wrapper, clock):
    """A function that makes a pool to the server of ``alias`` with the options given."""
    made = []

    def make(**pool_options):
        pool = Pool("a pool", parse(pool_options), wrapper.find_pool().opener, clock)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.dispose()


def lend(pool, count):
    """Check out so many connections at once, give them back, and return them in the order of the checkouts."""
    leases = [pool.checkout() for _ in range(count)]
    for lease in leases:
        lease.close()
    return [lease.connection for lease in leases]


def figures(pool):
    snapshot = pool.snapshot()
    return snapshot.in_use, snapshot.idle, dict(snapshot.closed)


@pytest.mark.parametrize(("size", "overflow"), [(1, 0), (1, 1), (2, 0), (2, 3)])
def test_the_limit_is_size_plus_overflow(make_pool, size, overflow):
    pool = make_pool(POOL_SIZE=size, MAX_OVERFLOW=overflow, TIMEOUT=0)
    leases = [pool.checkout() for _ in range(size + overflow)]
    with pytest.raises(PoolTimeout):
        pool.checkout()
    assert figures(pool) == (size + overflow, 0, {})
    leases.pop().close()
    with pool.checkout():
        assert pool.snapshot().in_use == size + overflow
    for lease in leases:
        lease.close()
    assert pool.snapshot().timeouts == 1


@pytest.mark.parametrize("unlimited", [{"POOL_SIZE": 0}, {"POOL_SIZE": 1, "MAX_OVERFLOW": -1}])
def test_without_a_limit_every_checkout_gets_a_connection(make_pool, unlimited):
    pool = make_pool(TIMEOUT=0, **unlimited)
    assert len(set(map(id, lend(pool, 20)))) == 20
    assert figures(pool) == (0, 20, {})


def test_a_lease_is_given_back_once(make_pool):
    pool = make_pool()
    lease = pool.checkout()
    lease.close()
    with pool.checkout() as other:
        lease.close()
        assert other.connection is lease.connection
        assert figures(pool) == (1, 0, {})
    assert pool.snapshot().checkouts == 2


def test_a_lease_may_be_given_back_from_any_thread(make_pool):
    pool = make_pool()
    lease = pool.checkout()
    thread = threading.Thread(target=lease.close)
    thread.start()
    thread.join(30)
    assert figures(pool) == (0, 1, {})


@pytest.mark.parametrize(("use_lifo", "expected"), [(True, 2), (False, 0)])
def test_the_order_of_lending(make_pool, use_lifo, expected):
    pool = make_pool(USE_LIFO=use_lifo)
    connections = lend(pool, 3)
    with pool.checkout() as lease:
        assert lease.connection is connections[expected]


def test_who_had_a_connection_is_lent_it_again(make_pool):
    pool = make_pool(POOL_SIZE=3)
    leases = [pool.checkout() for _ in range(3)]
    for lease in leases:
        lease.close()
    first = leases[0].physical
    with pool.checkout(last=first) as one:
        assert one.physical is first


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (4, 1),  # a quarter is out, so threads are busy: the least recently used one is nobody's
        (5, 4),  # one may be shared: the most recently used
    ],
)
def test_whose_connection_is_in_use_shares_one_while_few_threads_are_busy(make_pool, size, expected):
    pool = make_pool(POOL_SIZE=size)
    leases = [pool.checkout() for _ in range(size)]
    for lease in leases:
        lease.close()
    first = leases[0].physical
    with pool.checkout(last=first), pool.checkout(last=first) as other:
        assert other.physical is leases[expected].physical


def test_busy_threads_keep_to_their_own_connections_even_if_these_have_to_be_pinged(make_pool, clock):
    pool = make_pool(POOL_SIZE=4, PING_AFTER=10)
    leases = [pool.checkout() for _ in range(4)]
    for lease in leases:
        lease.close()
    clock.now += 10
    pings = count_pings(pool._queue.physicals)
    with pool.checkout(last=leases[0].physical):
        with pool.checkout(last=leases[1].physical):
            assert pings() == 2
        with pool.checkout(last=leases[2].physical) as lease:
            assert lease.physical is leases[2].physical, "not the one of the second, which need not be pinged"
            assert pings() == 3


@pytest.mark.parametrize(
    ("options", "idle_for", "expected"),
    [
        ({"POOL_SIZE": 2}, 0.0, 2),  # one above POOL_SIZE is to go idle: the most recently used
        ({"USE_LIFO": False}, 0.0, 0),
        ({"PING_AFTER": 10}, 10.0, 2),  # it would be pinged
    ],
)
def test_who_had_a_connection_is_lent_another_where_order_or_ping_asks_for_it(make_pool, clock, options, idle_for, expected):
    pool = make_pool(**{"POOL_SIZE": 3, "PING_AFTER": 60, **options})
    leases = [pool.checkout() for _ in range(3)]
    leases[0].close()
    leases[1].close()
    clock.now += idle_for
    leases[2].close()
    with pool.checkout(last=leases[1].physical) as lease:
        assert lease.physical is leases[expected].physical


def two_idle_and_one_of_them_taken(pool):
    leases = [pool.checkout() for _ in range(2)]
    for lease in leases:
        lease.close()
    first = leases[0].physical
    return first, pool.checkout(last=first)


def test_whose_connection_is_in_use_has_another_opened_up_to_pool_size(make_pool):
    pool = make_pool(POOL_SIZE=3)
    first, taken = two_idle_and_one_of_them_taken(pool)
    with taken, pool.checkout(last=first) as own:
        assert taken.physical is first
        assert figures(pool) == (2, 1, {})
        with pool.checkout(last=first) as other:
            assert len({taken.physical, own.physical, other.physical}) == 3
            assert figures(pool) == (3, 0, {})


def test_what_is_being_opened_counts_when_a_thread_is_to_have_its_own(make_pool, monkeypatch):
    pool = make_pool(POOL_SIZE=4, MAX_OVERFLOW=0)
    first, taken = two_idle_and_one_of_them_taken(pool)
    second = pool.checkout()
    opens, may_open, opening = pool.opener.open, threading.Event(), threading.Semaphore(0)

    def slow():
        opening.release()
        assert may_open.wait(30)
        return opens()

    monkeypatch.setattr(pool.opener, "open", slow)
    with taken, in_thread("third", pool.checkout) as third, in_thread("fourth", pool.checkout) as fourth:
        for _ in range(2):
            assert opening.acquire(timeout=30)
        second.close()
        with pool.checkout(last=first) as lease:
            assert lease.physical is second.physical, "four there are, two of them in flight: not a fifth"
        may_open.set()
    third[0].close()
    fourth[0].close()
    assert pool.snapshot().opened == 4


def test_whose_connection_is_closed_takes_another_that_is_idle(make_pool):
    pool = make_pool(POOL_SIZE=3)
    first, taken = two_idle_and_one_of_them_taken(pool)
    taken.end("dead")
    taken.close()
    with pool.checkout(last=first):
        assert figures(pool) == (1, 0, {"dead": 1})


def test_who_can_have_no_connection_of_its_own_takes_another_that_is_idle(make_pool, monkeypatch):
    pool = make_pool(POOL_SIZE=4, CONNECT_RETRY=0)
    first, taken = two_idle_and_one_of_them_taken(pool)
    tried = []

    def fail():
        tried.append(1)
        raise OperationalError("full")

    with taken, monkeypatch.context() as patch:
        patch.setattr(pool.opener, "open", fail)
        for _ in range(3):
            with pool.checkout(last=first):
                assert figures(pool) == (2, 0, {})
    assert tried == [1], "not again and again"
    with pool.checkout(), pool.checkout(), pool.checkout():  # one that is needed: so it can be done again
        pass
    taken = pool.checkout(last=first)
    with taken, pool.checkout(last=first):
        assert taken.physical is first
        assert pool.snapshot().opened == 4


def test_a_closed_connection_is_freed_without_the_garbage_collector(make_pool):
    pool = make_pool()
    lease = pool.checkout()
    driver = weakref.ref(lease.physical.driver)
    gc.disable()
    try:
        lease.end("disposed")
        lease.close()
        del lease
        assert driver() is None
    finally:
        gc.enable()


def test_who_waits_for_the_server_is_told_of_a_connection_that_comes_back(make_pool):
    pool = make_pool(POOL_SIZE=2)
    lease = pool.checkout()
    outage = pool._queue.outage
    with mock.patch.object(outage, "wake") as wake:
        lease.close()
        assert wake.call_count == 0
        lease = pool.checkout()
        outage.failed(OSError("away"), None, outage.answers)
        lease.close()
        assert wake.call_count == 1
    outage.ended()


def test_a_connection_that_an_interrupt_has_cost_does_not_keep_another_from_being_opened(make_pool):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    lend(pool, 1)
    lost = pool._queue._idle.get()  # and here it comes
    with pool.checkout():
        assert pool.snapshot().opened == 2
    lost.close()


def test_overflow_lingers_and_is_closed_when_idle_for_too_long(make_pool, clock):
    pool = make_pool(POOL_SIZE=2, MAX_OVERFLOW=3, IDLE_TIMEOUT=60)
    lend(pool, 5)
    assert pool.sweep() == pytest.approx(60)
    assert figures(pool) == (0, 5, {})
    clock.now += 59
    assert pool.sweep() == pytest.approx(1)
    assert figures(pool) == (0, 5, {})
    clock.now += 1
    pool.sweep()
    assert figures(pool) == (0, 2, {"idle": 3})


@pytest.mark.parametrize("use_lifo", [True, False])
def test_of_the_idle_ones_the_least_recently_used_goes(make_pool, clock, use_lifo):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=1, IDLE_TIMEOUT=60, USE_LIFO=use_lifo)
    first, second = pool.checkout(), pool.checkout()
    first.close()
    clock.now += 30
    second.close()
    clock.now += 30
    pool.sweep()
    with pool.checkout() as lease:
        assert lease.connection is second.connection
    assert figures(pool) == (0, 1, {"idle": 1})


def test_connections_in_use_count_towards_pool_size(make_pool, clock):
    pool = make_pool(POOL_SIZE=2, MAX_OVERFLOW=3, IDLE_TIMEOUT=60)
    held = [pool.checkout() for _ in range(2)]
    lend(pool, 1)
    clock.now += 60
    pool.sweep()
    assert figures(pool) == (2, 0, {"idle": 1})
    for lease in held:
        lease.close()


@pytest.mark.parametrize("where", ["checkout", "sweep"])
def test_a_connection_is_closed_when_it_is_too_old(make_pool, clock, where):
    pool = make_pool(RECYCLE=100)
    (old,) = lend(pool, 1)
    clock.now += 89  # jitter takes up to a tenth
    assert lend(pool, 1) == [old]
    clock.now += 11
    if where == "sweep":
        pool.sweep()
        assert figures(pool) == (0, 0, {"expired": 1})
    assert lend(pool, 1) != [old]
    assert figures(pool) == (0, 1, {"expired": 1})


def test_connections_opened_together_do_not_expire_together(make_pool):
    pool = make_pool(POOL_SIZE=10, RECYCLE=100)
    lend(pool, 10)
    ages = {physical.expires_at - 1000 for physical in pool._queue.physicals}
    assert len(ages) == 10
    assert all(90 <= age <= 100 for age in ages)


def test_without_recycle_no_age_is_too_great(make_pool, clock):
    pool = make_pool(RECYCLE=-1, PRE_PING=False)
    (connection,) = lend(pool, 1)
    clock.now += 1e9
    pool.sweep()
    assert lend(pool, 1) == [connection]


def test_a_killed_connection_is_replaced_before_it_is_lent(make_pool, observer):
    pool = make_pool(PING_AFTER=1e6)  # the clock stands still: only the probe of the socket can find it
    session = _session(pool)
    observer.kill(session)
    assert _session(pool) != session
    assert figures(pool) == (0, 1, {"dead": 1})


def test_after_one_dead_connection_all_idle_ones_are_suspected(make_pool, observer, clock):
    pool = make_pool(PING_AFTER=1e6)
    lend(pool, 3)
    clock.now += 1
    session, survivors = _session(pool), set(pool._queue.physicals)
    survivors -= {next(physical for physical in survivors if physical.idle_since == clock.now)}
    clock.now += 1
    observer.kill(session)
    pings = count_pings(survivors)
    lend(pool, 3)
    assert pings() == 2
    lend(pool, 3)
    assert pings() == 2


def _silent(physical, asked):
    def ping(seconds):
        asked.append(seconds)
        raise NoAnswer(seconds)

    physical.driver.ping = ping


def test_after_one_silent_connection_all_idle_ones_are_closed_and_none_is_asked(make_pool, clock):
    pool = make_pool()
    lend(pool, 4)
    asked = []
    for physical in pool._queue.physicals:
        _silent(physical, asked)
    clock.now += 1
    lend(pool, 4)
    assert asked == [2.0]
    assert figures(pool) == (0, 4, {"dead": 4})


def test_a_connection_used_after_the_question_is_asked_by_itself(make_pool, clock):
    pool = make_pool(USE_LIFO=False)
    idle, in_use = pool.checkout(), pool.checkout()
    idle.close()
    _silent(idle.physical, [])
    clock.now += 1
    pings = count_pings([in_use.physical])
    with pool.checkout():  # a new one: the idle one was silent, now
        clock.now += 1
        in_use.close()
        clock.now += 1
        with pool.checkout() as lease:
            assert lease.connection is in_use.connection
    assert pings() == 1
    assert pool.snapshot().closed == {"dead": 1}


@pytest.mark.parametrize(("timeout", "seconds"), [(30, 2.0), (1.5, 1.5), (0, 0.5)])
def test_a_ping_may_take_what_is_left_of_the_timeout_and_no_more_than_its_own(make_pool, clock, timeout, seconds):
    pool = make_pool(TIMEOUT=timeout)
    lend(pool, 1)
    asked = []
    _silent(*pool._queue.physicals, asked)
    clock.now += 1
    lend(pool, 1)
    assert asked == [seconds]


@pytest.mark.parametrize(("ping_after", "idle", "expected"), [(0.5, 0.4, 0), (0.5, 0.6, 1), (0, 0, 1)])
def test_a_ping_is_sent_after_the_idle_time_that_was_asked_for(make_pool, clock, ping_after, idle, expected):
    pool = make_pool(PING_AFTER=ping_after)
    lend(pool, 1)
    pings = count_pings(pool._queue.physicals)
    clock.now += idle
    lend(pool, 1)
    assert pings() == expected


def test_a_ping_that_fails_costs_the_connection(make_pool, clock, observer):
    pool = make_pool()
    session = _session(pool)
    (physical,) = pool._queue.physicals
    observer.kill(session)
    physical.driver.probe = lambda: Liveness.QUIET  # as if the network had swallowed the goodbye
    clock.now += 1
    assert _session(pool) != session
    assert figures(pool) == (0, 1, {"dead": 1})


def test_without_pre_ping_a_dead_connection_is_lent(make_pool, observer):
    pool = make_pool(PRE_PING=False)
    session = _session(pool)
    observer.kill(session)
    with pytest.raises(Exception, match=r"terminat|closed|gone away|Lost connection|killed"):
        _session(pool)


@pytest.mark.parametrize("alias", ["default"])
def test_a_notification_does_not_cost_the_connection(make_pool, observer):
    pool = make_pool()
    with pool.checkout() as lease, lease.connection.cursor() as cursor:
        cursor.execute("LISTEN news")
    observer.query("NOTIFY news, 'something'")
    with pool.checkout() as again:
        assert again.connection is lease.connection


def test_a_disconnect_in_a_query_costs_the_connection(wrapper, observer):
    session = session_id(wrapper)
    observer.kill(session)
    with pytest.raises(OperationalError):
        session_id(wrapper)
    wrapper.close()
    assert session_id(wrapper) != session
    assert wrapper.find_pool().snapshot().closed == {"dead": 1}


def test_an_error_that_is_no_disconnect_costs_nothing(wrapper):
    session = session_id(wrapper)
    with pytest.raises(Exception, match="nowhere"), wrapper.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    wrapper.close()
    assert session_id(wrapper) == session


def test_dispose_closes_idle_connections_now_and_others_when_they_come_back(make_pool, observer):
    pool = make_pool()
    lend(pool, 3)
    held = pool.checkout()
    pool.dispose()
    assert figures(pool) == (1, 0, {"disposed": 2})
    held.close()
    assert figures(pool) == (0, 0, {"disposed": 3})
    with pool.checkout() as lease:
        assert lease.connection is not held.connection


def test_the_limit_holds_through_dispose(make_pool):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    held = pool.checkout()
    pool.dispose()
    with pytest.raises(PoolTimeout):
        pool.checkout()
    held.close()
    pool.checkout().close()
    assert figures(pool) == (0, 1, {"disposed": 1})


def test_a_pool_that_is_disposed_of_all_the_time_is_an_error_when_the_time_is_up(make_pool, clock, monkeypatch):
    pool = make_pool(TIMEOUT=5)
    original = pool.opener.open

    def open_and_dispose():
        driver = original()
        clock.now += 1
        pool.dispose()
        return driver

    monkeypatch.setattr(pool.opener, "open", open_and_dispose)
    with pytest.raises(PoolTimeout):
        pool.checkout()
    assert figures(pool) == (0, 0, {"disposed": 5})
    assert pool.snapshot().timeouts == 1


def test_a_failed_open_gives_its_place_back(make_pool, monkeypatch):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    with monkeypatch.context() as patch:
        patch.setitem(pool.opener._settings, "PASSWORD", "not this one")
        for _ in range(3):
            with pytest.raises(Exception, match=r"password authentication failed|Access denied"):
                pool.checkout()
            assert figures(pool) == (0, 0, {})
    with pool.checkout():
        assert figures(pool) == (1, 0, {})


@pytest.mark.parametrize(
    ("step", "closed"),
    [("opener.open", {}), ("_queue.renew_permit", {"abandoned": 1})],
    ids=["opened", "counted"],
)
def test_an_interrupt_while_a_connection_is(step, closed, make_pool, monkeypatch):
    """The place comes back, and what was opened by then is closed."""
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    owner, name = step.split(".")

    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(getattr(pool, owner), name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            pool.checkout()
    assert (*figures(pool), pool.snapshot().opened) == (0, 0, closed, len(closed))
    with pool.checkout():
        assert figures(pool) == (1, 0, closed)


@pytest.mark.parametrize("step", ["open", "is_refusal"])
def test_an_interrupt_while_the_server_is_away_leaves_the_turn_to_the_next(step, make_pool, monkeypatch, clock):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0, CONNECT_RETRY=30)
    outage = pool._queue.outage
    outage.failed(OSError("away"), None, outage.answers)
    clock.now += 1  # the next attempt is due
    with monkeypatch.context() as patch:
        patch.setattr(pool.opener, "open", mock.Mock(side_effect=LookupError))
        patch.setattr(pool.opener, step, mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pool.checkout()
    assert str(pool._queue.last_error) == "away", "it says nothing of the server"
    with pool.checkout():
        assert figures(pool) == (1, 0, {})


def test_a_server_that_answers_with_an_error_is_not_away(make_pool, monkeypatch, clock):
    pool = make_pool(TIMEOUT=0, CONNECT_RETRY=30)
    outage = pool._queue.outage
    outage.failed(OSError("away"), None, outage.answers)
    clock.now += 1  # the next attempt is due
    monkeypatch.setattr(pool.opener, "open", mock.Mock(side_effect=LookupError))
    with pytest.raises(LookupError):
        pool.checkout()
    assert pool._queue.last_error is None


def test_an_interrupt_in_line_does_not_end_the_outage(make_pool, monkeypatch):
    """By an exception that is like any other, as Celery's SoftTimeLimitExceeded is."""
    pool = make_pool(TIMEOUT=0, CONNECT_RETRY=30)
    outage = pool._queue.outage
    outage.failed(OSError("away"), None, outage.answers)
    monkeypatch.setattr(outage, "wait_turn", mock.Mock(side_effect=LookupError))
    with pytest.raises(LookupError):
        pool.checkout()
    assert str(pool._queue.last_error) == "away"


def test_an_interrupt_while_a_connection_is_probed_gives_the_place_back(make_pool, monkeypatch):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    lend(pool, 1)
    (physical,) = pool._queue.physicals

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(physical.driver, "poll", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.checkout()
    with pool.checkout():
        assert figures(pool) == (1, 0, {"dead": 1})


def test_an_owner_that_cannot_be_watched_costs_no_place(make_pool):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    for _ in range(2):
        with pytest.raises(TypeError, match="weak reference"):
            pool.checkout(5)
    with pool.checkout():
        assert figures(pool) == (1, 0, {"abandoned": 2})


def test_an_interrupt_while_a_connection_is_reset_never_lets_it_be_lent_as_it_is(make_pool, observer, monkeypatch):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    lease = pool.checkout()
    with lease.connection.cursor() as cursor:
        cursor.execute("BEGIN")
    (physical,) = pool._queue.physicals

    def interrupt(had_errors):
        raise KeyboardInterrupt

    monkeypatch.setattr(physical.driver, "reset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lease.close()
    with pool.checkout() as other:
        assert other.physical is not physical
        assert figures(pool) == (1, 0, {"abandoned": 1})


def test_a_waiter_is_served_when_a_place_comes_free_without_a_connection(make_pool, monkeypatch):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=30)
    entered, go_on = threading.Event(), threading.Event()
    original = pool.opener.open

    def fail_slowly():
        entered.set()
        assert go_on.wait(30)
        monkeypatch.setattr(pool.opener, "open", original)
        raise LookupError("no luck")

    monkeypatch.setattr(pool.opener, "open", fail_slowly)
    errors, served = [], []

    def first():
        try:
            pool.checkout()
        except LookupError as error:
            errors.append(error)

    def second():
        with pool.checkout() as lease:
            served.append(lease)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    _until(lambda: pool.snapshot().waiting == 1)
    go_on.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert (len(errors), len(served)) == (1, 1)


def test_a_connection_that_comes_in_while_a_pool_is_retired_is_closed(make_pool, clock, monkeypatch):
    pool = make_pool()
    close = pool._places.close

    def close_late():
        lend(pool, 1)
        return close()

    monkeypatch.setattr(pool._places, "close", close_late)
    clock.now += 10
    assert pool.retire(10)
    assert figures(pool) == (0, 0, {"idle": 1})


def test_a_round_of_the_housekeeper_takes_no_place_from_who_does_not_wait(make_pool):
    pool = make_pool(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    is_over = threading.Event()

    def rounds():
        while not is_over.is_set():
            pool.sweep()

    with in_thread("rounds", rounds) as outcome:
        for _ in range(2000):
            pool.checkout().close()
        is_over.set()
    assert outcome == [None]


def test_every_closing_has_a_reason_in_the_log(make_pool, clock, caplog):
    caplog.set_level(logging.INFO, "django_sqla_pool")
    pool = make_pool(RECYCLE=100)
    lend(pool, 1)
    clock.now += 100
    lend(pool, 1)
    pool.dispose()
    messages = [record.getMessage() for record in caplog.records if record.name == "django_sqla_pool"]
    assert messages == [
        "a pool: closed a connection (expired) after 100 s",
        "a pool: closed a connection (disposed) after 0 s",
    ]


@pytest.mark.parametrize(("size", "overflow"), [(2, 2), (4, 0)])
def test_many_threads_and_random_actions(make_pool, observer, size, overflow):
    seed = random.randrange(1_000_000)
    pool = make_pool(POOL_SIZE=size, MAX_OVERFLOW=overflow, TIMEOUT=30, IDLE_TIMEOUT=0.001)
    pool._clock = __import__("time").monotonic
    errors, stop = [], threading.Event()

    def work(number):
        rng = random.Random(seed + number)
        last = None
        try:
            for _ in range(50):
                lease = pool.checkout(last=last)
                last = lease.physical
                with lease.connection.cursor() as cursor:
                    cursor.execute("SELECT 1" if rng.random() < 0.8 else "BEGIN")
                action = rng.random()
                if action < 0.1:
                    lease.end("dead")
                elif action < 0.2:
                    lease.connection.close()
                elif action < 0.25:
                    pool.dispose()
                elif action < 0.3:
                    pool.sweep()
                lease.close()
        except Exception as error:
            errors.append(error)

    def watch():
        while not stop.wait(0.0005):  # a busy loop would keep the interpreter from the others
            snapshot = pool.snapshot()
            if snapshot.in_use + snapshot.idle > snapshot.limit:
                errors.append(AssertionError(f"{snapshot}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    watcher = threading.Thread(target=watch)
    for thread in [*threads, watcher]:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), f"seed {seed}"
    stop.set()
    watcher.join(30)
    assert errors == [], f"seed {seed}"
    snapshot = pool.snapshot()
    assert (snapshot.in_use, snapshot.waiting, snapshot.checkouts) == (0, 0, 400)
    assert snapshot.opened - snapshot.closed_count == snapshot.idle == len(pool._queue.physicals)
    pool.dispose()
    assert pool.snapshot().idle == 0


def _session(pool):
    with pool.checkout() as lease, lease.connection.cursor() as cursor:
        vendor = type(lease.physical.driver).__name__
        cursor.execute("SELECT pg_backend_pid()" if vendor.startswith("Psy") else "SELECT CONNECTION_ID()")
        return cursor.fetchone()[0]


def count_pings(physicals):
    count = []
    for physical in physicals:
        original = physical.driver.ping

        def ping(seconds, original=original):
            count.append(1)
            original(seconds)

        physical.driver.ping = ping
    return lambda: len(count)


def _until(is_true):
    tick = threading.Event()
    for _ in range(2000):
        if is_true():
            return
        tick.wait(0.005)
    raise AssertionError("it never came true")
