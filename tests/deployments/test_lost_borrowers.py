"""A borrower that dies gives its place back within seconds, without the garbage collector; what it had begun is rolled back."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

from tests.deployments.test_exit import STORY
from tests.support.sessions import session_id

SLEEP = {"postgresql": "SELECT pg_sleep(%s)", "mysql": "SELECT SLEEP(%s)"}
# Waits for a place no longer than this; within seconds means within these.
POOL = {"POOL_SIZE": 3, "MAX_OVERFLOW": 0, "TIMEOUT": 10}


@pytest.fixture
def numbers(observer):
    """A table of numbers; at the end of the test nobody has written any into it."""
    engine = " ENGINE=InnoDB" if observer.wrapper.vendor == "mysql" else ""
    observer.query(f"CREATE TABLE numbers (n integer){engine}")
    yield
    try:
        assert observer.query("SELECT n FROM numbers") == []
    finally:
        observer.query("DROP TABLE numbers")


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def lose(make_wrapper, numbers, without_collector):
    """A function that takes a connection, writes in a transaction, sleeps so many seconds there, and leaves it like that."""
    kept = []

    def lose(seconds=0):
        wrapper = make_wrapper(**POOL)
        kept.append(wrapper)  # the wrapper lives on: it is not its end that gives the place back
        with wrapper.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO numbers VALUES (1)")
            cursor.execute(SLEEP[wrapper.vendor], [seconds])

    yield lose
    for wrapper in kept:
        wrapper.inc_thread_sharing()
        wrapper.close()


def assert_all_places_are_back(make_wrapper, closed):
    wrappers = [make_wrapper(**POOL) for _ in range(3)]
    assert len({session_id(wrapper) for wrapper in wrappers}) == 3
    figures = wrappers[0].find_pool().snapshot()
    assert figures.closed == ({"abandoned": closed} if closed else {})
    for wrapper in wrappers:
        wrapper.close()


def test_threads_that_die(lose, make_wrapper):
    for _ in range(3):
        threads = [threading.Thread(target=lose) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert_all_places_are_back(make_wrapper, closed=9)


def test_the_threads_of_an_executor_that_is_shut_down(lose, make_wrapper):
    with ThreadPoolExecutor(3) as executor:
        list(executor.map(lambda _: lose(), range(3)))
    assert_all_places_are_back(make_wrapper, closed=3)


def test_what_runs_outside_of_the_requests_thread(lose, make_wrapper):
    async def request():
        await asyncio.gather(*(sync_to_async(lose, thread_sensitive=False)() for _ in range(3)))

    asyncio.run(request())
    # Each at the end of its job: nobody was lost.
    assert_all_places_are_back(make_wrapper, closed=0)


@pytest.mark.parametrize(
    ("run", "is_uvloops"),
    [
        pytest.param(sync_to_async(thread_sensitive=False), False, id="sync_to_async"),
        # uvloop makes its default executor itself, and does not name it as asyncio does.
        pytest.param(sync_to_async(thread_sensitive=False), True, id="sync_to_async, uvloop's executor"),
        pytest.param(lambda job: lambda: asyncio.to_thread(job), False, id="to_thread"),
    ],
)
def test_threads_that_live_on_after_their_jobs(run, is_uvloops, lose, make_wrapper):
    async def main():
        if is_uvloops:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(5))
        for _ in range(3):
            await asyncio.gather(*(run(lose)() for _ in range(3)))
        threads = {thread.name for thread in threading.enumerate()}
        # Here, while they live; in the loop's own thread, which stands still meanwhile.
        await sync_to_async(assert_all_places_are_back)(make_wrapper, closed=0)
        assert threads <= {thread.name for thread in threading.enumerate()}

    asyncio.run(main())


def test_each_job_of_a_thread_that_keeps_its_wrapper(make_wrapper):
    wrappers = []

    def job():
        wrappers.append(wrappers[0] if wrappers else make_wrapper(**POOL))
        session_id(wrappers[0])

    async def main():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1, "asyncio"))
        for _ in range(3):
            await asyncio.to_thread(job)
            assert wrappers[0].find_pool().snapshot().in_use == 0

    asyncio.run(main())
    assert wrappers[0].find_pool().snapshot().opened == 1


def test_a_job_has_given_back_before_whoever_awaits_it_goes_on(make_wrapper, monkeypatch):
    wrappers, order = [], []
    goes_on = threading.Event()

    def job():
        wrappers.append(make_wrapper(**POOL))
        session_id(wrappers[0])
        give_back = wrappers[0].close_if_unusable_or_obsolete

        def give_back_late():
            # Time enough for the other side, were it told already.
            order.append("awaited" if goes_on.wait(0.3) else "given back")
            give_back()

        monkeypatch.setattr(wrappers[0], "close_if_unusable_or_obsolete", give_back_late)

    async def main():
        await asyncio.to_thread(job)
        goes_on.set()
        assert wrappers[0].find_pool().snapshot().in_use == 0

    asyncio.run(main())
    assert order == ["given back"]


def test_what_the_end_of_a_job_calls_may_query_as_well(make_wrapper):
    calls, wrappers = [], []

    def query(_):
        calls.append(1)
        if len(calls) == 1:
            wrappers.append(make_wrapper(**POOL))
            session_id(wrappers[0])
            wrappers[0].close()

    with ThreadPoolExecutor(1, "asyncio") as executor:
        goes_on = threading.Event()
        future = executor.submit(goes_on.wait, 30)
        future.add_done_callback(query)
        goes_on.set()
    assert calls == [1]
    assert wrappers[0].find_pool().snapshot().in_use == 0


@pytest.mark.parametrize(("age", "is_kept"), [(0, False), (None, True)])
def test_conn_max_age_says_whether_a_jobs_connection_is_kept(age, is_kept, make_wrapper):
    def job():
        wrapper = make_wrapper(**POOL, CONN_MAX_AGE=age)
        session_id(wrapper)
        return wrapper

    wrapper = asyncio.run(asyncio.to_thread(job))
    assert (wrapper.connection is not None) is is_kept
    wrapper.inc_thread_sharing()
    wrapper.close()


def test_requests_that_are_cancelled_in_mid_query(lose, make_wrapper, observer):
    async def request():
        async with ThreadSensitiveContext():
            await sync_to_async(lose)(1)

    async def main():
        tasks = [asyncio.create_task(request()) for _ in range(3)]
        count = sync_to_async(lambda: len(observer.query(SLEEPING[observer.wrapper.vendor])))
        async with asyncio.timeout(30):
            while await count() < 3:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The loop goes on; the places come back when the queries end, since no thread can be interrupted.
        await asyncio.to_thread(assert_all_places_are_back, make_wrapper, 3)

    observer.wrapper.inc_thread_sharing()
    asyncio.run(main())


SLEEPING = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(1)'",
    "mysql": "SELECT id FROM information_schema.processlist WHERE info = 'SELECT SLEEP(1)'",
}

GREENLETS = """
    import gc, gevent
    gc.disable()

    def lose():
        execute("BEGIN")
        execute("INSERT INTO numbers VALUES (1)")
        begun.release()
        execute({sleep!r}, [3])

    for _ in range(3):
        begun = threading.Semaphore(0)
        lost = [gevent.spawn(lose) for _ in range(3)]
        assert all(begun.acquire(timeout=20) for _ in lost)
        gevent.sleep(0.1)
        gevent.killall(lost, timeout=10)
    found = [gevent.spawn(query) for _ in range(9)]
    gevent.joinall(found, timeout=20, raise_error=True)
    assert all(each.successful() for each in found)
    print("all are back")
"""
COOPERATIVE = [alias for alias in connections if connections[alias].Database.__name__ in ("psycopg", "pymysql")]


@pytest.mark.parametrize("alias", COOPERATIVE)
def test_greenlets_that_are_killed_in_mid_query(start, observer, numbers, tmp_path):
    pytest.importorskip("gevent")
    story = STORY.format(GREENLETS.format(sleep=SLEEP[observer.wrapper.vendor]))
    (tmp_path / "story.py").write_text(f"from gevent import monkey\nmonkey.patch_all()\n{story}")
    with start("story", pool=POOL) as story:
        assert story.process.wait(60) == 0, story.said()
    assert story.said() == "all are back\n"
    # A server may look at its client only when the statement has ended.
    observer.wait_until_gone(observer.sessions())
