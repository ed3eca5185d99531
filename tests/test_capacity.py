"""The check of what all processes together may open against what a server accepts (django_sqla_pool.W004)."""

from __future__ import annotations

import pytest
from django.conf import settings

from django_sqla_pool.checks import CHECKS
from tests.support.aliases import check, more_aliases
from tests.support.wire import Proxy

E001, _, W002, W003, W004 = CHECKS


@pytest.fixture(autouse=True)
def add_alias(monkeypatch):
    """A function that adds an alias to DATABASES for the test; WEB_CONCURRENCY is not set."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    with more_aliases() as add:
        yield add


@pytest.fixture
def accepted(observer, alias):
    """How many connections the server accepts, and the arithmetic in words."""
    if alias == "mysql":
        ((most,),) = observer.query("SELECT @@max_connections")
        return most, f"max_connections {most}"
    rows = observer.query("SELECT setting::int FROM pg_settings WHERE name ~ '^(superuser_)?reserved_connections$'")
    ((most,),) = observer.query("SELECT setting::int FROM pg_settings WHERE name = 'max_connections'")
    reserved = sum(row[0] for row in rows)
    assert reserved > 0
    return most - reserved, f"max_connections {most} less {reserved} reserved"


def test_pools_that_fit_exactly_are_fine(add_alias, alias, accepted):
    most, _ = accepted
    add_alias("fits", alias, POOL_OPTIONS={"POOL_SIZE": most - 7, "MAX_OVERFLOW": 7})
    assert check("fits") == []


def test_one_connection_more_than_the_server_accepts(add_alias, alias, accepted):
    most, arithmetic = accepted
    add_alias("big", alias, POOL_OPTIONS={"POOL_SIZE": most - 6, "MAX_OVERFLOW": 7})
    assert check("big") == [
        (
            W004,
            f"1 process (WEB_CONCURRENCY is not set) x (POOL_SIZE + MAX_OVERFLOW: {most + 1} for 'big') = {most + 1} "
            f"connections, but the server accepts {most} ({arithmetic}).",
        )
    ]
    assert check() == [], "without --database nobody asks the server"
    assert check(alias) == [], "another alias was asked for"


def test_processes_multiply(add_alias, alias, accepted, monkeypatch):
    most, arithmetic = accepted
    each = most // 4
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    add_alias("fits", alias, POOL_OPTIONS={"POOL_SIZE": each, "MAX_OVERFLOW": 0})
    assert check("fits") == []
    add_alias("big", alias, POOL_OPTIONS={"POOL_SIZE": each, "MAX_OVERFLOW": 1})
    assert check("big") == [
        (
            W004,
            f"4 processes (WEB_CONCURRENCY) x (POOL_SIZE + MAX_OVERFLOW: {each + 1} for 'big') = {4 * (each + 1)} "
            f"connections, but the server accepts {most} ({arithmetic}).",
        )
    ]


@pytest.mark.parametrize(
    "value, words",
    [
        ("1", "(WEB_CONCURRENCY)"),
        ("", "(WEB_CONCURRENCY is not set)"),
        ("0", "(WEB_CONCURRENCY is '0')"),
        ("-2", "(WEB_CONCURRENCY is '-2')"),
        ("²", "(WEB_CONCURRENCY is '²')"),
        ("auto", "(WEB_CONCURRENCY is 'auto')"),
    ],
)
def test_what_is_no_number_of_processes_counts_as_one_and_is_named(add_alias, alias, accepted, monkeypatch, value, words):
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    add_alias("big", alias, POOL_OPTIONS={"POOL_SIZE": accepted[0] + 1})
    ((found, text),) = check("big")
    assert (found, text.partition(" x ")[0]) == (W004, f"1 process {words}")


def test_aliases_that_share_a_pool_count_once(add_alias, alias, accepted):
    same = {"POOL_SIZE": accepted[0], "MAX_OVERFLOW": 0}
    one = add_alias("one", alias, POOL_OPTIONS=same)
    other = add_alias("other", alias, POOL_OPTIONS=dict(same))
    assert one.find_pool() is other.find_pool()
    assert check("one", "other") == []


def test_aliases_with_pools_of_their_own_on_one_server_are_added_up(add_alias, alias, accepted):
    most, arithmetic = accepted
    add_alias("one", alias, POOL_OPTIONS={"POOL_SIZE": most - 1, "MAX_OVERFLOW": 0})
    port = str(settings.DATABASES[alias]["PORT"])  # a string here, a number there
    add_alias("other", alias, PORT=port, POOL_OPTIONS={"POOL_SIZE": 1, "MAX_OVERFLOW": 1})
    assert check("one") == []
    assert check("one", "other") == [
        (
            W004,
            f"1 process (WEB_CONCURRENCY is not set) x (POOL_SIZE + MAX_OVERFLOW: {most - 1} for 'one' + 2 for 'other') = "
            f"{most + 1} connections, but the server accepts {most} ({arithmetic}).",
        )
    ]


def test_host_and_port_left_out_are_the_usual_ones(add_alias, alias, accepted):
    there = settings.DATABASES[alias]
    options = {"host": there["HOST"], "port": int(there["PORT"])}  # the driver's: so that there is a server to ask
    add_alias("unsaid", alias, HOST="", PORT="", OPTIONS=options, POOL_OPTIONS={"POOL_SIZE": accepted[0], "MAX_OVERFLOW": 0})
    add_alias("said", alias, HOST="localhost", PORT={"default": 5432, "mysql": 3306}[alias], OPTIONS=options)
    ((found, text),) = check("unsaid", "said")
    assert found == W004
    assert f"{accepted[0]} for 'unsaid' + 15 for 'said'" in text


def test_two_servers_of_one_kind_are_counted_apart(add_alias, alias, accepted):
    """A proxy on a port of its own stands for the other server."""
    fits = {"POOL_SIZE": accepted[0], "MAX_OVERFLOW": 0}
    there = settings.DATABASES[alias]
    options = {} if alias == "mysql" else {"sslmode": "disable", "gssencmode": "disable"}
    with Proxy(there["HOST"], there["PORT"], "mysql" if alias == "mysql" else "postgresql") as proxy:
        add_alias("one", alias, POOL_OPTIONS=fits)
        add_alias("other", alias, HOST=proxy.host, PORT=proxy.port, OPTIONS=options, POOL_OPTIONS=fits)
        assert check("one", "other") == []


def test_servers_of_two_kinds_are_counted_apart(add_alias, accepted, alias):
    other = "mysql" if alias == "default" else "default"
    add_alias("big", alias, POOL_OPTIONS={"POOL_SIZE": accepted[0], "MAX_OVERFLOW": 1})
    add_alias("small", other)
    ((found, text),) = check("small", "big")
    assert found == W004
    assert f"(POOL_SIZE + MAX_OVERFLOW: {accepted[0] + 1} for 'big')" in text


@pytest.mark.parametrize("unlimited", [{"POOL_SIZE": 0}, {"MAX_OVERFLOW": -1}], ids=repr)
def test_a_pool_without_a_limit(add_alias, alias, accepted, unlimited):
    most, arithmetic = accepted
    add_alias("limited", alias)
    add_alias("endless", alias, POOL_OPTIONS=unlimited)
    assert check("limited", "endless") == [
        (W004, f"DATABASES['endless']: the pool has no limit, and the server accepts {most} connections ({arithmetic})."),
    ]


def test_leaves_what_is_wrong_otherwise_to_the_other_checks(add_alias):
    add_alias("bad", "default", POOL_OPTIONS={"POOL_SIZE": -1})
    add_alias("both", "default", OPTIONS={"pool": True})
    add_alias("plain", "default", ENGINE="django.db.backends.postgresql", POOL_OPTIONS={"POOL_SIZE": 0})
    assert [id_ for id_, _ in check("bad", "both", "plain")] == [E001, W002, W003]
