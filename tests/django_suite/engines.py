"""Engines: which of ours are held against which of Django's, with which drivers and on which server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.servers import MariaDB, PostgreSQL, Server


@dataclass(frozen=True)
class Engine:
    """One of ours, and what its environment is to hold: Django prefers psycopg 3 where both are installed."""

    name: str
    ours: str
    stock: str
    server: type[Server]
    drivers: tuple[str, ...]
    modules: tuple[str, ...] = ()  # of Django's tests, those that are about it; none means all

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


_PSYCOPG = ("psycopg[binary,pool] >= 3.1.12", "mysqlclient >= 2.2.1")
_PSYCOPG2 = ("psycopg2-binary >= 2.9.9",)

_POSTGRESQL = ("django_sqla_pool.backends.postgresql", "django.db.backends.postgresql", PostgreSQL)
_MYSQL = ("django_sqla_pool.backends.mysql", "django.db.backends.mysql", MariaDB)
_POSTGIS = ("django_sqla_pool.backends.postgis", "django.contrib.gis.db.backends.postgis", PostgreSQL)

ENGINES = {
    engine.name: engine
    for engine in (
        Engine("postgresql-psycopg", *_POSTGRESQL, _PSYCOPG),
        Engine("postgresql-psycopg2", *_POSTGRESQL, _PSYCOPG2),
        Engine("mysql-mysqlclient", *_MYSQL, _PSYCOPG),
        Engine("postgis-psycopg", *_POSTGIS, _PSYCOPG, ("gis_tests",)),
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
