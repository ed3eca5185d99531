"""What differs between the drivers: how to probe, ping, reset and close a connection, and what their errors mean.

A Driver object belongs to one connection and is used by one thread at a time. It owns no policy: when to do what, and what
follows from a failure, is the pool's. The drivers themselves are not imported here, only recognised.
"""

from __future__ import annotations

from types import ModuleType

from .base import Driver, Liveness, NoAnswer, ResetFailed
from .mysql import MySQLClient, PyMySQL
from .postgresql import Psycopg, Psycopg2

__all__ = ["Driver", "Liveness", "NoAnswer", "ResetFailed", "driver_class"]

_DRIVERS: dict[str, type[Driver]] = {
    "psycopg": Psycopg,
    "psycopg2": Psycopg2,
    "MySQLdb": MySQLClient,
    "pymysql": PyMySQL,
}


def driver_class(database: ModuleType) -> type[Driver]:
    """Return the Driver for a Django backend's ``Database`` module.

    Raises: TypeError - the module is none of psycopg, psycopg2, MySQLdb and PyMySQL.
    """
    name = database.__name__.partition(".")[0]
    try:
        return _DRIVERS[name]
    except KeyError:
        known = ", ".join(_DRIVERS)
        raise TypeError(f"django_sqla_pool can't pool connections of {name!r}; it knows {known}.") from None
