"""Engines: which of ours are held against which of Django's, with which drivers and on which server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.servers import MariaDB, PostgreSQL, Server


@dataclass(frozen=True)
class Engine:
    """One of ours; ``drivers`` are what its environment holds, and what it must not hold decides as well."""

    name: str
    ours: str
    stock: str
    server: type[Server]
    drivers: tuple[str, ...]

    def databases(self, engine: str, url: str) -> dict[str, Any]:
        """DATABASES for Django's suite, which wants two: of the same kind, and in utf8mb4."""
        parts = urlsplit(url)
        common = {
            "ENGINE": engine,
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname,
            "PORT": str(parts.port),
            "TEST": {"CHARSET": "utf8mb4"} if self.server is MariaDB else {},
        }
        return {alias: {**common, "NAME": f"django_sqla_pool_suite_{alias}"} for alias in ("default", "other")}


#: Django prefers psycopg 3 where both are installed.
_PSYCOPG = ("psycopg[binary,pool] >= 3.1.12", "mysqlclient >= 2.2.1")
_PSYCOPG2 = ("psycopg2-binary >= 2.9.9",)

_POSTGRESQL = ("django_sqla_pool.backends.postgresql", "django.db.backends.postgresql", PostgreSQL)
_MYSQL = ("django_sqla_pool.backends.mysql", "django.db.backends.mysql", MariaDB)

ENGINES = {
    engine.name: engine
    for engine in (
        Engine("postgresql-psycopg", *_POSTGRESQL, _PSYCOPG),
        Engine("postgresql-psycopg2", *_POSTGRESQL, _PSYCOPG2),
        Engine("mysql-mysqlclient", *_MYSQL, _PSYCOPG),
    )
}

#: What touches connections: the choice of `make test`, of seconds instead of quarters of an hour.
QUICK = (
    "backends",
    "transactions",
    "transaction_hooks",
    "async",
    "servers",
    "multiple_database",
    "select_for_update",
    "db_utils",
    "dbshell",
    "introspection",
    "inspectdb",
    "sessions_tests",
    "delete_regress",
    "empty",
    "timezones",
    "test_utils",
    "handlers",
)
