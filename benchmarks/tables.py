"""Tables: the results as text for the terminal and as reStructuredText for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .figures import Results, Spread, Target, number


@dataclass(frozen=True)
class Comparison:
    """A table to be: the arms of one group side by side; ``compared`` are the metrics given as a ratio as well."""

    experiment: str
    group: str
    metrics: tuple[str, ...]
    reference: str
    compared: tuple[str, ...] | None = None  # None: all of them
    is_curve: bool = False

    def header(self) -> list[str]:
        if self.is_curve:
            return [self.group.partition(",")[0], *self.metrics]
        cells = ["arm"]
        for metric in self.metrics:
            cells += [metric, f"over {self.reference}"] if self._is_compared(metric) else [metric]
        return cells

    def rows(self, results: Results) -> list[list[str]]:
        if self.is_curve:
            return list(self._curve(results))
        arms = results.arms(self.experiment, self.group)
        first = self.metrics[0]
        found = []
        for arm in arms:
            cells = [arm]
            for metric in self.metrics:
                cells += self._cells(results, arm, metric)
            series = results.get(self.experiment, self.group, first, arm)
            found.append((series.median if series else float("inf"), cells))
        return [cells for _, cells in sorted(found, key=lambda pair: pair[0])]

    def _cells(self, results: Results, arm: str, metric: str) -> list[str]:
        series = results.get(self.experiment, self.group, metric, arm)
        text = "" if series is None else shown(Spread.of(series.values), series.unit)
        if not self._is_compared(metric):
            return [text]
        ratio = results.ratio(self.experiment, self.group, metric, arm, self.reference)
        return [text, "1" if arm == self.reference else str(ratio) if ratio else ""]

    def _curve(self, results: Results) -> Iterator[list[str]]:
        of_group = [s for s in results.series if (s.experiment, s.group) == (self.experiment, self.group)]
        for x in sorted({s.x for s in of_group if s.x is not None}):
            cells = [f"{x:g}"]
            for metric in self.metrics:
                series = next((s for s in of_group if (s.metric, s.x) == (metric, x)), None)
                cells.append("" if series is None else shown(Spread.of(series.values), series.unit))
            yield cells

    def _is_compared(self, metric: str) -> bool:
        return self.compared is None or metric in self.compared


def shown(spread: Spread, unit: str) -> str:
    """A median with its spread and unit; the spread only if there is one."""
    text = number(spread.median) if spread.least == spread.greatest else str(spread)
    return f"{text} {unit}" if unit not in ("", "x") else text


def text(comparison: Comparison, results: Results) -> str:
    """A table for the terminal."""
    rows = [comparison.header(), *comparison.rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([comparison.group, "", lines[0], "-" * sum((*widths, 2 * (len(widths) - 1))), *lines[1:]])


def rst(comparison: Comparison, results: Results) -> str:
    """The same table for docs/."""
    return _list_table(comparison.group, [comparison.header(), *comparison.rows(results)])


def rst_of_targets(targets: Iterable[Target]) -> str:
    """What must hold, and whether it does, for docs/."""
    rows = [["target", "measured", "bound", "verdict"]]
    for target in targets:
        bound = f"{'at most' if target.is_most else 'at least'} {number(target.bound)}"
        rows.append([target.sentence, str(target.spread), bound, target.verdict])
    return _list_table("median (middle half of the rounds)", rows)


def title(words: str, line: str = "-") -> str:
    return f"{words}\n{line * len(words)}\n"


def _list_table(caption: str, rows: list[list[str]]) -> str:
    lines = [f".. list-table:: {caption}", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'  -' if column else '* -'} {cell}".rstrip() for column, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def about(results: Results) -> str:
    """The machine and the versions, a line each."""
    lines = [f"{results.about.get('when', '')}, {results.about.get('machine', '')}"]
    lines += sorted(set(results.about.get("servers", {}).values()))
    lines += results.about.get("environments", [])
    if results.loads:
        loads = (f"{name} {' to '.join(load)}" for name, load in results.loads.items())
        lines.append(f"Load of the machine, the benchmark's own included: {', '.join(loads)}")
    return "\n".join(lines)
