"""Threads that have a name and an outcome, and waiting for what has no event."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def in_thread(name: str, work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run ``work`` in a thread of that name while the block runs; yield a list that will hold its result or error."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(30)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait (10 s at most, or as long as is said) for what a pool or a server does in its own time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)  # a snapshot has no event
