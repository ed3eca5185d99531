"""Connections that can't be opened, and will not be by waiting: many hear it at once, and of a new password as well."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import OperationalError, connections

from django_sqla_pool import PoolTimeout
from tests.faults.stage import Scene
from tests.support import people
from tests.support.load import Load
from tests.support.threads import wait_until

THREADS, LIMIT = 20, 3
POOL = {"POOL_SIZE": LIMIT, "MAX_OVERFLOW": 0, "TIMEOUT": 60, "CONNECT_RETRY": 50}
# The last: longer than a name may be, so that no resolver asks another machine about it.
FAULTS: dict[str, dict[str, Any]] = {
    "wrong password": {"PASSWORD": "not-the-password"},
    "unknown database": {"NAME": "no_database_of_that_name"},
    "unresolvable host": {"HOST": ".".join(["nowhere" * 8] * 5)},
}
OLD, NEW = "hush-old-4c1d", "hush-new-8e2f"


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_change_by_waiting_is_told_at_once_to_each_who_waits(scene: Scene, fault: str) -> None:
    scene.add(pool=POOL, **FAULTS[fault])
    attempts = scene.count_attempts()
    with Load("busy", scene.ledger, THREADS) as load:
        wait_until(lambda: len({failure.thread for failure in load.failures}) == THREADS)
    assert load.violations() == []
    assert load.successes == []
    assert attempts.between(0) == len(load.failures), "each tries once"
    for failure in load.failures:
        assert failure.step == "checkout"
        assert issubclass(failure.kind or object, OperationalError), failure
        assert failure.kind is not PoolTimeout, "the place is given back"
        assert failure.waited < 20, "neither TIMEOUT nor CONNECT_RETRY"
    assert attempts.pool.snapshot().last_error == "", "the server is not away"


def test_a_new_password_is_used_as_soon_as_settings_have_it(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with people.user(scene.observer, "rotated", OLD) as user:
        if scene.stage.alias == "default":
            scene.observer.query("GRANT ALL ON ledger TO PUBLIC")
        first = scene.add(pool=POOL, **user).find_pool()
        for lease in [first.checkout() for _ in range(LIMIT)]:
            lease.close()
        with Load("busy", scene.ledger, 8, pause=0.02) as load:
            load.wait_for_successes(20)
            verb = "ROLE {USER} PASSWORD" if scene.stage.alias == "default" else "USER {USER} IDENTIFIED BY"
            scene.observer.query(f"ALTER {verb.format(**user)} '{NEW}'")
            load.wait_for_successes(50)
            assert load.failures == [], "who is logged in stays so"
            scene.kill_all()
            wait_until(lambda: sum(failure.step == "checkout" for failure in load.failures) > 20)
            connections.settings["busy"]["PASSWORD"] = NEW
            changed = load.wait_for_successes(1)
            load.wait_for_successes(50)
        assert load.violations() == []
        for failure in load.failures:
            assert failure.began < changed, failure
            if failure.step == "checkout":
                assert "authentication failed" in failure.text or "Access denied" in failure.text, failure
                assert failure.waited < 20
            assert "hush-" not in str(failure)
        assert len(load.pools) == 2
        assert "hush-" not in caplog.text + "".join(repr(pool.snapshot()) for pool in load.pools.values())
        for pool in load.pools.values():
            pool.dispose()
        scene.observer.wait_until_gone(scene.observer.sessions())
