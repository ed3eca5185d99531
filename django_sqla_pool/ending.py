"""The end of a process, for those that end without Python's atexit.

It owns the knowledge of who ends processes in a way of its own, and how that is heard of. It imports none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

__all__ = ["hear_of_it"]

_pid: int | None = None  # the process in which it has been arranged


def hear_of_it(last: Callable[[], None]) -> None:
    """Have ``last`` called before this process is ended by multiprocessing or Celery. In a forked child, call it again.

    Source: a child of multiprocessing (3.10 to 3.13) leaves by os._exit, some clear atexit before; one of Celery's prefork pool
    leaves by os._exit too, without the finalizers of its multiprocessing (billiard), but with a signal of Celery's.
    """
    global _pid
    if _pid == os.getpid():
        return
    _pid = os.getpid()
    # Not before the first pool, and not at import: a child's finalizers are cleared after the fork. What is not imported by
    # then has not made this process.
    if "multiprocessing.util" in sys.modules:
        sys.modules["multiprocessing.util"].Finalize(None, last, exitpriority=0)
    if "celery.signals" in sys.modules:
        stopping = sys.modules["celery.signals"].worker_process_shutdown
        stopping.connect(lambda **_: last(), weak=False, dispatch_uid=__name__)
