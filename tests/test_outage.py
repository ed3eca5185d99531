"""While the server is away one tries, with growing pauses, and the others wait for what becomes of it."""

from __future__ import annotations

import threading

import pytest

from django_sqla_pool.outage import FIRST_PAUSE, LONGEST_PAUSE, NotTried, Outage
from tests.support.threads import in_thread, wait_until


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def nothing():
    """No connection has come in."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outage(clock):
    """An outage that has just begun."""
    outage = Outage(clock)
    outage.failed(OSError("away"), None, outage.answers)
    assert told(outage) == ["away"]
    return outage


def told(outage):
    """What is new."""
    news = []
    outage.tell(lambda error: news.append(str(error)), news.append)
    return news


def may_try(outage, ticket=None, until=0.0):
    """Whether a ticket, a new one if none is given, gets the turn."""
    try:
        return outage.wait_turn(ticket or outage.draw(), until, nothing) is None
    except NotTried:
        return False


def test_without_an_outage_everybody_may_try(clock):
    outage = Outage(clock)
    assert may_try(outage)
    assert may_try(outage)


def test_after_a_failure_the_next_attempt_comes_after_a_pause(outage, clock):
    assert not may_try(outage)
    clock.now += FIRST_PAUSE
    assert may_try(outage, until=200.0)


def test_the_pauses_grow_up_to_a_bound_and_start_again_after_a_success(outage, clock):
    pauses = []
    ticket = outage.draw()
    for _ in range(8):
        pauses.append(outage._next_attempt - clock.now)
        clock.now = outage._next_attempt
        assert may_try(outage, ticket)
        outage.failed(OSError("away"), ticket, outage.answers)
    assert pauses[0] == pytest.approx(FIRST_PAUSE)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)
    outage.ended()
    outage.failed(OSError("away"), None, outage.answers)
    assert outage._next_attempt - clock.now == pytest.approx(FIRST_PAUSE)


def test_attempts_that_had_begun_before_the_outage_was_known_do_not_lengthen_the_pause(outage, clock):
    for _ in range(20):
        outage.failed(OSError("away"), None, outage.answers)
    assert outage._next_attempt - clock.now == pytest.approx(FIRST_PAUSE)
    assert told(outage) == []


def test_what_an_attempt_met_before_the_server_came_back_begins_no_outage(outage):
    answers = outage.answers
    outage.ended()
    assert len(told(outage)) == 1
    outage.failed(OSError("away"), None, answers)
    assert (outage.error, told(outage)) == (None, [])
    outage.failed(OSError("away"), None, outage.answers)
    assert told(outage) == ["away"]


def test_what_is_new_is_said_once_and_in_its_order_whoever_says_it(clock):
    outage = Outage(clock)
    outage.ended()
    assert told(outage) == [], "there was none"
    outage.failed(OSError("away"), None, outage.answers)
    clock.now += 3
    outage.ended()
    outage.ended()
    outage.failed(OSError("away again"), None, outage.answers)
    clock.now += 4
    news = []

    def began(error):
        news.append(str(error))
        if len(news) == 3:
            outage.ended()
        assert told(outage) == [], "somebody is saying it"

    outage.tell(began, news.append)
    assert news == ["away", 3, "away again", 4]
    assert told(outage) == []


def test_news_that_could_not_be_said_keep_nobody_from_saying_the_next(outage):
    def fail(seconds):
        raise ZeroDivisionError

    outage.ended()
    outage.failed(OSError("away again"), None, outage.answers)
    with pytest.raises(ZeroDivisionError):
        outage.tell(fail, fail)
    assert told(outage) == ["away again"]


def test_only_one_tries_at_a_time(outage, clock):
    clock.now += 1
    first = outage.draw()
    assert may_try(outage, first)
    assert not may_try(outage), "somebody is trying"
    outage.failed(OSError("away"), None, outage.answers)
    outage.pass_turn(outage.draw())
    assert not may_try(outage), "somebody is trying still"
    outage.pass_turn(first)
    assert may_try(outage)


def test_who_has_no_time_to_wait_may_try_when_an_attempt_is_due(outage, clock):
    assert not may_try(outage, until=clock.now)
    clock.now += FIRST_PAUSE
    assert may_try(outage, until=clock.now)


def test_an_idle_connection_ends_the_wait(outage):
    assert outage.wait_turn(outage.draw(), 200.0, lambda: "idle") == "idle"
    assert outage.error is not None


def test_a_finaliser_may_give_a_connection_back_while_the_line_is_being_looked_at(outage):
    def take():
        outage.wake()  # what the garbage collector runs now has a lease, and closes it
        return "idle"

    got = []
    thread = threading.Thread(target=lambda: got.append(outage.wait_turn(outage.draw(), 200.0, take)), daemon=True)
    thread.start()
    thread.join(30)
    assert got == ["idle"]


def test_who_comes_first_gets_the_first_connection_that_comes_in(outage):
    idle, got, tickets = [], [], [outage.draw() for _ in range(3)]

    def take():
        return idle.pop() if idle else None

    def wait(ticket):
        got.append((ticket.number, outage.wait_turn(ticket, 200.0, take)))

    with (
        in_thread("third", lambda: wait(tickets[2])),
        in_thread("second", lambda: wait(tickets[1])),
        in_thread("first", lambda: wait(tickets[0])),
    ):
        wait_until(lambda: len(outage._line) == 3)
        for number in range(3):
            idle.append("idle")
            with pytest.raises(NotTried):  # who comes now does not take what is for others
                outage.wait_turn(outage.draw(), 0.0, take)
            outage.wake()
            wait_until(lambda count=number + 1: len(got) == count)
    assert got == [(ticket.number, "idle") for ticket in tickets]


def test_who_has_tried_in_vain_is_first_in_line_again(outage, clock):
    first, second = outage.draw(), outage.draw()
    clock.now += FIRST_PAUSE
    assert may_try(outage, first)
    outage.failed(OSError("away"), first, outage.answers)
    clock.now += 1
    with in_thread("second", lambda: outage.wait_turn(second, 200.0, nothing)) as second_turn:
        wait_until(lambda: outage._trying is second)
        outage.failed(OSError("away"), second, outage.answers)
    assert second_turn == [None]
    clock.now += 1
    assert may_try(outage, first)


def test_when_the_first_in_line_gives_up_the_next_one_tries(outage, clock):
    first, second = outage.draw(), outage.draw()
    with in_thread("second", lambda: outage.wait_turn(second, 200.0, nothing)) as turn:
        wait_until(lambda: outage._line)
        clock.now += 1
        assert may_try(outage, first)
        outage.failed(OSError("away"), first, outage.answers)
        clock.now += 1
        with pytest.raises(NotTried):  # it is before the second one in line, but somebody else has just begun
            outage._trying = outage.draw()
            outage.wait_turn(first, 0.0, nothing)
        outage.pass_turn(outage._trying)
    assert turn == [None]
    assert outage._trying is second


def test_a_success_lets_all_who_wait_go_on(outage, clock):
    clock.now += 1
    assert may_try(outage)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(outage.wait_turn(outage.draw(), clock.now + 30, nothing)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    outage.ended()
    for thread in threads:
        thread.join(30)
    assert results == [None] * 5
