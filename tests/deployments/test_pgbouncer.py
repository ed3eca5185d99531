"""PgBouncer between a pool and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from tests.deployments.test_fork_under_load import ask
from tests.servers import PgBouncer, ServerError
from tests.support.sessions import session_id
from tests.support.threads import wait_until

pytestmark = pytest.mark.parametrize("alias", ["default"])


@pytest.fixture(params=["session", "transaction"])
def bouncer(request, address):
    """A PgBouncer that has two connections to the server to lend."""
    settings = {"pool_mode": request.param, "default_pool_size": "2", "query_wait_timeout": "2"}
    try:
        bouncer = PgBouncer(address, settings)
    except ServerError as error:
        pytest.skip(str(error))
    with bouncer:
        yield bouncer


@pytest.fixture
def make_behind(make_wrapper, bouncer):
    """Like make_wrapper, but through PgBouncer; which is not encrypted here."""

    def make(**changes):
        return make_wrapper(PORT=bouncer.port, OPTIONS={"sslmode": "disable"}, **changes)

    return make


def counted(bouncer):
    """How many clients PgBouncer has, and how many connections to the server."""
    name = bouncer.behind["NAME"]
    lists = [bouncer.sql(f"SHOW {what}", "pgbouncer").splitlines() for what in ("CLIENTS", "SERVERS")]
    return tuple(sum(name in row.split("|") for row in rows) for rows in lists)


def ask_kept(wrapper, questions):
    """As ask(), on one lease."""
    sessions = set()
    for number in range(questions):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT %s, pg_backend_pid()", [number])
            word, session = cursor.fetchone()
        assert int(word) == number
        sessions.add(session)
    return sessions


def test_sessions_at_pgbouncer_are_kept_between_leases_and_are_gone_at_the_end(make_behind, bouncer):
    wrappers = [make_behind(POOL_SIZE=2, MAX_OVERFLOW=0) for _ in range(2)]
    for _ in range(20):
        for wrapper in wrappers:
            ask(wrapper, 1)
    assert wrappers[0].find_pool().snapshot().opened == 1
    for wrapper in wrappers:
        session_id(wrapper)
    at_pgbouncer, at_the_server = counted(bouncer)
    assert at_pgbouncer == 2
    assert at_the_server <= 2
    for wrapper in wrappers:
        wrapper.close()
    wrappers[0].find_pool().dispose()
    wait_until(lambda: counted(bouncer)[0] == 0)


def test_what_a_borrower_leaves_open_is_rolled_back(make_behind, observer):
    observer.query("CREATE TABLE left_open (n integer)")
    try:
        wrapper = make_behind(POOL_SIZE=1, MAX_OVERFLOW=0)
        for _ in range(3):
            with wrapper.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("INSERT INTO left_open VALUES (1)")
            wrapper.close()
            assert session_id(wrapper)
            wrapper.close()
        assert observer.query("SELECT count(*) FROM left_open") == [(0,)]
        assert wrapper.find_pool().snapshot().opened == 1
    finally:
        observer.query("DROP TABLE left_open")


@pytest.mark.parametrize("bouncer", ["transaction"], indirect=True)
def test_more_connections_than_pgbouncer_has_take_turns_in_transaction_mode(make_behind):
    wrappers = [make_behind(POOL_SIZE=6, MAX_OVERFLOW=0) for _ in range(6)]
    for wrapper in wrappers:
        wrapper.inc_thread_sharing()
    with ThreadPoolExecutor(6) as threads:
        shared = set.union(*threads.map(lambda wrapper: ask_kept(wrapper, 30), wrappers))
    assert len(shared) <= 2
    assert wrappers[0].find_pool().snapshot().opened == 6


@pytest.mark.parametrize("bouncer", ["transaction"], indirect=True)
def test_the_time_zone_follows_each_client_in_transaction_mode(make_behind):
    wrappers = [make_behind(TIME_ZONE=zone) for zone in ("Asia/Tokyo", "Europe/Madrid")]
    for _ in range(3):
        for wrapper in wrappers:
            with wrapper.cursor() as cursor:
                cursor.execute("SHOW TIME ZONE")
                assert cursor.fetchone() == (wrapper.timezone_name,)
            wrapper.close()


@pytest.mark.parametrize("bouncer", ["session"], indirect=True)
def test_more_connections_than_pgbouncer_has_fail_in_session_mode(make_behind):
    wrappers = [make_behind(POOL_SIZE=3, MAX_OVERFLOW=0, CONNECT_RETRY=0) for _ in range(3)]
    for wrapper in wrappers[:2]:
        session_id(wrapper)
        wrapper.close()
        wrapper.ensure_connection()
    with pytest.raises(OperationalError, match=r"query_wait_timeout|server closed the connection"):  # psycopg 3, psycopg2
        session_id(wrappers[2])


def test_connections_that_pgbouncer_has_lost_are_replaced(make_behind, bouncer):
    wrapper = make_behind(POOL_SIZE=2, MAX_OVERFLOW=0)
    ask(wrapper, 1)
    bouncer.restart()
    ask(wrapper, 3)
    assert wrapper.find_pool().snapshot().closed == {"dead": 1}
