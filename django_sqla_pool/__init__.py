"""Pooled MySQL, MariaDB and PostgreSQL connections for Django.

Replace ``django.db`` (or ``django.contrib.gis.db``) by ``django_sqla_pool`` in ENGINE, and tune with POOL_OPTIONS::

    "ENGINE": "django_sqla_pool.backends.postgresql",
    "POOL_OPTIONS": {"POOL_SIZE": 5},

A map of the package, from the ground up:

    errors            the errors
    options           POOL_OPTIONS, declared and parsed
    drivers           what differs between psycopg, psycopg2, mysqlclient and PyMySQL
    semaphore         who may have a connection, and who is next
    outage            who may try to connect while the server is away
    housekeeper       the thread that closes what nobody uses
    ending            hears of the end of a process
    jobs              hears of the end of what asyncio has a thread do
    physical          an open connection
    snapshot          the figures of a pool
    lease             one checkout
    reports           what a pool says in the log
    connection_queue  SQLAlchemy's QueuePool, which holds the idle connections
    verifier          which connections may be lent
    pool              lends them
    process           whether it is a child of a fork
    registry          the pools of this process
    known             which of Django's methods are those known here
    reconnect         what Django's connect() does, for one that goes on with its connection
    opener            opens a pool's connections by Django's own methods
    creation          what test databases need
    cursors           look at each statement for one that leaves a cursor open
    wrapper           the factory
    backends          the engines
    checks, apps, management    the Django app: system checks and ``manage.py poolstatus``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import PoolTimeout
    from .registry import dispose, snapshots
    from .snapshot import Snapshot
    from .wrapper import pooled

__version__ = "0.1.0"
__all__ = ["PoolTimeout", "Snapshot", "dispose", "pooled", "snapshots"]

_MODULES = {
    "PoolTimeout": "errors",
    "Snapshot": "snapshot",
    "dispose": "registry",
    "pooled": "wrapper",
    "snapshots": "registry",
}


def __getattr__(name: str) -> Any:
    # Only when one is asked for: importing SQLAlchemy takes a while, and a project without pooled engines needs none of it.
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
