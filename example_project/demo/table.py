"""The two results side by side."""

from __future__ import annotations

from dataclasses import dataclass

from .load import Figures

COLUMNS = "{:<22}{:>17}{:>19}   {}"


@dataclass(frozen=True)
class Result:
    """One engine: what the readers saw, and the connections that the server saw."""

    figures: Figures
    connections: int


def render(django: Result, pooled: Result) -> str:
    """One table: a row per figure, a column per engine, and how the pool compares."""
    a, b = django.figures, pooled.figures
    rows = [
        COLUMNS.format("", "Django's engine", "django_sqla_pool", "with the pool"),
        _row("requests/s", "{:,.0f}", a.per_second, b.per_second),
        _row("p50 latency, ms", "{:,.1f}", a.p50 * 1000, b.p50 * 1000),
        _row("p99 latency, ms", "{:,.1f}", a.p99 * 1000, b.p99 * 1000),
        _row("connections opened", "{:,}", django.connections, pooled.connections),
        _row("errors", "{:,}", a.errors, b.errors),
    ]
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:]])


def ratio(before: float, after: float) -> str:
    """How ``after`` compares: "2.50 x more", "196 x less"; empty if one of them is none."""
    if not (before > 0 and after > 0):
        return ""
    factor = max(before, after) / min(before, after)
    digits = 2 if factor < 10 else 1 if factor < 100 else 0
    return f"{factor:,.{digits}f} x {'more' if after > before else 'less'}"


def _row(title: str, form: str, before: float, after: float) -> str:
    return COLUMNS.format(title, form.format(before), form.format(after), ratio(before, after)).rstrip()
