"""Connections opened under a steady load, by the server's own count, and what becomes of them after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..arms import ARMS, CONNECTION_POOL, DJANGO_POOL, OURS
from ..figures import Results, Spread, Target
from ..lab import Lab
from ..tables import Comparison

NAME = "churn"
TITLE = "Connections opened under a steady load, POOL_SIZE 5 and MAX_OVERFLOW 10"
OPENED, QUERIES, SHRUNK = "connections opened", "queries", "until POOL_SIZE is left"
SIZE, MORE = 5, 10
IDLE_TIMEOUT = 2.0
SLACK = 1.0  # seconds: the housekeeper's and the server's own delay, on a busy machine


def run(lab: Lab) -> None:
    """A minute: 20 s each at POOL_SIZE, between, and at the limit, one after the other on connections that stay."""
    crowds, seconds = ((SIZE + MORE,), 1.0) if lab.is_smoke else ((SIZE, 10, SIZE + MORE), 20.0)
    if "postgresql" in lab.addresses:
        # Each arm in a database of its own, for which the server counts: so all of them can be loaded at once.
        names = (OURS, DJANGO_POOL, CONNECTION_POOL)
        databases = {name: f"{lab.addresses['postgresql']['NAME']}_{number}" for number, name in enumerate(names)}
        lab.observer.call("databases", "create", names=list(databases.values()))
        try:
            _load(lab, "postgresql", databases, crowds, seconds)
        finally:
            lab.observer.call("databases", "drop", names=list(databases.values()))
    if "mysql" in lab.addresses:
        for name in (OURS, CONNECTION_POOL):  # MariaDB counts for the whole server: one after the other
            databases = {name: lab.addresses["mysql"]["NAME"]}
            _load(lab, "mysql", databases, crowds[-1:], seconds)
    for server in lab.addresses:
        if server in ("postgresql", "mysql"):
            _shrink(lab, server)


def _load(lab: Lab, server: str, databases: dict[str, str], crowds: tuple[int, ...], seconds: float) -> None:
    minutes = seconds * len(crowds) / 60
    group = f"{'PostgreSQL' if server == 'postgresql' else 'MariaDB'}, {' then '.join(map(str, crowds))} threads"
    group += f" for {seconds:g} s{' each' if len(crowds) > 1 else ''}"
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, database in databases.items():
            settings = lab.settings(ARMS[name], server, SIZE, MORE, database)
            if settings is not None:
                workers[name] = stack.enter_context(lab.worker(settings))
        queries = dict.fromkeys(workers, 0)
        before = _opened(lab, server, databases)
        for crowd in crowds:
            asked = {name: workers[name] for name in queries}
            for worker in asked.values():
                worker.ask("churn", "load", threads=crowd, seconds=seconds)
            for name, worker in asked.items():
                made = lab.tried(f"{name}, {group}", worker.answer)
                if made is None:
                    del queries[name]
                else:
                    queries[name] += made
        stack.close()  # PostgreSQL's sessions tell what they have done when they end, at the latest
        after = _opened(lab, server, databases)
        for name in queries:
            lab.results.add(NAME, group, OPENED, "", name, after[name] - before[name])
            lab.results.add(NAME, group, QUERIES, "", name, queries[name])
            lab.results.add(NAME, group, f"{QUERIES} a minute", "", name, queries[name] / minutes)


def _opened(lab: Lab, server: str, databases: dict[str, str]) -> dict[str, int]:
    figures = lab.observer.call("databases", "opened", alias=server, names=list(databases.values()))
    return dict(zip(databases, figures, strict=True))


def _shrink(lab: Lab, server: str) -> None:
    idle_timeout = 0.5 if lab.is_smoke else IDLE_TIMEOUT
    # A database of its own: PgBouncer keeps connections to the other one.
    name = f"{lab.addresses[server]['NAME']}_shrink"
    settings: dict[str, Any] = ARMS[OURS].settings({**lab.addresses[server], "NAME": name}, SIZE, MORE)
    settings["POOL_OPTIONS"]["IDLE_TIMEOUT"] = idle_timeout
    group = f"{'PostgreSQL' if server == 'postgresql' else 'MariaDB'}, IDLE_TIMEOUT {idle_timeout:g} s, no traffic"
    lab.observer.call("databases", "create", names=[name])
    try:
        with lab.worker(settings) as worker:
            worker.call("churn", "fill", threads=SIZE + MORE)
            arguments = {"alias": server, "name": name, "most": SIZE, "within": 10 * idle_timeout}
            took = lab.tried(f"shrinking on {server}", lab.observer.call, "databases", "seconds_until", **arguments)
    finally:
        lab.observer.call("databases", "drop", names=[name])
    if took is not None:
        lab.results.add(NAME, group, SHRUNK, "s", OURS, took)
        lab.results.add(NAME, group, f"{SHRUNK}, less IDLE_TIMEOUT", "s", OURS, took - idle_timeout)


def comparisons(results: Results) -> Iterator[Comparison]:
    for group in results.groups(NAME):
        metrics = tuple(dict.fromkeys(s.metric for s in results.series if (s.experiment, s.group) == (NAME, group)))
        yield Comparison(NAME, group, metrics, OURS, compared=())


def targets(results: Results) -> Iterator[Target]:
    for series in results.series:
        if series.experiment == NAME and series.arm == OURS:
            if series.metric == OPENED:
                yield Target(f"connections opened ({series.group})", Spread.of(series.values), SIZE + MORE)
            elif series.metric.endswith("less IDLE_TIMEOUT"):
                yield Target(f"seconds beyond IDLE_TIMEOUT ({series.group})", Spread.of(series.values), SLACK)
