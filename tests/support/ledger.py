"""A table in which every row has a number of its own, and what is known of each: whether it must, may or must not be there.

Owns: the table and the accounts. It never writes a row: load.py does, on pooled connections. The rows are read on the
observer's connection, which no pool has anything to do with.
"""

from __future__ import annotations

import itertools
from collections import Counter

from tests.support.sessions import Observer

# No key: a row that is written twice must be seen, not refused.
_CREATE = "CREATE TABLE ledger (id integer NOT NULL)"
_INDEX = "CREATE INDEX ledger_id ON ledger (id)"
INSERT = "INSERT INTO ledger (id) VALUES (%s)"
COUNT = "SELECT count(*) FROM ledger WHERE id = %s"


class Ledger:
    """Make the table ``ledger`` in the observer's database. A row is in doubt until somebody says more."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        # Changed by single atomic operations only; each number is one thread's.
        self._numbers = itertools.count(1)
        self._states: dict[int, str] = {}
        observer.query("DROP TABLE IF EXISTS ledger")
        observer.query(_CREATE)
        observer.query(_INDEX)

    def new(self) -> int:
        """Return the number of a row that is about to be written."""
        number = next(self._numbers)
        self._states[number] = "in doubt"
        return number

    def acknowledge(self, *numbers: int) -> None:
        """The server has said that these are committed."""
        self._states.update(dict.fromkeys(numbers, "acknowledged"))

    def fail(self, *numbers: int) -> None:
        """These were not written for certain: no COMMIT was sent, or they were rolled back."""
        self._states.update(dict.fromkeys(numbers, "failed"))

    def figures(self) -> Counter[str]:
        """Return how many rows are acknowledged, failed and in doubt."""
        return Counter(self._states.values())

    def violations(self) -> list[str]:
        """Compare the table with the accounts; nobody may be writing meanwhile."""
        there = dict(self.observer.query("SELECT id, count(*) FROM ledger GROUP BY id"))
        found = [f"row {number} is there and was never written" for number in sorted(there.keys() - self._states.keys())]
        for number, state in sorted(self._states.items()):
            times = there.get(number, 0)
            if times > 1:
                found.append(f"row {number} ({state}) is there {times} times")
            elif state == "acknowledged" and not times:
                found.append(f"row {number} (acknowledged) is lost")
            elif state == "failed" and times:
                found.append(f"row {number} (failed) is there")
        return found
