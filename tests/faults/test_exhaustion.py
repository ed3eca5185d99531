"""Far more requests than connections, and slow queries: nobody waits longer than TIMEOUT, in order, and nothing is lost."""

from __future__ import annotations

import re

from django_sqla_pool import PoolTimeout
from tests.faults.stage import Scene
from tests.support.load import Load

THREADS, LIMIT, TIMEOUT = 50, 4, 1.0
SLACK = 2.0  # for fifty threads on a machine that has other things to do
POOL = {"POOL_SIZE": 2, "MAX_OVERFLOW": LIMIT - 2, "TIMEOUT": TIMEOUT, "CONNECT_RETRY": 25}


def test_fifty_threads_and_four_connections(scene: Scene) -> None:
    pool = scene.add(pool=POOL).find_pool()
    with Load("busy", scene.ledger, THREADS, sleep=0.15) as load:
        load.wait_for_successes(120)
    assert load.violations() == []
    assert load.failures, "fifty times 0.15 s by four is more than TIMEOUT"
    assert pool.snapshot().timeouts == len(load.failures)
    for failure in load.failures:
        assert failure.kind is PoolTimeout, failure
        assert TIMEOUT <= failure.waited < TIMEOUT + SLACK, failure
        told = re.search(r"in use \d of 4, waiting (\d+), oldest lease out for \d+\.\d s in thread 'request ", failure.text)
        assert told, failure
        assert int(told[1]) < THREADS
    assert max(request.waited for request in load.successes) < TIMEOUT + SLACK
    # When a thread reads the clock and when it stands in line are two moments: hence the half.
    turns = [(request.began, request.connected or 0.0) for request in load.successes]
    for request in load.requests:
        until = request.connected or request.ended
        overtaken = [began for began, connected in turns if began > request.began + TIMEOUT / 2 and connected < until]
        assert not overtaken, request
    assert pool.snapshot().opened == LIMIT
