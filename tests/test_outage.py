"""While the server is away one tries, with growing pauses, and the others wait for what becomes of it."""

from __future__ import annotations

import threading

import pytest

from django_sqla_pool.outage import FIRST_PAUSE, LONGEST_PAUSE, Outage


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def no_idle():
    return False


def test_without_an_outage_everybody_may_try():
    assert Outage(Clock()).wait_turn(100.0, no_idle)


def test_after_a_failure_the_next_attempt_comes_after_a_pause():
    clock = Clock()
    outage = Outage(clock)
    outage.failed(OSError("away"))
    assert not outage.wait_turn(100.0, no_idle)
    clock.now += FIRST_PAUSE
    assert outage.wait_turn(200.0, no_idle)


def test_the_pauses_grow_up_to_a_bound_and_start_again_after_a_success():
    clock = Clock()
    outage = Outage(clock)
    pauses = []
    for _ in range(8):
        outage.failed(OSError("away"))
        pauses.append(outage._next_attempt - clock.now)
    assert pauses[0] == pytest.approx(FIRST_PAUSE)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)
    outage.ended()
    outage.failed(OSError("away"))
    assert outage._next_attempt - clock.now == pytest.approx(FIRST_PAUSE)


def test_only_one_tries_at_a_time():
    clock = Clock()
    outage = Outage(clock)
    outage.failed(OSError("away"))
    clock.now += 1
    assert outage.wait_turn(clock.now + 1, no_idle)
    assert not outage.wait_turn(clock.now, no_idle), "somebody is trying"
    outage.pass_turn()
    assert outage.wait_turn(clock.now + 1, no_idle)


def test_who_has_no_time_to_wait_may_try_when_an_attempt_is_due():
    clock = Clock()
    outage = Outage(clock)
    outage.failed(OSError("away"))
    assert not outage.wait_turn(clock.now, no_idle)
    clock.now += FIRST_PAUSE
    assert outage.wait_turn(clock.now, no_idle)


def test_an_idle_connection_ends_the_wait():
    outage = Outage(Clock())
    outage.failed(OSError("away"))
    assert outage.wait_turn(200.0, lambda: True)
    assert outage.error is not None


def test_a_success_lets_all_who_wait_go_on():
    clock = Clock()
    outage = Outage(clock)
    outage.failed(OSError("away"))
    clock.now += 1
    assert outage.wait_turn(clock.now + 1, no_idle)
    results = []
    threads = [threading.Thread(target=lambda: results.append(outage.wait_turn(clock.now + 30, no_idle))) for _ in range(5)]
    for thread in threads:
        thread.start()
    outage.ended()
    for thread in threads:
        thread.join(30)
    assert results == [True] * 5
