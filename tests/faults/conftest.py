"""Servers that may be hurt: one of each kind, started for the first test that wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.stage import Scene, Stage


@pytest.fixture(scope="session")
def find_stage() -> Iterator[Callable[[str], Stage]]:
    stages: dict[str, Stage] = {}
    with ExitStack() as stack:

        def find(alias: str) -> Stage:
            if alias not in stages:
                stages[alias] = stack.enter_context(Stage(alias))
            return stages[alias]

        yield find


@pytest.fixture
def scene(alias: str, find_stage: Callable[[str], Stage]) -> Iterator[Scene]:
    """A server of our own with nothing on it that another test has left."""
    with find_stage(alias).scene() as scene:
        yield scene
