"""Report: what each step of a session came to, and pytest's own last words for each run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SUMMARY = re.compile(r"=+ short test summary info =+$")
_LAST = re.compile(r"=+ .+ in \d+(\.\d+)?s( \([\d:]+\))? =+$")


@dataclass
class Step:
    """One step: its name, its exit status, how long it took, and the tail of what pytest said, if it was pytest."""

    name: str
    status: int = 0
    seconds: float = 0.0
    tail: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Show a line at once, and keep those from which the end of a run can be told."""
        print(line, end="", flush=True)
        text = line.rstrip("\n")
        if _SUMMARY.match(text):
            self.tail = [text]
        elif _LAST.match(text):
            self.tail = [text] if not self.tail or _LAST.match(self.tail[-1]) else [*self.tail, text]
        elif self.tail and not _LAST.match(self.tail[-1]):
            self.tail.append(text)


@dataclass
class Report:
    """The steps of a session, in the order in which they were run."""

    steps: list[Step] = field(default_factory=list)

    @property
    def failed(self) -> list[Step]:
        return [step for step in self.steps if step.status]

    def end(self) -> int:
        """Print the outcome, worst last, pytest's own words at the very end; return the session's exit status."""
        heading("Results")
        for step in self.steps:
            verdict = f"FAILED (status {step.status})" if step.status else "ok"
            print(f"{step.name:24} {step.seconds:6.0f} s  {verdict}")
        runs = sorted((step for step in self.steps if step.tail), key=lambda step: step.status != 0)
        for step in runs:
            print(f"\n{step.name}:")
            print("\n".join(step.tail if step.status else step.tail[-1:]))
        if silent := [step.name for step in self.failed if not step.tail]:
            print(f"FAILED: {', '.join(silent)}; see above")
        return 1 if self.failed else 0


def heading(text: str) -> None:
    print(f"\n#### {text}", flush=True)
