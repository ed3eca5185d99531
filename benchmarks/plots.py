"""The plots of a session: which of the results each one shows. How a chart is drawn is svg.py's business."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from . import svg
from .arms import CLOSED, KEPT, OURS
from .experiments import checkout, contention, growth, http
from .figures import Results, Spread
from .svg import Rows
from .tables import about

SPREAD = "Dots: medians. Lines: the middle half of the rounds."


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what the results hold; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for plot in (_checkout, _http_cpu, _http_rate, _http_dear, _contention_rate, _contention_fairness, _growth):
        if chart := plot(results):
            paths.append(folder / f"{plot.__name__.lstrip('_').replace('_', '-')}.svg")
            paths[-1].write_text(chart)
    return paths


def _checkout(results: Results) -> str:
    # What connects takes milliseconds and would flatten all the rest; the tables have it.
    rows = _values(results, checkout.NAME, checkout.CPU, lambda group: True, leave_out=checkout.CONNECTING)
    explanation = f"ensure_connection() + close(), µs of CPU; less is better. {SPREAD}"
    return _spreads(results, "A warm checkout and check-in", explanation, rows, is_logarithmic=False)


def _http_cpu(results: Results) -> str:
    rows = _ratios(results, http.CPU, KEPT, lambda group: "TLS" not in group and "gevent" not in group)
    explanation = f"as a multiple of CONN_MAX_AGE=None in the same round; less is better. {SPREAD}"
    return _spreads(results, "CPU of the server per request", explanation, rows, reference=1.0)


def _http_rate(results: Results) -> str:
    rows = _ratios(results, http.RATE, KEPT, lambda group: "TLS" not in group and "gevent" not in group)
    explanation = f"as a multiple of CONN_MAX_AGE=None in the same round; more is better. {SPREAD}"
    return _spreads(results, "Requests per second", explanation, rows, reference=1.0)


def _http_dear(results: Results) -> str:
    rows = _ratios(results, http.RATE, CLOSED, lambda group: "TLS" in group or "gevent" in group)
    explanation = f"as a multiple of CONN_MAX_AGE=0 in the same round; more is better. {SPREAD}"
    return _spreads(results, "Requests per second behind TLS and SCRAM, and under gevent", explanation, rows, reference=1.0)


def _contention_rate(results: Results) -> str:
    rows = _values(results, contention.NAME, contention.RATE, lambda group: "1 ms" in group)
    explanation = f"statements of 1 ms that are run in a second; more is better. {SPREAD}"
    return _spreads(results, "Many threads on eight connections: throughput", explanation, rows, is_logarithmic=False)


def _contention_fairness(results: Results) -> str:
    rows = _values(results, contention.NAME, contention.FAIRNESS, lambda group: "1 ms" in group)
    explanation = f"the most served thread over the least served, within a second; 1 is fair. {SPREAD}"
    return _spreads(results, "Many threads on eight connections: fairness", explanation, rows, is_logarithmic=True)


def _growth(results: Results) -> str:
    lines = {}
    for group in results.groups(growth.NAME):
        curve = [s for s in results.series if (s.experiment, s.group, s.metric) == (growth.NAME, group, growth.RATIO)]
        lines[group] = sorted(((s.x or 0.0, Spread.of(s.values)) for s in curve), key=lambda point: point[0])
    if not lines:
        return ""
    explanation = "CPU of one checkout as a multiple of that in a process with one of everything; 1 is flat."
    return svg.curves("A warm checkout, while everything else grows", explanation, lines, about(results).splitlines())


def _values(
    results: Results, experiment: str, metric: str, wanted: Callable[[str], bool], leave_out: Iterable[str] = ()
) -> Rows:
    found: Rows = {}
    for group in filter(wanted, results.groups(experiment)):
        series = [results.get(experiment, group, metric, arm) for arm in results.arms(experiment, group)]
        rows = [(s.arm, Spread.of(s.values)) for s in series if s is not None and s.arm not in leave_out]
        found[group] = sorted(rows, key=lambda row: row[1].median)
    return found


def _ratios(results: Results, metric: str, reference: str, wanted: Callable[[str], bool]) -> Rows:
    found: Rows = {}
    for group in filter(wanted, results.groups(http.NAME)):
        arms = [arm for arm in results.arms(http.NAME, group) if arm != reference]
        rows = [(arm, results.ratio(http.NAME, group, metric, arm, reference)) for arm in arms]
        found[group] = sorted(((arm, ratio) for arm, ratio in rows if ratio), key=lambda row: row[1].median)
    return {group: rows for group, rows in found.items() if rows}


def _spreads(
    results: Results,
    title: str,
    explanation: str,
    rows: Rows,
    *,
    reference: float | None = None,
    is_logarithmic: bool | None = None,
) -> str:
    if not rows:
        return ""
    caption = about(results).splitlines()
    return svg.spreads(
        title, explanation, rows, caption, marked=OURS, reference=reference, is_logarithmic=is_logarithmic
    )
