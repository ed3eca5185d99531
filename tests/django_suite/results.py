"""Results: what became of each test of one run, read from the lines that the runner inside has written."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

FAILING = ("failed", "passed unexpectedly")


@dataclass
class Results:
    """How often each test came to each outcome: subtests count as their test, and some tests are found twice."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    details: dict[str, str] = field(default_factory=dict)
    #: How many connections the pools of the main process have lent; None as long as the run has not come to its end.
    checkouts: int | None = None

    @classmethod
    def load(cls, path: Path) -> Results:
        return cls.read(path.read_text(encoding="utf-8").splitlines()) if path.exists() else cls()

    @classmethod
    def read(cls, lines: Iterable[str]) -> Results:
        """Read the lines of a run; of one that was killed the last may be cut off."""
        results = cls()
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                break
            if "end" in event:
                results.checkouts = event["checkouts"]
                continue
            results.outcomes[event["test"]][event["outcome"]] += 1
            if event["outcome"] in FAILING:
                results.details.setdefault(event["test"], event["detail"])
        return results

    @property
    def is_complete(self) -> bool:
        return self.checkouts is not None

    def failed(self) -> set[str]:
        return {test for test, outcomes in self.outcomes.items() if any(outcomes[each] for each in FAILING)}

    def ran(self, test: str) -> int:
        """How often a test came to an end without being skipped."""
        return sum(number for outcome, number in self.outcomes[test].items() if outcome != "skipped") if test in self else 0

    def skipped(self, test: str) -> int:
        return self.outcomes[test]["skipped"] if test in self else 0

    def counts(self) -> Counter[str]:
        """How many tests came to each outcome; one that failed counts as that and no more."""
        found: Counter[str] = Counter()
        failed = self.failed()
        for test, outcomes in self.outcomes.items():
            found.update(["failed"] if test in failed else outcomes.keys() - {"skipped"} or ["skipped"])
        return found

    def __contains__(self, test: str) -> bool:
        return test in self.outcomes
