"""The proxy that counts round trips, put between each installed driver and its real server."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import socket
import threading
import time

import pytest
from django.conf import settings

from tests.support import wire

PROTOCOLS = {"psycopg": "postgresql", "psycopg2": "postgresql", "MySQLdb": "mysql", "pymysql": "mysql"}
ALIASES = {"postgresql": "default", "mysql": "mysql"}
# Under the name of MySQLdb the settings may have put PyMySQL, which is tested as itself.
INSTALLED = [name for name in PROTOCOLS if (spec := importlib.util.find_spec(name)) and spec.name == name]
PATIENCE = 10.0


def test_both_protocols_are_tested():
    assert {PROTOCOLS[name] for name in INSTALLED} == {"postgresql", "mysql"}


@pytest.fixture(params=INSTALLED)
def driver(request):
    return importlib.import_module(request.param)


@pytest.fixture
def protocol(driver):
    return PROTOCOLS[driver.__name__]


@pytest.fixture
def proxy(protocol):
    server = settings.DATABASES[ALIASES[protocol]]
    with wire.Proxy(server["HOST"], server["PORT"], protocol) as proxy:
        yield proxy


@pytest.fixture
def connect(driver, protocol, proxy):
    """A function that connects by the proxy, in autocommit mode unless told otherwise."""
    server = settings.DATABASES[ALIASES[protocol]]
    opened = []

    def connect(autocommit=True, **more):
        words = {"host": proxy.host, "port": proxy.port, "user": server["USER"], "password": server["PASSWORD"]}
        if protocol == "postgresql":
            words |= {"dbname": server["NAME"], "sslmode": "disable"}
        else:
            words |= {"database": server["NAME"]}
        connection = driver.connect(**words | more)
        opened.append(connection)
        if protocol == "mysql":
            connection.autocommit(autocommit)
        else:
            connection.autocommit = autocommit
        return connection

    yield connect
    proxy.resume()
    for connection in opened:
        with contextlib.suppress(driver.Error):
            connection.close()


def ask(connection, sql="SELECT 1", *parameters):
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()[0]


class Asking(threading.Thread):
    """Asks in a thread of its own, and keeps what came back."""

    def __init__(self, connection, sql="SELECT 1"):
        super().__init__(daemon=True)
        self.connection, self.sql, self.answer = connection, sql, None
        self.start()

    def run(self):
        self.answer = ask(self.connection, self.sql)

    def result(self):
        self.join(PATIENCE)
        return self.answer


def test_a_select_in_autocommit_mode_costs_one_round_trip(proxy, connect):
    connection = connect()
    proxy.reset()
    assert ask(connection) == 1
    assert proxy.round_trips == 1
    assert proxy.statements == ("SELECT 1",)


def test_a_transaction_costs_what_its_driver_sends(driver, protocol, proxy, connect):
    connection = connect(autocommit=False)
    proxy.reset()
    ask(connection)
    ask(connection, "SELECT 2")
    connection.commit()
    # PostgreSQL's drivers begin by themselves; in MySQL autocommit=0 is enough.
    begin = ("BEGIN",) if protocol == "postgresql" else ()
    assert proxy.statements == (*begin, "SELECT 1", "SELECT 2", "COMMIT")
    assert proxy.round_trips == len(begin) + 3


def test_logging_in_and_out_costs_no_round_trip_but_what_the_driver_sets_up(driver, protocol, proxy, connect):
    connection = connect(autocommit=False)
    ask(connection, "SELECT 2")
    connection.rollback()
    connection.close()
    off = {"MySQLdb": "SET autocommit=0", "pymysql": "SET AUTOCOMMIT = 0"}
    own = ("BEGIN",) if protocol == "postgresql" else ("SET NAMES utf8mb4", off[driver.__name__])
    assert proxy.settled().statements == (*own, "SELECT 2", "ROLLBACK")
    assert proxy.connections == 1


def test_several_statements_in_one_string_cost_one_round_trip(driver, protocol, proxy, connect):
    several = {"client_flag": 2 | 1 << 16} if driver.__name__ == "pymysql" else {}
    connection = connect(**several)
    proxy.reset()
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SELECT 1; SELECT 2")
        assert cursor.fetchone()[0] in (1, 2)
        # MySQL's drivers read no further than the first result by themselves.
        while protocol == "mysql" and cursor.nextset():
            assert cursor.fetchone()[0] == 2
    assert proxy.statements == ("SELECT 1; SELECT 2",)


def test_a_command_that_is_no_sql_costs_one_round_trip(driver, protocol, proxy, connect):
    connection = connect()
    if protocol == "mysql":
        proxy.reset()
        connection.ping()
        assert proxy.statements == ("COM_PING",)
    else:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("CREATE TEMPORARY TABLE copied (n integer)")
            proxy.reset()
            if driver.__name__ == "psycopg":
                with cursor.copy("COPY copied FROM STDIN") as copy:
                    copy.write_row([7])
            else:
                cursor.copy_expert("COPY copied FROM STDIN", io.StringIO("7\n"))
        assert proxy.statements == ("COPY copied FROM STDIN", "CopyDone")
        assert ask(connection, "SELECT n FROM copied") == 7


def test_each_connection_has_figures_of_its_own(proxy, connect):
    first, second = connect(), connect()
    assert proxy.connections == 2
    proxy.reset()
    ask(second)
    ask(first, "SELECT 2")
    ask(second, "SELECT 3")
    assert proxy.by_connection == {2: ("SELECT 1", "SELECT 3"), 1: ("SELECT 2",)}
    assert proxy.statements == ("SELECT 1", "SELECT 2", "SELECT 3")
    assert proxy.connections == 0


def test_megabytes_pass_unharmed_and_are_one_round_trip(proxy, connect):
    connection = connect()
    proxy.reset()
    text = "mäuse " * 500_000
    assert ask(connection, "SELECT %s", text) == text
    assert proxy.round_trips == 1
    assert text in proxy.statements[0] or proxy.statements[0] == "SELECT $1"


def test_figures_are_exact_under_many_threads(proxy, connect):
    connections = [connect() for _ in range(8)]
    proxy.reset()

    def ask_often(connection):
        for number in range(100):
            assert ask(connection, f"SELECT {number}") == number

    threads = [threading.Thread(target=ask_often, args=[connection]) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert proxy.round_trips == 800
    asked = tuple(f"SELECT {number}" for number in range(100))
    assert proxy.by_connection == dict.fromkeys(range(1, 9), asked)


def test_refuse_and_accept(driver, proxy, connect):
    connection = connect()
    proxy.refuse()
    with pytest.raises(driver.OperationalError):
        connect()
    assert ask(connection) == 1
    proxy.accept()
    assert ask(connect(), "SELECT 2") == 2
    assert proxy.connections == 2


def test_cut_breaks_every_connection_and_the_next_one_works(driver, proxy, connect):
    connections = [connect(), connect()]
    proxy.cut()
    for connection in connections:
        with pytest.raises((driver.OperationalError, driver.InterfaceError)):
            ask(connection)
    assert ask(connect()) == 1


def test_nothing_passes_while_it_is_silent(proxy, connect):
    connection = connect()
    proxy.reset()
    proxy.silence()
    asking = Asking(connection)
    assert proxy.settled().statements == ()
    assert asking.is_alive()
    proxy.resume()
    assert asking.result() == 1
    assert proxy.statements == ("SELECT 1",)


def test_connections_that_were_lost_are_silent_and_new_ones_are_served(proxy, connect):
    connection = connect()
    proxy.reset()
    proxy.lose()
    asking = Asking(connection)
    assert ask(connect(), "SELECT 2") == 2
    assert asking.is_alive()
    assert "SELECT 1" not in proxy.settled().statements
    proxy.resume()
    assert asking.result() == 1


def test_what_is_encrypted_passes_and_is_not_counted(protocol, connect):
    server = settings.DATABASES[ALIASES[protocol]]
    with wire.Proxy(server["HOST"], server["PORT"], "opaque") as proxy:
        assert ask(connect(port=proxy.port)) == 1
        assert (proxy.settled().round_trips, proxy.connections) == (0, 0)


def test_answers_held_back_show_who_waits_for_them(proxy, connect):
    connection = connect()
    proxy.reset()
    proxy.hold_answers()
    asking = Asking(connection)
    deadline = time.monotonic() + PATIENCE
    while not proxy.settled().statements:
        assert time.monotonic() < deadline
    assert asking.is_alive()
    assert proxy.links() == [
        "link 1, last asked SELECT 1, held ['answers']: who sends questions is owed 0 bytes; who sends answers is owed 0 bytes"
    ]
    proxy.resume()
    assert asking.result() == 1


def test_a_server_that_is_away_is_a_connection_broken_at_once(driver, protocol, connect):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with wire.Proxy("127.0.0.1", nobody.getsockname()[1], protocol) as broken:
            with pytest.raises(driver.OperationalError):
                connect(port=broken.port)
            assert broken.connections == 0


def test_what_can_not_be_read_is_an_error_and_not_a_figure(protocol):
    server = settings.DATABASES[ALIASES[protocol]]
    handshake = {"postgresql": b"\x16\x03\x01\x02\x00", "mysql": b"\x04\0\0\x01\x00\x08\0\0"}[protocol]
    with pytest.raises(wire.WireError, match="TLS"):
        with wire.Proxy(server["HOST"], server["PORT"], protocol) as proxy:
            with socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE) as client:
                client.sendall(handshake)
                with contextlib.suppress(ConnectionResetError):
                    while client.recv(1024):
                        pass
            with pytest.raises(wire.WireError, match="TLS"):
                assert proxy.round_trips == 0
