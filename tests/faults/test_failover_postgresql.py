"""A PostgreSQL primary and its standby behind one list of hosts: who takes writes is found, and nothing acknowledged is lost.

    HOST="a,b", PORT="1,2", OPTIONS={"target_session_attrs": "read-write"}

Replication is synchronous here, so that what the primary has acknowledged is on the standby as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.servers import PostgreSQL
from tests.servers.standby import Standby
from tests.support.aliases import more_aliases
from tests.support.failover import assert_moved, fill_pool, observer, wait_for_writes
from tests.support.ledger import Ledger
from tests.support.load import Load
from tests.support.threads import in_thread, wait_until

THREADS = 6
IDLE = 20


@pytest.fixture
def primary() -> Iterator[PostgreSQL]:
    with PostgreSQL({"synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture
def standby(primary: PostgreSQL) -> Iterator[Standby]:
    with Standby(primary) as server:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        wait_until(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication").strip() == "sync")
        yield server


@pytest.fixture
def load(primary: PostgreSQL, standby: Standby) -> Iterator[Load]:
    """A load that is not running yet, on an alias that names both servers, with a full pool of idle connections."""
    both = {
        "HOST": "127.0.0.1,127.0.0.1",
        "PORT": f"{primary.port},{standby.port}",
        "USER": primary.user,
        "PASSWORD": primary.password,
        "NAME": "postgres",
        "OPTIONS": {"target_session_attrs": "read-write"},
        # CONNECT_RETRY longer than a promotion takes on a busy machine: who comes meanwhile waits for it.
        "POOL_OPTIONS": {"POOL_SIZE": IDLE, "MAX_OVERFLOW": 0, "CONNECT_RETRY": 30},
    }
    with more_aliases() as add:
        add("pair", "default", **both)
        fill_pool("pair")
        load = Load("pair", Ledger(observer("default", primary, NAME="postgres")), THREADS)
        yield load
        load.ledger.observer.close()


def test_a_primary_that_crashes(load: Load, primary: PostgreSQL, standby: Standby) -> None:
    with load:
        wait_for_writes(load, 50)
        primary.stop("immediate")
        gone = time.monotonic()
        wait_until(lambda: any(pool.snapshot().last_error for pool in load.pools.values()))
        standby.promote()
        promoted = time.monotonic()
        assert wait_for_writes(load, 50) - promoted < 10
    # Its processes end one after the other: who has lost one connection may be lent another that is lost a moment later.
    assert len(load.failures) <= 2 * THREADS, "those in flight, and not one for each of the idle connections"
    assert all(failure.began < gone for failure in load.failures), "who comes meanwhile waits"
    assert_moved(load, "default", standby, NAME="postgres")


def test_a_primary_that_stays_up_but_becomes_read_only(load: Load, primary: PostgreSQL, standby: Standby) -> None:
    with load:
        wait_for_writes(load, 50)
        primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.sql("SELECT pg_reload_conf()")
        wait_until(lambda: load.failures)
        # Neither takes writes now. What the primary is still committing waits for its standby, and would for ever.
        wait_until(lambda: primary.sql("SELECT count(backend_xid) FROM pg_stat_activity").strip() == "0")
        standby.promote()
        promoted = time.monotonic()
        assert wait_for_writes(load, 50) - promoted < 10
    assert 0 < len(load.failures) <= THREADS, "those in flight"
    assert {failure.text.partition(" in a ")[2] for failure in load.failures} == {"read-only transaction"}
    assert_moved(load, "default", standby, NAME="postgres")


def test_one_address_that_leads_to_a_standby_is_waited_for_until_it_is_promoted(load: Load, standby: Standby) -> None:
    alone = {"HOST": "127.0.0.1", "PORT": standby.port, "OPTIONS": {"target_session_attrs": "primary"}}
    with more_aliases() as add:
        pool = add("standby", load.alias, **alone).find_pool()
        with in_thread("waiting", pool.checkout) as leases:
            wait_until(lambda: pool.snapshot().last_error)
            assert "hot standby" in pool.snapshot().last_error
            standby.promote()
        leases[0].close()
