"""A Galera cluster of three behind one address that is moved from one node to another, as a load balancer does.

A node may go, stay up and take no more writes, or stay up without the others. Its connections are left at the first error
that says so, nothing acknowledged is lost, and what was in doubt is there once at most.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from django_sqla_pool.pool import LEAVE_PAUSE
from tests.servers.galera import Node, Template, cluster
from tests.support.aliases import more_aliases
from tests.support.failover import assert_moved, fill_pool, observer, wait_for_writes
from tests.support.ledger import Ledger
from tests.support.load import Load
from tests.support.threads import wait_until
from tests.support.wire import Proxy

THREADS = 6
IDLE = 20
# Without the right to write on a server that is read-only, which the harness's own user has.
APP = {"USER": "app", "PASSWORD": "only for the tests", "NAME": "shop"}


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    """A stopped server with a database and a user."""
    with Template() as server:
        server.sql(
            f"CREATE DATABASE {APP['NAME']}; CREATE USER {APP['USER']} IDENTIFIED BY '{APP['PASSWORD']}';"
            f"GRANT ALL ON {APP['NAME']}.* TO {APP['USER']}; GRANT PROCESS ON *.* TO {APP['USER']}"
        )
        server.stop()
        yield server


@pytest.fixture
def nodes(template: Template) -> Iterator[list[Node]]:
    with cluster(template) as nodes:
        yield nodes


@pytest.fixture
def address(nodes: list[Node]) -> Iterator[Proxy]:
    """The one address of the cluster, which leads to its first node."""
    with Proxy("127.0.0.1", nodes[0].port, protocol="mysql") as address:
        yield address


@pytest.fixture
def load(nodes: list[Node], address: Proxy) -> Iterator[Load]:
    """A load that is not running yet, on an alias that knows the address only, with a full pool of idle connections."""
    there = {"HOST": address.host, "PORT": address.port, "OPTIONS": {}, **APP}
    with more_aliases() as add:
        add("cluster", "mysql", **there, POOL_OPTIONS={"POOL_SIZE": IDLE, "MAX_OVERFLOW": 0})
        fill_pool("cluster")
        load = Load("cluster", Ledger(observer("mysql", nodes[0], **APP)), THREADS)
        yield load
        load.ledger.observer.close()


def test_a_node_that_is_killed(load: Load, nodes: list[Node], address: Proxy) -> None:
    with load:
        wait_for_writes(load, 50)
        nodes[0].kill()
        address.lead_to("127.0.0.1", nodes[1].port)
        moved = time.monotonic()
        # The others vote it out after 2 s, and commit nothing meanwhile.
        assert wait_for_writes(load, 50) - moved < 15
    assert len(load.failures) <= THREADS, "those in flight"
    assert_moved(load, "mysql", nodes[1], **APP)


def test_a_node_that_becomes_read_only(load: Load, nodes: list[Node], address: Proxy) -> None:
    with load:
        wait_for_writes(load, 50)
        # First the address, then the node, as a planned switch is made: nobody is led to a node that takes no writes.
        address.lead_to("127.0.0.1", nodes[1].port)
        nodes[0].set(read_only="ON")
        moved = time.monotonic()
        assert wait_for_writes(load, 50) - moved < 10
        failures = load.failures
        # The other way round, as a load balancer does it that looks at its nodes now and then.
        nodes[1].set(read_only="ON")
        wait_until(lambda: len(load.failures) >= len(failures) + 20)
        address.lead_to("127.0.0.1", nodes[2].port)
        moved = time.monotonic()
        assert wait_for_writes(load, 50) - moved < 10
        wait_until(lambda: time.monotonic() > moved + LEAVE_PAUSE + 1)
        wait_for_writes(load, 50)
    assert 0 < len(failures) <= THREADS, "not one for each idle connection"
    assert all("--read-only" in failure.text for failure in load.failures)
    assert all(failure.ended < moved + LEAVE_PAUSE + 1 for failure in load.failures)
    assert_moved(load, "mysql", nodes[2], **APP)


def test_a_node_that_is_cut_off_from_the_others(load: Load, nodes: list[Node], address: Proxy) -> None:
    with load:
        wait_for_writes(load, 50)
        address.lead_to("127.0.0.1", nodes[1].port)
        nodes[0].isolate()
        wait_until(lambda: not nodes[0].is_ready(), within=30)
        alone = time.monotonic()
        assert wait_for_writes(load, 50) - alone < 10
    assert 0 < len(load.failures) <= THREADS, "those in flight; it answers pings, but nothing else"
    assert_moved(load, "mysql", nodes[1], **APP)
