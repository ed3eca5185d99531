"""Requests over HTTP: CPU time of the server processes for each, and how many a second."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..arms import (
    ARMS,
    CHECKED,
    CHECKED_POOL,
    CLOSED,
    CONNECTION_POOL,
    DJANGO_POOL,
    FLOOR,
    GEVENT_POOL,
    KEPT,
    OURS,
    PGBOUNCER,
    REAL_POOL,
)
from ..environments import ROOT
from ..figures import Results, Target
from ..lab import TLS, Lab
from ..processes import started
from ..tables import Comparison
from ..worker import MeasurementFailed, Worker

NAME = "http"
TITLE = "Requests over HTTP"
CPU, RATE, P99 = "CPU of the server per request", "requests", "99th percentile of the latency"
START_SECONDS = 30.0
KEEP_ALIVE = "600"  # seconds: longer than any site waits for its next turn
VIEWS = {"one": "one SELECT", "three": "three SELECTs"}
THREADS = 16

PEERS = (CHECKED, CHECKED_POOL, DJANGO_POOL, CONNECTION_POOL, REAL_POOL, PGBOUNCER, CLOSED)
THREADED = (OURS, KEPT, FLOOR, *PEERS)
DEAR = (OURS, KEPT, DJANGO_POOL, CONNECTION_POOL, CLOSED)  # where connecting is
SMOKE = (OURS, KEPT)
# A virtual machine is up to twice as slow for seconds at a time, by what its neighbours do. So many short slices, of all arms in
# turn, tell more in the same time than a few long ones. And the same program, started again, is a hundredth or two faster or
# slower for as long as it runs: so each round starts all arms anew.
SLICE_SECONDS = 0.2
ROUNDS = 10
TITLES = {"postgresql": "PostgreSQL", "mysql": "MariaDB", TLS: "PostgreSQL behind TLS"}


@dataclass(frozen=True)
class Site:
    """A web server, and the arms that make sense in it."""

    name: str
    package: str
    words: tuple[str, ...]
    arms: tuple[str, ...]
    servers: tuple[str, ...]
    closely: tuple[str, ...] = ()  # those that a bound of some hundredths compares
    workers: int = 1  # processes
    slices: tuple[int, int] = (9, 2)  # whose mean is a sample: of those, and of the others
    seconds: float = SLICE_SECONDS


def _gunicorn(workers: int, *words: str) -> tuple[str, ...]:
    application = ("benchmarks.measured.site:wsgi", "--workers", str(workers), "--keep-alive", KEEP_ALIVE)
    return ("gunicorn", *application, "--log-level", "warning", "--no-control-socket", *words, "--bind", "fd://{}")


_THREADS = ("--worker-class", "gthread", "--threads", str(THREADS))
_UVICORN = (
    *("uvicorn", "benchmarks.measured.site:asgi", "--timeout-keep-alive", KEEP_ALIVE),
    *("--lifespan", "off", "--log-level", "warning", "--no-access-log"),
)
_EVERY = ("postgresql", TLS, "mysql")
_BOTH = ("postgresql", "mysql")
_KEEPERS = (OURS, KEPT, FLOOR, DJANGO_POOL)
_POOLS = (OURS, FLOOR, DJANGO_POOL, CONNECTION_POOL, REAL_POOL)  # where KEPT connects for each request
_GEVENT = (OURS, GEVENT_POOL, CLOSED)
SITES = (
    Site("gunicorn, 16 threads", "gunicorn", _gunicorn(1, *_THREADS), THREADED, _EVERY, _KEEPERS),
    Site("gunicorn, 2 x 16 threads", "gunicorn", _gunicorn(2, *_THREADS), THREADED, _BOTH, _KEEPERS, workers=2, slices=(12, 2)),
    # In slices of a second: what comes of the pings after a rest is not to be all that is measured.
    Site("uvicorn", "uvicorn", (*_UVICORN, "--fd", "{}"), THREADED, (*_BOTH, TLS), _POOLS, slices=(3, 1), seconds=1.0),
    Site("gunicorn, gevent", "gevent", _gunicorn(1, "--worker-class", "gevent"), _GEVENT, ("postgresql",)),
)


class Running:
    """A web server that answers, with one arm's settings."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, workers: int, generator: Worker) -> None:
        self.process = process
        self.port = port
        self._workers = workers
        self._generator = generator

    def load(self, view: str, seconds: float = SLICE_SECONDS) -> dict[str, float]:
        """Send requests for so long; return what the clients saw, and the server's CPU seconds meanwhile."""
        seen: dict[str, float] = self._generator.call(
            "load",
            "send",
            port=self.port,
            path=f"/{view}",
            connections=self._workers * THREADS,
            workers=self._workers,
            seconds=seconds,
            pid=self.process.pid,
        )
        return seen

    def dismiss(self) -> None:
        """Close the connections to it, and tell it to end."""
        with contextlib.suppress(MeasurementFailed):  # the generator has ended
            self._generator.call("load", "forget", port=self.port)
        self.process.terminate()


def run(lab: Lab) -> None:
    with Worker(lab.environment, {}, lab.folder / "load.log") as generator:
        for site in SITES[::2] if lab.is_smoke else SITES:
            if not lab.environment.has(site.package):
                lab.results.note(f"{site.name} was left out: {site.package} is not installed here")
                continue
            for server in site.servers:
                if lab.is_smoke and server != site.servers[-1]:
                    continue
                _measure(lab, generator, site, server)
    lab.results.drop_empty()


def _measure(lab: Lab, generator: Worker, site: Site, server: str) -> None:
    views = ["one"] if server == TLS else list(VIEWS)
    arms = [name for name in site.arms if name in (SMOKE if lab.is_smoke else DEAR if server == TLS else site.arms)]
    for _ in range(1 if lab.is_smoke else ROUNDS):
        _measure_round(lab, generator, site, server, arms, views)


def _measure_round(lab: Lab, generator: Worker, site: Site, server: str, arms: list[str], views: list[str]) -> None:
    """Start every arm, and take one sample of each: the mean of its slices, or none. All in an order thrown anew."""
    group = f"{site.name}, {TITLES[server]}"
    settings = {name: each for name in arms if (each := lab.settings(ARMS[name], server, THREADS)) is not None}
    seen: dict[tuple[str, str], list[dict[str, float] | None]] = {(view, name): [] for name in settings for view in views}
    with contextlib.ExitStack() as stack:
        sites: dict[str, Running] = {}
        for name in lab.dice.sample(list(settings), len(settings)):
            running = lab.tried(f"{name}, {group}", stack.enter_context, _served(lab, generator, site, settings[name]))
            if not running:
                seen |= {(view, name): [None] for view in views}  # it keeps its place among the rounds
                continue
            sites[name] = running
            for _ in range(1 if lab.is_smoke else 3):  # until every thread has had its turn
                lab.tried(f"{name}, {group}", running.load, views[-1])
        turns = [
            (view, name)
            for view, name in seen
            if name in sites
            for _ in range(1 if lab.is_smoke else site.slices[0 if name in site.closely else 1])
        ]
        lab.dice.shuffle(turns)
        for view, name in turns:
            where = f"{group}, {VIEWS[view]}"
            found = lab.tried(f"{name}, {where}", sites[name].load, view, SLICE_SECONDS if lab.is_smoke else site.seconds)
            if found is not None and (found["errors"] or not found["requests"]):
                lab.results.note(f"{name}: {found['errors']:.0f} errors in {found['requests']:.0f} requests ({where})")
            seen[view, name].append(found if found is not None and found["requests"] else None)
        for running in sites.values():  # before the end of any is waited for
            running.dismiss()
    for (view, name), samples in seen.items():
        whole = [sample for sample in samples if sample is not None]
        is_whole = len(whole) == len(samples)
        for metric, unit, value in (
            (CPU, "ms", lambda sample: sample["cpu"] / sample["requests"] * 1e3),
            (RATE, "/s", lambda sample: sample["per_second"]),
            (P99, "ms", lambda sample: sample["p99"] * 1e3),
        ):
            mean = statistics.mean(map(value, whole)) if is_whole else math.nan
            lab.results.add(NAME, f"{group}, {VIEWS[view]}", metric, unit, name, mean)


@contextlib.contextmanager
def _served(lab: Lab, generator: Worker, site: Site, settings: dict[str, Any]) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        descriptor = listening.fileno()
        words = [str(lab.environment.python), "-m", *(word.format(descriptor) for word in site.words)]
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.measured.settings",
            "BENCHMARK_DATABASES": json.dumps({"default": settings}),
            "PYTHONPATH": str(ROOT),
            "GUNICORN_CMD_ARGS": "",
        }
        log = lab.folder / "site.log"
        with started(words, env, log, pass_fds=[descriptor], cwd=lab.folder) as process:
            running = Running(process, listening.getsockname()[1], site.workers, generator)
            _wait(process, running.port, log)
            try:
                yield running
            finally:
                running.dismiss()


def _wait(process: subprocess.Popen[bytes], port: int, log: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            client.request("GET", "/one")
            if client.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            client.close()
        time.sleep(0.05)
    raise MeasurementFailed(f"the site did not start:\n{log.read_text(errors='replace')[-3000:]}")


def comparisons(results: Results) -> Iterator[Comparison]:
    for group in results.groups(NAME):
        reference = CLOSED if "TLS" in group or "gevent" in group else KEPT
        yield Comparison(NAME, group, (CPU, RATE), reference)


def targets(results: Results) -> Iterator[Target]:
    for group in results.groups(NAME):
        if "threads" in group and (ratio := results.ratio(NAME, group, CPU, OURS, KEPT)):
            yield Target(f"CPU per request against CONN_MAX_AGE=None ({group})", ratio, 1.05)
        if "threads" in group and (ratio := results.ratio(NAME, group, RATE, OURS, KEPT)):
            yield Target(f"requests/s against CONN_MAX_AGE=None ({group})", ratio, 1.0, is_most=False)
        peers = [arm for arm in results.arms(NAME, group) if arm not in (OURS, KEPT, FLOOR)]
        ratios = [(ratio, arm) for arm in peers if (ratio := results.ratio(NAME, group, RATE, OURS, arm))]
        if ratios:
            ratio, arm = min(ratios, key=lambda pair: pair[0].median)
            yield Target(f"requests/s against the fastest peer, {arm} ({group})", ratio, 1.0, is_most=False)
