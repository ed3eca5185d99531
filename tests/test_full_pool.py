"""PoolTimeout: what somebody is told who gets no connection because all are in use."""

from __future__ import annotations

import dataclasses
import threading
import time

import django.db
import pytest
from django.db import connections

import django_sqla_pool
from django_sqla_pool import PoolTimeout
from django_sqla_pool.options import parse
from django_sqla_pool.pool import Pool
from tests.support.threads import in_thread, wait_until
from tests.support.wire import Proxy

UNENCRYPTED = {"default": {"sslmode": "disable", "gssencmode": "disable"}, "mysql": {}}


def caught(function):
    with pytest.raises(PoolTimeout) as raised:
        function()
    return raised.value


def test_a_full_pool_is_an_operational_error_of_django(make_wrapper):
    make = {"POOL_SIZE": 1, "MAX_OVERFLOW": 0, "TIMEOUT": 0}
    holder, other = make_wrapper(**make), make_wrapper(**make)
    holder.ensure_connection()
    with pytest.raises(django.db.OperationalError) as raised:
        other.cursor()
    assert type(raised.value) is PoolTimeout is django_sqla_pool.PoolTimeout
    assert issubclass(PoolTimeout, django.db.DatabaseError)
    assert not any(kind.__module__.startswith("sqlalchemy") for kind in PoolTimeout.__mro__)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert other.connection is None


def test_a_full_pool_says_how_full_it_is_and_who_has_held_a_connection_longest(make_wrapper):
    """Real connections, leased in two threads by names of their own; the clock is ours, so that the age is known."""
    now = [100.0]
    shared = make_wrapper().find_pool()
    pool = Pool("the pool", parse({"POOL_SIZE": 1, "MAX_OVERFLOW": 1, "TIMEOUT": "0.0"}), shared.opener, lambda: now[0])
    done = threading.Event()
    taken = [threading.Event(), threading.Event()]

    def hold(number):
        with pool.checkout():
            taken[number].set()
            assert done.wait(30)

    with in_thread("the elder", lambda: hold(0)) as elder:
        assert taken[0].wait(30)
        now[0] += 11.0
        with in_thread("the younger", lambda: hold(1)) as younger:
            assert taken[1].wait(30)
            now[0] += 1.25
            error = caught(pool.checkout)
            done.set()
    assert (elder, younger) == ([None], [None])
    assert str(error) == (
        "the pool: no connection became free within 0 s (in use 2 of 2, waiting 0, oldest lease out for 12.2 s in thread "
        "'the elder'). Raise POOL_SIZE or MAX_OVERFLOW, or find what holds connections for so long."
    )
    pool.dispose()
    assert pool.snapshot().timeouts == 1


def test_a_thread_that_gives_back_and_ends_at_that_moment_is_named_as_well(make_wrapper, monkeypatch):
    pool = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0).find_pool()
    taken, done = threading.Event(), threading.Event()

    def hold():
        with pool.checkout():
            taken.set()
            assert done.wait(30)

    holder = threading.Thread(target=hold, name="the last one")
    report = pool._reports.timeout

    def late(*details):
        done.set()
        holder.join(30)
        assert not holder.is_alive()
        return report(*details)

    monkeypatch.setattr(pool._reports, "timeout", late)
    holder.start()
    assert taken.wait(30)
    assert "in thread 'the last one'" in str(caught(pool.checkout))


def test_a_full_pool_says_how_many_wait(make_wrapper):
    pool = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=30).find_pool()
    lease = pool.checkout()
    with in_thread("patient", pool.checkout) as patient:
        wait_until(lambda: pool.snapshot().waiting == 1)
        pool.options = dataclasses.replace(pool.options, timeout=0)  # the next one has no time to wait
        error = caught(pool.checkout)
        lease.close()
    assert "(in use 1 of 1, waiting 1, oldest lease out for " in str(error)
    patient[0].close()
    assert (pool.snapshot().waiting, pool.snapshot().timeouts, pool.snapshot().in_use) == (0, 1, 0)


def test_a_full_pool_waits_as_long_as_it_says(make_wrapper):
    pool = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0.25).find_pool()
    with pool.checkout():
        began = time.monotonic()
        error = caught(pool.checkout)
        assert 0.25 <= time.monotonic() - began < 5
    assert "no connection became free within 0.25 s (" in str(error)


def test_a_full_pool_names_its_server_but_no_secret(make_wrapper):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0)
    settings = wrapper.settings_dict
    pool = wrapper.find_pool()
    with pool.checkout():
        error = caught(pool.checkout)
    where = f"{settings['USER']}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    assert str(error).startswith(f"{wrapper.vendor}://{where}: no connection became free")


def test_a_full_pool_says_if_a_thread_that_holds_a_connection_has_ended(make_wrapper):
    pool = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0).find_pool()
    with in_thread("careless", pool.checkout) as leases:
        pass
    error = caught(pool.checkout)
    assert f" in thread 'ended, {leases[0].thread}')" in str(error)
    leases[0].close()


def test_a_full_pool_says_why_the_last_connection_could_not_be_opened(make_wrapper, alias):
    """One thread goes on trying to connect, which takes the only place; the next one is told why it gets none."""
    settings = connections[alias].settings_dict
    with Proxy(settings["HOST"], settings["PORT"], connections[alias].vendor) as proxy:
        wrapper = make_wrapper(
            HOST=proxy.host,
            PORT=proxy.port,
            OPTIONS=UNENCRYPTED[alias],
            POOL_SIZE=1,
            MAX_OVERFLOW=0,
            CONNECT_RETRY=30,
        )
        pool = wrapper.find_pool()
        proxy.refuse()
        with in_thread("trying", pool.checkout) as leases:
            wait_until(lambda: pool.snapshot().last_error)
            pool.options = dataclasses.replace(pool.options, timeout=0)
            error = caught(pool.checkout)
            reason = pool.snapshot().last_error
            proxy.accept()
        leases[0].close()
        assert type(error) is PoolTimeout
        assert str(error).endswith(
            f"(in use 0 of 1, waiting 0, last open failed: {reason}). "
            "See why the server does not accept connections; a larger pool would not help."
        )
        assert pool.snapshot().last_error == ""
