"""The real servers that the tests run against, with nothing but Python's standard library.

    python3 -m tests.servers run -- COMMAND...      COMMAND sees TEST_POSTGRESQL_URL and TEST_MARIADB_URL

A test that stops, kills or configures a server starts one of its own:

    with PostgreSQL(settings={"max_connections": "10"}) as server:
        server.restart("immediate")

machine, processes <- home <- server <- postgresql, mariadb <- running, pgbouncer; tls gives a server a certificate; packages
(with services) installs what is missing; named looks at servers named by the user; command runs a command and ends it; the
keeper has clearing.py end what the owner, being killed, could not.
"""

from .machine import ServerError
from .mariadb import MariaDB
from .pgbouncer import PgBouncer
from .postgresql import PostgreSQL
from .server import Server

__all__ = ["MariaDB", "PgBouncer", "PostgreSQL", "Server", "ServerError"]
