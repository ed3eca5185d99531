"""The system checks: what is wrong, or probably not meant, with the settings of pooled aliases.

They own their ids, which ``docs/checks.rst`` explains. They change nothing; a server is asked only where Django has the checks of
a database run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from . import options
from .pool import Pool
from .wrapper import is_pooled

__all__ = ["CHECKS", "check_capacity", "check_settings"]

CHECKS = {
    "django_sqla_pool.E001": "POOL_OPTIONS has an unknown key, a wrong type or a value out of bounds.",
    "django_sqla_pool.W001": "CONN_MAX_AGE is not 0: threads keep pooled connections between requests.",
    "django_sqla_pool.W002": "OPTIONS has Django's own pool: this one steps aside.",
    "django_sqla_pool.W003": "POOL_OPTIONS is set for an engine that is not pooled, and has no effect.",
    "django_sqla_pool.W004": "The pools of all processes may open more connections than the server accepts.",
}


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the settings of every alias, without a connection."""
    return [message for alias in connections for message in _check_alias(alias)]


def _check_alias(alias: str) -> Iterator[CheckMessage]:
    wrapper = connections[alias]
    settings: dict[str, Any] = wrapper.settings_dict
    if not is_pooled(wrapper):
        if "POOL_OPTIONS" in settings:
            yield Warning(
                f"DATABASES[{alias!r}] has POOL_OPTIONS, but ENGINE {settings['ENGINE']!r} is not pooled.",
                hint="Replace 'django.db' (or 'django.contrib.gis.db') by 'django_sqla_pool' in ENGINE if the server is "
                "PostgreSQL, MySQL or MariaDB; else remove POOL_OPTIONS.",
                id="django_sqla_pool.W003",
            )
        return
    for problem in options.problems(settings.get("POOL_OPTIONS"), alias):
        yield Error(problem, id="django_sqla_pool.E001")
    if wrapper.vendor == "postgresql" and settings["OPTIONS"].get("pool"):
        yield Warning(
            f"DATABASES[{alias!r}]['OPTIONS']['pool'] asks for Django's own pool; POOL_OPTIONS has no effect.",
            hint="Remove OPTIONS['pool'], or use Django's own ENGINE.",
            id="django_sqla_pool.W002",
        )
        return
    if settings["CONN_MAX_AGE"] != 0:
        yield Warning(
            f"DATABASES[{alias!r}]['CONN_MAX_AGE'] = {settings['CONN_MAX_AGE']!r}: each thread keeps its pooled connection "
            "between requests, and others wait for it.",
            hint="Remove CONN_MAX_AGE: the pool keeps the connections open.",
            id="django_sqla_pool.W001",
        )


def check_capacity(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Compare what all processes together may open with what each server accepts: one query a server."""
    servers: dict[tuple[str, ...], dict[Pool, str]] = defaultdict(dict)
    for alias in databases or ():
        wrapper = connections[alias]
        if not is_pooled(wrapper) or options.problems(wrapper.settings_dict.get("POOL_OPTIONS"), alias):
            continue  # the other check has said so
        pool = wrapper.find_pool()
        if pool is not None:
            # Aliases with the same settings share one pool.
            servers[_server_of(wrapper)].setdefault(pool, alias)
    return [message for aliases in servers.values() for message in _check_server(aliases)]


def _server_of(wrapper: BaseDatabaseWrapper) -> tuple[str, ...]:
    settings = wrapper.settings_dict
    port = settings["PORT"] or {"postgresql": 5432, "mysql": 3306}[wrapper.vendor]
    return wrapper.vendor, settings["HOST"] or "localhost", str(port)


def _check_server(aliases: Mapping[Pool, str]) -> Iterator[CheckMessage]:
    available, arithmetic = _available_connections(connections[next(iter(aliases.values()))])
    limits = {alias: pool.options.limit for pool, alias in aliases.items()}
    unlimited = [alias for alias, limit in limits.items() if limit is None]
    if unlimited:
        text = (
            f"DATABASES[{unlimited[0]!r}]: the pool has no limit, and the server accepts {available} connections ({arithmetic})."
        )
    else:
        count, processes = _count_processes()
        wanted = count * sum(limit for limit in limits.values() if limit is not None)
        if wanted <= available:
            return
        sums = " + ".join(f"{limit} for {alias!r}" for alias, limit in limits.items())
        text = (
            f"{processes} x (POOL_SIZE + MAX_OVERFLOW: {sums}) = {wanted} connections, "
            f"but the server accepts {available} ({arithmetic})."
        )
    yield Warning(
        text,
        hint="Lower POOL_SIZE or MAX_OVERFLOW, run fewer processes, or raise the server's max_connections.",
        id="django_sqla_pool.W004",
    )


def _count_processes() -> tuple[int, str]:
    # The variable by which gunicorn, uvicorn and most hosting platforms are told how many workers to start.
    value = os.environ.get("WEB_CONCURRENCY", "")
    if value.isdecimal() and int(value) > 0:
        return int(value), f"{int(value)} {'process' if int(value) == 1 else 'processes'} (WEB_CONCURRENCY)"
    return 1, f"1 process (WEB_CONCURRENCY is {repr(value) if value else 'not set'})"


def _available_connections(wrapper: BaseDatabaseWrapper) -> tuple[int, str]:
    with wrapper.temporary_connection() as cursor:
        if wrapper.vendor == "mysql":
            cursor.execute("SELECT @@max_connections")
            (most,) = cursor.fetchone()
            return int(most), f"max_connections {most}"
        cursor.execute(
            "SELECT name, setting::int FROM pg_catalog.pg_settings"
            " WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        settings = dict(cursor.fetchall())
    most = settings.pop("max_connections")
    reserved = sum(settings.values())
    return most - reserved, f"max_connections {most} less {reserved} reserved"
