"""Running: both servers, for as long as a block lasts, and the environment that tells others of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from . import named
from .home import Home
from .mariadb import MariaDB
from .postgresql import PostgreSQL
from .server import Server

#: Names a JSON file: for each server we started, its version and what Server.state() says; for one that the user named, null.
STATE = "TEST_SERVERS_STATE"

KINDS: tuple[type[Server], ...] = (PostgreSQL, MariaDB)


def named_by_the_user() -> dict[str, str]:
    """Give the environment variables that name a server. Raises: ServerError - one of them does not answer."""
    urls = {kind.variable: os.environ[kind.variable] for kind in KINDS if os.environ.get(kind.variable)}
    for kind in KINDS:
        if kind.variable in urls:
            named.check(kind, urls[kind.variable])
    return urls


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Give the environment variables of a PostgreSQL and a MariaDB: the servers that the user named, else our own.

    Ours are started both at once, and are gone with all their data when the block ends, however it does.
    Raises: ServerError - a named server does not answer, or one of ours does not start.
    """
    urls = named_by_the_user()
    with ExitStack() as stack:
        ours = [stack.enter_context(_removed_at_the_end(kind())) for kind in KINDS if kind.variable not in urls]
        # An interruption waits here for both starts to come to an end (seconds), so that there is nothing half begun.
        with ThreadPoolExecutor() as threads:
            for _ in threads.map(lambda server: server.start(), ours):
                continue
        urls |= {server.variable: server.url for server in ours}
        home = Home("state", owner=None)
        stack.callback(home.remove)
        by_kind = {server.kind: {"version": server.version(), **server.state()} for server in ours}
        state = home.write("servers.json", json.dumps({kind.kind: by_kind.get(kind.kind) for kind in KINDS}, indent=1))
        yield {**urls, STATE: str(state)}


@contextmanager
def _removed_at_the_end(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.remove()
