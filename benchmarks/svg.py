"""Two charts as SVG: values with their spread, row by row, and curves. Knows nothing of what the numbers mean.

By hand, since a library for this would be a dependency of the tests for the sake of a few lines and circles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from .figures import Spread, number

WIDTH = 900
LEFT, RIGHT = 270, 680  # where the axis begins and ends; names to the left of it, numbers to the right
ROW, HEADING, LINE = 19, 28, 15
GREEN, GREY, FAINT, BLACK = "#1f6f4a", "#66788f", "#dddddd", "#222222"
COLORS = (GREEN, "#b5651d", "#5b6fa8", "#8f5f9e", "#4b9aa0", "#a0522d", "#7a8f3c", "#666666")


@dataclass(frozen=True)
class Axis:
    """From values to places; logarithmic, if the values are of different orders of magnitude."""

    least: float
    greatest: float
    begin: float
    end: float
    is_logarithmic: bool

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float, is_logarithmic: bool | None = None) -> Axis:
        """An axis that all values fit on; a linear one begins at 0."""
        least, greatest = min(values), max(values)
        if is_logarithmic is None:
            is_logarithmic = least > 0 and greatest > 30 * least
        if is_logarithmic:
            return cls(least / 1.2, greatest * 1.2, begin, end, True)
        return cls(min(0.0, least), (greatest or 1.0) * 1.05, begin, end, False)

    def place(self, value: float) -> float:
        share = (value - self.least) / (self.greatest - self.least)
        if self.is_logarithmic:
            share = math.log(value / self.least) / math.log(self.greatest / self.least)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        if self.is_logarithmic:
            decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.greatest)) + 1)
            factors = (1, 2, 5) if len(decades) <= 4 else (1,)
            every = [factor * 10.0**decade for decade in decades for factor in factors]
            return [tick for tick in every if self.least <= tick <= self.greatest]
        rough = (self.greatest - self.least) / 5
        step = 10 ** math.floor(math.log10(rough))
        step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= rough)
        return [tick * step for tick in range(math.ceil(self.least / step), math.floor(self.greatest / step) + 1)]


@dataclass
class Drawing:
    """An SVG that grows downwards."""

    title: str
    parts: list[str] = field(default_factory=list)
    y: float = 0.0

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, color: str = BLACK, anchor: str = "start", more: str = ""
    ) -> None:
        how = f'font-size="{size}" fill="{color}" text-anchor="{anchor}"{more}'
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(words)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, color: str = FAINT, width: float = 1.0, more: str = "") -> None:
        places = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f'<line {places} stroke="{color}" stroke-width="{width:g}"{more}/>')

    def dot(self, x: float, y: float, color: str, radius: float = 4.0) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{color}"/>')

    def begin(self, explanation: str) -> None:
        self.text(16, 26, self.title, size=16, more=' font-weight="bold"')
        self.text(16, 45, explanation, color=GREY)
        self.y = 56

    def end(self, caption: Sequence[str]) -> str:
        """Write the caption and return the whole document."""
        self.y += 12
        for words in caption:
            for part in wrapped(words, 150):
                self.y += LINE
                self.text(16, self.y, part, size=11, color=GREY)
        height = self.y + 14
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
        head += f' font-family="sans-serif" role="img"><title>{escape(self.title)}</title>'
        return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *self.parts, "</svg>"]) + "\n"


Rows = dict[str, list[tuple[str, Spread]]]


def spreads(
    title: str,
    explanation: str,
    groups: Rows,
    caption: Sequence[str],
    *,
    marked: str,
    reference: float | None = None,
    is_logarithmic: bool | None = None,
) -> str:
    """Draw a row for each value, group below group: a dot for the median, a line from the least to the greatest.

    ``marked``: the name that stands out. ``reference``: a value with a line of its own.
    """
    drawing = Drawing(title)
    drawing.begin(explanation)
    every = [spread for rows in groups.values() for _, spread in rows]
    values = [value for spread in every for value in (spread.least, spread.greatest)]
    axis = Axis.over([*values, *([] if reference is None else [reference])], LEFT, RIGHT, is_logarithmic)
    top = drawing.y + 8
    bottom = top + sum(HEADING + ROW * len(rows) for rows in groups.values())
    for tick in axis.ticks():
        drawing.line(axis.place(tick), top, axis.place(tick), bottom)
        drawing.text(axis.place(tick), bottom + 15, number(tick), size=11, color=GREY, anchor="middle")
    if reference is not None:
        drawing.line(axis.place(reference), top, axis.place(reference), bottom, GREY, 1.2, ' stroke-dasharray="5 3"')
    y = top
    for name, rows in groups.items():
        y += HEADING
        drawing.text(16, y - 8, name, more=' font-weight="bold"')
        for arm, spread in rows:
            y += ROW
            color = GREEN if arm == marked else GREY
            weight = ' font-weight="bold"' if arm == marked else ""
            drawing.text(LEFT - 12, y - 5, arm, color=color, anchor="end", more=weight)
            drawing.line(axis.place(spread.least), y - 9, axis.place(spread.greatest), y - 9, color, 2)
            drawing.dot(axis.place(spread.median), y - 9, color)
            drawing.text(RIGHT + 14, y - 5, str(spread), size=11, color=color, more=weight)
    drawing.y = bottom + 15
    return drawing.end(caption)


def curves(
    title: str,
    explanation: str,
    lines: dict[str, list[tuple[float, Spread]]],
    caption: Sequence[str],
    *,
    height: int = 300,
    shown: Callable[[float], str] = number,
) -> str:
    """Draw a line for each name through its medians, over sizes on a logarithmic axis, with the spread at each size."""
    drawing = Drawing(title)
    drawing.begin(explanation)
    top, bottom = drawing.y + 12, drawing.y + 12 + height
    sizes = sorted({x for points in lines.values() for x, _ in points})
    across = Axis.over(sizes, 60, RIGHT, is_logarithmic=True)
    values = [value for points in lines.values() for _, s in points for value in (s.least, s.greatest)]
    up = Axis.over(values, bottom, top, is_logarithmic=False)
    for tick in up.ticks():
        drawing.line(60, up.place(tick), RIGHT, up.place(tick))
        drawing.text(52, up.place(tick) + 4, shown(tick), size=11, color=GREY, anchor="end")
    for size in sizes:
        drawing.text(across.place(size), bottom + 16, f"{size:g}", size=11, color=GREY, anchor="middle")
    for index, (name, points) in enumerate(lines.items()):
        color = COLORS[index % len(COLORS)]
        places = [(across.place(x), up.place(spread.median)) for x, spread in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawing.parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        for (x, y), (_, spread) in zip(places, points, strict=True):
            drawing.line(x, up.place(spread.least), x, up.place(spread.greatest), color, 1, ' stroke-opacity="0.5"')
            drawing.dot(x, y, color, 3)
        drawing.dot(RIGHT + 24, top + 8 + index * ROW, color)
        drawing.text(RIGHT + 34, top + 12 + index * ROW, name, color=color)
    drawing.y = max(bottom + 16, top + ROW * len(lines))
    return drawing.end(caption)


def wrapped(words: str, width: int) -> list[str]:
    """Break a line between words."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines
