"""Servers: the databases that the arms are measured on, and PgBouncer. What starts here ends with its block."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.servers import MariaDB, PostgreSQL, ServerError, machine, packages
from tests.servers.home import Home

from .processes import started

#: A checkout with 500 idle connections, and a dozen arms with 32 connections each, want more than a server's default.
CONNECTIONS = "1200"
PGBOUNCER_NEED = packages.Need(
    "PgBouncer", lambda: machine.find_program("pgbouncer") is not None, ("pgbouncer",), ("pgbouncer",)
)

Address = dict[str, Any]


class PostgreSQLBehindTLS(PostgreSQL):
    """A PostgreSQL server to which connecting is dear: TLS over TCP, and SCRAM's 4096 rounds."""

    def create(self) -> None:
        super().create()
        openssl = machine.find_program("openssl")
        if openssl is None:
            raise ServerError("no openssl to make a certificate with; on Debian: apt-get install openssl")
        words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        self.home.run(openssl, *words, "-keyout", self.data / "server.key", "-out", self.data / "server.crt")
        (self.data / "server.key").chmod(0o600)
        self.settings |= {"ssl": "on"}


def own_servers() -> tuple[PostgreSQL, MariaDB]:
    """Servers with room for the largest experiment, not started yet."""
    return (
        PostgreSQL({"max_connections": CONNECTIONS, "shared_buffers": "256MB"}),
        MariaDB({"max-connections": CONNECTIONS, "table-open-cache": "400"}),
    )


def address(url: str, database: str, **options: Any) -> Address:
    """What Django needs to know of a database on the server of a URL, and the vendor."""
    parts = urlsplit(url)
    return {
        "vendor": "mysql" if parts.scheme == "mysql" else "postgresql",
        "HOST": parts.hostname,
        "PORT": parts.port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "NAME": database,
        "OPTIONS": options,
    }


@contextlib.contextmanager
def pgbouncer(behind: Address, size: int) -> Iterator[Address]:
    """Run a PgBouncer in front of a PostgreSQL database, in transaction mode; give its address."""
    program = machine.find_program("pgbouncer")
    if program is None:
        raise ServerError("PgBouncer is not installed; on Debian: apt-get install pgbouncer")
    home = Home("pgbouncer", machine.account("postgres"))
    port = machine.free_port()
    # The same list serves for the clients and for the server, to which the password has to be known in plain text.
    users = home.write("users", f'"{behind["USER"]}" "{behind["PASSWORD"]}"\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": users,
        "pool_mode": "transaction",
        "default_pool_size": size,
        "max_client_conn": 1000,
        "ignore_startup_parameters": "extra_float_digits",
        "log_connections": 0,
        "log_disconnections": 0,
    }
    server = f"host={behind['HOST']} port={behind['PORT']} dbname={behind['NAME']}"
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    configuration = home.write(
        "pgbouncer.ini", f"[databases]\n{behind['NAME']} = {server}\n[pgbouncer]\n{''.join(lines)}"
    )
    identity: dict[str, Any] = {"cwd": home.path}
    if home.owner is not None:
        identity |= {"user": home.owner, "group": home.path.stat().st_gid, "extra_groups": []}
    try:
        with started([program, configuration], {}, home.path / "log", **identity):
            _wait_for_port(port)
            yield {**behind, "PORT": port}
    finally:
        home.remove()


def _wait_for_port(port: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not _answers(port):
        if time.monotonic() > deadline:
            raise ServerError(f"nothing answers on 127.0.0.1:{port} after {seconds:g} s")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    """Tell whether something accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def named_urls() -> dict[str, str]:
    """The servers that the environment names, as the tests do; without those it does not name."""
    return {kind.kind: os.environ[kind.variable] for kind in (PostgreSQL, MariaDB) if os.environ.get(kind.variable)}
