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
from .engines import ENGINES, QUICK, Engine
from .results import Results
from .suite import Suite, SuiteError

DJANGOS = ("6.1", "5.2")
ROW = "{:30} {:>20} {:>20}  {}"


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
        engines = [ENGINES[name] for name in options.engine or ENGINES]
        return run(options.django or DJANGOS, engines, options.modules, options.quick)
    except ServerError as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 2
    except command.Stopped as stop:
        print(f"\nstopped by {stop}", file=sys.stderr)
        return stop.status


def run(djangos: Sequence[str], engines: Sequence[Engine], modules: Sequence[str], quick: bool) -> int:
    """Run all this, print what came of it, return 1 if anything is wrong."""
    exceptions = known(EXCEPTIONS.read_text(encoding="utf-8").splitlines())
    packages.provide([*packages.server_needs(), *packages.build_needs()])
    rows, problems = [], []
    for django in djangos:
        for engine in engines:
            python = provision.environment(django, engine.drivers)
            chosen = modules or engine.modules or (QUICK if quick else ())
            begun = time.monotonic()
            try:
                where, ours, stock = run_both(engine, python, chosen)
                found = compare(ours, stock, exceptions, where, chosen)
                row = [where, figures(stock), figures(ours)]
            except SuiteError as error:  # hours of other runs are not to be lost with it
                where, found, ours = f"{engine.name}/{django}", [str(error)], Results()
                row = [where, "", ""]
            print(f"{where}: {time.monotonic() - begun:.0f} s, {len(found)} problems", flush=True)
            for problem in found:
                print(f"  {problem}", flush=True)
                detail = ours.details.get(problem.partition(" fails")[0], "")
                print("".join(f"      {line}\n" for line in detail.splitlines()[-8:]), end="", flush=True)
            rows.append(ROW.format(*row, "FAILED" if found else "ok"))
            problems += [f"{where}: {problem}" for problem in found]
    print("\nTests run / failed / skipped:\n")
    print("\n".join([ROW.format("engine", "stock", "ours", "verdict"), *rows]))
    if problems:
        print("\n" + "\n".join(f"FAILED: {problem}" for problem in problems))
    return 1 if problems else 0


def run_both(engine: Engine, python: Path, modules: Sequence[str]) -> tuple[str, Results, Results]:
    """Run the suite on our engine and, unless that is known, on Django's; on servers that nobody has used yet."""
    with running() as urls:
        state = json.loads(Path(urls[STATE]).read_text())[engine.server.kind]
        url = urls[engine.server.variable]
        suite = Suite(engine, python, url, state["version"] if state else url.rpartition("@")[2], modules)
        return f"{engine.name}/{suite.versions['Django']}", suite.run(), suite.run_stock()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
