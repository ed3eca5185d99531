"""What a server knows of its sessions, asked on a connection that no pool has anything to do with."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

_ASK_ID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
_KILL = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
_DESCRIBE = {"postgresql": "SELECT * FROM pg_stat_activity", "mysql": "SHOW FULL PROCESSLIST"}
_LIST = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = %s",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = %s",
}


def session_id(wrapper: BaseDatabaseWrapper) -> int:
    """Return the server's id of the session that a wrapper is using or will use now."""
    with wrapper.cursor() as cursor:
        cursor.execute(_ASK_ID[wrapper.vendor])
        return int(cursor.fetchone()[0])


class Observer:
    """A connection of Django's own engine to the server of a pooled alias."""

    def __init__(self, settings: dict[str, Any], alias: str) -> None:
        engine = settings["ENGINE"].replace("django_sqla_pool", "django.db")
        ours = {key: value for key, value in settings.items() if key != "POOL_OPTIONS"}
        self.wrapper = load_backend(engine).DatabaseWrapper({**ours, "ENGINE": engine}, alias)

    def query(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows, if it has any."""
        with self.wrapper.cursor() as cursor:
            cursor.execute(sql, parameters)
            return [] if cursor.description is None else list(cursor.fetchall())

    def sessions(self, database: str | None = None) -> set[int]:
        """Return the ids of the sessions of a database, this one's own excepted."""
        database = database or self.wrapper.settings_dict["NAME"]
        found = {int(row[0]) for row in self.query(_LIST[self.wrapper.vendor], [database])}
        return found - {session_id(self.wrapper)}

    def describe(self) -> list[str]:
        """Say what each session of the server is doing, in its own words."""
        return [f"session: {row}" for row in self.query(_DESCRIBE[self.wrapper.vendor])]

    def kill(self, session: int) -> None:
        """End a session at the server, and wait until it is gone (10 s at most)."""
        with contextlib.suppress(OperationalError):  # MySQL's, if it has ended in the meantime
            self.query(_KILL[self.wrapper.vendor], [session])
        self.wait_until_gone({session})

    def wait_until_gone(self, sessions: set[int], database: str | None = None) -> None:
        """Wait until the server has ended these sessions (10 s at most): it learns of a closed socket a little later."""
        deadline = time.monotonic() + 10
        while sessions & self.sessions(database):
            assert time.monotonic() < deadline, f"sessions {sessions & self.sessions(database)} are still there"
            time.sleep(0.005)  # a server has no event for this

    def close(self) -> None:
        """Close the connection."""
        self.wrapper.close()
