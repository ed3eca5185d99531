"""python3 -m tests.faults.soak [--minutes M] [--seed N] [--round SECONDS]: all faults at random, for as long as one likes.

On a PostgreSQL and a MariaDB of its own, in turn, with the drivers that are installed. Prints a line for each fault, and at
the end what was violated; the status is 1 if anything was.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import time

import django

from tests.faults.stage import Stage
from tests.servers import command


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, for each pair of drivers (default: 1)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the first round; the next has one more")
    parser.add_argument("--round", type=float, default=20.0, help="seconds between two looks at the accounts (default: 20)")
    parser.add_argument("--only", choices=["postgresql", "mysql"], help="one server only")
    asked = parser.parse_args(words)
    command.raise_when_stopped()
    try:
        return soak(asked)
    except command.Stopped as stop:
        print(f"stopped by {stop}", file=sys.stderr)
        return stop.status


def soak(asked: argparse.Namespace) -> int:
    seed, faults, violations = asked.seed, 0, 0
    with Stage("default") as postgresql, Stage("mysql") as mysql:
        os.environ.update({stage.server.variable: stage.server.url for stage in (postgresql, mysql)})
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        logging.getLogger("django_sqla_pool").setLevel(logging.ERROR)  # a line for each fault is enough; but bugs
        from tests.faults.mix import Mix  # it needs Django's settings

        end = time.monotonic() + asked.minutes * 60  # from here on: starting servers is no fault
        stages = {"postgresql": [postgresql], "mysql": [mysql]}.get(asked.only, [postgresql, mysql])
        while (left := end - time.monotonic()) > 0:
            for stage in stages:
                with stage.scene() as scene:
                    driver = scene.observer.wrapper.Database  # type: ignore[attr-defined]
                    print(f"\n{stage.server}, {driver.__name__}", flush=True)
                    mix = Mix(scene, seed, say=lambda line: print(line, flush=True))
                    for found in mix.run(min(asked.round, max(left, 1.0))):
                        print(f"VIOLATION (seed {seed}): {found}", flush=True)
                        violations += 1
                    faults += mix.count
            seed += 1
    print(f"\n{faults} faults, {violations} violations, seeds {asked.seed} to {seed - 1}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
