"""A server that has no connection left for a while: who could have waited does not fail, and nobody waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error

from tests.faults.stage import Scene
from tests.support.load import Load
from tests.support.threads import wait_until

THREADS = 16
POOL = {"POOL_SIZE": THREADS, "MAX_OVERFLOW": 0, "TIMEOUT": 30, "CONNECT_RETRY": 25}
FEW = {
    "default": {"max_connections": "24", "superuser_reserved_connections": "0", "max_wal_senders": "0"},
    "mysql": {"max-connections": "24"},
}
LASTS = 2.5


@contextmanager
def full(scene: Scene) -> Iterator[None]:
    """Take every connection that the server still has to give."""
    others: list[Any] = []
    try:
        while len(others) < 30:
            other = scene.observe()
            try:
                other.query("SELECT 1")
            except Error:
                break
            others.append(other)
        assert 0 < len(others) < 30
        yield
    finally:
        for other in others:
            other.close()


def test_while_a_server_is_full_all_take_turns(scene: Scene) -> None:
    scene.stage.restart(FEW[scene.stage.alias])
    scene.observer.close()
    scene.add(pool=POOL)
    attempts = scene.count_attempts()
    pool = attempts.pool
    for lease in [pool.checkout() for _ in range(3)]:
        lease.close()
    load = Load("busy", scene.ledger, THREADS, pause=0.0)
    with full(scene), load:
        began = time.monotonic()
        while time.monotonic() < began + LASTS:
            load.wait_for_successes(10)
        ended = time.monotonic()
    during = load.requests
    assert load.failures == []
    assert pool.snapshot().opened == 3
    # In order each waits for some five others. Out of order some wait to the end, while a few have a hundred turns.
    served = {request.thread for request in during if request.connected and began + LASTS / 2 < request.connected < ended}
    assert served == set(range(THREADS))
    assert attempts.between(began + 0.5, ended) <= LASTS / 0.4, "one at a time, with pauses of half a second"
    with Load("busy", scene.ledger, THREADS, pause=0.0) as again:
        wait_until(lambda: pool.snapshot().opened == THREADS)
        again.wait_for_successes(50)
    assert again.failures == []
    assert again.violations() == []
