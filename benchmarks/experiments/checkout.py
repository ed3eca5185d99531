"""What one warm checkout and check-in take, in one thread, for every driver: of CPU, and with the round trips."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from ..arms import ARMS, CHECKED_POOL, CLOSED, CONNECTION_POOL, DJANGO_POOL, FLOOR, KEPT, OURS, PGBOUNCER, QUEUE_POOL
from ..figures import Results, Spread, Target
from ..lab import Lab
from ..tables import Comparison

NAME = "checkout"
TITLE = "A warm checkout and check-in, one thread"
CPU, ELAPSED, UNIT = "CPU of a pair", "elapsed", "µs"

POOLS = (OURS, FLOOR, QUEUE_POOL, DJANGO_POOL, CHECKED_POOL, CONNECTION_POOL, KEPT)
SMOKE = (OURS, QUEUE_POOL, DJANGO_POOL, KEPT)
CONNECTING = (CLOSED, PGBOUNCER)  # milliseconds, not microseconds: fewer will do


def run(lab: Lab) -> None:
    rounds, pairs = (2, 20) if lab.is_smoke else (21, 1500)
    with contextlib.ExitStack() as stack:
        every = []
        for environment in lab.environments:
            for server in ("postgresql", "mysql"):
                driver = environment.driver(server)
                if driver is None or server not in lab.addresses:
                    continue
                for name in SMOKE if lab.is_smoke else (*POOLS, *CONNECTING):
                    settings = lab.settings(ARMS[name], server, 5)
                    if settings is None or (name in (DJANGO_POOL, CHECKED_POOL) and driver != "psycopg 3"):
                        continue
                    every.append((driver, name, stack.enter_context(lab.worker(settings, environment))))
        for driver, name, worker in lab.interleaved(rounds, every):
            count = max(5, pairs // 75) if name in CONNECTING else pairs
            arguments = {"pairs": count, "is_queue_pool": name == QUEUE_POOL}
            seen = lab.tried(f"{name} on {driver}", worker.call, "checkout", "cost", **arguments)
            seen = seen or {"cpu": math.nan, "elapsed": math.nan}
            lab.results.add(NAME, driver, CPU, UNIT, name, seen["cpu"])
            lab.results.add(NAME, driver, ELAPSED, UNIT, name, seen["elapsed"])
    lab.results.drop_empty()


def comparisons(results: Results) -> Iterator[Comparison]:
    for driver in results.groups(NAME):
        reference = DJANGO_POOL if driver == "psycopg 3" else QUEUE_POOL
        yield Comparison(NAME, driver, (CPU, ELAPSED), reference)


def targets(results: Results) -> Iterator[Target]:
    pool = results.get(NAME, "psycopg 3", CPU, DJANGO_POOL)
    for driver in results.groups(NAME):
        ours = results.get(NAME, driver, CPU, OURS)
        if ours is None or pool is None:
            continue
        quotients = [a / b for a, b in zip(ours.values, pool.values, strict=False)]
        bound = 1.0 if driver == "psycopg 3" else 1.2
        yield Target(f"checkout on {driver}, against Django's own pool on psycopg 3", Spread.of(quotients), bound)
        for metric in (CPU, ELAPSED):
            if peer := results.ratio(NAME, driver, metric, OURS, CONNECTION_POOL):
                yield Target(f"checkout on {driver}, {metric}, against django-db-connection-pool", peer, 0.1)
