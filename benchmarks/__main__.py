"""python -m benchmarks: measure, print the tables and the targets, write results, tables and plots."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.servers import ServerError, command

from . import tables
from .environments import ROOT, WORK
from .experiments import EXPERIMENTS
from .figures import Results
from .lab import opened
from .plots import draw
from .worker import MeasurementFailed


def main() -> int:
    """Return 0 if everything was measured, 2 if it could not be. Targets that fail are reported, not returned."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the pool against its peers.")
    parser.add_argument("--smoke", action="store_true", help="seconds, in this interpreter, with what is installed; no targets")
    again = "this again, and keep the rest of the last run; may be repeated"
    parser.add_argument("--only", action="append", choices=list(EXPERIMENTS), help=again)
    parser.add_argument("--output", type=Path, default=WORK / "bench", help="folder for results.json")
    parser.add_argument("--plots", type=Path, help="folder for plots and tables.rst (default: docs/plots; smoke: in --output)")
    options = parser.parse_args()
    command.raise_when_stopped()
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        results = measure(options.smoke, options.only or list(EXPERIMENTS), options.output / "results.json")
    except (ServerError, MeasurementFailed) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except command.Stopped as stop:
        print(f"benchmarks: stopped by {stop}", file=sys.stderr)
        return stop.status
    show(results, with_targets=not options.smoke)
    folder = options.plots or (options.output / "plots" if options.smoke else ROOT / "docs" / "plots")
    for path in draw(results, folder):
        print(path)
    (folder / "tables.rst").write_text(document(results, with_targets=not options.smoke))
    return 0


def measure(is_smoke: bool, names: list[str], path: Path) -> Results:
    """Run the experiments, one after the other; save after each, beside what an earlier session has left of the others."""
    with opened(is_smoke) as lab:
        print(tables.about(lab.results), flush=True)
        if path.exists():
            lab.results.adopt(Results.load(path), without=names)
        for name in names:
            lab.results.running = name
            begun, load = time.monotonic(), f"{os.getloadavg()[0]:.1f}"
            EXPERIMENTS[name].run(lab)
            lab.results.loads[name] = [load, f"{os.getloadavg()[0]:.1f}"]
            lab.results.save(path)
            print(f"measured {name} in {time.monotonic() - begun:.0f} s, load {' to '.join(lab.results.loads[name])}", flush=True)
        return lab.results


def show(results: Results, with_targets: bool) -> None:
    for experiment in EXPERIMENTS.values():
        if results.groups(experiment.NAME):
            print(f"\n#### {experiment.TITLE}")
        for comparison in experiment.comparisons(results):
            print(f"\n{tables.text(comparison, results)}")
    if with_targets:
        print("\n#### Targets: median (middle half of the rounds)\n")
        for experiment in EXPERIMENTS.values():
            for target in experiment.targets(results):
                print(target)
    for note in results.notes:
        print(f"\nNote: {note}")
    print(f"\nMedian (middle half of the rounds). {tables.about(results)}", flush=True)


def document(results: Results, with_targets: bool) -> str:
    """All tables as reStructuredText."""
    parts = [tables.title("Tables of the last full run", "=")]
    parts += ["Written by ``make bench``. Medians, with the middle half of the rounds.\n"]
    parts += [*(f"| {line}" for line in tables.about(results).splitlines()), ""]
    if with_targets:
        targets = [target for experiment in EXPERIMENTS.values() for target in experiment.targets(results)]
        parts += [tables.title("Targets"), tables.rst_of_targets(targets)]
    for experiment in EXPERIMENTS.values():
        if results.groups(experiment.NAME):
            parts.append(tables.title(experiment.TITLE))
            parts += [tables.rst(comparison, results) for comparison in experiment.comparisons(results)]
    if results.notes:
        parts += [tables.title("Left out, and gone wrong"), *(f"* {note}" for note in results.notes)]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
