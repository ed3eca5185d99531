"""The servers' own tests: started, stopped, killed and configured, each does what Server says of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MariaDB, PostgreSQL, Server, ServerError
from tests.support.threads import wait_until

KINDS = [PostgreSQL, MariaDB]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.kind)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param() as server:
        yield server


@pytest.mark.parametrize("way", ["fast", "immediate", "kill", "by_itself"])
def test_port_and_data_outlive_every_end(server: Server, way: str) -> None:
    database = f"before_{way}"
    server.sql(f"CREATE DATABASE {database}")
    before, pid = server.url, server.pid
    if way == "kill":
        server.kill()
    elif way == "fast":
        server.stop("fast")
    elif way == "by_itself":
        assert pid is not None
        os.kill(pid, server.signals["fast"])
        wait_until(lambda: server.pid is None)
    else:
        server.stop("immediate")
    assert server.pid is None
    with pytest.raises(ServerError):
        server.sql("SELECT 1")
    server.start()
    assert server.url == before
    assert server.pid not in (None, pid)
    assert server.sql("SELECT 1", database=database) == "1\n"


def test_a_changed_setting_takes_effect_with_a_restart(server: Server) -> None:
    name, ask = ("max_connections", "SHOW max_connections")
    if server.kind == "mariadb":
        name, ask = ("max-connections", "SELECT @@max_connections")
    assert server.sql(ask) == "200\n"
    server.settings[name] = "42"
    server.restart()
    assert server.sql(ask) == "42\n"
    del server.settings[name]
    server.restart()
    assert server.sql(ask) == "200\n"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_setting_that_the_server_refuses_is_shown_with_its_log(kind: type[Server]) -> None:
    server = kind(settings={"nonsense": "7"})
    with pytest.raises(ServerError, match=r"ended while starting \(status \d+\):\n(.*\n)*.*nonsense"), server:
        raise AssertionError("it started")
    assert not server.home.path.exists()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_killed_server_can_be_removed_and_leaves_no_shared_memory(kind: type[Server]) -> None:
    segments = Path("/proc/sysvipc/shm")
    with kind() as server:
        server.kill()
        keys = {line.split()[1] for line in segments.read_text().splitlines() if _is_of(line, server)}
    assert not server.home.path.exists()
    assert not keys & {line.split()[1] for line in segments.read_text().splitlines()}
    server.remove()


def _is_of(line: str, server: Server) -> bool:
    lock = server.data / "postmaster.pid"
    return lock.exists() and line.split()[1] in lock.read_text().split()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_port_taken_meanwhile_is_replaced_before_anybody_knows_it(kind: type[Server]) -> None:
    with socket.socket() as other:  # which never says a word to whoever takes it for the server
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = kind()
        server.port = other.getsockname()[1]
        with server:
            assert server.port != other.getsockname()[1]
            assert server.sql("SELECT 1") == "1\n"


def test_postgresql_is_as_the_tests_need_it() -> None:
    with PostgreSQL() as server:
        assert server.sql("SHOW timezone") == "Europe/Paris\n"
        assert server.sql("SHOW password_encryption") == "scram-sha-256\n"
        assert server.sql("SELECT DISTINCT auth_method FROM pg_hba_file_rules") == "scram-sha-256\n"
        server.sql("CREATE DATABASE places")
        assert server.sql("CREATE EXTENSION postgis; SELECT ST_AsText(ST_Point(1, 2))", database="places") == "POINT(1 2)\n"


def test_mariadb_is_as_the_tests_need_it() -> None:
    with MariaDB() as server:
        assert server.sql("SELECT CONVERT_TZ('2024-07-01 00:00:00', 'UTC', 'Europe/Paris')") == "2024-07-01 02:00:00\n"
        assert server.sql("SELECT @@character_set_server") == "utf8mb4\n"
        assert server.sql("SELECT @@tmpdir") == f"{server.home.tmp}\n"
        assert server.sql("SELECT User FROM mysql.user ORDER BY User") == "mariadb.sys\ntester\n"
