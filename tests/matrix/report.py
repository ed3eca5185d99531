"""Report: what each step of a session came to, and pytest's own last words for each run."""

from __future__ import annotations

import re
import threading
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
    unseen: list[str] = field(default_factory=list)
    is_over: bool = False

    def hear(self, line: str) -> None:
        """Keep the lines from which the end of a run can be told."""
        text = line.rstrip("\n")
        if _SUMMARY.match(text):
            self.tail = [text]
        elif _LAST.match(text):
            self.tail = [text] if not self.tail or _LAST.match(self.tail[-1]) else [*self.tail, text]
        elif self.tail and not _LAST.match(self.tail[-1]):
            self.tail.append(text)


class Console:
    """Shows one step at a time, live; what the others say meanwhile is kept until it is their turn."""

    def __init__(self) -> None:
        # _lock guards the rest: each step speaks from a thread of its own.
        self._lock = threading.Lock()
        self._steps: list[Step] = []  # the first of them is being shown

    def begin(self, step: Step) -> None:
        with self._lock:
            self._steps.append(step)
            if len(self._steps) == 1:
                heading(step.name)
            else:
                print(f"(meanwhile {step.name} has begun; it will be shown after {self._steps[-2].name})", flush=True)

    def say(self, step: Step, line: str) -> None:
        with self._lock:
            step.hear(line)
            if self._steps[0] is step:
                print(line, end="", flush=True)
            else:
                step.unseen.append(line)

    def end(self, step: Step) -> None:
        with self._lock:
            step.is_over = True
            while self._steps and self._steps[0].is_over:
                del self._steps[0]
                if self._steps:
                    heading(self._steps[0].name)
                    print("".join(self._steps[0].unseen), end="", flush=True)


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
