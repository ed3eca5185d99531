"""POOL_OPTIONS that are accepted, and what they become."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from django_sqla_pool import options
from django_sqla_pool.options import PoolOptions, parse

BOUNDS = {field.name.upper(): field.metadata["bounds"] for field in dataclasses.fields(PoolOptions)}


def test_without_options_the_defaults_of_the_design_hold():
    assert dataclasses.asdict(parse({})) == {
        "pool_size": 5,
        "max_overflow": 10,
        "timeout": 30.0,
        "connect_retry": 5.0,
        "recycle": 1800.0,
        "pre_ping": True,
        "ping_after": 0.5,
        "reset": "rollback",
        "idle_timeout": 600.0,
        "leak_after": -1.0,
        "use_lifo": True,
    }


def test_none_is_an_alias_without_options():
    assert parse(None) == parse({})


def test_an_option_that_is_given_leaves_the_others_at_their_defaults():
    assert parse({"POOL_SIZE": 7}) == dataclasses.replace(parse({}), pool_size=7)


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("POOL_SIZE", "10", 10),
        ("POOL_SIZE", " 10\n", 10),
        ("POOL_SIZE", "10.0", 10),
        ("MAX_OVERFLOW", "-1", -1),
        ("TIMEOUT", "30", 30.0),
        ("TIMEOUT", "0.25", 0.25),
        ("RECYCLE", "-1", -1.0),
        ("PRE_PING", "true", True),
        ("PRE_PING", "Off", False),
        ("PRE_PING", "1", True),
        ("PRE_PING", " no ", False),
        ("USE_LIFO", "FALSE", False),
        ("USE_LIFO", "yes", True),
        ("USE_LIFO", "0", False),
        ("USE_LIFO", "on", True),
        ("RESET", "session", "session"),
    ],
)
def test_strings_from_the_environment_are_read(key, value, expected):
    found = getattr(parse({key: value}), key.lower())
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("key, value", [("TIMEOUT", 3), ("RECYCLE", 60), ("POOL_SIZE", 3.0)])
def test_numbers_come_out_in_the_type_of_the_option(key, value):
    found = getattr(parse({key: value}), key.lower())
    assert (found, type(found)) == (value, float if key != "POOL_SIZE" else int)


NUMBERS = [key for key, bounds in BOUNDS.items() if bounds.minimum is not None]
ALSO = {"MAX_OVERFLOW": -1, "RECYCLE": -1, "LEAK_AFTER": -1}
POSITIVE = {"RECYCLE", "IDLE_TIMEOUT", "LEAK_AFTER"}


@pytest.mark.parametrize("key", NUMBERS)
def test_the_smallest_and_the_largest_value_are_accepted(key):
    least = {"POOL_SIZE": 0, "MAX_OVERFLOW": 0}.get(key, 0.001 if key in POSITIVE else 0.0)
    assert getattr(parse({key: least}), key.lower()) == least
    assert getattr(parse({key: 1_000_000_000}), key.lower()) == 1_000_000_000


@pytest.mark.parametrize("key", ALSO)
def test_minus_one_means_no_limit(key):
    assert getattr(parse({key: -1}), key.lower()) == -1


@pytest.mark.parametrize(
    "pool_options, limit",
    [
        ({}, 15),
        ({"POOL_SIZE": 1, "MAX_OVERFLOW": 0}, 1),
        ({"POOL_SIZE": 3, "MAX_OVERFLOW": 4}, 7),
        ({"POOL_SIZE": 0, "MAX_OVERFLOW": 4}, None),  # as SQLAlchemy's QueuePool has it
        ({"POOL_SIZE": 0, "MAX_OVERFLOW": 0}, None),
        ({"POOL_SIZE": 3, "MAX_OVERFLOW": -1}, None),
    ],
)
def test_the_limit_has_sqlalchemys_meaning(pool_options, limit):
    assert parse(pool_options).limit == limit


# --------------------------------------------------------------------------------------------------------- PoolOptions


def test_options_can_not_be_changed():
    parsed = parse({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed.pool_size = 50
    assert parsed.pool_size == 5


def test_options_are_hashable_and_equal_by_value():
    assert hash(parse({"POOL_SIZE": "7"})) == hash(parse({"POOL_SIZE": 7}))
    assert len({parse({"POOL_SIZE": "7"}), parse({"POOL_SIZE": 7}), parse({})}) == 2


def test_options_can_be_deep_copied():
    parsed = parse({"RESET": "session", "POOL_SIZE": 3})
    assert copy.deepcopy(parsed) == parsed


def test_parsing_leaves_the_settings_as_they_are():
    raw = {"POOL_SIZE": "7", "PRE_PING": "off"}
    parse(raw)
    assert raw == {"POOL_SIZE": "7", "PRE_PING": "off"}


def test_every_option_is_described_with_its_default_and_bound():
    described = {key: (default, meaning) for key, default, meaning in options.describe()}
    assert list(described) == [field.name.upper() for field in dataclasses.fields(PoolOptions)]
    for key, (default, meaning) in described.items():
        bounds = BOUNDS[key]
        assert bounds.doc.endswith("."), key
        assert meaning == f"{bounds.doc} Accepts: {bounds}."
        assert parse({key: default}) == parse({}), f"the default of {key} is out of its own bounds"


def test_options_as_strings_make_the_pool_that_numbers_make(make_wrapper):
    wrapper = make_wrapper(POOL_SIZE="2", MAX_OVERFLOW="1", TIMEOUT="0", PRE_PING="false")
    wrapper.ensure_connection()
    figures = wrapper.find_pool().snapshot()
    assert (figures.pool_size, figures.max_overflow, figures.limit, figures.in_use) == (2, 1, 3, 1)
    assert (wrapper.find_pool().options.timeout, wrapper.find_pool().options.pre_ping) == (0.0, False)
