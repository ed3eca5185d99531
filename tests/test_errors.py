"""A connection that can't be opened: the error is the one of Django's own engine, and costs the pool nothing."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import django.db
import pytest
from django.db import OperationalError, connections

from django_sqla_pool import PoolTimeout
from tests.support.sessions import Observer, session_id
from tests.support.threads import in_thread, wait_until
from tests.support.wire import Proxy

# A name that no resolver asks another machine about: longer than a name may be.
UNRESOLVABLE = ".".join(["nowhere" * 8] * 5)
UNENCRYPTED = {"default": {"sslmode": "disable", "gssencmode": "disable"}, "mysql": {}}


@pytest.fixture
def proxy(alias):
    """A proxy before the server, which can refuse connections and counts those that log in."""
    settings = connections[alias].settings_dict
    with Proxy(settings["HOST"], settings["PORT"], connections[alias].vendor) as proxy:
        yield proxy


@pytest.fixture
def make_proxied(make_wrapper, proxy, alias):
    """As make_wrapper, on the way through the proxy."""

    def make(**changes):
        return make_wrapper(HOST=proxy.host, PORT=proxy.port, OPTIONS=UNENCRYPTED[alias], **changes)

    return make


@pytest.fixture
def closed_port():
    """A port that nobody listens on, nor will before the test ends."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


def caught(function):
    with pytest.raises(Exception) as raised:
        function()
    return raised.value


# ------------------------------------------------------------------------------------- what Django's engine itself raises


def same_error(wrapper, alias):
    """Let the pooled wrapper and Django's own fail by the same settings, and alike; return the pooled one's error."""
    stock = Observer(wrapper.settings_dict, alias)
    theirs = caught(stock.wrapper.ensure_connection)
    ours = caught(wrapper.ensure_connection)
    assert type(ours) is type(theirs)
    assert (str(ours), ours.args) == (str(theirs), theirs.args)
    # What the driver said, which is the error itself where Django does not translate it.
    assert type(ours.__cause__) is type(theirs.__cause__)
    assert getattr(ours.__cause__, "args", None) == getattr(theirs.__cause__, "args", None)
    assert wrapper.connection is None
    return ours


def assert_nothing_is_taken(wrapper):
    """With one place and no time to wait: if a failure kept the place, the next would be a PoolTimeout."""
    figures = wrapper.find_pool().snapshot()
    assert (figures.in_use, figures.idle, figures.waiting, figures.opened, figures.timeouts) == (0, 0, 0, 0, 0)
    assert not isinstance(caught(wrapper.ensure_connection), PoolTimeout)


FAULTS = {
    "wrong password": {"PASSWORD": "not-the-password"},
    "unknown user": {"USER": "nobody_of_that_name"},
    "unknown database": {"NAME": "no_database_of_that_name"},
    "unresolvable host": {"HOST": UNRESOLVABLE},
    "port that is no number": {"PORT": "db"},
    "bad option of the driver": {"OPTIONS": {"no_such_option": 1}},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_change_by_waiting_is_djangos_own_error(make_wrapper, alias, fault):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0, **FAULTS[fault])
    same_error(wrapper, alias)
    assert_nothing_is_taken(wrapper)
    assert wrapper.find_pool().snapshot().last_error == "", "the server is not away"


def test_a_refused_port_is_djangos_own_error(make_wrapper, alias, closed_port):
    wrapper = make_wrapper(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0, PORT=closed_port)
    ours = same_error(wrapper, alias)
    assert type(ours) is OperationalError
    assert_nothing_is_taken(wrapper)
    assert wrapper.find_pool().snapshot().last_error == str(ours.__cause__).strip()


def test_a_place_that_a_failure_gave_back_can_be_used(make_proxied, proxy):
    wrapper = make_proxied(POOL_SIZE=1, MAX_OVERFLOW=0, TIMEOUT=0, CONNECT_RETRY=0)
    proxy.refuse()
    for _ in range(3):
        assert type(caught(wrapper.ensure_connection)) is OperationalError
    proxy.accept()
    assert session_id(wrapper) > 0
    assert wrapper.find_pool().snapshot().in_use == 1


def test_a_server_that_has_come_back_is_found_without_time_to_wait(make_proxied, proxy):
    """TIMEOUT 0 leaves no time for retries; but then every checkout after a pause is one."""
    wrapper = make_proxied(TIMEOUT=0)
    proxy.refuse()
    assert type(caught(wrapper.ensure_connection)) is OperationalError
    proxy.accept()

    def is_back():
        with suppress(OperationalError):
            wrapper.ensure_connection()
        return wrapper.connection is not None

    wait_until(is_back)
    assert wrapper.find_pool().snapshot().opened == 1


def test_a_statement_that_fails_is_djangos_own_error(wrapper, observer):
    def ask(of):
        with of.cursor() as cursor:
            cursor.execute("SELECT nothing_of_that_name")

    ours, theirs = caught(lambda: ask(wrapper)), caught(lambda: ask(observer.wrapper))
    assert isinstance(ours, django.db.DatabaseError)
    assert (type(ours), ours.args, type(ours.__cause__)) == (type(theirs), theirs.args, type(theirs.__cause__))


# --------------------------------------------------------------------------------------------------- how often, how long


@pytest.mark.parametrize("fault", ["wrong password", "unknown user", "unknown database"])
def test_a_wrong_login_is_tried_once(make_proxied, proxy, alias, fault):
    wrapper = make_proxied(CONNECT_RETRY=30, **FAULTS[fault])
    stock = Observer(wrapper.settings_dict, alias)
    caught(stock.wrapper.ensure_connection)
    by_django = proxy.settled().connections
    proxy.reset()
    caught(wrapper.ensure_connection)
    assert proxy.settled().connections == by_django == 1


class Slammer:
    """A server that accepts connections and closes them at once, and counts them."""

    def __init__(self):
        self.count = 0
        self.is_over = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while True:
            client, _ = self.listener.accept()
            self.count += 1  # before the client can know
            client.close()
            if self.is_over:
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join(10)
        self.listener.close()


@pytest.mark.parametrize("retry", [0, 0.3])
def test_a_server_that_drops_connections_is_tried_again_unless_connect_retry_is_0(make_wrapper, alias, retry):
    with Slammer() as slammer:
        wrapper = make_wrapper(HOST="127.0.0.1", PORT=slammer.port, OPTIONS=UNENCRYPTED[alias], CONNECT_RETRY=retry)
        caught(Observer(wrapper.settings_dict, alias).wrapper.ensure_connection)
        by_django = slammer.count
        error = caught(wrapper.ensure_connection)
        by_us = slammer.count - by_django
    assert type(error) is OperationalError
    assert by_django > 0
    assert by_us > by_django if retry else by_us == by_django


def test_connect_retry_0_fails_at_once_on_a_refused_port(make_wrapper, closed_port):
    wrapper = make_wrapper(PORT=closed_port, CONNECT_RETRY=0)
    began = time.monotonic()
    assert type(caught(wrapper.ensure_connection)) is OperationalError
    assert time.monotonic() - began < 1


def test_by_default_a_refused_port_is_tried_until_it_opens(make_proxied, proxy):
    wrapper = make_proxied()
    proxy.refuse()
    with in_thread("trying", wrapper.find_pool().checkout) as leases:
        wait_until(lambda: wrapper.find_pool().snapshot().last_error)
        proxy.accept()
    leases[0].close()
    assert wrapper.find_pool().snapshot().opened == 1


def test_who_waited_for_another_ones_attempt_gets_the_same_error(make_proxied, proxy, alias):
    """The second one comes before another attempt is due, and goes before it: all it has is what the first one met."""
    wrapper = make_proxied(CONNECT_RETRY=0.01)
    proxy.refuse()
    theirs = caught(Observer(wrapper.settings_dict, alias).wrapper.ensure_connection)
    first, second = caught(wrapper.ensure_connection), caught(wrapper.ensure_connection)
    for error in (first, second):
        assert (type(error), error.args) == (type(theirs), theirs.args)
        assert (type(error.__cause__), error.__cause__.args) == (type(theirs.__cause__), theirs.__cause__.args)
    assert second.__cause__ is not first.__cause__, "an exception belongs to the thread that raises it"
    assert (wrapper.find_pool().snapshot().in_use, wrapper.find_pool().snapshot().opened) == (0, 0)
