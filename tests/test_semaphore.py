"""The places of a pool: first come, first served, and none is ever lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections import deque

import pytest

from django_sqla_pool.semaphore import Closed, FairSemaphore


def wait_for_line(semaphore, length):
    """Wait until so many stand in line: there is no event for it but the figure itself."""
    tick = threading.Event()
    for _ in range(2000):
        if semaphore.waiting == length:
            return
        tick.wait(0.005)
    raise AssertionError(f"{semaphore.waiting} wait, not {length}")


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_there_are_as_many_places_as_the_limit_says(limit):
    semaphore = FairSemaphore(limit)
    assert all(semaphore.acquire(0) for _ in range(limit))
    assert not semaphore.acquire(0)
    semaphore.release()
    assert semaphore.acquire(0)


def test_without_a_limit_nobody_waits():
    semaphore = FairSemaphore(None)
    assert all(semaphore.acquire(0) for _ in range(1000))
    assert semaphore.waiting == 0


def test_who_comes_first_is_served_first():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    served = []

    def work(number):
        assert semaphore.acquire(30)
        served.append(number)
        semaphore.release()

    threads = []
    for number in range(10):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        wait_for_line(semaphore, number + 1)
    semaphore.release()
    for thread in threads:
        thread.join(30)
    assert served == list(range(10))


def test_a_place_given_back_cannot_be_taken_by_somebody_who_does_not_wait():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    got_it, go_on = threading.Event(), threading.Event()

    def wait():
        assert semaphore.acquire(30)
        got_it.set()
        go_on.wait(30)
        semaphore.release()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for_line(semaphore, 1)
    semaphore.release()
    assert not semaphore.acquire(0), "it belongs to the one who waits, running or not"
    assert got_it.wait(30)
    go_on.set()
    thread.join(30)
    assert semaphore.acquire(0)


def test_who_gives_up_waiting_takes_no_place():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    assert not semaphore.acquire(0.01)
    assert semaphore.waiting == 0
    semaphore.release()
    assert semaphore.acquire(0)


def test_an_interrupted_wait_takes_no_place():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            semaphore.acquire(30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert semaphore.waiting == 0
    semaphore.release()
    assert semaphore.acquire(0)


@pytest.mark.parametrize("limit", [1, None])
def test_a_semaphore_in_use_cannot_be_closed(limit):
    semaphore = FairSemaphore(limit)
    semaphore.acquire(0)
    assert not semaphore.close()
    semaphore.release()
    assert semaphore.close()
    with pytest.raises(Closed):
        semaphore.acquire(0)


def test_a_place_handed_over_just_before_an_interrupt_is_passed_on():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)

    def hand_over_and_interrupt(*_):
        semaphore.release()  # to the one who waits: this very thread
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, hand_over_and_interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            semaphore.acquire(30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert semaphore.acquire(0), "nobody has it"


def test_a_place_handed_over_at_the_very_end_of_the_wait_is_taken():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    results = []
    thread = threading.Thread(target=lambda: results.append(semaphore.acquire(0.01)))
    thread.start()
    wait_for_line(semaphore, 1)
    with semaphore._lock:  # its time is up, and it wants to leave the line
        tick = threading.Event()
        while "_leave_line" not in {frame.f_code.co_name for frame in _stack(thread)}:
            tick.wait(0.001)
            assert thread.is_alive()
        semaphore.line.popleft().release()  # as release() does, which has come first
    thread.join(30)
    assert results == [True]
    assert not semaphore.acquire(0)


def test_a_finaliser_may_give_a_place_back_while_its_thread_is_in_here():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)

    def collect_garbage_in_the_middle():
        with semaphore._lock:
            semaphore.release()

    thread = threading.Thread(target=collect_garbage_in_the_middle, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert semaphore.acquire(0)


def _stack(thread):
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        yield frame
        frame = frame.f_back


class Late(deque):
    """What somebody else puts back just after the first look at it."""

    looks = 0

    def pop(self):
        self.looks += 1
        if self.looks == 1:
            raise IndexError
        return super().pop()


def test_a_place_put_back_just_after_the_first_look_is_found_by_who_does_not_wait():
    semaphore = FairSemaphore(1)
    semaphore.free = Late(semaphore.free)
    assert semaphore.acquire(0)
    assert not semaphore.acquire(0)


class Gone(deque):
    """A line whose last one has been served by a finaliser, in the middle of a hand-over."""

    def popleft(self):
        self.clear()
        raise IndexError


def test_a_place_that_nobody_waits_for_any_more_stays_free():
    semaphore = FairSemaphore(1)
    semaphore.acquire(0)
    semaphore.line = Gone([threading.Lock()])
    semaphore.release()
    assert semaphore.waiting == 0
    assert semaphore.acquire(0)
