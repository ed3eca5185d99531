"""uvicorn, as it is run: a thread for each request, and clients that go away in the middle."""

from __future__ import annotations

import http.client
import signal
import socket
import time

import pytest

from tests.deployments.programs import assert_quiet, sessions_of
from tests.support.threads import wait_until

pytest.importorskip("uvicorn")

UVICORN = ("uvicorn", "tests.deployments.project.asgi:application", "--fd", "{fd}", "--log-level", "warning", "--no-access-log")
POOL = {"POOL_SIZE": 2, "MAX_OVERFLOW": 1}


@pytest.mark.parametrize("view", ["echo", "aecho"])
def test_requests_take_turns_and_the_end_is_polite(start, polite, view):
    with polite(), start(*UVICORN, pool=POOL) as uvicorn:
        (sessions,) = sessions_of(uvicorn.ask(100, at_once=10, path=f"/{view}/")).values()
        assert len(sessions) <= 3
        # Not a status of its own: having closed everything, uvicorn lets the signal do its work.
        assert uvicorn.end() == -signal.SIGTERM
    assert_quiet(uvicorn)


def test_a_client_that_goes_away_leaves_no_lease_and_no_transaction(start, polite, observer, server):
    engine = " ENGINE=InnoDB" if observer.wrapper.vendor == "mysql" else ""
    observer.query(f"CREATE TABLE held (n integer){engine}")
    try:
        with polite(), start(*UVICORN, pool={"POOL_SIZE": 1, "MAX_OVERFLOW": 0, "TIMEOUT": 10}, SWITCH_GC_OFF="1") as uvicorn:
            for _ in range(3):
                client = http.client.HTTPConnection("127.0.0.1", uvicorn.port)
                client.request("GET", "/hold")
                wait_until(lambda: observer.query(SLEEPING[observer.wrapper.vendor]))
                client.sock.shutdown(socket.SHUT_RDWR)
                client.close()
                # There is one connection: who gets an answer has had that place.
                gone = time.monotonic()
                assert uvicorn.ask(1, at_once=1)
                assert time.monotonic() - gone < 10
                assert observer.query("SELECT count(*) FROM held") == [(0,)]
            assert uvicorn.end() == -signal.SIGTERM
        assert_quiet(uvicorn)
    finally:
        observer.query("DROP TABLE held")


SLEEPING = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(1)'",
    "mysql": "SELECT 1 FROM information_schema.processlist WHERE info = 'SELECT SLEEP(1)'",
}
