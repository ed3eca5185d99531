"""Django's own test suite on our engines: the comparison on small runs, and the tests that touch connections for real."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.django_suite.comparison import EXCEPTIONS, Known, compare, known
from tests.django_suite.engines import ENGINES, QUICK
from tests.django_suite.results import Results
from tests.django_suite.suite import Suite
from tests.servers import ServerError

A, B, C = "backends.tests.Some.test_a", "backends.tests.Some.test_b", "queries.tests.Other.test_c"
PASSED = {A: ["passed"], B: ["passed"], C: ["skipped"]}
WHERE = "postgresql-psycopg/6.1.3"


def run_of(tests, checkouts=0):
    """The results of a run; with ``checkouts`` it is one on our engine, with None it was killed."""
    lines = [{"test": test, "outcome": each, "detail": ""} for test, outcomes in tests.items() for each in outcomes]
    if checkouts is not None:
        lines.append({"end": True, "checkouts": checkouts})
    return Results.read(map(json.dumps, lines))


def problems(changes, stock=None, exceptions=(), modules=()):
    """What is said of a run that differs from the good one in these tests; a test that became None is not there."""
    tests = {test: outcomes for test, outcomes in {**PASSED, **changes}.items() if outcomes is not None}
    return compare(run_of(tests, 7), run_of({**PASSED, **(stock or {})}), exceptions, WHERE, modules)


def test_two_runs_alike_have_no_problem():
    assert problems({}) == []


@pytest.mark.parametrize("outcomes", [["failed"], ["passed unexpectedly"], ["passed", "failed"], ["failed", "failed"]])
def test_a_test_that_fails_only_with_ours_is_reported(outcomes):
    assert problems({B: outcomes}) == [f"{B} fails only with ours"]


def test_a_test_that_fails_on_both_is_not():
    assert problems({B: ["failed"]}, stock={B: ["failed"]}) == []


def test_a_test_that_fails_on_stock_alone_is_not():
    assert problems({}, stock={B: ["failed", "failed"]}) == []  # two subtests


def test_a_test_that_fails_in_place_of_passing_twice_is_one_problem():
    assert problems({B: ["failed"]}, stock={B: ["passed", "passed"]}) == [f"{B} fails only with ours"]


def test_an_error_outside_of_a_test_is_reported():
    error = "setUpClass (backends.tests.Some)"
    assert problems({error: ["failed"], A: None, B: None}) == [
        f"{error} fails only with ours",
        f"backends: fewer tests ran than on the stock engine: {A} (missing), {B} (missing)",
    ]


def test_a_test_that_did_not_run_is_reported():
    assert problems({B: None}) == [f"backends: fewer tests ran than on the stock engine: {B} (missing)"]


@pytest.mark.parametrize("outcomes", [["skipped"], ["passed", "skipped"]], ids=["all of it", "a subtest"])
def test_a_skip_does_not_pass_for_a_pass(outcomes):
    assert problems({B: outcomes}) == [f"backends: fewer tests ran than on the stock engine: {B} (skipped)"]


def test_a_test_that_is_found_twice_has_to_run_twice():
    assert problems({}, stock={A: ["passed", "passed"]}) == [
        f"backends: fewer tests ran than on the stock engine: {A} (missing)"
    ]


def test_a_test_that_runs_with_ours_alone_is_welcome():
    assert problems({C: ["passed"]}) == []


@pytest.mark.parametrize("outcomes", [["failed"], ["skipped"]])
def test_an_exception_excuses_its_test(outcomes):
    entry = Known("postgresql-*/6.*", B, "wants a new connection")
    assert problems({B: outcomes}, exceptions=[entry]) == []
    assert compare(run_of({**PASSED, B: outcomes}, 7), None, [entry], WHERE) == []


@pytest.mark.parametrize(
    ("changes", "stock"),
    [({}, {}), ({B: ["failed"]}, {B: ["failed"]}), ({B: None}, {B: ["skipped"]})],
    ids=["it passes", "it fails on stock too", "it never ran"],
)
def test_an_exception_that_is_not_needed_is_refused(changes, stock):
    entry = Known("*/*", B, "wants a new connection")
    assert problems(changes, stock, [entry]) == [f"exceptions.txt: {B} needs no exception"]


def test_an_exception_that_is_not_needed_is_refused_without_a_stock_run():
    assert compare(run_of(PASSED, 7), None, [Known("*/*", B, "no")], WHERE) == [f"exceptions.txt: {B} needs no exception"]


def test_an_exception_for_another_engine_or_another_module_is_left_alone():
    assert problems({B: ["failed"]}, exceptions=[Known("mysql-*/*", B, "no")]) == [f"{B} fails only with ours"]
    assert problems({}, exceptions=[Known("*/*", "queries.tests.Other.test_d", "no")], modules=["backends"]) == []


def test_a_module_of_which_nothing_ran_is_reported():
    assert problems({}, modules=["backends", "queries"]) == ["queries: no test ran"]


def test_a_run_that_did_not_end_is_no_result():
    assert compare(run_of(PASSED, None), run_of(PASSED), [], WHERE) == ["the run did not come to its end"]
    assert "did not come to its end" in compare(run_of(PASSED, 7), run_of(PASSED, None), [], WHERE)[0]


def test_a_run_without_pools_is_not_taken_for_one_of_ours():
    assert compare(run_of(PASSED, 0), run_of(PASSED), [], WHERE)[0].startswith("no connection came from a pool")
    assert compare(run_of(PASSED, 7), run_of(PASSED, 7), [], WHERE)[0].startswith("the run on Django's own engine is not")


def test_without_a_stock_run_no_test_may_fail():
    assert compare(run_of({**PASSED, B: ["failed"]}, 7), None, [], WHERE) == [f"{B} fails"]
    assert compare(run_of(PASSED, 7), None, [], WHERE, ["backends"]) == []


def test_what_was_written_when_a_run_was_killed_is_read():
    lines = [json.dumps({"test": A, "outcome": "passed", "detail": ""}), '{"test": "backe']
    results = Results.read(lines)
    assert (list(results.outcomes), results.is_complete) == ([A], False)


def test_a_subtest_is_counted_with_its_test():
    counts = run_of({A: ["passed", "skipped", "skipped"], B: ["failed", "failed"], C: ["skipped"]}).counts()
    assert counts == {"passed": 1, "failed": 1, "skipped": 1}


def test_a_stock_run_in_which_tests_are_missing_is_no_measure():
    ours, stock = run_of(PASSED, 7), run_of({A: ["passed"], C: ["skipped"]})
    expected = [f"backends: not in the run on the stock engine, which has to be repeated: {B}"]
    assert compare(ours, stock, [], WHERE) == expected


def test_an_exception_needs_a_reason():
    assert known(["# words", "", f"*/* {A} it wants  a new connection"]) == [Known("*/*", A, "it wants  a new connection")]
    with pytest.raises(ServerError, match=r"^exceptions.txt: WHERE TEST REASON is expected, not: \*/\* backends"):
        known([f"*/* {A}"])


# ----------------------------------------------------------------------------------------------------------- for real


@pytest.mark.parametrize("name", ["postgresql-psycopg", "mysql-mysqlclient"])
def test_djangos_tests_of_what_touches_connections_pass(name):
    """In this environment, and on our engine only: `make django-suite` is the comparison, and runs all of them."""
    engine = ENGINES[name]
    suite = Suite(engine, Path(sys.executable), os.environ[engine.server.variable], "", QUICK)
    exceptions = known(EXCEPTIONS.read_text(encoding="utf-8").splitlines())
    found = compare(suite.run(), None, exceptions, f"{name}/{suite.versions['Django']}", QUICK)
    assert found == []
