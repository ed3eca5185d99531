"""What a borrower may leave behind: how it is left, and how the next one would notice.

Owns: what a row of docs/between-borrowers.rst is made of. The rows themselves are in the package's other two modules; whether
something stays is for the tests to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connections, transaction

Look = Callable[[Any], Any]
Leave = Callable[[Any], Any]  # what it returns is kept alive until the next borrower has looked

DRIVERS = {
    "default": {"psycopg": "psycopg 3", "psycopg2": "psycopg2"},
    "mysql": {"MySQLdb": "mysqlclient", "pymysql": "PyMySQL"},
}


def driver_of(wrapper: Any) -> str:
    """Return the driver's name, as the page has it."""
    names = DRIVERS["mysql" if wrapper.vendor == "mysql" else "default"]
    return names[wrapper.Database.__name__]


@dataclass(frozen=True)
class Leftover:
    """One row of a table."""

    what: str  # in the page's words
    leave: Leave | Mapping[str, Leave]  # one for each driver, where they differ; a driver without one has no such thing
    look: Look  # the answer before, compared with the answer of the next borrower
    is_seen: bool = True  # whoever leaves it sees it as well, and can look without undoing it
    options: Mapping[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)  # OPTIONS that a driver needs for it

    def leave_of(self, driver: str) -> Leave | None:
        return self.leave.get(driver) if isinstance(self.leave, Mapping) else self.leave


# ----------------------------------------------------------------------------------------------------- leaving and looking


def sql(*statements: str) -> Leave:
    def leave(wrapper: Any) -> None:
        for statement in statements:
            with wrapper.cursor() as cursor:
                cursor.execute(statement)

    return leave


def failing(*statements: str) -> Leave:
    """One of them raises."""

    def leave(wrapper: Any) -> None:
        try:
            sql(*statements)(wrapper)
        except DatabaseError:
            return
        raise AssertionError("it did not fail")

    return leave


def ask(question: str, *parameters: Any) -> Look:
    """Look at the answer to a question; an error is an answer."""

    def look(wrapper: Any) -> Any:
        try:
            with wrapper.cursor() as cursor:
                cursor.execute(question, parameters or None)
                return repr(cursor.fetchall())
        except DatabaseError as error:
            return type(error).__name__

    return look


def both(*looks: Look) -> Look:
    return lambda wrapper: [look(wrapper) for look in looks]


def attribute(name: str, value: Any) -> Leave:
    return lambda wrapper: setattr(wrapper.connection, name, value)


def seen(name: str) -> Look:
    def look(wrapper: Any) -> Any:
        value = getattr(wrapper.connection, name, None)
        return value.copy() if isinstance(value, (list, dict)) else value

    return look


def on_connection(work: Callable[[Any], Any]) -> Leave:
    return lambda wrapper: work(wrapper.connection)


def half_read(make_cursor: Callable[[Any], Any], question: str) -> Leave:
    def leave(wrapper: Any) -> Any:
        cursor = make_cursor(wrapper)
        cursor.execute(question)
        assert cursor.fetchone()
        return cursor

    return leave


def an_atomic_block(wrapper: Any) -> Any:
    original = connections[wrapper.alias]
    connections[wrapper.alias] = wrapper
    try:
        block = transaction.atomic(using=wrapper.alias)
        block.__enter__()
    finally:
        connections[wrapper.alias] = original
    sql(INSERT)(wrapper)
    return block


def autocommit_off(wrapper: Any) -> None:
    wrapper.set_autocommit(False)
    sql(INSERT)(wrapper)


def calling(name: str, body: str, is_failing: bool = False) -> Leave:
    """Call a procedure."""

    def leave(wrapper: Any) -> None:
        sql(f"DROP PROCEDURE IF EXISTS {name}", f"CREATE PROCEDURE {name}() BEGIN {body}; END")(wrapper)
        (failing if is_failing else sql)(f"CALL {name}()")(wrapper)

    return leave


INSERT = "INSERT INTO numbers VALUES (1)"
#: The tables that the rows need.
TABLES = ("numbers", "others")
ROLE = "django_sqla_pool_reader"


OWN_ATTRIBUTE = Leftover(
    "an attribute of your own",
    {name: attribute("mine", "first") for name in ("psycopg 3", "mysqlclient", "PyMySQL")},
    seen("mine"),
)
