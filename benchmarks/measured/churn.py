"""A steady load, under which connections ought to be opened once."""

from __future__ import annotations

import random
import threading
import time

from django.db import connections

PAUSE = 0.02  # mean seconds between two requests of a thread: long enough for the number in use to go up and down


def fill(threads: int) -> None:
    """Have ``threads`` connections in use at once, and give them all back."""
    everybody = threading.Barrier(threads)

    def work() -> None:
        wrapper = connections["default"]
        try:
            wrapper.ensure_connection()
            everybody.wait(30)
        finally:
            wrapper.close()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    if everybody.broken:
        raise RuntimeError(f"{threads} threads did not get a connection each")


def load(threads: int, seconds: float) -> int:
    """Let ``threads`` threads query and pause for ``seconds``; return how many queries were made."""
    fill(1)  # the engine is imported by the first who uses it
    end = time.monotonic() + seconds
    counts = [0] * threads
    errors: list[str] = []

    def work(number: int) -> None:
        dice = random.Random(number)
        wrapper = connections["default"]
        try:
            while time.monotonic() < end:
                with wrapper.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    cursor.fetchall()
                time.sleep(dice.random() * PAUSE / 10)  # the connection is held a while after the query
                wrapper.close()
                counts[number] += 1
                time.sleep(dice.random() * 2 * PAUSE)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        finally:
            wrapper.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds + 30)
    if errors or any(worker.is_alive() for worker in workers):
        raise RuntimeError(errors[0] if errors else "a thread still waits for a connection")
    return sum(counts)
