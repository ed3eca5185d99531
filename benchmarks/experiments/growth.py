"""The cost of one warm checkout while there is more and more of everything else."""

from __future__ import annotations

from collections.abc import Iterator

from ..arms import ARMS, OURS
from ..figures import Results, Spread, Target
from ..lab import Lab
from ..tables import Comparison

NAME = "growth"
TITLE = "A warm checkout, while everything else grows"
METRIC, RATIO = "CPU of a pair", "CPU of a pair over that with one"
SIZES = {
    "aliases": (1, 2, 5, 10, 20, 50, 100),
    "pools": (1, 2, 5, 10, 20, 50, 100),
    "threads": (1, 10, 50, 100, 200, 500),
    "idle_connections": (1, 10, 50, 100, 200, 500),
}
FLAT = 1.15  # what counts as flat: what is left of the noise at the greatest size


def run(lab: Lab) -> None:
    rounds, pairs, share = (1, 20, 0.05) if lab.is_smoke else (9, 700, 1.0)
    for server in [server for server in ("postgresql", "mysql") if server in lab.addresses][: 1 if lab.is_smoke else 2]:
        room = lab.free_slots(server) - 20
        for what, sizes in SIZES.items():
            kept = [size for size in sizes if size <= max(2, sizes[-1] * share) and size <= room]
            if dropped := [size for size in sizes if size not in kept and not lab.is_smoke]:
                lab.results.note(f"growth, {what}: the server has no room for {dropped}")
            _grow(lab, server, what, kept, rounds, pairs)


def _grow(lab: Lab, server: str, what: str, sizes: list[int], rounds: int, pairs: int) -> None:
    """Grow one process, and ask another that does not grow beside it: so the ratio is free of the machine's moods."""
    group = f"{what.replace('_', ' ')}, {'PostgreSQL' if server == 'postgresql' else 'MariaDB'}"
    settings = ARMS[OURS].settings(lab.addresses[server], max(sizes), 0)
    aliases = {}
    if what in ("aliases", "pools"):
        settings = ARMS[OURS].settings(lab.addresses[server], 2, 0)
        for number in range(1, max(sizes)):
            entry = ARMS[OURS].settings(lab.addresses[server], 2, 0)
            if what == "pools":
                entry["POOL_OPTIONS"]["IDLE_TIMEOUT"] = 600 + number  # what makes it another pool
            aliases[f"alias{number}"] = entry
    with lab.worker(settings, aliases=aliases) as grown, lab.worker(settings) as small:
        for size in sizes:
            function = "aliases" if what == "pools" else what
            grown.call("growth", function, count=size)
            samples: dict[str, list[float]] = {"grown": [], "small": []}
            for _ in range(rounds):
                for name, worker in lab.dice.sample([("grown", grown), ("small", small)], 2):
                    samples[name].append(worker.call("growth", "cpu", pairs=pairs))
            for large, one in zip(samples["grown"], samples["small"], strict=True):
                lab.results.add(NAME, group, METRIC, "µs", OURS, large, x=size)
                lab.results.add(NAME, group, RATIO, "x", OURS, large / one, x=size)


def comparisons(results: Results) -> Iterator[Comparison]:
    for group in results.groups(NAME):
        yield Comparison(NAME, group, (METRIC, RATIO), OURS, compared=(), is_curve=True)


def targets(results: Results) -> Iterator[Target]:
    for group in results.groups(NAME):
        curve = [s for s in results.series if (s.experiment, s.group, s.metric) == (NAME, group, RATIO)]
        last = max(curve, key=lambda series: series.x or 0)
        yield Target(f"checkout with {last.x:g} {group}, over that with one", Spread.of(last.values), FLAT)
