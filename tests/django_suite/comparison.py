"""Comparison: what is wrong with a run on our engine, given the same run on Django's and the exceptions that are known."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ServerError

from .results import Results

EXCEPTIONS = Path(__file__).parent / "exceptions.txt"


@dataclass(frozen=True)
class Known:
    """A test that cannot pass with ours: ``where`` is a pattern of ENGINE/DJANGO, such as postgresql-*/6.*"""

    where: str
    test: str
    reason: str


def known(lines: Iterable[str]) -> list[Known]:
    """Read the file of exceptions: WHERE TEST REASON in each line. Raises: ServerError - a line has no reason."""
    found = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            words = line.split(maxsplit=2)
            if len(words) < 3:
                raise ServerError(f"{EXCEPTIONS.name}: WHERE TEST REASON is expected, not: {line.strip()}")
            found.append(Known(*words))
    return found


def compare(
    ours: Results, stock: Results | None, exceptions: Sequence[Known], where: str, modules: Sequence[str] = ()
) -> list[str]:
    """Say what is wrong with ``ours``, a sentence each; an empty list is the verdict that nothing is.

    ``stock`` is the same run on Django's own engine; None if there is none: then no test may fail. ``modules`` are those
    that were asked for; none means all.
    """
    problems = []
    if not ours.is_complete:
        problems.append("the run did not come to its end")
    elif ours.checkouts == 0:
        problems.append("no connection came from a pool: these are not results of ours")
    if stock is not None and (not stock.is_complete or stock.checkouts):
        problems.append("the run on Django's own engine is not one, or did not come to its end")
    here = {each.test for each in exceptions if fnmatch.fnmatch(where, each.where) and is_among(each.test, modules)}
    failing = ours.failed() - (stock.failed() if stock else set())
    lost = fewer(ours, stock) if stock else {test for test in ours.outcomes if ours.skipped(test)} & here
    problems += [f"{test} fails only with ours" if stock else f"{test} fails" for test in sorted(failing - here)]
    lines = {test: f"{test} ({'skipped' if ours.skipped(test) else 'missing'})" for test in lost - here}
    problems += by_module("fewer tests ran than on the stock engine", lines)
    if stock:
        unknown = ours.outcomes.keys() - stock.outcomes.keys() - failing
        problems += by_module("not in the run on the stock engine, which has to be repeated", {test: test for test in unknown})
    problems += [f"{EXCEPTIONS.name}: {test} needs no exception" for test in sorted(here - failing - lost)]
    problems += [f"{module}: no test ran" for module in modules if not any(map(ours.ran, tests_of(ours, module)))]
    return problems


def fewer(ours: Results, stock: Results) -> set[str]:
    """The tests that did not run with ours, or were skipped, though on the stock engine they did run."""
    # A failure takes the place of several outcomes, and is told as such.
    return {
        test
        for test in stock.outcomes.keys() - ours.failed() - stock.failed()
        if ours.ran(test) < stock.ran(test) or ours.skipped(test) > stock.skipped(test)
    }


def by_module(text: str, lines: Mapping[str, str]) -> list[str]:
    """One sentence for each module of Django's suite, with what is to be said of its tests."""
    found = defaultdict(list)
    for test in sorted(lines):
        found[test.split(".")[0]].append(lines[test])
    return [f"{module}: {text}: {', '.join(said)}" for module, said in found.items()]


def tests_of(results: Results, module: str) -> list[str]:
    return [test for test in results.outcomes if is_among(test, [module])]


def is_among(test: str, modules: Sequence[str]) -> bool:
    return not modules or any(test == module or test.startswith(f"{module}.") for module in modules)
