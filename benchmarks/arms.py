"""Arms: the ways to a database that are compared, as Django settings. Connects to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OURS = "django_sqla_pool"
KEPT = "CONN_MAX_AGE=None"
CHECKED = "CONN_MAX_AGE=None, health checks"
CLOSED = "CONN_MAX_AGE=0"
DJANGO_POOL = "Django's own pool"
CHECKED_POOL = "Django's own pool, health checks"
CONNECTION_POOL = "django-db-connection-pool"
REAL_POOL = "django-pg-real-pool"
GEVENT_POOL = "django-db-geventpool"
PGBOUNCER = "PgBouncer, CONN_MAX_AGE=0"
QUEUE_POOL = "QueuePool alone"
FLOOR = "connect() and close() alone"

Settings = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One way: its name, the packages it needs beyond Django, and its settings for a pool of ``size + more``."""

    name: str
    engines: dict[str, str]  # by vendor; a vendor that is not there has no such arm
    tuned: Callable[[int, int], Settings]
    needs: tuple[str, ...] = ()
    behind_pgbouncer: bool = False

    def settings(self, address: Settings, size: int, more: int) -> Settings:
        """One entry of DATABASES. ``address``: vendor, HOST, PORT, NAME, USER, PASSWORD, OPTIONS."""
        entry = {key: value for key, value in address.items() if key != "vendor"}
        tuned = self.tuned(size, more)
        options = {**entry.get("OPTIONS", {}), **tuned.pop("OPTIONS", {})}
        return {**entry, **tuned, "ENGINE": self.engines[address["vendor"]], "OPTIONS": options}


DJANGO = {"postgresql": "django.db.backends.postgresql", "mysql": "django.db.backends.mysql"}
POSTGRESQL = {"postgresql": "django.db.backends.postgresql"}


def _sqlalchemy(size: int, more: int) -> Settings:
    return {"POOL_OPTIONS": {"POOL_SIZE": size, "MAX_OVERFLOW": more}}


def _psycopg_pool(size: int, more: int) -> Settings:
    # It fills itself to min_size in the background: connections that the others open when they are first asked for.
    return {"OPTIONS": {"pool": {"min_size": size, "max_size": size + more, "timeout": 30}}}


ARMS = {
    arm.name: arm
    for arm in (
        Arm(
            OURS,
            {"postgresql": "django_sqla_pool.backends.postgresql", "mysql": "django_sqla_pool.backends.mysql"},
            _sqlalchemy,
        ),
        Arm(KEPT, DJANGO, lambda size, more: {"CONN_MAX_AGE": None}),
        Arm(CHECKED, DJANGO, lambda size, more: {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}),
        Arm(CLOSED, DJANGO, lambda size, more: {"CONN_MAX_AGE": 0}),
        Arm(DJANGO_POOL, POSTGRESQL, _psycopg_pool, ("psycopg-pool",)),
        Arm(
            CHECKED_POOL,
            POSTGRESQL,
            lambda size, more: {"CONN_HEALTH_CHECKS": True, **_psycopg_pool(size, more)},
            ("psycopg-pool",),
        ),
        Arm(
            CONNECTION_POOL,
            {"postgresql": "dj_db_conn_pool.backends.postgresql", "mysql": "dj_db_conn_pool.backends.mysql"},
            _sqlalchemy,
            ("django-db-connection-pool",),
        ),
        Arm(
            REAL_POOL,
            {"postgresql": "django_pg_real_pool"},
            lambda size, more: {"CONN_MAX_AGE": 0, **_psycopg_pool(size, more)},
            ("django-pg-real-pool", "psycopg-pool"),
        ),
        Arm(
            GEVENT_POOL,
            {"postgresql": "django_db_geventpool.backends.postgresql_psycopg3"},
            lambda size, more: {"CONN_MAX_AGE": 0, "OPTIONS": {"MAX_CONNS": size + more, "REUSE_CONNS": size + more}},
            ("django-db-geventpool", "gevent", "psycopg"),
        ),
        Arm(PGBOUNCER, POSTGRESQL, lambda size, more: {"CONN_MAX_AGE": 0}, behind_pgbouncer=True),
        # Not for use, but the floor of every pool that Django connects to and closes.
        Arm(
            FLOOR,
            {"postgresql": "benchmarks.measured.floor.postgresql", "mysql": "benchmarks.measured.floor.mysql"},
            lambda size, more: {"CONN_MAX_AGE": 0},
        ),
        # Not a way for Django, but the floor of ours: SQLAlchemy's pool with nothing around it, on Django's connections.
        Arm(QUEUE_POOL, DJANGO, lambda size, more: {"CONN_MAX_AGE": 0}, ("sqlalchemy",)),
    )
}
