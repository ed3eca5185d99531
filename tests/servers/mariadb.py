"""MariaDB with its time zone tables loaded: how Debian's (or any) programs are found, set up and asked."""

from __future__ import annotations

import signal
from pathlib import Path

from . import machine
from .home import CONNECT_SECONDS
from .machine import ServerError
from .server import Server

#: Each program under its name of today and the one it had before MariaDB 10.5.
PROGRAMS = {
    "mariadbd": ("mariadbd", "mysqld"),
    "mariadb-install-db": ("mariadb-install-db", "mysql_install_db"),
    "mariadb-tzinfo-to-sql": ("mariadb-tzinfo-to-sql", "mysql_tzinfo_to_sql"),
    "mariadb": ("mariadb", "mysql"),
}
ZONES = Path("/usr/share/zoneinfo")


class MariaDB(Server):
    """A MariaDB server; see Server. A setting with the value "" is a bare option."""

    kind = "mariadb"
    variable = "TEST_MARIADB_URL"
    scheme = "mysql"
    accounts = ("mysql",)
    # MariaDB knows one orderly end only; "immediate" is the other one, and InnoDB recovers.
    signals = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}

    @classmethod
    def find_programs(cls) -> dict[str, Path]:
        found = {name: machine.find_program(*names) for name, names in PROGRAMS.items()}
        programs = {name: path for name, path in found.items() if path is not None}
        if missing := found.keys() - programs.keys():
            raise ServerError(f"no complete MariaDB server is installed: {', '.join(sorted(missing))} not found")
        return programs

    def create(self) -> None:
        self.home.run(
            self.programs["mariadb-install-db"],
            "--no-defaults",
            f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        )
        # Accounts without a password are not left even on loopback, hence no "root".
        self.home.write(
            "first.sql",
            f"CREATE USER '{self.user}'@'%' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{self.user}'@'%' WITH GRANT OPTION;\n"
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\n"
            "FLUSH PRIVILEGES;\n",
        )

    def command(self) -> list[str | Path]:
        settings = {
            "datadir": str(self.data),
            "tmpdir": str(self.home.tmp),
            "socket": str(self.home.path / "socket"),
            "pid-file": str(self.home.path / "pid"),
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "skip-name-resolve": "",
            "max-connections": "200",
            "character-set-server": "utf8mb4",
            # The data need not outlive the machine.
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-doublewrite": "0",
            "innodb-buffer-pool-size": "64M",
            # Containers often lack the kernel's asynchronous I/O, or have run out of it.
            "innodb-use-native-aio": "0",
            **self.settings,
        }
        first = self.home.path / "first.sql"
        if first.exists():
            settings["init-file"] = str(first)
        lines = [f"{name} = {value}\n" if value else f"{name}\n" for name, value in settings.items()]
        server = self.home.write("server.cnf", "[mariadbd]\n" + "".join(lines))
        self.home.write(
            "client.cnf",
            f"[client]\nprotocol = tcp\nhost = 127.0.0.1\nport = {self.port}\nuser = {self.user}\n"
            f"password = {self.password}\ndefault-character-set = utf8mb4\n"
            f"[mariadb-client]\nconnect-timeout = {CONNECT_SECONDS}\n",
        )
        return [self.programs["mariadbd"], f"--defaults-file={server}"]

    def furnish(self) -> None:
        (self.home.path / "first.sql").unlink()
        if not (ZONES / "Europe" / "Paris").exists():
            raise ServerError(f"no time zones under {ZONES}; on Debian: apt-get install tzdata")
        # Without these tables CONVERT_TZ() gives NULL, and Django leaves out dozens of its features.
        self.sql(self.home.run(self.programs["mariadb-tzinfo-to-sql"], ZONES), database="mysql")

    def sql(self, statements: str, database: str = "") -> str:
        words = [f"--defaults-file={self.home.path / 'client.cnf'}", "--batch", "--skip-column-names"]
        if database:
            words.append(f"--database={database}")
        return self.home.run(self.programs["mariadb"], *words, text=statements)
