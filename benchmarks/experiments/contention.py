"""Many threads on eight connections: throughput, fairness, waiting."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..arms import CONNECTION_POOL, DJANGO_POOL, OURS, QUEUE_POOL
from ..figures import Results, Spread, Target
from ..lab import Lab
from ..tables import Comparison

NAME = "contention"
TITLE = "Many threads on eight connections"
RATE, FAIRNESS = "statements", "most served thread over least served"
P50, P99, TAIL = "median of the wait", "99th percentile of the wait", "99th percentile over median of the wait"
SEEN = ("per_second", "least", "most", "p50", "p99")
SIZE = 8
ARMS = (OURS, DJANGO_POOL, CONNECTION_POOL, QUEUE_POOL)
# These are near each other, and where no statement takes long the rounds differ by what the machine's neighbours do. So they have
# so many rounds more.
CLOSELY = (OURS, DJANGO_POOL)
ROUNDS, MORE_ROUNDS = 13, 27


def run(lab: Lab) -> None:
    rounds, more, seconds = (1, 1, 0.2) if lab.is_smoke else (ROUNDS, MORE_ROUNDS, 1.0)
    crowds = (16,) if lab.is_smoke else (8, 32, 128)
    for server in [server for server in ("postgresql", "mysql") if server in lab.addresses]:
        with lab.workers(ARMS, server, SIZE) as workers:
            kinds = [(crowd, is_slow) for crowd in crowds for is_slow in (True, False)]
            runs = [(name, *kind) for name in workers for kind in kinds if kind[1] or server == "postgresql"]
            closely = [run for run in runs if run[0] in CLOSELY and DJANGO_POOL in workers and not run[2]]
            for name, crowd, is_slow in (*lab.interleaved(rounds, runs), *lab.interleaved(more, closely)):
                arguments = {"threads": crowd, "size": SIZE, "seconds": seconds, "is_slow": is_slow}
                arguments["is_queue_pool"] = name == QUEUE_POOL
                group = f"{crowd} threads, {'statements of 1 ms' if is_slow else 'SELECT 1'}, "
                group += "PostgreSQL" if server == "postgresql" else "MariaDB"
                seen = lab.tried(f"{name}, {group}", workers[name].call, "contention", "race", **arguments)
                _add(lab.results, group, name, seen or dict.fromkeys(SEEN, math.nan))
    lab.results.drop_empty()


def _add(results: Results, group: str, arm: str, seen: dict[str, float]) -> None:
    results.add(NAME, group, RATE, "/s", arm, seen["per_second"])
    # A thread that got nothing at all counts as one that was served once: the ratio stays a number.
    results.add(NAME, group, FAIRNESS, "x", arm, seen["most"] / max(1, seen["least"]))
    results.add(NAME, group, P50, "ms", arm, seen["p50"] * 1e3)
    results.add(NAME, group, P99, "ms", arm, seen["p99"] * 1e3)
    results.add(NAME, group, TAIL, "x", arm, seen["p99"] / max(seen["p50"], 1e-6))


def comparisons(results: Results) -> Iterator[Comparison]:
    for group in results.groups(NAME):
        reference = DJANGO_POOL if results.get(NAME, group, RATE, DJANGO_POOL) else QUEUE_POOL
        yield Comparison(NAME, group, (RATE, FAIRNESS, P50, P99, TAIL), reference, compared=(RATE,))


def targets(results: Results) -> Iterator[Target]:
    for group in results.groups(NAME):
        if ratio := results.ratio(NAME, group, RATE, OURS, DJANGO_POOL):
            yield Target(f"throughput against Django's own pool ({group})", ratio, 1.0, is_most=False)
        if series := results.get(NAME, group, FAIRNESS, OURS):
            yield Target(f"most served over least served thread ({group})", Spread.of(series.values), 2.0)
        # Eight threads never wait for one of eight connections: what they wait for is the interpreter.
        if (series := results.get(NAME, group, TAIL, OURS)) and not group.startswith(f"{SIZE} "):
            yield Target(f"p99 over median of the wait ({group})", Spread.of(series.values), 3.0)
