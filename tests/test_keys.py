"""Which wrappers share connections: those with equal settings, and nobody else."""

from __future__ import annotations

import pytest
from django.db import connections
from django.test import override_settings

from django_sqla_pool import snapshots
from tests.support.sessions import session_id

CHANGES = [
    {"NAME": "another"},
    {"USER": "another"},
    {"PASSWORD": "another"},
    {"HOST": "localhost"},
    {"PORT": "1"},
    {"TIME_ZONE": "Asia/Tokyo"},
    {"AUTOCOMMIT": False},
    {"OPTIONS": {"connect_timeout": 7}},
    {"SHARD": "a setting of somebody's own engine"},
    {"TIMEOUT": 29.0},
]


def test_equal_settings_share_a_pool_whatever_the_alias(make_wrapper):
    one, other = make_wrapper(), make_wrapper().copy(alias="another")
    assert one.settings_dict is not other.settings_dict
    assert one.find_pool() is other.find_pool()


def test_options_that_mean_the_same_share_a_pool(make_wrapper):
    assert make_wrapper(POOL_SIZE="7", PRE_PING="yes").find_pool() is make_wrapper(POOL_SIZE=7.0).find_pool()


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_settings_that_differ_have_pools_of_their_own(make_wrapper, change):
    assert make_wrapper().find_pool() is not make_wrapper(**change).find_pool()


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_setting_changed_in_place_is_seen_at_the_next_checkout(make_wrapper, change):
    wrapper = make_wrapper()
    before = wrapper.find_pool()
    wrapper.settings_dict.update({key: value for key, value in change.items() if key != "TIMEOUT"})
    wrapper.settings_dict["POOL_OPTIONS"].update({key: value for key, value in change.items() if key == "TIMEOUT"})
    del wrapper.timezone_name  # as Django does when the time zone changes
    assert wrapper.find_pool() is not before


def test_an_option_changed_deep_inside_is_seen(make_wrapper):
    wrapper = make_wrapper(OPTIONS={"ssl": {"ca": "one"}})
    before = wrapper.find_pool()
    wrapper.settings_dict["OPTIONS"]["ssl"]["ca"] = "other"
    assert wrapper.find_pool() is not before
    wrapper.settings_dict["OPTIONS"]["ssl"]["ca"] = "one"
    assert wrapper.find_pool() is before


def test_options_that_have_no_hash_or_copy_are_told_apart(make_wrapper):
    import ssl

    contexts = [ssl.create_default_context(), ssl.create_default_context()]
    wrapper = make_wrapper(OPTIONS={"ssl": contexts[0], "conv": {1: [2, {3}], "f": print}})
    same = make_wrapper(OPTIONS={"ssl": contexts[0], "conv": {1: [2, {3}], "f": print}})
    other = make_wrapper(OPTIONS={"ssl": contexts[1], "conv": {1: [2, {3}], "f": print}})
    assert wrapper.find_pool() is same.find_pool()
    assert wrapper.find_pool() is not other.find_pool()


def test_an_option_without_a_hash_stands_for_itself(make_wrapper):
    class Unhashable:
        __hash__ = None

        def __eq__(self, other):
            return self is other

    one, other = Unhashable(), Unhashable()

    def pool(value):
        return make_wrapper(OPTIONS={"option": value, "several": {1, 2}}).find_pool()

    assert pool(one) is pool(one)
    assert pool(one) is not pool(other)


def test_a_changed_name_never_meets_an_old_connection(wrapper, observer):
    database = f"{wrapper.settings_dict['NAME']}_other"
    observer.query(f"DROP DATABASE IF EXISTS {database}")
    observer.query(f"CREATE DATABASE {database}")
    try:
        wrapper.ensure_connection()
        wrapper.close()
        wrapper.settings_dict["NAME"] = database
        assert _database(wrapper) == database
        wrapper.close()
        assert _database(wrapper.copy()) == database
    finally:
        wrapper.find_pool().dispose()
        wrapper.close()
        _drop(observer, database)


def _database(wrapper):
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_database()" if wrapper.vendor == "postgresql" else "SELECT DATABASE()")
        name = cursor.fetchone()[0]
    wrapper.close()
    wrapper.find_pool().dispose()
    return name


def _drop(observer, database):
    observer.wait_until_gone(observer.sessions(database), database)
    observer.query(f"DROP DATABASE {database}")


@pytest.mark.parametrize("alias", ["default"])
def test_a_changed_time_zone_gets_no_old_connection(make_wrapper):
    def zone(wrapper):
        with wrapper.cursor() as cursor:
            cursor.execute("SHOW TIME ZONE")
            found = cursor.fetchone()[0]
        wrapper.close()
        return found

    wrapper = make_wrapper()
    assert zone(wrapper) == "UTC"
    assert zone(make_wrapper(TIME_ZONE="Asia/Tokyo")) == "Asia/Tokyo"
    with override_settings(TIME_ZONE="America/New_York", USE_TZ=False):
        # Django's own signal reaches the wrappers in django.db.connections only.
        changed = make_wrapper()
        assert zone(changed) == "America/New_York"
        changed.find_pool().dispose()
    assert zone(wrapper) == "UTC"


@pytest.mark.parametrize("alias", ["default"])
def test_a_time_zone_set_while_connected_goes_with_the_connection(make_wrapper):
    wrapper = make_wrapper()
    session = session_id(wrapper)
    wrapper.__dict__["timezone_name"] = "Asia/Tokyo"
    assert wrapper.ensure_timezone() is True  # as Django's signal does
    wrapper.close()
    del wrapper.__dict__["timezone_name"]
    assert session_id(wrapper) != session
    with wrapper.cursor() as cursor:
        cursor.execute("SHOW TIME ZONE")
        assert cursor.fetchone() == ("UTC",)


@pytest.mark.parametrize("alias", ["default"])
def test_a_server_in_another_time_zone_reads_back_what_was_written(make_wrapper, observer):
    import datetime

    assert observer.query("SELECT setting FROM pg_file_settings WHERE name = 'TimeZone'") != [("UTC",)]
    moment = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.timezone.utc)
    for _ in range(2):
        wrapper = make_wrapper()
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [moment])
            assert cursor.fetchone() == (moment,)
        wrapper.close()


@pytest.mark.parametrize("alias", ["default"])
def test_a_role_is_assumed_on_every_connection_of_its_pool(make_wrapper, observer):
    def role(wrapper):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT current_user")
            found = cursor.fetchone()[0]
        wrapper.close()
        return found

    for reset in ("rollback", "session"):
        for _ in range(2):
            assert role(make_wrapper(OPTIONS={"assume_role": "pg_monitor"}, RESET=reset)) == "pg_monitor"
    wrapper = make_wrapper()
    assert role(wrapper) == wrapper.settings_dict["USER"]
    wrapper.settings_dict["OPTIONS"]["assume_role"] = "pg_monitor"
    assert role(wrapper) == "pg_monitor"


def test_the_isolation_level_of_the_settings_holds_for_every_borrower(make_wrapper):
    if connections["default"].Database.__name__ == "psycopg":
        level = __import__("psycopg").IsolationLevel.SERIALIZABLE
    else:
        level = 3  # psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE
    wrapper = make_wrapper()
    question = "SHOW transaction_isolation" if wrapper.vendor == "postgresql" else "SELECT @@tx_isolation"
    if wrapper.vendor == "mysql":
        level = "serializable"
    for _ in range(2):
        wrapper = make_wrapper(OPTIONS={"isolation_level": level})
        wrapper.set_autocommit(False)
        with wrapper.cursor() as cursor:
            cursor.execute(question)
            assert cursor.fetchone()[0].lower() == "serializable"
        wrapper.close()
    assert wrapper.find_pool().snapshot().opened == 1


def test_an_invalid_isolation_level_is_djangos_error_and_costs_no_place(make_wrapper):
    from django.core.exceptions import ImproperlyConfigured

    wrapper = make_wrapper(OPTIONS={"isolation_level": "none of them"})
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="isolation level"):
            wrapper.ensure_connection()
    assert wrapper.find_pool().snapshot().in_use == 0


@pytest.mark.parametrize("alias", ["default"])
def test_djangos_own_pool_is_left_alone(make_wrapper):
    before = len(snapshots())
    wrapper = make_wrapper(OPTIONS={"pool": True})
    if wrapper.Database.__name__ == "psycopg2":
        from django.core.exceptions import ImproperlyConfigured

        with pytest.raises(ImproperlyConfigured, match="requires psycopg >= 3"):
            wrapper.ensure_connection()
    else:
        assert session_id(wrapper) > 0
        assert wrapper.pool.get_stats()["pool_size"] > 0
        wrapper.close()
        wrapper.close_pool()
    assert len(snapshots()) == before


def test_a_pool_that_nobody_uses_any_more_is_forgotten(make_wrapper):
    from django_sqla_pool import registry

    wrapper = make_wrapper()
    wrapper.ensure_connection()
    wrapper.close()
    pool = wrapper.find_pool()
    registry.forget_unused(0)
    assert wrapper.find_pool() is pool, "it has a connection"
    pool.dispose()
    registry.forget_unused(3600)
    assert wrapper.find_pool() is pool, "it was used a moment ago"
    registry.forget_unused(0)
    assert wrapper.find_pool() is not pool


def test_a_forgotten_pool_can_be_disposed_of(wrapper):
    pool = wrapper.find_pool()
    assert pool.retire(0)
    pool.dispose()
    pool.sweep()
    assert pool.snapshot().opened == 0


def test_the_housekeeper_rests_between_its_rounds(make_wrapper):
    from django_sqla_pool import registry

    wrapper = make_wrapper(IDLE_TIMEOUT=1e-6, RECYCLE=1e-6)
    wrapper.ensure_connection()
    assert registry._make_round() >= 0.05


def test_a_wrapper_that_has_found_its_pool_just_before_it_was_forgotten_gets_the_next_one(make_wrapper, monkeypatch):
    from django_sqla_pool import registry

    wrapper = make_wrapper()
    forgotten = wrapper._look_up()
    registry.forget_unused(0)
    found = iter([forgotten])
    original = type(wrapper)._look_up
    monkeypatch.setattr(type(wrapper), "_look_up", lambda self: next(found, None) or original(self))
    wrapper.ensure_connection()
    assert forgotten.pool.snapshot().checkouts == 0
    assert wrapper.find_pool().snapshot().in_use == 1


def test_many_copies_of_settings_do_not_fill_the_registry(make_wrapper, monkeypatch):
    from django_sqla_pool import registry

    monkeypatch.setattr(registry, "_MOST_SEEN", 5)
    wrapper = make_wrapper()
    pool = wrapper.find_pool()
    for _ in range(20):
        assert wrapper.copy().find_pool() is pool
        assert len(registry._seen) <= 5
