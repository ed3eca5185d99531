"""The housekeeper: one daemon thread a process, for what has to happen without a request.

It owns the thread and its inbox. What there is to do is told to it: jobs by ``submit``, the regular round by ``start``. No
checkout waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["forget", "start", "stop", "submit", "wake"]

log = logging.getLogger("django_sqla_pool")

Job = Callable[[], object]
T = TypeVar("T")

# SimpleQueue.put may be called by the garbage collector, in the middle of another put: it takes no Python lock.
_inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
# _lock guards _thread and _make_round; held while the thread is started or stopped.
_lock = threading.Lock()
_thread: threading.Thread | None = None
_make_round: Callable[[], float | None] | None = None

_PAUSE_AFTER_BUG = 1.0  # seconds until a round that has failed is tried again
_STOP_WITHIN = 1.0  # seconds: it may be closing a connection; a fork need not wait for that


def submit(job: Job) -> None:
    """Have a job done soon, in the housekeeper's thread. May be called from a garbage collector's callback."""
    _inbox.put(job)


def wake() -> None:
    """The job that does nothing but end the housekeeper's sleep."""


def start(make_round: Callable[[], float | None]) -> None:
    """Start the thread, if it does not run, and have it look at its work again.

    ``make_round`` does what is due, and returns how many seconds to sleep until something will be (None: until woken).
    """
    global _thread, _make_round
    with _lock:
        _make_round = make_round
        if _thread is not None and _thread.is_alive():
            _inbox.put(wake)
            return
        _thread = threading.Thread(target=_work, args=(_inbox, make_round), name="django-sqla-pool", daemon=True)
        # At interpreter shutdown no thread can be started any more; then there is nothing left to keep tidy either.
        with contextlib.suppress(RuntimeError):
            _thread.start()


def forget() -> None:
    """In a forked child: the thread did not come along, and its inbox may have been locked by another thread."""
    global _inbox, _lock, _thread, _make_round
    _inbox, _lock, _thread, _make_round = queue.SimpleQueue(), threading.Lock(), None, None


def stop() -> None:
    """Stop the thread, if it has no more to do than _STOP_WITHIN seconds."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is None or thread is threading.current_thread():
        return
    _inbox.put(wake)
    deadline = time.monotonic() + _STOP_WITHIN
    thread.join(_STOP_WITHIN)
    # Python's warning of forks counts what the kernel has, and there a thread is for a moment after its join().
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < deadline:
        time.sleep(0.0002)


def _resume() -> None:
    """After a fork, in the parent: go on."""
    if _make_round is not None:
        start(_make_round)


def _work(inbox: queue.SimpleQueue[Job], make_round: Callable[[], float | None]) -> None:
    while _thread is threading.current_thread():
        pause = _guarded(make_round)
        job: Job = wake
        with contextlib.suppress(queue.Empty):
            job = inbox.get(timeout=pause)
        _guarded(job)


def _guarded(job: Callable[[], T]) -> T | float:
    # One that fails must not end the thread: the other pools, and all that will be lost from now on, are its as well.
    try:
        return job()
    except Exception:
        log.exception("bug: the housekeeper failed at %r", job)
        return _PAUSE_AFTER_BUG


# Before a fork it stops, so that it is not the reason for Python's warning of forks among threads. (CPython 3.13.0 counts
# when the hooks have run already, and warns all the same.)
os.register_at_fork(before=stop, after_in_parent=_resume)
