"""What the log says of a pool: one line for an event, and who holds a connection for too long."""

from __future__ import annotations

import logging
import threading

import pytest

from django_sqla_pool import reports
from django_sqla_pool.outage import Outage
from django_sqla_pool.physical import Physical
from tests.support.sessions import session_id
from tests.support.threads import in_thread, wait_until
from tests.test_round_trips import make_proxied, proxy  # noqa: F401  (fixtures)


class Said(logging.Handler):
    """The warnings of this package."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())

    def containing(self, words):
        return [text for text in self.texts if words in text]


@pytest.fixture
def said():
    handler = Said()
    reports.log.addHandler(handler)
    yield handler
    reports.log.removeHandler(handler)


# ------------------------------------------------------------------------------------------------- held for too long


def borrow_in_a_view(wrapper):
    wrapper.ensure_connection()


def test_a_connection_that_is_held_for_too_long_is_reported_once_with_its_borrowers_stack_and_again_when_it_is_back(
    make_wrapper, said
):
    wrapper = make_wrapper(LEAK_AFTER=0.05)
    is_over = threading.Event()

    def hold():
        wrapper.inc_thread_sharing()
        borrow_in_a_view(wrapper)
        assert is_over.wait(30)
        wrapper.close()

    with in_thread("the-holder", hold) as outcome:
        wait_until(lambda: said.texts)
        wrapper.find_pool().sweep()  # another round, which might report it again
        is_over.set()
    assert outcome == [None]
    held, back = said.texts
    first = held.splitlines()[0]
    assert "longer than LEAK_AFTER, in thread 'the-holder'" in first
    assert "in borrow_in_a_view\n    wrapper.ensure_connection()" in held
    assert "/pool.py" not in held  # what Django asked for, and not how the pool went about it
    assert "is back, after" in back


def test_a_connection_that_comes_back_in_time_is_not_reported(make_wrapper, said):
    wrapper = make_wrapper(LEAK_AFTER=600)
    wrapper.ensure_connection()
    assert wrapper.find_pool().sweep() < 600
    wrapper.close()
    assert said.texts == []


def test_without_leak_after_nobody_is_reported_and_no_stack_is_kept(wrapper, said):
    wrapper.ensure_connection()
    assert wrapper._lease.stack is None
    wrapper.find_pool().sweep()
    assert said.texts == []


def test_the_stack_of_a_borrower_has_a_bottom():
    def dig(depth):
        return dig(depth - 1) if depth else reports.stack_of_borrower()

    stack = dig(2 * reports.DEEPEST)
    assert len(stack) == reports.DEEPEST
    assert {code.co_name for code, _ in stack} == {"dig"}


# ------------------------------------------------------------------------------------------------ one line for an event


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def opened(at):
    return Physical(None, None, at, float("inf"), None)


def test_connections_that_die_together_are_one_line_and_later_a_sum(said):
    clock = Clock()
    log = reports.Reports("a pool", clock)
    for _ in range(8):
        log.closed(opened(900), "dead")
        clock.now += 0.5
    assert said.texts == ["a pool: closed a connection (dead) after 100 s"]
    assert log.sum_up() == pytest.approx(reports.SUM_UP_AFTER - 4)
    clock.now += 1
    assert log.sum_up() is None
    assert said.texts[1:] == ["a pool: closed 7 more (dead)"]
    assert log.sum_up() is None
    assert len(said.texts) == 2


@pytest.mark.parametrize("is_newer", [True, False])
def test_one_that_was_opened_since_and_one_that_dies_much_later_are_events_of_their_own(said, is_newer):
    clock = Clock()
    log = reports.Reports("a pool", clock)
    log.closed(opened(900), "dead")
    clock.now += 1 if is_newer else reports.SAME_EVENT
    log.closed(opened(1000.5 if is_newer else 900), "dead")
    assert len(said.texts) == 2
    assert log.sum_up() is None


def test_killed_idle_connections_are_one_warning(make_wrapper, observer, said):
    wrappers = [make_wrapper() for _ in range(5)]
    before = {session_id(wrapper) for wrapper in wrappers}
    for wrapper in wrappers:
        wrapper.close()
    for session in before:
        observer.kill(session)
    for wrapper in wrappers:
        wrapper.ensure_connection()
    assert len(said.containing("(dead)")) == 1
    assert wrappers[0].find_pool().snapshot().closed == {"dead": 5}
    wait_until(lambda: said.containing("closed 4 more (dead)"))  # by the housekeeper, without another checkout
    for wrapper in wrappers:
        wrapper.close()


def request(wrapper):
    wrapper.inc_thread_sharing()
    session_id(wrapper)
    wrapper.close()


def test_a_server_that_goes_away_and_comes_back_is_two_lines_whoever_tries(make_proxied, proxy, said):  # noqa: F811
    wrappers = [make_proxied(CONNECT_RETRY=30) for _ in range(3)]
    proxy.refuse()
    with (
        in_thread("1", lambda: request(wrappers[0])) as first,
        in_thread("2", lambda: request(wrappers[1])) as second,
        in_thread("3", lambda: request(wrappers[2])) as third,
    ):
        wait_until(lambda: said.texts)
        proxy.accept()
    assert first + second + third == [None] * 3
    away, back = said.texts
    assert "the server does not accept connections; each checkout tries for 30 s: " in away
    assert "the server accepts connections again, after " in back


@pytest.fixture
def late(monkeypatch):
    """The first refusal is noted late: two events, that it is to be noted, and that it may be."""
    has_come, may_be_noted = threading.Event(), threading.Event()
    failed = Outage.failed

    def failed_late(*args):
        if not has_come.is_set():
            has_come.set()
            assert may_be_noted.wait(30)
        failed(*args)

    monkeypatch.setattr(Outage, "failed", failed_late)
    return has_come, may_be_noted


def test_a_refusal_that_is_noted_when_the_server_is_back_is_no_event(make_proxied, proxy, late, said):  # noqa: F811
    first, second = make_proxied(CONNECT_RETRY=30), make_proxied(CONNECT_RETRY=30)
    has_come, may_be_noted = late
    proxy.refuse()
    with in_thread("late", lambda: request(first)) as outcome:
        assert has_come.wait(30)
        proxy.accept()
        request(second)
        may_be_noted.set()
    assert (outcome, said.texts) == ([None], [])
    assert first.find_pool().snapshot().last_error == ""


def test_after_a_refusal_that_was_noted_late_the_next_one_is_an_event(make_proxied, proxy, late, said):  # noqa: F811
    holder, first, second = (make_proxied(CONNECT_RETRY=30) for _ in range(3))
    session_id(holder)  # the server has answered before
    has_come, may_be_noted = late
    proxy.refuse()
    with in_thread("late", lambda: request(first)) as outcome:
        assert has_come.wait(30)
        proxy.accept()
        session_id(second)  # and the connection is kept: the other has to open one
        proxy.refuse()
        may_be_noted.set()
        wait_until(lambda: said.containing("the server does not accept connections"))
        proxy.accept()
    assert outcome == [None]
    assert [" accepts " in text for text in said.texts] == [False, True]
    for wrapper in (holder, second):
        wrapper.close()


def test_a_wrong_password_is_no_event(make_wrapper, said):
    wrapper = make_wrapper(PASSWORD="wrong")
    with pytest.raises(Exception, match=r"password|Access denied"):
        wrapper.ensure_connection()
    assert said.texts == []
