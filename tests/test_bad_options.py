"""POOL_OPTIONS that are refused: with which words, and with what left behind (nothing)."""

from __future__ import annotations

import dataclasses
import datetime
import decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections

from django_sqla_pool import snapshots
from django_sqla_pool.options import PoolOptions, parse, problems

WHERE = "DATABASES['default']['POOL_OPTIONS']"
BOUNDS = {field.name.upper(): field.metadata["bounds"] for field in dataclasses.fields(PoolOptions)}
NUMBERS = [key for key, bounds in BOUNDS.items() if bounds.minimum is not None]
ALSO = {"MAX_OVERFLOW": -1, "RECYCLE": -1, "LEAK_AFTER": -1}
POSITIVE = {"RECYCLE", "IDLE_TIMEOUT", "LEAK_AFTER"}

# -------------------------------------------------------------------------------------------------------- out of bounds


def test_the_numbers_are_those_that_the_bounds_are_tried_on():
    assert set(NUMBERS) == set(BOUNDS) - {"PRE_PING", "USE_LIFO", "RESET"}
    assert {key for key in NUMBERS if BOUNDS[key].positive} == POSITIVE
    assert {key: BOUNDS[key].also for key in NUMBERS if BOUNDS[key].also is not None} == ALSO


@pytest.mark.parametrize("key", NUMBERS)
def test_a_value_below_the_smallest_is_refused_with_the_bound(key):
    unit = "" if key in ("POOL_SIZE", "MAX_OVERFLOW") else " s"
    bound = f"{'greater than' if key in POSITIVE else 'at least'} 0{unit}"
    if key in ALSO:
        bound += ", or -1"
    below = [0, 0.0, -2] if key in POSITIVE else [-2, "-2"] if unit == "" else [-0.5, "-1e-9", -2]
    if key not in ALSO:
        below.append(-1)
    for value in below:
        assert problems({key: value}) == [f"{WHERE}: {key} = {value!r} is out of bounds; it must be {bound}."]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [1_000_000_001, 10**400, float("inf"), "inf", "1e400"], ids=lambda value: repr(value)[:12])
def test_a_value_above_the_largest_is_refused_with_the_bound(key, value):
    most = "1,000,000,000" if key in ("POOL_SIZE", "MAX_OVERFLOW") else "1,000,000,000 s"
    assert problems({key: value}) == [f"{WHERE}: {key} = {value!r} is out of bounds; it must be at most {most}."]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [-(10**400), float("-inf")], ids=["-10**400", "-inf"])
def test_a_value_endlessly_far_below_is_below(key, value):
    assert problems({key: value}) == [f"{WHERE}: {key} = {value!r} is out of bounds; it must be {BOUNDS[key]}."]


# -------------------------------------------------------------------------------------------- of the wrong type or name

WRONG_TYPES = [None, [], {}, b"1", object, datetime.timedelta(seconds=1), decimal.Decimal(1), 1j]


@pytest.mark.parametrize("value", [*WRONG_TYPES, True, False, "", "five", "1,5", "nan", float("nan")], ids=repr)
@pytest.mark.parametrize("key", NUMBERS)
def test_what_is_no_number_is_refused(key, value):
    kind = "an integer" if key in ("POOL_SIZE", "MAX_OVERFLOW") else "a number"
    assert problems({key: value}) == [f"{WHERE}: {key} = {value!r} is not {kind}; it must be {BOUNDS[key]}."]


@pytest.mark.parametrize("value", [1.5, "1.5", -0.5], ids=repr)
def test_a_fraction_of_a_connection_is_refused(value):
    assert problems({"POOL_SIZE": value}) == [
        f"{WHERE}: POOL_SIZE = {value!r} is not an integer; it must be at least 0.",
    ]


@pytest.mark.parametrize("value", [*WRONG_TYPES, 0, 1, 1.0, "", "maybe", "2"], ids=repr)
@pytest.mark.parametrize("key", ["PRE_PING", "USE_LIFO"])
def test_what_is_no_boolean_is_refused(key, value):
    assert problems({key: value}) == [f"{WHERE}: {key} = {value!r} is not a boolean; it must be True or False."]


@pytest.mark.parametrize("value", [*WRONG_TYPES, True, 1], ids=repr)
def test_a_reset_that_is_no_string_is_refused(value):
    assert problems({"RESET": value}) == [
        f"{WHERE}: RESET = {value!r} is not a string; it must be 'rollback' or 'session'.",
    ]


@pytest.mark.parametrize("value", ["", "commit", "Session", " rollback"])
def test_a_reset_of_another_name_is_refused(value):
    assert problems({"RESET": value}) == [f"{WHERE}: RESET = {value!r} is no choice; it must be 'rollback' or 'session'."]


@pytest.mark.parametrize(
    "key, near",
    [
        ("POOL_SISE", "POOL_SIZE"),
        ("pool_size", "POOL_SIZE"),
        ("Max_Overflow", "MAX_OVERFLOW"),
        ("use_lifo", "USE_LIFO"),
        ("RECYLCE", "RECYCLE"),
        ("SIZE", "POOL_SIZE"),
        (("POOL_SIZE",), "POOL_SIZE"),
        # The words of SQLAlchemy's create_engine().
        ("pool_timeout", "TIMEOUT"),
        ("POOL_TIMEOUT", "TIMEOUT"),
        ("pool_recycle", "RECYCLE"),
        ("pool_pre_ping", "PRE_PING"),
        ("pool_use_lifo", "USE_LIFO"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_known_one(key, near):
    assert problems({key: 1}) == [f"{WHERE}: unknown option {key!r}; did you mean {near!r}?"]


@pytest.mark.parametrize("key", ["ECHO", "min_size", "", "x", 5, None, b"y"], ids=repr)
def test_an_option_unlike_any_other_is_refused_with_all_there_are(key):
    assert problems({key: 1}) == [
        f"{WHERE}: unknown option {key!r}; the options are POOL_SIZE, MAX_OVERFLOW, TIMEOUT, CONNECT_RETRY, RECYCLE, "
        "PRE_PING, PING_AFTER, RESET, IDLE_TIMEOUT, LEAK_AFTER, USE_LIFO."
    ]


@pytest.mark.parametrize("raw", [[], (), "", "{'POOL_SIZE': 5}", 0, 5, True, False, [("POOL_SIZE", 5)]], ids=repr)
def test_what_is_no_dict_is_refused(raw):
    assert problems(raw) == [f"{WHERE} is of type {type(raw).__name__}; give a dict such as {{'POOL_SIZE': 5}}, or leave it out."]


def test_a_secret_in_the_wrong_place_is_not_repeated():
    assert "hush" not in problems("postgres://app:hush@db/site")[0]
    assert "hush" not in problems({"PASSWORD": "hush"})[0]


def test_all_problems_are_in_one_message_in_the_order_of_the_settings():
    with pytest.raises(ImproperlyConfigured) as caught:
        parse({"USE_LIFO": "maybe", "pool_size": 5, "TIMEOUT": -1, "RECYCLE": 60, "POOL_SIZE": True}, "reports")
    assert str(caught.value).splitlines() == [
        "DATABASES['reports']['POOL_OPTIONS']: USE_LIFO = 'maybe' is not a boolean; it must be True or False.",
        "DATABASES['reports']['POOL_OPTIONS']: unknown option 'pool_size'; did you mean 'POOL_SIZE'?",
        "DATABASES['reports']['POOL_OPTIONS']: TIMEOUT = -1 is out of bounds; it must be at least 0 s.",
        "DATABASES['reports']['POOL_OPTIONS']: POOL_SIZE = True is not an integer; it must be at least 0.",
    ]


# --------------------------------------------------------------------------------------------- on a misconfigured alias

BAD = {"POOL_SISE": 3, "TIMEOUT": -1}
BAD_TEXT = (
    "DATABASES[{0!r}]['POOL_OPTIONS']: unknown option 'POOL_SISE'; did you mean 'POOL_SIZE'?\n"
    "DATABASES[{0!r}]['POOL_OPTIONS']: TIMEOUT = -1 is out of bounds; it must be at least 0 s."
)


def test_a_misconfigured_alias_fails_at_each_use_and_leaves_no_pool(wrapper, alias):
    pools = {figures.name: figures.opened for figures in snapshots()}
    wrapper.settings_dict["POOL_OPTIONS"] = BAD
    for use in (wrapper.ensure_connection, wrapper.cursor, wrapper.connect, wrapper.close_pool):
        with pytest.raises(ImproperlyConfigured) as caught:
            use()
        assert str(caught.value) == BAD_TEXT.format(alias)
        assert wrapper.connection is None
    wrapper.close()
    assert {figures.name: figures.opened for figures in snapshots()} == pools
    wrapper.settings_dict["POOL_OPTIONS"] = {"POOL_SIZE": 3}  # nothing of it has stuck
    wrapper.ensure_connection()
    assert wrapper.find_pool().snapshot().pool_size == 3


@pytest.mark.parametrize("raw", [[], "", 0, False], ids=repr)
def test_what_is_no_dict_fails_though_it_is_empty(wrapper, alias, raw):
    wrapper.settings_dict["POOL_OPTIONS"] = {}
    pool = wrapper.find_pool()
    wrapper.settings_dict["POOL_OPTIONS"] = raw
    with pytest.raises(ImproperlyConfigured, match=f"'POOL_OPTIONS'\\] is of type {type(raw).__name__}; give a dict"):
        wrapper.ensure_connection()
    wrapper.settings_dict["POOL_OPTIONS"] = None
    assert wrapper.find_pool() is pool


def test_the_system_check_says_the_same(wrapper, alias, monkeypatch):
    with pytest.raises(ImproperlyConfigured) as raised:
        parse(BAD, alias)
    monkeypatch.setitem(connections[alias].settings_dict, "POOL_OPTIONS", BAD)
    with pytest.raises(SystemCheckError) as checked:
        call_command("check")
    for line in str(raised.value).splitlines():
        assert f"?: (django_sqla_pool.E001) {line}\n" in str(checked.value)
