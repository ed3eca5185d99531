"""PostgreSQL, with PostGIS at hand: how Debian's (or any) programs are found, set up and asked."""

from __future__ import annotations

import signal
from pathlib import Path

from . import machine
from .machine import ServerError
from .server import Server


class PostgreSQL(Server):
    """A PostgreSQL server; see Server."""

    kind = "postgresql"
    variable = "TEST_POSTGRESQL_URL"
    scheme = "postgres"
    accounts = ("postgres",)
    # Source: PostgreSQL's manual, "Shutting Down the Server".
    signals = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

    @classmethod
    def find_programs(cls) -> dict[str, Path]:
        # Debian's place first: its /usr/bin/psql is a wrapper that looks for clusters of its own.
        for folder in [*machine.newest_first("/usr/lib/postgresql/[0-9]*/bin"), ""]:
            folders = [folder] if folder else []
            found = {name: machine.find_program(name, folders=folders) for name in ("postgres", "initdb", "psql")}
            programs = {name: path for name, path in found.items() if path is not None}
            if len(programs) == len(found) and has_postgis(programs["postgres"]):
                return programs
        raise ServerError("no PostgreSQL server with PostGIS (postgres, initdb, psql, postgis.control) is installed")

    def create(self) -> None:
        password = self.home.write("password", self.password)
        self.home.run(
            self.programs["initdb"],
            f"--pgdata={self.data}",
            f"--username={self.user}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        password.unlink()
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\ninclude = 'harness.conf'\n")

    def command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            # With the data folder goes the memory, whatever end the server came to.
            "dynamic_shared_memory_type": "mmap",
            # The data need not outlive the machine.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "track_activities": "on",
            "max_prepared_transactions": "2",  # two-phase commit is off otherwise
            # Neither UTC nor what Django's tests use: a session that was never given its time zone is seen at once.
            "timezone": "Europe/Paris",
            **self.settings,
        }
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        self.home.write("data/harness.conf", "".join(lines))
        return [self.programs["postgres"], "-D", self.data]

    def sql(self, statements: str, database: str = "") -> str:
        words = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user]
        words += ["-d", database or "postgres"]
        return self.home.run(self.programs["psql"], *words, text=statements, password=self.password)

    def release_memory(self) -> None:
        # A server killed for good leaves one small System V segment, named in the file that is left over with it.
        # Source: PostgreSQL's src/include/utils/pidfile.h, LOCK_FILE_LINE_SHMEM_KEY.
        lock = self.data / "postmaster.pid"
        ipcrm = machine.find_program("ipcrm")
        if ipcrm is None or not lock.exists():
            return
        words = (lock.read_text().splitlines() + [""] * 7)[6].split()
        if len(words) == 2:
            self.home.run(ipcrm, "-m", words[1])


def has_postgis(postgres: Path) -> bool:
    """Tell whether PostGIS is there for this server program, by Debian's layout or by that of a build from source."""
    bin_folder = postgres.resolve().parent
    version = bin_folder.parent.name
    places = [Path(f"/usr/share/postgresql/{version}"), *(bin_folder.parent / "share").glob("**/")]
    return any((place / "extension" / "postgis.control").exists() for place in places)
