"""Celery's worker, as it is run: each task's lease ends with it, each process has sessions of its own, and the end is polite."""

from __future__ import annotations

import uuid

import pytest

from tests.deployments.programs import SECONDS, Answer, assert_quiet, sessions_of

celery = pytest.importorskip("celery")

POOLS = {
    "prefork": {"processes": 2, "sessions": 1},
    "threads": {"processes": 1, "sessions": 2},
    "solo": {"processes": 1, "sessions": 1},
}


@pytest.fixture
def client(tmp_path):
    """An application that sends tasks, with the worker's folders."""
    from tests.deployments.project.tasks import configure

    with celery.Celery(set_as_current=False) as app:
        configure(app, tmp_path)
        yield app


def ask(client, questions):
    """Send tasks, each with a word of its own that has to come back; return where they were run."""
    sent = {word: client.send_task("echo", [word]) for word in (uuid.uuid4().hex for _ in range(questions))}
    answers = []
    for word, result in sent.items():
        answer = result.get(timeout=SECONDS, interval=0.02)
        assert answer.pop("nonce") == word, "an answer to somebody else's question"
        answers.append(Answer(**answer))
    return answers


# A worker takes some seconds over its start and its end: each kind that does not fork is tried on one server only.
TRIED = [("prefork", "default"), ("prefork", "mysql"), ("threads", "mysql"), ("solo", "default")]


@pytest.mark.parametrize(("kind", "alias"), TRIED)
def test_a_worker(start, polite, observer, client, tmp_path, kind):
    words = ("celery", "--app", "tests.deployments.project.tasks", "worker", "--pool", kind, "--concurrency", "2")
    words += ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    environment = {"CELERY_FOLDER": str(tmp_path), "QUERY_WHILE_LOADING": "1"}
    with polite(), start(*words, pool={"POOL_SIZE": 2, "MAX_OVERFLOW": 0}, **environment) as worker:
        answers = ask(client, 40)
        found = sessions_of(answers)
        assert len(found) == POOLS[kind]["processes"]
        assert max(map(len, found.values())) <= POOLS[kind]["sessions"]
        if kind == "prefork":
            masters = {answers[0].at_import}
            assert not masters & set.union(*found.values())
            assert masters <= observer.sessions(), "the children have not disturbed the process that they were forked from"
        assert worker.end() == 0
    assert_quiet(worker)
