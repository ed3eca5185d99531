"""A warm checkout on one alias, while there is more and more of everything else."""

from __future__ import annotations

import threading

from django.db import connections

from . import checkout

_release = threading.Event()
_threads: list[threading.Thread] = []


def aliases(count: int) -> None:
    """Have ``count`` aliases connected at least once in this thread, and their connections given back.

    Whether they share one pool or have one each is for the settings to say.
    """
    for alias in list(connections)[:count]:
        connections[alias].ensure_connection()
        connections[alias].close()


def threads(count: int) -> None:
    """Have ``count`` threads alive, this one among them, each of which has used the pool and waits."""
    while len(_threads) < count - 1:
        is_ready = threading.Event()
        thread = threading.Thread(target=_use_and_wait, args=(is_ready,), daemon=True)
        thread.start()
        if not is_ready.wait(30):
            raise TimeoutError("a thread did not get a connection")
        _threads.append(thread)


def idle_connections(count: int) -> None:
    """Have ``count`` connections idle in the pool."""
    wrappers = [connections.create_connection("default") for _ in range(count)]
    for wrapper in wrappers:
        wrapper.ensure_connection()
    for wrapper in wrappers:
        wrapper.close()


def cpu(pairs: int) -> float:
    return checkout.cost(pairs)["cpu"]


def _use_and_wait(is_ready: threading.Event) -> None:
    connections["default"].ensure_connection()
    connections["default"].close()
    is_ready.set()
    _release.wait()
