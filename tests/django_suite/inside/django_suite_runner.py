"""Runner: Django's own, which also writes what becomes of each test to a file, one JSON object a line.

Works with ``--parallel``: there the parent is told of all that happened in a worker once a class of tests is through.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import unittest
from typing import Any

from django.test.runner import DiscoverRunner

#: Of one class of tests, and a bound for hanging ones: the slowest, MariaDB's schema.tests, takes about two minutes.
SILENT_MINUTES = 20


def write(**event: Any) -> None:
    with open(os.environ["DJANGO_SUITE_RESULTS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


class Watch:
    """Ends a run of which nothing is heard any more.

    An alarm and no thread: Python warns of a fork among threads, and here warnings are errors. It counts minutes, since a process
    that was stopped for an hour gets one alarm when it goes on, and has done nothing wrong.
    """

    def __init__(self) -> None:
        self.minutes = 0
        signal.signal(signal.SIGALRM, self._count)
        signal.setitimer(signal.ITIMER_REAL, 60, 60)

    def _count(self, *_: object) -> None:
        self.minutes += 1
        if self.minutes > SILENT_MINUTES:
            raise TimeoutError(f"nothing was heard of any test for {SILENT_MINUTES} minutes")

    def end(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


watch: Watch | None = None


class Result(unittest.TextTestResult):
    """What unittest prints, and a line in the file for everything that it is told."""

    def _note(self, test: Any, outcome: str, texts: list[tuple[Any, str]] = []) -> None:  # noqa: B006
        if watch is not None:
            watch.minutes = 0
        test = getattr(test, "test_case", test)  # a subtest counts as its test
        write(test=test.id(), outcome=outcome, detail=texts[-1][1][-3000:] if texts else "")

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._note(test, "passed")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped", self.skipped)

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", self.failures)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "failed", self.errors)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        before = len(self.failures)
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", self.failures if len(self.failures) > before else self.errors)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "failed as expected")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "passed unexpectedly")


class Runner(DiscoverRunner):
    """Django's runner with that result; the last line says that all of it came to an end, the databases' removal too."""

    def get_resultclass(self) -> Any:
        return Result

    def run_tests(self, test_labels: Any, **kwargs: Any) -> int:
        global watch
        watch = Watch()
        failures: int = super().run_tests(test_labels, **kwargs)
        watch.end()
        pools = sys.modules.get("django_sqla_pool.registry")
        checkouts = sum(snapshot.checkouts for snapshot in pools.snapshots()) if pools else 0
        write(end=True, checkouts=checkouts)
        return failures
