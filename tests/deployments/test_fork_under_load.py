"""Four children of a parent with a warm pool query at once, encrypted: no answer is another's, and none is an error."""

from __future__ import annotations

import atexit
import gc
import json
import multiprocessing
import os
import threading
import uuid

import pytest

from tests.support.children import Child
from tests.support.threads import in_thread, wait_until

# CPython's advice against what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

SESSION = {"postgresql": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}
IS_ENCRYPTED = {
    "default": "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database()",
    "mysql": "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'",
}
POOL = {"POOL_SIZE": 4, "MAX_OVERFLOW": 0}
QUESTIONS = 200


def ask(wrapper, questions):
    """Ask so many questions, each with a word that has to come back, one checkout for each; return the sessions used."""
    sessions = set()
    for _ in range(questions):
        nonce = uuid.uuid4().hex
        with wrapper.cursor() as cursor:
            cursor.execute(f"SELECT %s, {SESSION[wrapper.vendor]}", [nonce])
            word, session = cursor.fetchone()
        assert word == nonce, "an answer to another process's question"
        sessions.add(session)
        wrapper.close()
    return sessions


@pytest.fixture
def warm(make_wrapper, alias):
    """A wrapper whose pool has four idle connections, all encrypted, and knows of no other."""
    wrappers = [make_wrapper(**POOL) for _ in range(4)]
    for wrapper in wrappers:
        with wrapper.cursor() as cursor:
            cursor.execute(IS_ENCRYPTED[alias])
            assert cursor.fetchone() == (True,)
    for wrapper in wrappers:
        wrapper.close()
    assert wrappers[0].find_pool().snapshot().idle == 4
    return wrappers[0]


def assert_all_apart(theirs, mine):
    """``theirs``: the sessions that each child has used, as JSON."""
    used = [set(json.loads(answer)) for answer in theirs] + [set(mine)]
    assert sum(map(len, used)) == len(set.union(*used))


def test_children_and_parent_query_at_once(warm, observer):
    before = observer.sessions()
    children = [Child(lambda: json.dumps(sorted(ask(warm, QUESTIONS)))) for _ in range(4)]
    mine = ask(warm, QUESTIONS)
    assert_all_apart([child.answer() for child in children], mine)
    assert mine <= before, "the parent goes on with the sessions that it had"
    assert warm.find_pool().snapshot().opened == 4


def test_children_with_threads_of_a_parent_whose_threads_are_querying(warm, make_wrapper):
    stop = threading.Event()
    mine = set()

    def go_on():
        wrapper = make_wrapper(**POOL)
        while not stop.is_set():
            mine.update(ask(wrapper, 1))

    def child():
        with in_thread("a", lambda: ask(warm.copy(), QUESTIONS // 2)) as one:
            with in_thread("b", lambda: ask(warm.copy(), QUESTIONS // 2)) as other:
                pass
        return json.dumps(sorted(one[0] | other[0]))

    with in_thread("parent a", go_on) as a, in_thread("parent b", go_on) as b:
        wait_until(lambda: mine)
        answers = [child.answer() for child in [Child(child) for _ in range(4)]]
        stop.set()
    assert (a, b) == ([None], [None]), "no question of the parent failed"
    assert_all_apart(answers, mine)
    assert warm.find_pool().snapshot().opened == 4


@pytest.mark.parametrize("end", ["multiprocessing", "os.fork"])
def test_children_that_end_one_after_the_other_take_nothing_with_them(warm, observer, end):
    """A TLS session dies of one byte that is not its own: a goodbye, or half a record, of a child would be one."""
    before = observer.sessions()

    def leave(status):
        atexit._run_exitfuncs()
        gc.collect()
        os._exit(status)

    for _ in range(4):
        if end == "os.fork":
            Child(lambda: ask(warm, 5), leave).answer()
        else:
            process = multiprocessing.get_context("fork").Process(target=ask, args=(warm, 5))
            process.start()
            process.join(30)
            assert process.exitcode == 0
        assert ask(warm, 20) <= before
    assert before <= observer.sessions()
