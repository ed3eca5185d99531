"""PgBouncer, in front of one database of a PostgreSQL server."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import machine
from .machine import ServerError
from .postgresql import PostgreSQL
from .server import Server


class PgBouncer(Server):
    """A PgBouncer; see Server. ``settings`` are those of its section [pgbouncer].

    ``behind``: HOST, PORT, USER, PASSWORD and NAME of the database, as in Django's settings; the last three are the same here.
    """

    kind = "pgbouncer"
    variable = ""  # none is named by the environment
    scheme = "postgres"
    accounts = ("postgres",)
    greeting = ("SHOW VERSION", "pgbouncer")  # of itself: asking the server behind would leave a connection there

    def __init__(self, behind: Mapping[str, Any], settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings)
        # The one that ends it at once, whoever is connected: nothing is kept here. SIGQUIT has no handler before 1.23, and is
        # ignored where a shell has begun us in the background. Source: PgBouncer's change log, 1.23.0.
        at_once = signal.SIGQUIT if self._release() >= (1, 23) else signal.SIGTERM
        self.signals = {"fast": at_once, "immediate": at_once}
        self.behind = behind
        self.password = behind["PASSWORD"]

    @classmethod
    def find_programs(cls) -> dict[str, Path]:
        pgbouncer = machine.find_program("pgbouncer")
        if pgbouncer is None:
            raise ServerError("PgBouncer is not installed; on Debian: apt-get install pgbouncer")
        return {"pgbouncer": pgbouncer, "psql": PostgreSQL.find_programs()["psql"]}

    def _release(self) -> tuple[int, ...]:
        said = self.home.run(self.programs["pgbouncer"], "--version")
        found = re.search(r"PgBouncer (\d+)\.(\d+)", said)
        if found is None:
            raise ServerError(f"{self.programs['pgbouncer']} does not say its version: {said!r}")
        return tuple(map(int, found.groups()))

    def create(self) -> None:
        self.data.mkdir()
        machine.give(self.data, self.home.owner)
        # One list for the clients and for the server behind, to which the password has to be known in plain text.
        self.home.write("data/users", f'"{self.behind["USER"]}" "{self.password}"\n')

    def command(self) -> list[str | Path]:
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self.data / "users"),
            "admin_users": self.behind["USER"],
            "max_client_conn": "1000",
            "ignore_startup_parameters": "extra_float_digits",
            "log_connections": "0",
            "log_disconnections": "0",
            **self.settings,
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        server = f"host={self.behind['HOST']} port={self.behind['PORT']} dbname={self.behind['NAME']}"
        text = f"[databases]\n{self.behind['NAME']} = {server}\n[pgbouncer]\n{''.join(lines)}"
        return [self.programs["pgbouncer"], self.home.write("pgbouncer.ini", text)]

    def sql(self, statements: str, database: str = "") -> str:
        words = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.behind["USER"]]
        words += ["-d", database or self.behind["NAME"]]
        return self.home.run(self.programs["psql"], *words, text=statements, password=self.password)
