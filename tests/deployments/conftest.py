"""Servers that encrypt and write down who leaves without a goodbye; programs of their own run on them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from tests.deployments.programs import Program, running
from tests.servers import MariaDB, PostgreSQL, Server, tls
from tests.support.sessions import Observer

Make = Callable[..., Any]

DATABASE = "deployed"

#: What a server writes of a client that is gone without having said so. PostgreSQL does so by itself within a transaction only,
#: and of all at this level; MariaDB of all, from log_warnings = 2 on, its default.
OUTSPOKEN = {"postgresql": {"log_min_messages": "debug1"}, "mariadb": {"log-warnings": "4"}}
RUDE = ("unexpected EOF", "could not receive data from client", "SSL error", "Aborted connection")


@pytest.fixture(scope="session")
def encrypted_servers() -> Iterator[dict[str, Server]]:
    """A server for each alias."""
    with ExitStack() as stack:
        servers: list[Server] = [PostgreSQL(OUTSPOKEN["postgresql"]), MariaDB(OUTSPOKEN["mariadb"])]
        for server in servers:
            stack.callback(server.remove)
            tls.secure(server)
        with ThreadPoolExecutor() as threads:
            for _ in threads.map(lambda server: server.start(), servers):
                continue
        for server in servers:
            server.sql(f"CREATE DATABASE {DATABASE}")
        yield dict(zip(("default", "mysql"), servers, strict=True))


@pytest.fixture
def server(alias: str, encrypted_servers: dict[str, Server]) -> Server:
    return encrypted_servers[alias]


@pytest.fixture
def address(alias: str, server: Server) -> dict[str, Any]:
    """What Django's settings say of the database there; with PyMySQL and mysqlclient TLS has to be asked for."""
    options: dict[str, Any] = {"sslmode": "require"}
    if alias == "mysql":
        # Nobody can verify a certificate that is signed by itself.
        is_pymysql = connections["mysql"].Database.__name__ == "pymysql"
        options = {"ssl": {"verify_mode": "none", "check_hostname": False}} if is_pymysql else {"ssl_mode": "REQUIRED"}
    return {
        "HOST": "127.0.0.1",
        "PORT": server.port,
        "USER": server.user,
        "PASSWORD": server.password,
        "NAME": DATABASE,
        "OPTIONS": options,
    }


@pytest.fixture
def make_wrapper(make_wrapper: Make, address: dict[str, Any]) -> Make:
    """As everywhere, but on these servers."""
    return functools.partial(make_wrapper, **address)


@pytest.fixture
def observer(alias: str, address: dict[str, Any]) -> Iterator[Observer]:
    observer = Observer({**connections[alias].settings_dict, **address}, alias)
    yield observer
    observer.close()


@pytest.fixture
def polite(server: Server, observer: Observer) -> Callable[[], AbstractContextManager[None]]:
    """A function that makes a block at whose end no session is left, and each has said goodbye."""

    @contextmanager
    def block() -> Iterator[None]:
        assert observer.sessions() == set(), "somebody else is there"
        begun = server.log.stat().st_size
        yield
        observer.wait_until_gone(observer.sessions())
        lines = server.log.read_bytes()[begun:].decode(errors="replace").splitlines()
        assert [line for line in lines if any(word in line for word in RUDE)] == []

    return block


@pytest.fixture
def start(alias: str, address: dict[str, Any], tmp_path: Path) -> Callable[..., AbstractContextManager[Program]]:
    """A function that runs a program with the project's settings on this server, for as long as a block lasts."""

    def start(*words: str, pool: dict[str, Any] | None = None, **more: Any) -> AbstractContextManager[Program]:
        database = {**address, "ENGINE": connections[alias].settings_dict["ENGINE"], "POOL_OPTIONS": pool or {}}
        return running(words, database, tmp_path, **more)

    return start
