"""A server that goes and comes back under load: only what is in flight fails, all others wait, and few of them try."""

from __future__ import annotations

import time

import pytest

from tests.faults.stage import Scene
from tests.support.load import Load

THREADS, LIMIT = 8, 6
AWAY = 2.0
POOL = {"POOL_SIZE": LIMIT, "MAX_OVERFLOW": 0, "TIMEOUT": 30, "CONNECT_RETRY": 25}


def has_answered(load: Load, session: int | None, since: float) -> bool:
    """Tell whether a request has succeeded in a session after a moment."""
    return any(request.session == session and request.ended > since for request in load.successes)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_costs_the_requests_in_flight_and_no_others(scene: Scene, mode: str) -> None:
    scene.add(pool=POOL)
    attempts = scene.count_attempts()
    with Load("busy", scene.ledger, THREADS, sleep=0.05) as load:  # so that some are in flight whenever it stops
        load.wait_for_successes(100)
        scene.server.stop(mode)
        gone = time.monotonic()
        time.sleep(AWAY)
        scene.server.start()
        back = time.monotonic()
        load.wait_for_successes(100)
    assert load.violations() == []
    failures = load.failures
    for failure in failures:
        assert failure.connected is not None, f"it could have waited: {failure}"
        assert failure.connected < gone, f"it was not in flight: {failure}"
        # MariaDB ends some sessions at once, and others seconds later, on which it goes on answering until then.
        for earlier in failures:
            if earlier.thread == failure.thread and earlier.ended <= failure.began:
                assert has_answered(load, failure.session, earlier.ended), f"it failed twice: {earlier}; {failure}"
    assert 0 < len({failure.session for failure in failures}) == len(failures) <= LIMIT, "each connection costs one request"
    # 1 s: the longest pause between two attempts is 0.5 s. And as much again for a busy machine.
    assert load.first_success_after(back) < 2
    # All that had a place may meet the outage at once, before anybody knows of it; then one tries at a time.
    assert attempts.between(gone + 1, back - 0.5) <= (back - gone) / 0.4
    assert attempts.between(back) <= LIMIT + 1, "each place opens one, and not each waiter"
    assert attempts.pool.snapshot().opened <= 2 * LIMIT
