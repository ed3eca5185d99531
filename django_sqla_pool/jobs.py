"""Jobs: what asyncio has a thread of an executor do, and how its end is heard of.

It owns the knowledge of executors. Such a thread lives on from job to job, and Django, which closes at the end of a request what
the request's own thread has opened, closes nothing there: a few ``sync_to_async(..., thread_sensitive=False)`` would take every
place.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, thread
from types import CodeType, FrameType
from typing import Any

from asgiref.sync import SyncToAsync

__all__ = ["at_end_of_job", "runs_jobs"]

_DEFAULT_EXECUTOR = "asyncio_"  # how asyncio begins the names of its default executor's threads; uvloop does not
# What such a thread was started with, and what is on its stack during a job; private, and without them nothing is heard.
_worker: Any = getattr(thread, "_worker", None)
_run: CodeType | None = getattr(getattr(getattr(thread, "_WorkItem", None), "run", None), "__code__", None)


def runs_jobs() -> bool:
    """Tell whether the calling thread is one of an executor to which asyncio gives one job after the other.

    Not that of a request under ASGI, an executor of its own with one thread: what is opened there is kept until the request ends.
    """
    # Under ASGI each request has a new thread, of which this is asked: to look through its stack takes five times as long. Not
    # current_thread(): for a greenlet it would make a thread that never was.
    me: Any = getattr(threading, "_active", {}).get(threading.get_ident())
    if _worker is None or getattr(me, "_target", None) is not _worker:
        return False
    if me.name.startswith(_DEFAULT_EXECUTOR):
        return True
    reference = next(iter(getattr(me, "_args", ())), None)
    executor = reference() if reference is not None else None
    # The number first: that it is asgiref's thread takes longer to find out, and a request's has one worker.
    return getattr(executor, "_max_workers", 1) > 1 and getattr(SyncToAsync.threadlocal, "main_event_loop", None) is not None


def at_end_of_job(call: Callable[[], None]) -> None:
    """Have something called in this thread when the job that it runs has ended; if it runs none, nothing is done.

    Before whoever awaits the job goes on: the next one may be run by another thread, and is to find all as this one has left it.
    """
    frame = _find(_run)
    future: Future[Any] | None = getattr(frame.f_locals.get("self"), "future", None) if frame is not None else None
    if future is None:
        return
    # Called by whoever sets the result, which is this thread, in order; asyncio's own is among them, or will be in a moment.
    callbacks = getattr(future, "_done_callbacks", None)
    if isinstance(callbacks, list) and not future.done():  # done: this is one of them, and the list is being gone through
        callbacks.insert(0, lambda _: call())
    else:
        future.add_done_callback(lambda _: call())


def _find(code: CodeType | None) -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame
