"""What a load has to show after its alias has been taken from one server to another."""

from __future__ import annotations

import time
from typing import Any

from django.db import connections

from tests.support.load import Load
from tests.support.sessions import Observer

_ASK_PORT = {"postgresql": "SELECT inet_server_port()", "mysql": "SELECT @@port"}


def observer(alias: str, server: Any, **settings: Any) -> Observer:
    """Somebody with a connection of its own to one of the servers."""
    mine = {"HOST": "127.0.0.1", "PORT": server.port, "USER": server.user, "PASSWORD": server.password}
    return Observer({**connections[alias].settings_dict, **mine, **settings}, alias)


def fill_pool(alias: str) -> None:
    """Open as many connections as an alias may have, and leave them idle."""
    pool = connections[alias].find_pool()  # type: ignore[attr-defined]
    for lease in [pool.checkout() for _ in range(pool.options.limit)]:
        lease.close()


def wait_for_writes(load: Load, count: int) -> float:
    """Wait until so many more rows are acknowledged (30 s at most), and return the time."""
    target = load.ledger.figures()["acknowledged"] + count
    deadline = time.monotonic() + 30
    while load.ledger.figures()["acknowledged"] < target:
        assert time.monotonic() < deadline, [str(failure) for failure in load.failures[-5:]]
        time.sleep(0.002)  # a ledger has no event
    return time.monotonic()


def assert_moved(load: Load, alias: str, server: Any, **settings: Any) -> None:
    """Every row that was acknowledged is on this server once, and every connection of the pool leads to it."""
    load.ledger.observer.close()
    load.ledger.observer = observer(alias, server, **settings)
    assert load.violations() == []
    (pool,) = load.pools.values()
    leases = [pool.checkout() for _ in range(pool.snapshot().idle)]
    ports = {_port(lease.connection, load.alias) for lease in leases}
    for lease in leases:
        lease.close()
    assert ports == {server.port}


def _port(connection: Any, alias: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_ASK_PORT[connections[alias].vendor])
        return int(cursor.fetchone()[0])
