"""The databases of a session, made and dropped on Django's own engine, and what the servers count."""

from __future__ import annotations

import time

from django.db import connections

SETTLED_AFTER = 1.2  # PostgreSQL's sessions report their figures at most once a second
SETTLE_SECONDS = 10.0


def create(names: list[str]) -> None:
    """Make these databases on every server of this worker."""
    for name in names:
        _on_every_server(f"CREATE DATABASE {name}", f"CREATE DATABASE {name}")


def drop(names: list[str]) -> None:
    """Drop these databases, whoever is still connected to them."""
    for name in names:
        _on_every_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"DROP DATABASE IF EXISTS {name}")


def versions() -> dict[str, str]:
    """The server of each alias."""
    found = {}
    for alias in _aliases():
        connection = connections[alias]
        number = ".".join(map(str, connection.get_database_version()))
        name = "MariaDB" if getattr(connection, "mysql_is_mariadb", False) else connection.display_name
        found[alias] = f"{name} {number}"
    return found


def free_slots(alias: str) -> int:
    """How many connections the server still lets in."""
    if connections[alias].vendor == "postgresql":
        return _ask(alias, "SHOW max_connections") - _ask(alias, "SELECT count(*) FROM pg_stat_activity") - 10
    return _ask(alias, "SELECT @@max_connections") - _ask(alias, "SELECT count(*) FROM information_schema.processlist") - 10


def opened(alias: str, names: list[str]) -> list[int]:
    """How many connections were ever opened: to each of these databases, or (MySQL, MariaDB) to the whole server.

    Waits until the figures have come to rest.
    """
    if connections[alias].vendor == "mysql":  # which counts at once
        return [_ask(alias, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'CONNECTIONS'")]
    deadline = time.monotonic() + SETTLE_SECONDS
    figures, since = _sessions(alias, names), time.monotonic()
    while (now := time.monotonic()) < min(since + SETTLED_AFTER, deadline):
        time.sleep(0.1)
        if (latest := _sessions(alias, names)) != figures:
            figures, since = latest, now
    return figures


def connected(alias: str, name: str) -> int:
    """How many connections to this database are open now."""
    if connections[alias].vendor == "postgresql":
        return _ask(alias, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", name)
    return _ask(alias, "SELECT count(*) FROM information_schema.processlist WHERE db = %s", name)


def seconds_until(alias: str, name: str, most: int, within: float) -> float:
    """Wait until no more than ``most`` connections to this database are open; say how long that took."""
    begun = time.monotonic()
    while connected(alias, name) > most:
        if time.monotonic() - begun > within:
            raise TimeoutError(f"{connected(alias, name)} connections to {name} are left after {within:g} s")
        time.sleep(0.02)
    return time.monotonic() - begun


def _sessions(alias: str, names: list[str]) -> list[int]:
    return [_ask(alias, "SELECT sessions FROM pg_stat_database WHERE datname = %s", name) for name in names]


def _aliases() -> list[str]:
    return [alias for alias in connections if connections.settings[alias]["NAME"]]


def _ask(alias: str, statement: str, *parameters: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return int(cursor.fetchone()[0])


def _on_every_server(postgresql: str, mysql: str) -> None:
    for alias in _aliases():
        with connections[alias].cursor() as cursor:
            cursor.execute(postgresql if connections[alias].vendor == "postgresql" else mysql)
