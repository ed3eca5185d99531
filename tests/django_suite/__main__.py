"""python3 -m tests.django_suite: Django's own tests on our engines and on Django's, and whether there is a difference."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.servers import ServerError, command, packages
from tests.servers.running import STATE, running

from . import provision
from .comparison import EXCEPTIONS, compare, known
from .engines import ENGINES, QUICK
from .results import Results
from .suite import Suite

DJANGOS = ("6.1", "5.2")
ROW = "{:22} {:8} {:>20} {:>20}  {}"


def figures(results: Results) -> str:
    """Run and failed; those that were skipped are not among the first."""
    counts = results.counts()
    return f"{counts.total() - counts['skipped']} / {counts['failed']} / {counts['skipped']}"


def main(words: Sequence[str]) -> int:
    """Return 0 if ours passes all that stock passes, 1 if not, 2 if it could not be run, 128 + n if stopped by a signal."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.django_suite", description=__doc__)
    parser.add_argument("--django", action="append", metavar="RELEASE", help=f"such as {DJANGOS[0]}; all: {' '.join(DJANGOS)}")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="all, if none is named")
    parser.add_argument("--modules", nargs="+", default=(), metavar="MODULE", help="of Django's tests; all, if none is named")
    parser.add_argument("--quick", action="store_true", help="the modules that touch connections")
    options = parser.parse_args(words)
    command.raise_when_stopped()
    try:
        return run(options.django or DJANGOS, options.engine or list(ENGINES), QUICK if options.quick else options.modules)
    except ServerError as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 2
    except command.Stopped as stop:
        print(f"\nstopped by {stop}", file=sys.stderr)
        return stop.status


def run(djangos: Sequence[str], engines: Sequence[str], modules: Sequence[str]) -> int:
    exceptions = known(EXCEPTIONS.read_text(encoding="utf-8").splitlines())
    packages.provide([*packages.server_needs(), *packages.build_needs()])
    rows, problems = [], []
    for django in djangos:
        for name in engines:
            engine = ENGINES[name]
            python = provision.environment(django, engine.drivers)
            # Servers of its own for each: what one run does to them is nothing to the next.
            with running() as urls:
                state = json.loads(Path(urls[STATE]).read_text())[engine.server.kind]
                url = urls[engine.server.variable]
                suite = Suite(engine, python, url, state["version"] if state else url.rpartition("@")[2], modules)
                where = f"{name}/{suite.versions['Django']}"
                begun = time.monotonic()
                ours = suite.run()
                stock = suite.run_stock()
            found = compare(ours, stock, exceptions, where, modules)
            print(f"{where}: {time.monotonic() - begun:.0f} s, {len(found)} problems", flush=True)
            verdict = "FAILED" if found else "ok"
            rows.append(ROW.format(name, suite.versions["Django"], figures(stock), figures(ours), verdict))
            for problem in found:
                print(f"  {problem}", flush=True)
                detail = ours.details.get(problem.partition(" ")[0], "")
                print("".join(f"      {line}\n" for line in detail.splitlines()[-8:]), end="", flush=True)
            problems += [f"{where}: {problem}" for problem in found]
    print(f"\n{ROW.format('engine', 'Django', 'stock', 'ours', 'verdict')}    (tests run / failed / skipped)")
    print("\n".join(rows))
    if problems:
        print("\n" + "\n".join(f"FAILED: {problem}" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
