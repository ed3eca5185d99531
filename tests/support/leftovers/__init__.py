"""What a borrower may leave behind: the rows of the tables of docs/between-borrowers.rst, in order."""

from __future__ import annotations

from .leftover import DRIVERS, ROLE, TABLES, Leftover, driver_of, sql
from .mariadb import MARIADB_OBJECT, MARIADB_SESSION, MARIADB_UNFINISHED
from .postgresql import POSTGRESQL_OBJECT, POSTGRESQL_SESSION, POSTGRESQL_UNFINISHED

__all__ = ["DRIVERS", "LEFTOVERS", "MARIADB_UNFINISHED", "ROLE", "TABLES", "Leftover", "driver_of", "sql"]

#: {alias: {mark of a table on the page: its rows}}
LEFTOVERS = {
    "default": {
        "unfinished on PostgreSQL": POSTGRESQL_UNFINISHED,
        "the session on PostgreSQL": POSTGRESQL_SESSION,
        "the object on PostgreSQL": POSTGRESQL_OBJECT,
    },
    "mysql": {
        "unfinished on MariaDB": MARIADB_UNFINISHED,
        "the session on MariaDB": MARIADB_SESSION,
        "the object on MariaDB": MARIADB_OBJECT,
    },
}
