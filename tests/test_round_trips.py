"""What a warm request costs on the wire: its own statements, and nothing else. Counted by a proxy, so exact."""

from __future__ import annotations

import threading

import pytest
from django.db import connections, transaction

from tests.support.wire import Proxy


@pytest.fixture
def proxy(alias):
    """A proxy in front of the server, which counts."""
    settings = connections[alias].settings_dict
    protocol = "postgresql" if alias == "default" else "mysql"
    with Proxy(settings["HOST"], int(settings["PORT"]), protocol=protocol) as proxy:
        yield proxy


@pytest.fixture
def make_proxied(make_wrapper, proxy, alias):
    """A function that makes a wrapper whose traffic the proxy sees, without TLS."""

    def make(**changes):
        options = changes.pop("OPTIONS", {})
        if alias == "default":
            options = {"sslmode": "disable", **options}
        return make_wrapper(HOST="127.0.0.1", PORT=proxy.port, OPTIONS=options, **changes)

    return make


def nothing(wrapper):
    wrapper.ensure_connection()


def one_select(wrapper):
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()


def three_selects(wrapper):
    for _ in range(3):
        one_select(wrapper)


def a_transaction(wrapper):
    original = connections[wrapper.alias]
    connections[wrapper.alias] = wrapper
    try:
        with transaction.atomic(using=wrapper.alias):
            one_select(wrapper)
    finally:
        connections[wrapper.alias] = original


def features_first(wrapper):
    # As the ORM does: it asks what the server can do before it asks for a cursor.
    assert wrapper.features.minimum_database_version
    assert wrapper.features.has_select_for_update in (True, False)
    assert wrapper.features.supports_expression_indexes in (True, False)
    one_select(wrapper)


VIEWS = {nothing: 0, one_select: 1, three_selects: 3, features_first: 1}


def measured(proxy, work):
    proxy.settled().reset()
    work()
    proxy.settled()
    return proxy.round_trips, proxy.statements


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_a_request_costs_its_own_statements(make_proxied, proxy, view):
    wrapper = make_proxied()
    view(wrapper)
    wrapper.close()

    def request():
        view(wrapper)
        wrapper.close()

    for _ in range(3):
        trips, statements = measured(proxy, request)
        assert trips == VIEWS[view], statements


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_a_fresh_thread_with_a_fresh_wrapper_costs_nothing_more(make_proxied, proxy, view):
    warm = make_proxied()
    view(warm)
    warm.close()
    errors = []

    def request():
        try:
            wrapper = make_proxied()  # as under ASGI: a new thread for each request, and a new wrapper for each thread
            view(wrapper)
            wrapper.close()
        except Exception as error:
            errors.append(error)

    def in_a_thread():
        thread = threading.Thread(target=request)
        thread.start()
        thread.join(30)

    for _ in range(3):
        trips, statements = measured(proxy, in_a_thread)
        assert errors == []
        assert trips == VIEWS[view], statements
    assert proxy.connections == 0, "since the proxy's figures were reset"


def test_a_transaction_costs_what_it_costs_on_a_connection_kept_open(make_proxied, proxy):
    kept = make_proxied()
    a_transaction(kept)
    open_trips, _ = measured(proxy, lambda: a_transaction(kept))
    kept.close()
    pooled = make_proxied()

    def request():
        a_transaction(pooled)
        pooled.close()

    for _ in range(3):
        trips, statements = measured(proxy, request)
        assert trips == open_trips, statements


def test_a_ping_costs_one(make_proxied, proxy):
    wrapper = make_proxied(PING_AFTER=0)
    one_select(wrapper)
    wrapper.close()
    trips, statements = measured(proxy, lambda: one_select(wrapper))
    assert trips == 2, statements


def test_a_transaction_left_open_costs_a_rollback(make_proxied, proxy):
    wrapper = make_proxied()
    with wrapper.cursor() as cursor:
        cursor.execute("BEGIN")
    trips, statements = measured(proxy, wrapper.close)
    assert trips == 1, statements
    assert statements[0].upper().startswith("ROLLBACK")


def test_a_cursor_of_the_drivers_own_costs_one_rollback_where_an_error_carries_no_status(make_proxied, proxy):
    wrapper = make_proxied()
    wrapper.ensure_connection()
    with wrapper.connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
    trips, statements = measured(proxy, wrapper.close)
    assert trips == (0 if wrapper.vendor == "postgresql" else 1), statements
    one_select(wrapper)
    trips, statements = measured(proxy, wrapper.close)
    assert trips == 0, statements


def test_an_error_that_django_would_ping_for_costs_no_ping(make_proxied, proxy):
    wrapper = make_proxied()
    with pytest.raises(Exception, match="nowhere"), wrapper.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    trips, statements = measured(proxy, wrapper.close_if_unusable_or_obsolete)
    # MySQL's protocol does not say after an error whether a transaction is open: there, a ROLLBACK makes sure.
    assert statements == (() if wrapper.vendor == "postgresql" else statements[:1]), statements
    assert trips == (0 if wrapper.vendor == "postgresql" else 1)
