"""gunicorn, as it is run: each worker has sessions of its own, no more than the pool may have, and ends politely."""

from __future__ import annotations

import time

import pytest
from django.db import connections

from tests.deployments.programs import SECONDS, assert_quiet, sessions_of

pytest.importorskip("gunicorn")

GUNICORN = ("gunicorn", "tests.deployments.project.wsgi", "--bind", "fd://{fd}", "--log-level", "warning", "--no-control-socket")
POOL = {"POOL_SIZE": 2, "MAX_OVERFLOW": 1}


def test_workers_with_threads(start, polite):
    with polite(), start(*GUNICORN, "--workers", "2", "--threads", "6", pool=POOL) as gunicorn:
        answers = gunicorn.ask(12, at_once=12)
        deadline = time.monotonic() + SECONDS
        while len(sessions_of(answers)) < 2 and time.monotonic() < deadline:  # one of them may take its time to start
            answers += gunicorn.ask(12, at_once=12)
        answers += gunicorn.ask(120, at_once=12)
        found = sessions_of(answers)
        assert len(found) == 2
        assert max(map(len, found.values())) <= 3
        assert gunicorn.end() == 0
    assert_quiet(gunicorn)


def test_preload_after_a_query_while_loading(start, polite, observer):
    words = (*GUNICORN, "--preload", "--workers", "2", "--threads", "3", "--max-requests", "20")
    with polite(), start(*words, pool=POOL, QUERY_WHILE_LOADING="1") as gunicorn:
        answers = gunicorn.ask(120, at_once=6)
        found = sessions_of(answers)
        assert len(found) > 2, "workers have ended, and others taken their places"
        assert max(map(len, found.values())) <= 3
        # With all their ends they have not disturbed the connection of the process that they were forked from.
        masters = {answers[0].at_import}
        assert not masters & set.union(*found.values())
        assert masters <= observer.sessions()
        assert gunicorn.end() == 0
    assert_quiet(gunicorn)


# Those whose driver waits in Python, where gevent can step in.
COOPERATIVE = [alias for alias in connections if connections[alias].Database.__name__ in ("psycopg", "pymysql")]


@pytest.mark.parametrize("alias", COOPERATIVE)
def test_greenlets(start, polite):
    pytest.importorskip("gevent")
    words = (*GUNICORN, "--worker-class", "gevent", "--workers", "1", "--worker-connections", "50")
    with polite(), start(*words, pool=POOL) as gunicorn:
        (sessions,) = sessions_of(gunicorn.ask(200, at_once=20)).values()
        # More than one: they waited for the database in turns, and not one after the other.
        assert 1 < len(sessions) <= 3
        assert gunicorn.end() == 0
    assert_quiet(gunicorn)
