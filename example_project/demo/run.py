"""The stages of the demo, in order. Runs inside the environment that has what it needs."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import embedded
from .cleanup import Cleanup, Interrupted
from .failure import Failure
from .load import Figures
from .options import check_url, parse
from .progress import stage
from .server import Server
from .site import PROJECT, THREADS, WORKERS, Site
from .table import Result, render

CLIENTS = WORKERS * THREADS
WARMUP = 2.0  # seconds; less if the measurement itself is shorter
LONGEST_PLACE = 60  # bytes; with our name and the socket's it stays below the 103 of macOS


def demo(options: argparse.Namespace, cleanup: Cleanup) -> None:
    """Measure both engines, print the table, and leave the pooled site running unless ``--once`` was asked for."""
    starter = os.getppid()
    directory = _directory(cleanup)
    url = os.environ.get("DATABASE_URL", "")
    if url:
        check_url(url)
    else:
        with stage("starting PostgreSQL"):
            url = embedded.start(cleanup, directory)

    server = Server(url)
    with stage("making a database") as step:
        step(f"{server.name} on {server.connect()}")
        with cleanup.held():
            server.create()
            cleanup.add(server.drop)
    site = Site(cleanup, server.database_url, directory)
    password = secrets.token_urlsafe(9)
    with stage("migrating"):
        site.manage("migrate", "--verbosity=0")
        who = ["--username=reader", "--email=reader@example.invalid"]
        site.manage("createsuperuser", "--noinput", *who, DJANGO_SUPERUSER_PASSWORD=password)
    with stage("loading the atlas") as step:
        limit = [f"--cities={options.cities}"] if options.cities else []
        step(site.manage("load_atlas", *limit).splitlines()[-1])

    print(f"\n{CLIENTS} readers, {WORKERS} gunicorn workers of {THREADS} threads; answers in each second (warm-up):")
    django = _measure(site, server, cleanup, options.seconds, pooled=False)
    pooled = _measure(site, server, cleanup, options.seconds, pooled=True)
    print(f"\n{render(django, pooled)}\n", flush=True)
    for remark in server.remarks():
        print(f"{remark}\n", flush=True)
    for result in (django, pooled):
        if result.figures.errors:
            raise Failure(f"{result.figures.errors} requests failed; the first: {result.figures.first_error}")
    if not options.once:
        _leave_running(site, password, starter)


def _measure(site: Site, server: Server, cleanup: Cleanup, seconds: float, *, pooled: bool) -> Result:
    """Serve the site on one engine, send it load, and count what connections that opened, warm-up included."""
    with stage("  django_sqla_pool" if pooled else "  Django's engine") as step:
        warmup = min(WARMUP, seconds)
        before = server.connections_opened()
        site.serve(pooled=pooled)
        times = [f"--clients={CLIENTS}", f"--warmup={warmup}", f"--seconds={seconds}"]
        command = [sys.executable, "-m", "demo.load", site.host, str(site.port), *times]
        load = cleanup.start(command, log=subprocess.PIPE, cwd=PROJECT)
        assert load.stdout is not None
        output: list[str] = []
        for line in load.stdout:
            output.append(line.decode())
            if output[-1].startswith('{"second"'):
                note = json.loads(line)
                step(f"({note['answers']})" if note["second"] <= warmup else f"{note['answers']}")
        if load.wait() != 0:
            raise Failure("the load generator failed:\n" + "".join(output[-12:]))
        return Result(Figures(**json.loads(output[-1])), server.connections_opened() - before)


def _leave_running(site: Site, password: str, starter: int) -> None:
    """Wait for Ctrl-C, which is the ordinary end."""
    try:
        print(
            f"The site goes on with the pool, for you to look at:\n"
            f"  search    {site.url}?q=lis\n"
            f"  country   {site.url}countries/PT/   three queries; a visit is one transaction\n"
            f"  admin     {site.url}admin/   user reader, password {password}\n"
            f"  pool      {site.url}pool/   figures of the worker that answers\n"
            f"Ctrl-C ends it and removes everything.",
            flush=True,
        )
        while os.getppid() == starter:  # which may be gone without a signal to us
            site.check()
            time.sleep(1.0)
    except Interrupted:
        print("\nEnding.", flush=True)


def _directory(cleanup: Cleanup) -> Path:
    """A temporary directory whose path is short enough for a Unix socket, and open to `nobody` if root runs this."""
    places = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]
    is_root = os.geteuid() == 0
    for place in places:
        is_open = all(part.stat().st_mode & 0o001 for part in (place, *place.parents))
        if len(os.fsencode(place)) <= LONGEST_PLACE and (is_open or not is_root):
            break
    with cleanup.held():
        directory = Path(tempfile.mkdtemp(prefix="sqla-pool-demo-", dir=place))
        cleanup.add(lambda: shutil.rmtree(directory))
    if is_root:
        directory.chmod(0o711)
    return directory


if __name__ == "__main__":
    cleanup = Cleanup()
    sys.exit(cleanup.run(lambda: demo(parse(sys.argv[1:]), cleanup)))
