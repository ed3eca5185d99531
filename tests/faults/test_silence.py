"""A network that swallows everything, and says neither that it has ended (FIN) nor that there is nobody (RST)."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from django.db import OperationalError, connections

from django_sqla_pool import housekeeper, verifier
from tests.servers import machine
from tests.support.sessions import session_id
from tests.support.threads import in_thread, wait_until
from tests.support.wire import Proxy
from tests.test_pool import count_pings

# What a busy machine may add to any wait.
SLACK = 3.0
THREADS = 8
# As docs/deployments.rst recommends, but as short as can be: libpq makes 2 s of 1. PyMySQL's connect_timeout does not bound the
# wait for the server's greeting; its read_timeout does.
TIMEOUTS = {"default": {"connect_timeout": 2}, "mysql": {"connect_timeout": 1, "read_timeout": 1, "write_timeout": 1}}


@pytest.fixture(scope="module")
def find_encrypting(find_stage):
    """A function that returns the settings of a server like that of an alias, whose clients use TLS."""
    found = {}

    def find(alias):
        if alias not in found:
            stage = find_stage(alias)
            home, openssl = stage.server.home, machine.find_program("openssl")
            assert openssl, "there is no program openssl; on Debian: apt-get install openssl"
            key, certificate = home.path / "key.pem", home.path / "certificate.pem"
            request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            home.run(openssl, *request, "-keyout", key, "-out", certificate)
            if alias == "default":
                stage.restart({"ssl": "on", "ssl_key_file": str(key), "ssl_cert_file": str(certificate)})
                options = {"sslmode": "require"}
            else:
                stage.restart({"ssl-key": str(key), "ssl-cert": str(certificate)})
                options = {"ssl": {"ca": str(certificate), "check_hostname": False}}
            found[alias] = {**stage.settings, "OPTIONS": options}
        return found[alias]

    return find


@pytest.fixture(params=["plain", "TLS"])
def encryption(request):
    """Whether the drivers encrypt. A test that takes seconds and knows no difference says so by parametrizing it itself."""
    return request.param


@pytest.fixture
def proxy(alias, encryption, find_encrypting):
    port = find_encrypting(alias)["PORT"] if encryption == "TLS" else connections[alias].settings_dict["PORT"]
    with Proxy("127.0.0.1", int(port), "opaque") as proxy:
        yield proxy
        proxy.resume()


@pytest.fixture
def make_distant(make_wrapper, proxy, alias, encryption, find_encrypting):
    """A function that makes a wrapper whose server is behind the proxy."""
    plain = {"OPTIONS": {"sslmode": "disable"} if alias == "default" else {}}
    settings = find_encrypting(alias) if encryption == "TLS" else plain

    def make(**changes):
        options = {**settings["OPTIONS"], **TIMEOUTS[alias]}
        return make_wrapper(**{**settings, "HOST": proxy.host, "PORT": proxy.port, "OPTIONS": options, **changes})

    return make


def lend(pool, count):
    """Have so many connections open, and none of them in use."""
    for lease in [pool.checkout() for _ in range(count)]:
        lease.close()


def at_once(count, work):
    """Do the work in so many threads; return, for each, how long it took and its result or error."""
    outcomes = []

    def timed():
        began = time.monotonic()
        try:
            result = work()
        except Exception as error:
            result = error
        outcomes.append((time.monotonic() - began, result))

    threads = [threading.Thread(target=timed) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return outcomes


def request_on(wrapper):
    """A function that does what a request does, on a wrapper of its own."""
    settings, kind = wrapper.settings_dict, type(wrapper)

    def request():
        own = kind(settings, wrapper.alias)
        try:
            return session_id(own)
        finally:
            own.close()

    return request


def assert_nothing_is_lost(pool):
    figures = pool.snapshot()
    assert (figures.in_use, figures.waiting) == (0, 0)
    assert figures.opened - figures.closed_count == figures.idle == len(pool._queue.physicals) <= figures.limit


def test_a_firewall_that_has_lost_its_table_costs_a_checkout_one_deadline(make_distant, proxy, monkeypatch):
    monkeypatch.setattr(verifier, "ANSWER_WITHIN", 1.0)
    wrapper = make_distant(POOL_SIZE=2 * THREADS, MAX_OVERFLOW=0, PING_AFTER=0)
    pool = wrapper.find_pool()
    lend(pool, 2 * THREADS)
    proxy.lose()
    outcomes = at_once(THREADS, request_on(wrapper))
    assert [result for _, result in outcomes if not isinstance(result, int)] == []
    assert max(seconds for seconds, _ in outcomes) < verifier.ANSWER_WITHIN + SLACK
    lend(pool, 2 * THREADS)
    assert dict(pool.snapshot().closed) == {"dead": 2 * THREADS}
    assert pool.snapshot().opened == 4 * THREADS
    assert_nothing_is_lost(pool)


@pytest.mark.parametrize("encryption", ["plain"])
def test_one_silent_connection_speaks_for_all_that_were_idle(make_distant, proxy, monkeypatch):
    monkeypatch.setattr(verifier, "ANSWER_WITHIN", 0.5)
    pool = make_distant(POOL_SIZE=THREADS, MAX_OVERFLOW=0, PING_AFTER=0).find_pool()
    lend(pool, THREADS)
    pings = count_pings(pool._queue.physicals)
    proxy.lose()
    lend(pool, THREADS)
    assert pings() == 1
    assert dict(pool.snapshot().closed) == {"dead": THREADS}
    assert_nothing_is_lost(pool)


@pytest.mark.parametrize("encryption", ["plain"])
def test_a_checkout_without_time_asks_all_the_same(make_distant, proxy):
    wrapper = make_distant(TIMEOUT=0, PING_AFTER=0)
    session = session_id(wrapper)
    wrapper.close()
    assert session_id(wrapper) == session
    wrapper.close()
    proxy.lose()
    began = time.monotonic()
    assert session_id(wrapper) != session
    assert time.monotonic() - began < verifier.ANSWER_WITHIN_AT_LEAST + SLACK


@pytest.mark.parametrize("encryption", ["plain"])
def test_while_all_is_silent_nobody_is_held_and_afterwards_the_pool_is_whole(make_distant, proxy, alias, monkeypatch):
    monkeypatch.setattr(verifier, "ANSWER_WITHIN", 0.5)
    timeout, limit = 2.5, 3
    wrapper = make_distant(POOL_SIZE=limit, MAX_OVERFLOW=0, PING_AFTER=0, TIMEOUT=timeout, CONNECT_RETRY=1)
    pool = wrapper.find_pool()
    lend(pool, limit)
    proxy.silence()
    most = []
    with watching(pool, most):
        outcomes = at_once(THREADS, request_on(wrapper))
        proxy.resume()
        wait_until(lambda: not isinstance(at_once(1, request_on(wrapper))[0][1], Exception))
        lend(pool, limit)
    assert {type(error) for _, error in outcomes} <= {OperationalError, *OperationalError.__subclasses__()}
    # Who has a place when the time is up may have just begun to connect.
    assert max(seconds for seconds, _ in outcomes) < timeout + TIMEOUTS[alias]["connect_timeout"] + SLACK
    assert max(most) <= limit
    assert pool.snapshot().last_error == ""
    assert_nothing_is_lost(pool)


class watching:
    """While the block runs, note how many connections the pool has; at the end the list has at least one entry."""

    def __init__(self, pool, most):
        self.pool, self.most, self.is_over = pool, most, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        for _ in itertools.count():
            figures = self.pool.snapshot()
            self.most.append(figures.in_use + figures.idle)
            if self.is_over.wait(0.01):
                return

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join(30)


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_query_in_flight_ends_by_the_drivers_read_timeout(make_distant, proxy):
    wrapper = make_distant()
    wrapper.ensure_connection()
    proxy.silence()
    began = time.monotonic()
    with pytest.raises(OperationalError, match=r"2013|2026"):
        session_id(wrapper)
    assert time.monotonic() - began < 1 + SLACK
    wrapper.close()
    assert dict(wrapper.find_pool().snapshot().closed) == {"dead": 1}
    proxy.resume()
    assert session_id(wrapper)


def nothing(driver):
    pass


def in_a_transaction(driver):
    with driver.connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1")
        cursor.fetchall()


def a_question_unanswered(driver):
    with pytest.raises(Exception, match=r"no answer within 0\.05 s"):
        driver.ping(0.05)


@pytest.mark.parametrize("state", [nothing, in_a_transaction, a_question_unanswered], ids=lambda state: state.__name__)
def test_closing_does_not_wait_for_a_silent_network(make_distant, proxy, state):
    lease = make_distant().find_pool().checkout()
    if state is in_a_transaction:
        state(lease.physical.driver)
    proxy.silence()
    if state is a_question_unanswered:
        state(lease.physical.driver)
    with in_thread("closes", lambda: lease.connection.close() and None) as outcome:
        wait_until(lambda: outcome)
        proxy.resume()  # or it would never end, if it did wait
    lease.end("dead")
    lease.close()


@pytest.mark.parametrize("encryption", ["plain"])
def test_the_housekeeper_is_not_held_by_a_silent_network(make_distant, proxy):
    wrapper = make_distant()
    pool = wrapper.find_pool()
    lend(pool, 2)

    def forget():
        session_id(type(wrapper)(wrapper.settings_dict, wrapper.alias))
        proxy.silence()

    with in_thread("forgets", forget):
        pass
    wait_until(lambda: dict(pool.snapshot().closed) == {"abandoned": 1})
    (physical,) = pool._queue.physicals
    physical.expires_at = 0.0
    housekeeper.submit(pool.sweep)
    wait_until(lambda: dict(pool.snapshot().closed) == {"abandoned": 1, "expired": 1})
    assert_nothing_is_lost(pool)
