"""What having a connection takes within a request, where its other work, and other processes, have used the caches meanwhile."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from ..arms import CONNECTION_POOL, DJANGO_POOL, FLOOR, KEPT, OURS
from ..figures import Results, Target
from ..lab import Lab
from ..tables import Comparison
from .http import TITLES, VIEWS

NAME = "request"
TITLE = "A warm checkout and check-in within a request, one thread"
ELAPSED, UNIT = "cursor() and both ends of a request", "µs"
POOLS = (OURS, FLOOR, DJANGO_POOL, CONNECTION_POOL, KEPT)
SMOKE = (OURS, KEPT)
CURSORS = {"one": 1, "three": 3}


def run(lab: Lab) -> None:
    rounds, requests, first = (1, 3, 5) if lab.is_smoke else (10, 400, 300)
    for server in [server for server in ("postgresql", "mysql") if server in lab.addresses][: 1 if lab.is_smoke else 2]:
        for _ in range(rounds):
            _measure_round(lab, server, requests, first)
    lab.results.drop_empty()


def _measure_round(lab: Lab, server: str, requests: int, first: int) -> None:
    """Start every arm anew, since memory lies otherwise then, and take one sample of each: the median of requests taken in turn.

    ``first``: so many requests to each before, until the interpreter has come to know the code.
    """
    with lab.workers(SMOKE if lab.is_smoke else POOLS, server, 5) as workers:
        seen: dict[tuple[str, str], list[float | None]] = {(name, view): [] for view in CURSORS for name in workers}

        def ask(name: str, view: str, count: int) -> float | None:
            arguments = {"view": view, "cursors": CURSORS[view], "requests": count}
            spent: float | None = lab.tried(
                f"{name}, {VIEWS[view]}, {TITLES[server]}", workers[name].call, "request", "spent", **arguments
            )
            return spent

        for name, worker in workers.items():
            lab.tried(f"{name}, {TITLES[server]}", worker.call, "request", "watch")
        for (name, view), values in seen.items():
            if ask(name, view, first) is None:
                values.append(None)  # the interpreter has not come to know the code
        for name, view in lab.interleaved(requests, list(seen)):
            seen[name, view].append(ask(name, view, 1))
        for (name, view), values in seen.items():
            whole = [value for value in values if value is not None]
            median = statistics.median(whole) if len(whole) == len(values) else math.nan
            lab.results.add(NAME, f"{VIEWS[view]}, {TITLES[server]}", ELAPSED, UNIT, name, median)


def comparisons(results: Results) -> Iterator[Comparison]:
    for group in results.groups(NAME):
        yield Comparison(NAME, group, (ELAPSED,), KEPT)


def targets(results: Results) -> Iterator[Target]:
    """None: what a whole request takes is held to a bound, over HTTP."""
    return iter(())
