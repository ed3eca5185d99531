"""Many threads on few connections: how much gets done, by whom, and how long they wait."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db import connections

from benchmarks.figures import percentile

from .ways import way

STATEMENTS = {
    "postgresql": {True: "SELECT pg_sleep(0.001)", False: "SELECT 1"},
    "mysql": {True: "SELECT SLEEP(0.001)", False: "SELECT 1"},
}


def race(threads: int, size: int, seconds: float, is_slow: bool, is_queue_pool: bool = False) -> dict[str, Any]:
    """Let ``threads`` threads take a connection, run one statement and give it back, again and again.

    ``is_slow``: the statement takes 1 ms, so that connections are what is short, and not the interpreter.
    """
    statement = STATEMENTS[connections["default"].vendor][is_slow]
    served = [0] * threads
    waits: list[list[float]] = [[] for _ in range(threads)]
    errors: list[str] = []
    start = threading.Barrier(threads)
    end = float("inf")

    def work(number: int) -> None:
        nonlocal end
        take, give = way(is_queue_pool, size)
        try:
            give(take())  # warm; those who wait here wait before the start
            if start.wait(30) == 0:
                end = time.monotonic() + seconds
            while (asked := time.monotonic()) < end:
                connection = take()
                waits[number].append(time.monotonic() - asked)
                cursor = connection.cursor()
                cursor.execute(statement)
                cursor.fetchall()
                cursor.close()
                give(connection)
                # Those that were let in only after the end have been starved, not served.
                served[number] += time.monotonic() < end
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            start.abort()
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    if errors or any(worker.is_alive() for worker in workers):
        raise RuntimeError(errors[0] if errors else "a thread still waits for a connection")
    every = [wait for each in waits for wait in each]
    return {
        "per_second": sum(served) / seconds,
        "least": min(served),
        "most": max(served),
        "p50": percentile(every, 0.5),
        "p99": percentile(every, 0.99),
    }
