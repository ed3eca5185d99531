"""The housekeeper: one daemon thread a process, for what has to happen without a request.

It owns the thread and its inbox. What there is to do is told to it: jobs by ``submit``, the regular round by ``start``. No
checkout waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

__all__ = ["forget", "start", "submit"]

log = logging.getLogger("django_sqla_pool")

Job = Callable[[], object]

# SimpleQueue.put may be called by the garbage collector, in the middle of another put: it takes no Python lock.
_inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
# _lock guards _thread; held while a thread is started.
_lock = threading.Lock()
_thread: threading.Thread | None = None


def submit(job: Job) -> None:
    """Have a job done soon, in the housekeeper's thread. May be called from a garbage collector's callback."""
    _inbox.put(job)


def start(make_round: Callable[[], float | None]) -> None:
    """Start the thread, if it does not run, and have it look at its work again.

    ``make_round`` does what is due, and returns how many seconds to sleep until something will be (None: until woken).
    """
    global _thread
    with _lock:
        if _thread is not None and _thread.is_alive():
            _inbox.put(_wake)
            return
        _thread = threading.Thread(target=_work, args=(_inbox, make_round), name="django-sqla-pool", daemon=True)
        # At interpreter shutdown no thread can be started any more; then there is nothing left to keep tidy either.
        with contextlib.suppress(RuntimeError):
            _thread.start()


def forget() -> None:
    """In a forked child: the thread did not come along, and its inbox may have been locked by another thread."""
    global _inbox, _lock, _thread
    _inbox, _lock, _thread = queue.SimpleQueue(), threading.Lock(), None


def _wake() -> None:
    """The job that does nothing but end the housekeeper's sleep."""


def _work(inbox: queue.SimpleQueue[Job], make_round: Callable[[], float | None]) -> None:
    while True:
        job: Job = _wake
        pause = _guarded(make_round)
        with contextlib.suppress(queue.Empty):
            job = inbox.get(timeout=pause)
        _guarded(job)


def _guarded(job: Callable[[], float | None] | Job) -> float | None:
    try:
        result = job()
    except Exception:
        log.exception("bug: the housekeeper failed at %r", job)
        return 1.0
    return result if isinstance(result, float) else None
