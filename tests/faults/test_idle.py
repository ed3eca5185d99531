"""Connections that ended while nobody used them: the next burst of requests does not notice."""

from __future__ import annotations

from typing import Any

import pytest

from django_sqla_pool.drivers import Liveness
from tests.faults.stage import Scene
from tests.support.load import Load
from tests.support.threads import wait_until
from tests.support.wire import Proxy

THREADS = 8
POOL = {"POOL_SIZE": THREADS, "MAX_OVERFLOW": 0, "CONNECT_RETRY": 20}
# The shortest of MySQL; PostgreSQL has shorter ones.
TIME_OUT = {"default": "SET idle_session_timeout = 300", "mysql": "SET SESSION wait_timeout = 1"}


def fill(scene: Scene, proxy: Proxy | None = None, last_statement: str = "SELECT 1") -> tuple[Any, set[int]]:
    """Have a connection opened for each thread, and leave them all idle; return the pool and the sessions."""
    pool = scene.add(pool=POOL, proxy=proxy).find_pool()
    leases = [pool.checkout() for _ in range(THREADS)]
    sessions = scene.observer.sessions()
    for lease in leases:
        with lease, lease.connection.cursor() as cursor:
            cursor.execute(last_statement)
    assert len(sessions) == THREADS
    return pool, sessions


def wait_until_heard(pool: Any) -> None:
    """Wait until the end of every connection has come through: a server forgets a session before its socket closes."""
    # DEAD: the server's last words come before the end, and to look at them takes them off the socket; the checkout would ping.
    wait_until(lambda: all(physical.driver.probe() is Liveness.DEAD for physical in pool._queue.physicals))


def burst(scene: Scene) -> Load:
    """Have all threads come at once, again and again, as fast as they can."""
    with Load("busy", scene.ledger, THREADS, pause=0.0) as load:
        load.wait_for_successes(100)
    return load


@pytest.mark.parametrize("way", ["killed", "restart", "crash", "dropped by the network"])
def test_connections_that_end_while_they_are_idle_cost_nobody_a_request(scene: Scene, way: str) -> None:
    proxy = scene.proxy()
    pool, before = fill(scene, proxy=proxy)
    if way == "killed":
        assert scene.kill_all() == before
    elif way == "dropped by the network":
        proxy.cut()
    else:
        scene.server.restart("fast" if way == "restart" else "immediate")
    wait_until_heard(pool)
    load = burst(scene)
    assert load.failures == []
    assert load.violations() == []
    assert dict(pool.snapshot().closed) == {"dead": THREADS}
    assert pool.snapshot().opened == 2 * THREADS


def test_a_servers_own_idle_timeout_costs_nobody_a_request(scene: Scene) -> None:
    pool, before = fill(scene, last_statement=TIME_OUT[scene.stage.alias])
    scene.observer.wait_until_gone(before)
    wait_until_heard(pool)
    load = burst(scene)
    assert load.failures == []
    assert load.violations() == []
    assert dict(pool.snapshot().closed) == {"dead": THREADS}
