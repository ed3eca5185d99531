"""After a fork, parent and child never share a session, whatever the child does with what it inherited."""

from __future__ import annotations

import atexit
import ctypes
import gc
import multiprocessing
import os
import sys
import threading
from contextlib import contextmanager

import pytest
from django.db import ProgrammingError, connections, transaction

from django_sqla_pool import housekeeper, process, registry, snapshots
from tests.support.children import Child, in_child
from tests.support.sessions import session_id
from tests.support.threads import wait_until

# Python warns of a fork in a process with several threads: the pool must not be the reason.
pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")


@contextmanager
def assert_undisturbed(wrapper, observer):
    """The parent goes on with the very sessions that it had."""
    session = session_id(wrapper)
    yield session
    assert session_id(wrapper) == session
    wrapper.close()
    assert session_id(wrapper) == session
    wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1
    assert session in observer.sessions()


def test_a_child_has_sessions_of_its_own(wrapper, observer):
    with assert_undisturbed(wrapper, observer) as session:
        wrapper.close()
        assert int(in_child(lambda: session_id(wrapper))) != session


def test_a_wrapper_that_was_connected_connects_again_in_the_child(wrapper, observer):
    with assert_undisturbed(wrapper, observer) as session:

        def child():
            assert wrapper.connection is None
            return session_id(wrapper)

        assert int(in_child(child)) != session


def test_a_child_that_closes_everything_harms_nobody(wrapper, observer):
    with assert_undisturbed(wrapper, observer):
        raw = wrapper.connection

        def child():
            wrapper.close()
            raw.close()
            for pool in registry._abandoned:
                pool.dispose()

        in_child(child)


def test_a_child_that_collects_everything_harms_nobody(wrapper, observer):
    with assert_undisturbed(wrapper, observer):
        wrapper.close()

        def child():
            registry._abandoned.clear()
            gc.collect()

        in_child(child)


def test_a_child_that_ends_as_python_does_harms_nobody(make_wrapper, observer, alias):
    wrapper = make_wrapper()
    with assert_undisturbed(wrapper, observer):
        process = multiprocessing.get_context("fork").Process(target=_query_and_leave, args=(wrapper,))
        process.start()
        process.join(30)
        assert process.exitcode == 0


def _query_and_leave(wrapper):
    session_id(wrapper)
    # multiprocessing leaves by os._exit; this is what a child forked by hand does, atexit handlers and all.
    atexit._run_exitfuncs()
    gc.collect()
    sys.exit(0)


def test_a_lease_without_an_owner_is_the_parents_as_well(wrapper, observer):
    pool = wrapper.find_pool()
    with pool.checkout() as lease:
        in_child(lease.close)
        driver = lease.physical.driver
        driver.ping(2)
        assert pool.snapshot().in_use == 1


def test_a_lease_that_the_parent_holds_is_not_given_back_in_the_child(wrapper, observer):
    with assert_undisturbed(wrapper, observer):
        lease = wrapper._lease

        def child():
            lease.close()
            wrapper.close()
            assert snapshots() == ()
            return session_id(wrapper)

        in_child(child)
        assert wrapper.find_pool().snapshot().in_use == 1


def test_a_child_forked_inside_atomic_is_not_in_the_parents_transaction(wrapper, observer):
    original = connections[wrapper.alias]
    connections[wrapper.alias] = wrapper
    try:
        with assert_undisturbed(wrapper, observer), transaction.atomic(using=wrapper.alias):
            session_id(wrapper)

            def child():
                with pytest.raises(ProgrammingError, match="Cannot open a new connection in an atomic block"):
                    wrapper.cursor()

            in_child(child)
    finally:
        connections[wrapper.alias] = original


def test_a_grandchild_is_as_safe_as_a_child(wrapper, observer):
    with assert_undisturbed(wrapper, observer) as session:

        def child():
            mine = session_id(wrapper)
            theirs = int(in_child(lambda: session_id(wrapper)))
            assert session_id(wrapper) == mine
            return " ".join(str(number) for number in (mine, theirs))

        assert len({session, *map(int, in_child(child).split())}) == 3


def in_child_without_hooks(function, leave=os._exit):
    """As in_child, but the fork is libc's, as of a server written in C: it runs no Python code in the child."""
    interval = sys.getswitchinterval()

    def work():
        sys.setswitchinterval(interval)
        return function()

    with housekeeper_held():
        child = Child(work, leave, fork=ctypes.PyDLL(None).fork)
    return child.answer()


@contextmanager
def housekeeper_held():
    """Have the housekeeper wait for this thread: one that waits for the interpreter would leave such a child without threads."""
    interval, begun, may_end = sys.getswitchinterval(), threading.Event(), threading.Event()
    assert housekeeper._thread is not None
    sys.setswitchinterval(1000.0)  # so that it has the interpreter, once it is told to wait, until it does
    try:
        housekeeper.submit(lambda: (begun.set(), may_end.wait()))
        assert begun.wait(10)
        yield
    finally:
        sys.setswitchinterval(interval)
        may_end.set()


def test_a_fork_without_pythons_hooks_is_noticed_at_the_next_checkout(wrapper, observer):
    with assert_undisturbed(wrapper, observer) as session:
        wrapper.close()
        assert int(in_child_without_hooks(lambda: session_id(wrapper))) != session


def test_a_fork_without_pythons_hooks_is_noticed_by_a_wrapper_that_could_go_on_with_its_connection(wrapper, observer):
    with assert_undisturbed(wrapper, observer):
        parents = wrapper.connection
        wrapper.close()

        def child():
            wrapper.ensure_connection()  # not by way of a cursor, which looks for itself
            return wrapper.connection is parents

        assert in_child_without_hooks(child) == "False"


def test_in_a_child_nobody_goes_on_with_a_connection_of_the_parents_however_quiet(wrapper, observer):
    with assert_undisturbed(wrapper, observer):
        wrapper.close()
        previous = wrapper._previous

        def child():
            previous.physical.driver.is_quiet = lambda: True
            return previous.pool.resume(previous)

        assert in_child(child) == "False"


def test_a_fork_without_pythons_hooks_is_noticed_by_a_wrapper_that_is_connected(wrapper, observer):
    with assert_undisturbed(wrapper, observer) as session:
        assert int(in_child_without_hooks(lambda: session_id(wrapper))) != session


def test_a_grandchild_without_pythons_hooks_is_noticed_as_well(wrapper, observer):
    with assert_undisturbed(wrapper, observer) as session:

        def child():
            mine = session_id(wrapper)
            theirs = in_child_without_hooks(lambda: session_id(wrapper))
            assert session_id(wrapper) == mine
            return f"{mine} {theirs}"

        assert len({session, *map(int, in_child_without_hooks(child).split())}) == 3


def test_a_child_without_pythons_hooks_does_not_roll_the_parent_back(wrapper, observer):
    with assert_undisturbed(wrapper, observer), wrapper.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE t (n integer)")
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO t VALUES (1)")
        in_child_without_hooks(wrapper.close)
        cursor.execute("COMMIT")
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone()[0] == 1


def test_a_child_without_pythons_hooks_that_ends_as_python_does_harms_nobody(wrapper, observer):
    def leave(status):
        atexit._run_exitfuncs()
        os._exit(status)

    with assert_undisturbed(wrapper, observer):
        in_child_without_hooks(str, leave)


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_a_fork_while_other_threads_are_inside_checkout(make_wrapper):
    stop = threading.Event()
    errors = []

    def work():
        mine = make_wrapper(POOL_SIZE=2, MAX_OVERFLOW=0)
        try:
            while not stop.is_set():
                session_id(mine)
                mine.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wrapper = make_wrapper(POOL_SIZE=2, MAX_OVERFLOW=0)
    # Not while a connection is being opened: libpq and OpenSSL have locks of their own, which no child can free.
    tick = threading.Event()
    while wrapper.find_pool().snapshot().opened < 2:
        tick.wait(0.005)
        assert not errors
    mine = []
    for _ in range(20):
        mine.append(int(in_child(lambda: session_id(wrapper))))
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert errors == []
    theirs = {session_id(wrapper)}
    wrapper.close()
    assert not theirs & set(mine)
    figures = wrapper.find_pool().snapshot()
    assert figures.opened <= 2
    assert figures.closed == {}


def test_the_housekeeper_goes_on_in_the_parent(make_wrapper, observer):
    wrapper = make_wrapper(POOL_SIZE=0, IDLE_TIMEOUT=0.05)
    session = session_id(wrapper)
    in_child(lambda: session_id(wrapper))
    wrapper.close()
    observer.wait_until_gone({session})
    # The server has heard of it before the pool has counted it.
    wait_until(lambda: wrapper.find_pool().snapshot().closed)
    assert wrapper.find_pool().snapshot().closed == {"idle": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such mark")
def test_where_the_kernel_can_mark_a_process_nobody_asks_for_the_process_id():
    assert (process.mark[0], in_child(lambda: process.mark[0])) == (1, "1")


def test_where_the_kernel_can_not_mark_a_process_the_process_id_tells(monkeypatch):
    monkeypatch.setattr(process, "_MADV_WIPEONFORK", 9999)
    mark = process._make_mark()
    assert bytes(mark) == b"\0"
    monkeypatch.setattr(process, "mark", mark)
    process.remember()
    assert bytes(mark) == b"\0", "a mark that a child would inherit"
    assert not process.has_forked()
    assert in_child(process.has_forked, fork=ctypes.PyDLL(None).fork) == "True"
