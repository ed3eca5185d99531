"""Servers: the databases that the arms are measured on, and PgBouncer. What starts here ends with its block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.servers import MariaDB, PgBouncer, PostgreSQL, tls

#: A checkout with 500 idle connections, and a dozen arms with 32 connections each, want more than a server's default.
CONNECTIONS = "1200"
Address = dict[str, Any]


class PostgreSQLBehindTLS(PostgreSQL):
    """A PostgreSQL server to which connecting is dear: TLS over TCP, and SCRAM's 4096 rounds."""

    def create(self) -> None:
        super().create()
        tls.secure(self)


def own_servers() -> tuple[PostgreSQL, MariaDB]:
    """Servers with room for the largest experiment, not started yet."""
    return (
        PostgreSQL({"max_connections": CONNECTIONS, "shared_buffers": "256MB"}),
        MariaDB({"max-connections": CONNECTIONS, "table-open-cache": "400"}),
    )


def address(url: str, database: str, **options: Any) -> Address:
    """What Django needs to know of a database on the server of a URL, and the vendor."""
    parts = urlsplit(url)
    return {
        "vendor": "mysql" if parts.scheme == "mysql" else "postgresql",
        "HOST": parts.hostname,
        "PORT": parts.port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "NAME": database,
        "OPTIONS": options,
    }


@contextlib.contextmanager
def pgbouncer(behind: Address, size: int) -> Iterator[Address]:
    """Run a PgBouncer in front of a PostgreSQL database, in transaction mode; give its address."""
    with PgBouncer(behind, {"pool_mode": "transaction", "default_pool_size": str(size)}) as server:
        yield {**behind, "PORT": server.port}


def named_urls() -> dict[str, str]:
    """The servers that the environment names, as the tests do; without those it does not name."""
    return {kind.kind: os.environ[kind.variable] for kind in (PostgreSQL, MariaDB) if os.environ.get(kind.variable)}
