"""Figures: the samples of one session, and what may be said of them. Measures nothing and prints nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class Series:
    """The samples of one arm: one value a round, in the order of the rounds; NaN, where a round has none."""

    experiment: str
    group: str  # what is the same for all arms that are compared: server, driver, load
    metric: str
    unit: str
    arm: str
    values: list[float] = dataclasses.field(default_factory=list)
    x: float | None = None  # the size, where a metric is a curve

    @property
    def median(self) -> float:
        return Spread.of(self.values).median


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median with the quartiles: half of the values lie between ``least`` and ``greatest``.

    Not the extremes: on a machine with anything else to do, these tell of that alone, and the more rounds, the worse.
    """

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """``values``: NaN is left out."""
        values = [value for value in values if not math.isnan(value)] or [math.nan]
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        least, median, greatest = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, least, greatest)

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.least)} to {number(self.greatest)})"


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound that a figure is held to; ``is_most`` false: it is the least that will do."""

    sentence: str
    spread: Spread
    bound: float
    is_most: bool = True

    @property
    def verdict(self) -> str:
        """Whether the median keeps the bound; "barely", where the middle half of the rounds lies on both sides of it."""
        verdict = "holds" if self._keeps(self.spread.median) else "FAILS"
        is_clear = self._keeps(self.spread.least) is self._keeps(self.spread.greatest)
        return verdict if is_clear else f"{verdict}, barely"

    def __str__(self) -> str:
        return f"{self.sentence}: {self.spread}, {'at most' if self.is_most else 'at least'} {number(self.bound)}: {self.verdict}"

    def _keeps(self, value: float) -> bool:
        return value <= self.bound if self.is_most else value >= self.bound


class Results:
    """All series of a session, what they were measured with, and what was left out and why."""

    def __init__(self, about: dict[str, Any] | None = None) -> None:
        self.about: dict[str, Any] = about or {}
        self.series: list[Series] = []
        self.running = ""  # the experiment
        self.notes: dict[str, list[str]] = {}  # what was left out or went wrong: in which experiments
        self.loads: dict[str, list[str]] = {}  # how busy the machine was when an experiment began, and when it ended

    def add(
        self, experiment: str, group: str, metric: str, unit: str, arm: str, value: float, x: float | None = None
    ) -> None:
        """Add one sample to its series."""
        series = self.get(experiment, group, metric, arm, x)
        if series is None:
            series = Series(experiment, group, metric, unit, arm, x=x)
            self.series.append(series)
        series.values.append(value)

    def drop_empty(self) -> None:
        """Forget the series of which no round has a value."""
        self.series = [series for series in self.series if not all(map(math.isnan, series.values))]

    def note(self, text: str) -> None:
        """Say, once, what was left out or went wrong."""
        if self.running not in self.notes.setdefault(text, []):
            self.notes[text].append(self.running)

    def get(self, experiment: str, group: str, metric: str, arm: str, x: float | None = None) -> Series | None:
        """Find a series; None if nothing of the kind was measured."""
        wanted = (experiment, group, metric, arm, x)
        return next((s for s in self.series if (s.experiment, s.group, s.metric, s.arm, s.x) == wanted), None)

    def groups(self, experiment: str) -> list[str]:
        return list(dict.fromkeys(s.group for s in self.series if s.experiment == experiment))

    def arms(self, experiment: str, group: str) -> list[str]:
        return list(dict.fromkeys(s.arm for s in self.series if (s.experiment, s.group) == (experiment, group)))

    def ratio(self, experiment: str, group: str, metric: str, arm: str, reference: str) -> Spread | None:
        """How an arm compares with another, round by round; None if one of them was not measured."""
        above, below = self.get(experiment, group, metric, arm), self.get(experiment, group, metric, reference)
        if above is None or below is None:
            return None
        quotients = [a / b for a, b in zip(above.values, below.values, strict=False) if b]
        return None if all(map(math.isnan, quotients)) else Spread.of(quotients)

    def adopt(self, earlier: Results, without: Collection[str]) -> None:
        """Take over the experiments of an earlier session, but these, if it was on the same machine with the same versions."""
        if {**earlier.about, "when": ""} == {**self.about, "when": ""}:
            self.series += [series for series in earlier.series if series.experiment not in without]
            self.loads |= {name: load for name, load in earlier.loads.items() if name not in without}
            for text, experiments in earlier.notes.items():
                if kept := [name for name in experiments if name and name not in without]:
                    self.notes[text] = kept + self.notes.get(text, [])

    def save(self, path: Path) -> None:
        series = [dataclasses.asdict(each) for each in self.series]
        saved = {"about": self.about, "notes": self.notes, "loads": self.loads, "series": series}
        path.write_text(json.dumps(saved, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        saved = json.loads(path.read_text())
        results = cls(saved["about"])
        results.notes, results.loads = saved["notes"], saved["loads"]
        results.series = [Series(**each) for each in saved["series"]]
        return results


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that ``share`` of the values do not exceed (nearest rank); 0 if there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def number(value: float) -> str:
    """Three significant digits, and no exponent; a count as it is."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
