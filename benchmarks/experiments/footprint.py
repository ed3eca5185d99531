"""Memory of an idle connection, import time, and the first request."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from ..arms import ARMS, CLOSED, CONNECTION_POOL, DJANGO_POOL, OURS
from ..environments import ROOT
from ..figures import Results, Target
from ..lab import Lab
from ..tables import Comparison

NAME = "footprint"
TITLE = "Memory and start"
TRACED, RESIDENT = "Python's memory per idle connection", "resident memory per idle connection"
TRACED_BEYOND, RESIDENT_BEYOND = "of it beyond the driver's own", "of that beyond the driver's own"
IMPORT = "import of the engine"
FIRST_WALL, FIRST_CPU, SECOND_WALL = "first request, wall time", "first request, CPU", "second request, wall time"
DRIVER = "the driver's connection alone"
TITLES = {"postgresql": "PostgreSQL", "mysql": "MariaDB"}


def run(lab: Lab) -> None:
    rounds, count = (1, 5) if lab.is_smoke else (3, 100)
    servers = [server for server in TITLES if server in lab.addresses][: 1 if lab.is_smoke else None]
    count = min([count, *(lab.free_slots(server) // 2 for server in servers)])
    for server in servers:
        group = f"{TITLES[server]}, {lab.environment.driver(server)}"
        pools = (OURS,) if lab.is_smoke else (OURS, DJANGO_POOL, CONNECTION_POOL)
        names = [DRIVER, *(name for name in pools if _settings(lab, name, server, count))]
        for name in lab.interleaved(rounds, names):
            _memory(lab, name, server, group, count)
        _compare(lab.results, f"memory, {group}", names)
        for name in lab.interleaved(rounds, [CLOSED, *names[1:]]):
            _start(lab, name, server, group)


def _settings(lab: Lab, name: str, server: str, size: int) -> dict[str, object] | None:
    # psycopg's pool opens its min_size in the background, at once: it would all be there before the first is measured.
    kept, more = (1, size - 1) if name == DJANGO_POOL else (size, 0)
    return lab.settings(ARMS[CLOSED if name == DRIVER else name], server, kept, more)


def _compare(results: Results, group: str, names: list[str]) -> None:
    for metric, beyond in ((TRACED, TRACED_BEYOND), (RESIDENT, RESIDENT_BEYOND)):
        driver = results.get(NAME, group, metric, DRIVER)
        for name in names[1:]:
            series = results.get(NAME, group, metric, name)
            assert driver is not None and series is not None
            for value in series.values:
                results.add(NAME, group, beyond, series.unit, name, value - driver.median)


def _memory(lab: Lab, name: str, server: str, group: str, count: int) -> None:
    settings = _settings(lab, name, server, count + 2)
    assert settings is not None
    for metric, is_traced in ((TRACED, True), (RESIDENT, False)):
        with lab.worker(settings) as worker:
            arguments = {"count": count, "is_pooled": name != DRIVER, "is_traced": is_traced}
            size = worker.call("footprint", "idle_connections", **arguments)
            lab.results.add(NAME, f"memory, {group}", metric, "KiB", name, size / 1024)


def _start(lab: Lab, name: str, server: str, group: str) -> None:
    settings = _settings(lab, name, server, 1)
    assert settings is not None
    lab.results.add(NAME, f"start, {group}", IMPORT, "ms", name, import_ms(lab, str(settings["ENGINE"])))
    with lab.worker(settings) as worker:
        seen = worker.call("footprint", "first_request")
        for metric, key in ((FIRST_WALL, "first_wall"), (FIRST_CPU, "first_cpu"), (SECOND_WALL, "second_wall")):
            lab.results.add(NAME, f"start, {group}", metric, "ms", name, seen[key])


def import_ms(lab: Lab, engine: str) -> float:
    """Milliseconds that Python says the import of an engine takes, with all that it brings, Django being there already."""
    # The settings first: they put PyMySQL in the place of mysqlclient, where there is none.
    code = f"import benchmarks.measured.settings, django.conf; django.conf.settings.configure(); import {engine}.base"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BENCHMARK_DATABASES": "{}"}
    words = [str(lab.environment.python), "-X", "importtime", "-c", code]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=True)
    lines = [line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:")]
    # A module stands below those it has imported, which are indented, and its time holds theirs.
    top = [(cells[2].strip(), int(cells[1])) for cells in lines[1:] if not cells[2].startswith("  ")]
    names = [name for name, _ in top]
    return sum(microseconds for _, microseconds in top[names.index("django.conf") + 1 :]) / 1000


def comparisons(results: Results) -> Iterator[Comparison]:
    for group in results.groups(NAME):
        if group.startswith("memory"):
            yield Comparison(NAME, group, (TRACED, TRACED_BEYOND, RESIDENT, RESIDENT_BEYOND), DRIVER, compared=())
        else:
            yield Comparison(NAME, group, (IMPORT, FIRST_WALL, FIRST_CPU, SECOND_WALL), CLOSED)


def targets(results: Results) -> Iterator[Target]:
    """None: these are reported, and nothing foolish should be in them."""
    return iter(())
