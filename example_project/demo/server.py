"""The demo's database on a PostgreSQL, MySQL or MariaDB server, and what that server counts.

Speaks to the server through the example project's own settings, on Django's own engine. Touches no database but
the one that it makes.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from .failure import Failure

CONNECT_SECONDS = 10
ANSWER_SECONDS = 20
SETTLED_AFTER = 1.0  # PostgreSQL's sessions report their figures at most once a second
SETTLE_SECONDS = 15.0


class Server:
    """A server, and one database there with a name of its own."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self.is_postgresql = self._url.scheme != "mysql"
        self.name = f"sqla_pool_demo_{secrets.token_hex(6)}"
        # MySQL needs no database to connect to, and PostgreSQL has one called postgres.
        maintenance = self._url.path.strip("/") or "postgres" if self.is_postgresql else ""
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": self._url_of(maintenance),
            "ATLAS_POOLED": "no",
        }

    @property
    def database_url(self) -> str:
        """The address of the demo's database, password included: for the environment of a child, not for display."""
        return self._url_of(self.name)

    def connect(self) -> str:
        """Try the way to the server; return what it is, for display."""
        import django
        from django.core.exceptions import ImproperlyConfigured
        from django.db import Error, connection

        try:
            django.setup()
            options = connection.settings_dict["OPTIONS"]
            options.setdefault("connect_timeout", CONNECT_SECONDS)
            if not self.is_postgresql:  # PyMySQL's connect_timeout ends before the server's greeting is read
                options.setdefault("read_timeout", ANSWER_SECONDS)
            connection.ensure_connection()
        except (Error, ImproperlyConfigured, RuntimeError, TypeError) as error:  # the last two: PyMySQL, unknown option
            raise Failure(
                f"cannot use the server of DATABASE_URL: {_first_line(error)}\n"
                "Check that it runs there and accepts this user and password; make demo without DATABASE_URL needs no server."
            ) from None
        version = ".".join(str(number) for number in connection.get_database_version())
        self._driver: str = connection.Database.__name__  # type: ignore[attr-defined]
        return f"{connection.display_name} {version}, through {self._driver}"

    def create(self) -> None:
        """Make the database."""
        from django.db import Error

        how = "TEMPLATE template0 ENCODING 'UTF8'" if self.is_postgresql else "CHARACTER SET utf8mb4"
        try:
            self._execute(f"CREATE DATABASE {self.name} {how}")
        except Error as error:
            grant = "ALTER ROLE <user> CREATEDB;" if self.is_postgresql else r"GRANT ALL ON `sqla\_pool\_demo\_%`.* TO <user>;"
            raise Failure(
                f"cannot make a database on that server: {_first_line(error)}\n"
                f"An administrator of the server can permit it: {grant}"
            ) from None

    def drop(self) -> None:
        """Drop the database, if it was made."""
        from django.db import Error, connection

        connection.close()  # what was interrupted may have left it unusable
        statement = f"DROP DATABASE IF EXISTS {self.name}"
        try:
            self._execute(f"{statement} WITH (FORCE)" if self.is_postgresql else statement)
        except Error as error:
            raise Failure(f"could not drop the demo's database: {_first_line(error)}\nBy hand: {statement};") from None
        finally:
            connection.close()

    def connections_opened(self) -> int:
        """How many connections were opened until now: in the demo's database, or (MySQL, MariaDB) on the whole server.

        Waits until the figure has come to rest, since PostgreSQL's sessions report theirs with a delay.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        figure, since = self._count(), time.monotonic()
        while (now := time.monotonic()) < min(since + SETTLED_AFTER, deadline):
            time.sleep(0.1)
            if (latest := self._count()) != figure:
                figure, since = latest, now
        return figure

    def remarks(self) -> list[str]:
        """What to know of the figures taken on this server."""
        remarks = []
        if not self.is_postgresql:
            remarks.append("Connections are those of the whole server; what else it serves is among them.")
        if self._driver == "pymysql":
            remarks.append("PyMySQL reads the system's certificates for every connection; mysqlclient would gain less.")
        return remarks

    def _count(self) -> int:
        if self.is_postgresql:
            [row] = self._execute("SELECT sessions FROM pg_stat_database WHERE datname = %s", [self.name])
            return int(row[0])
        [row] = self._execute("SHOW GLOBAL STATUS LIKE 'Connections'")
        return int(row[1])

    def _execute(self, statement: str, parameters: list[Any] | None = None) -> list[Any]:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _url_of(self, name: str) -> str:
        # urlunsplit() drops the empty authority of postgres:///name, hence by hand.
        query = f"?{self._url.query}" if self._url.query else ""
        return f"{self._url.scheme}://{self._url.netloc}/{name}{query}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
