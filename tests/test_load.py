"""The load notices what it is there to notice: rows lost, doubled and never written, sessions leaked, threads that hang."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections
from django.db.transaction import TransactionManagementError

from tests.support.aliases import more_aliases
from tests.support.ledger import INSERT, Ledger
from tests.support.load import Load
from tests.support.sessions import Observer, session_id

SETTINGS = {"POOL_OPTIONS": {"POOL_SIZE": 2, "MAX_OVERFLOW": 1}}


@pytest.fixture
def ledger(alias: str, observer: Observer) -> Iterator[Ledger]:
    """A ledger in a database of its own, where no other test has sessions."""
    name = f"{observer.wrapper.settings_dict['NAME']}_ledger"
    observer.query(f"DROP DATABASE IF EXISTS {name}")
    observer.query(f"CREATE DATABASE {name}")
    accountant = Observer({**connections[alias].settings_dict, "NAME": name}, alias)
    yield Ledger(accountant)
    accountant.close()
    observer.wait_until_gone(observer.sessions(name), name)
    observer.query(f"DROP DATABASE {name}")


@pytest.fixture
def load(alias: str, ledger: Ledger) -> Iterator[Load]:
    """A load that is not running yet, on a pool of three connections."""
    with more_aliases() as add:
        add("busy", alias, **SETTINGS, NAME=ledger.observer.wrapper.settings_dict["NAME"])
        yield Load("busy", ledger, threads=8)


def run(load: Load, successes: int = 40) -> None:
    with load:
        load.wait_for_successes(successes)


def test_without_a_fault_nothing_fails_and_nothing_is_amiss(load: Load) -> None:
    run(load, 200)
    assert load.failures == []
    assert load.violations() == []
    figures = load.ledger.figures()
    assert figures["acknowledged"] > 50
    assert figures["failed"] > 20, "rolled back on purpose"
    assert figures["in doubt"] == 0
    (pool,) = load.pools.values()
    assert pool.snapshot().opened <= 3
    assert len({request.thread for request in load.successes}) == 8


def test_each_failure_keeps_its_time_and_its_error(load: Load) -> None:
    with load:
        before = load.wait_for_successes(20)
        for session in load.ledger.observer.sessions():
            load.ledger.observer.kill(session)
        after = load.wait_for_successes(20)
    assert load.violations() == []
    assert len(load.failures) <= 3, "each session was one request's at most"
    for failure in load.failures:
        # The last: a savepoint's rollback was the first to meet the loss, and Django does not let the view go on.
        assert issubclass(failure.kind, (OperationalError, InterfaceError, TransactionManagementError)), failure
        assert before - 10 < failure.began <= failure.ended < after + 10
    assert load.first_success_after(before) < 10
    assert load.first_success_after(after + 100) == float("inf")


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("DELETE FROM ledger WHERE id = {known}", "row {known} (acknowledged) is lost"),
        ("INSERT INTO ledger (id) VALUES ({known})", "row {known} (acknowledged) is there 2 times"),
        ("INSERT INTO ledger (id) VALUES ({failed})", "row {failed} (failed) is there"),
        ("INSERT INTO ledger (id) VALUES (1000000)", "row 1000000 is there and was never written"),
    ],
)
def test_a_wrong_row_is_noticed(load: Load, harm: str, found: str) -> None:
    run(load)
    states = load.ledger._states
    numbers = {
        "known": next(number for number, state in states.items() if state == "acknowledged"),
        "failed": next(number for number, state in states.items() if state == "failed"),
    }
    load.ledger.observer.query(harm.format(**numbers))
    assert load.violations() == [found.format(**numbers)]


def test_a_row_in_doubt_may_be_there_once_or_not_at_all(ledger: Ledger) -> None:
    first, second, third = ledger.new(), ledger.new(), ledger.new()
    for number in (second, third, third):
        ledger.observer.query(INSERT, [number])
    assert first < second
    assert ledger.violations() == [f"row {third} (in doubt) is there 2 times"]


def test_a_leaked_session_is_noticed(load: Load) -> None:
    run(load)
    leaked = Observer(load.ledger.observer.wrapper.settings_dict, load.alias)
    session = session_id(leaked.wrapper)
    try:
        assert load.violations(rest=0.3) == [f"session {session} is at the server, and no pool knows it"]
    finally:
        leaked.close()


def test_a_place_that_was_not_given_back_is_noticed(load: Load) -> None:
    run(load)
    (pool,) = load.pools.values()
    with pool.checkout():
        (found,) = load.violations()
    assert found.startswith("at rest, and yet in use 1, waiting 0: ")


def test_more_connections_than_the_limit_are_noticed(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    with load:
        load.wait_for_successes(20)
        (pool,) = load.pools.values()
        seen = threading.Event()
        real = pool.snapshot

        def too_many() -> Any:
            seen.set()
            return dataclasses.replace(real(), limit=0)

        monkeypatch.setattr(pool, "snapshot", too_many)
        assert seen.wait(10)
        load.wait_for_successes(20)
    monkeypatch.undo()
    assert any(found.endswith(" > 0") for found in load.violations())


def test_a_thread_that_hangs_is_noticed_and_shown(load: Load) -> None:
    free = threading.Event()
    once = threading.Lock()
    real = load._request

    def hang(number: int, wrapper: Any, chance: Any) -> None:
        if once.acquire(blocking=False):
            assert free.wait(30)
        real(number, wrapper, chance)

    load._request = hang  # type: ignore[method-assign]
    load.patience = 0.5
    run(load)
    try:
        (found,) = load.violations()
        assert "hangs at:\n" in found
        assert "free.wait(30)" in found
    finally:
        free.set()
        load.patience = 30.0
        load.__exit__(None, None, None)


def test_an_error_that_is_not_djangos_is_noticed(load: Load) -> None:
    real = load._request

    def leak(number: int, wrapper: Any, chance: Any) -> None:
        if number == 3:
            raise load_driver_error(wrapper)
        real(number, wrapper, chance)

    def load_driver_error(wrapper: Any) -> Exception:
        return wrapper.Database.OperationalError("the driver's own, not translated")

    load._request = leak  # type: ignore[method-assign]
    run(load)
    (found,) = load.violations()
    assert found.startswith("request 3 died:\n")
    assert "the driver's own, not translated" in found
