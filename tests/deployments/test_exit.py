"""However a process ends, its sessions end with it; where Python has a say in it, with a goodbye and without a warning."""

from __future__ import annotations

import signal

import pytest

from tests.deployments.programs import SECONDS, assert_quiet, wait_for

STORY = """
import multiprocessing, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import django
django.setup()
from django.db import connection
from tests.deployments.project.site import execute, question

def query(nonce="x"):
    assert question(nonce)["nonce"] == nonce

if __name__ == "__main__":
    {}
"""

LEFT = {
    "by threads and copies, leased and idle": """
    executor = ThreadPoolExecutor(3)
    list(executor.map(query, "abc"))
    thread = threading.Thread(target=query)
    thread.start()
    thread.join()
    copies = [connection.copy() for _ in range(3)]
    for copy in copies:
        copy.ensure_connection()
    copies[0].close()
    query()""",
    "in a transaction, by an error": "execute('BEGIN'); query(); sys.exit('the error')",
    "by a forked child": "pid = os.fork(); query(); pid and os.waitpid(pid, 0)",
    **{
        f"by a child of multiprocessing ({method})": f"""
    process = multiprocessing.get_context("{method}").Process(target=query)
    process.start()
    process.join()
    sys.exit(process.exitcode)"""
        for method in ("fork", "forkserver")
    },
}


@pytest.mark.parametrize("left", LEFT)
def test_what_is_left_is_closed_with_a_goodbye(start, polite, tmp_path, left):
    (tmp_path / "story.py").write_text(STORY.format(LEFT[left]))
    with polite(), start("story", PYTHONWARNINGS="error") as story:
        is_error = "by an error" in left
        assert story.process.wait(SECONDS) == is_error, story.said()
    assert story.said() == ("the error\n" if is_error else "")


def test_a_process_that_is_killed_by_a_signal_leaves_no_session(start, observer, tmp_path):
    """Python code does not run then, so there is no goodbye; the kernel closes the sockets."""
    waiting = "execute('BEGIN'); query(); print('waiting', flush=True); threading.Event().wait()"
    (tmp_path / "story.py").write_text(STORY.format(waiting))
    with start("story") as story:
        wait_for(story, "waiting")
        (session,) = observer.sessions()
        assert story.end(signal.SIGTERM) == -signal.SIGTERM
        observer.wait_until_gone({session})
    assert_quiet(story)
