"""Servers that go away and come back: who fails, who waits, and for how long."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import InterfaceError, OperationalError, transaction

from tests.support.aliases import more_aliases
from tests.support.sessions import session_id
from tests.test_round_trips import make_proxied, proxy  # noqa: F401  (fixtures)


def test_idle_connections_that_were_killed_cost_nobody_an_error(make_wrapper, observer):
    wrappers = [make_wrapper() for _ in range(5)]
    before = {session_id(wrapper) for wrapper in wrappers}
    for wrapper in wrappers:
        wrapper.close()
    for session in before:
        observer.kill(session)
    after = {session_id(wrapper) for wrapper in wrappers}
    assert len(after) == 5
    assert not before & after
    for wrapper in wrappers:
        wrapper.close()
    figures = wrappers[0].find_pool().snapshot()
    assert (figures.in_use, figures.idle, figures.closed) == (0, 5, {"dead": 5})


def test_a_checkout_waits_for_a_server_that_comes_back(make_proxied, proxy):  # noqa: F811
    wrapper = make_proxied(CONNECT_RETRY=30)
    proxy.refuse()
    errors = []

    def request():
        wrapper.inc_thread_sharing()
        try:
            session_id(wrapper)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=request)
    thread.start()
    _until(lambda: wrapper.find_pool().snapshot().last_error != "")
    proxy.accept()
    thread.join(20)
    assert not thread.is_alive()
    assert errors == []
    assert wrapper.find_pool().snapshot().last_error == ""


def test_a_server_that_stays_away_is_the_drivers_own_error_after_connect_retry(make_proxied, proxy):  # noqa: F811
    wrapper = make_proxied(CONNECT_RETRY=0.3)
    proxy.refuse()
    began = time.monotonic()
    with pytest.raises(OperationalError, match=r"refused|Can't connect"):
        wrapper.ensure_connection()
    assert time.monotonic() - began >= 0.3
    assert wrapper.find_pool().snapshot().in_use == 0


def test_without_connect_retry_a_refusal_is_an_error_at_once(make_proxied, proxy):  # noqa: F811
    wrapper = make_proxied(CONNECT_RETRY=0)
    attempts = _count_opens(wrapper)
    proxy.refuse()
    for _ in range(3):
        with pytest.raises(OperationalError):
            wrapper.ensure_connection()
    assert attempts() == 3


def test_while_the_server_is_away_few_try_and_the_rest_wait(make_proxied, proxy):  # noqa: F811
    wrappers = [make_proxied(POOL_SIZE=20, CONNECT_RETRY=30) for _ in range(20)]
    attempts = _count_opens(wrappers[0])
    proxy.refuse()
    errors = []

    def request(wrapper):
        wrapper.inc_thread_sharing()
        try:
            session_id(wrapper)
            wrapper.close()
        except Exception as error:
            errors.append(error)

    first = threading.Thread(target=request, args=(wrappers[0],))
    first.start()
    _until(lambda: wrappers[0].find_pool().snapshot().last_error != "")
    threads = [first, *(threading.Thread(target=request, args=(wrapper,)) for wrapper in wrappers[1:])]
    for thread in threads[1:]:
        thread.start()
    _until(lambda: attempts() >= 4)  # pauses of 0.05, 0.1 and 0.2 s
    during = attempts()
    proxy.accept()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert errors == []
    assert during <= 6, "one at a time, with pauses, and not each of the twenty"


def test_a_connection_that_comes_back_serves_who_waits_for_the_server(make_proxied, proxy):  # noqa: F811
    holder, waiter = make_proxied(CONNECT_RETRY=30), make_proxied(CONNECT_RETRY=30)
    session = session_id(holder)
    proxy.refuse()
    answers = []

    def request():
        waiter.inc_thread_sharing()
        answers.append(session_id(waiter))

    thread = threading.Thread(target=request)
    thread.start()
    _until(lambda: waiter.find_pool().snapshot().last_error != "")
    holder.close()
    thread.join(20)
    assert answers == [session]


def test_a_transaction_that_has_lost_its_server_fails_at_once(alias, proxy):  # noqa: F811
    """Django's atomic() would connect again at its end, only to set autocommit."""
    options = {"sslmode": "disable"} if alias == "default" else {}
    with more_aliases() as add:
        wrapper = add("afar", alias, HOST=proxy.host, PORT=proxy.port, OPTIONS=options, POOL_OPTIONS={"CONNECT_RETRY": 30})
        session = session_id(wrapper)
        attempts = _count_opens(wrapper)
        with pytest.raises((OperationalError, InterfaceError), match=r"closed|reset|Lost|gone"), transaction.atomic(using="afar"):
            session_id(wrapper)
            proxy.refuse()
            proxy.cut()
            session_id(wrapper)
        assert attempts() == 0
        proxy.accept()
        assert session_id(wrapper) != session
        assert wrapper.get_autocommit()


def _count_opens(wrapper):
    opener = wrapper.find_pool().opener
    original, count = opener.open, []

    def counted():
        count.append(1)
        return original()

    opener.open = counted
    return lambda: len(count)


def _until(is_true):
    tick = threading.Event()
    for _ in range(4000):
        if is_true():
            return
        tick.wait(0.005)
    raise AssertionError("it never came true")
