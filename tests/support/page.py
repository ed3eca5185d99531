"""The tables of docs/between-borrowers.rst: read, and written anew.

Owns: how a table is laid out. A table follows a comment that names it, ``.. table: NAME``; its columns are, for each driver, what
RESET = "rollback" and what "session" makes of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.support.aliases import ROOT
from tests.support.leftovers import DRIVERS

PAGE = ROOT / "docs" / "between-borrowers.rst"
RESETS = ("rollback", "session")
Cells = dict[tuple[str, str], str]  # {(driver, reset): what the cell says}
_TABLE = re.compile(r"^\.\. table: (.+)\n\n((?:\S.*\n)*)", re.MULTILINE)


def tables(page: Path = PAGE) -> dict[str, dict[str, Cells]]:
    """Read all tables: {name: {first cell of a row: the others}}."""
    return {name: _rows(text) for name, text in _TABLE.findall(page.read_text(encoding="utf-8"))}


def write(name: str, rows: Iterable[str], row: str, cells: Cells, page: Path = PAGE) -> None:
    """Write the cells given into a row; ``rows``: all that the table is to have, in order."""
    old = tables(page)[name]
    found = {what: old.get(what, {}) | (cells if what == row else {}) for what in rows}
    text = page.read_text(encoding="utf-8")
    start, end = next(match.span(2) for match in _TABLE.finditer(text) if match[1] == name)
    page.write_text(text[:start] + _layout(found, columns_of(name)) + text[end:], encoding="utf-8")


def columns_of(name: str) -> list[tuple[str, str]]:
    """Return the columns of a table behind its first one."""
    drivers = DRIVERS["default" if name.endswith("PostgreSQL") else "mysql"].values()
    return [(driver, reset) for driver in drivers for reset in RESETS]


def _layout(rows: dict[str, Cells], columns: list[tuple[str, str]]) -> str:
    width = max(map(len, [*rows, "What was left"]))
    rule = "=" * width + "  ========" * len(columns)
    drivers = [driver for driver, _ in columns[::2]]
    lines = [
        rule,
        "\\".ljust(width) + "".join(f"  {driver:18}" for driver in drivers),
        "-" * width + "  ------------------" * len(drivers),
        "What was left".ljust(width) + "".join(f"  {reset:8}" for _, reset in columns),
        rule,
        *(
            what.ljust(width) + "".join(f"  {cells.get(column, '?'):8}" for column in columns)
            for what, cells in rows.items()
        ),
        rule,
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _rows(text: str) -> dict[str, Cells]:
    lines = text.splitlines()
    if not lines:
        return {}
    width = lines[0].index(" ")
    drivers = lines[1][width:].split("  ")
    columns = [(driver.strip(), reset) for driver in drivers if driver.strip() for reset in RESETS]
    return {line[:width].rstrip(): dict(zip(columns, line[width:].split(), strict=True)) for line in lines[5:-1]}
