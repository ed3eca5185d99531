"""A server of one's own that may be hurt, with a database, an observer and aliases of ``connections`` that lead to it.

    with Stage("default") as stage, stage.scene() as scene:
        scene.add("busy", pool={"POOL_SIZE": 4})
        scene.server.restart()

Owns: the server and the aliases. A stage outlives many tests; each begins with a scene() on a server that is whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections

from tests.servers import MariaDB, PostgreSQL, Server
from tests.support.aliases import more_aliases
from tests.support.ledger import Ledger
from tests.support.sessions import Observer
from tests.support.wire import Proxy

# What is acknowledged has left the server's own memory: its crash must not lose it, only the machine's may.
_SAFE: dict[str, tuple[type[Server], dict[str, str]]] = {
    "default": (PostgreSQL, {"synchronous_commit": "on"}),
    "mysql": (MariaDB, {"innodb-flush-log-at-trx-commit": "2", "innodb-doublewrite": "1"}),
}
_UNENCRYPTED: dict[str, dict[str, Any]] = {"default": {"sslmode": "disable", "gssencmode": "disable"}, "mysql": {}}
DATABASE = "stage"


class Stage:
    """A server like that of an alias ("default" or "mysql"), started at __enter__ and removed at __exit__."""

    def __init__(self, alias: str) -> None:
        kind, settings = _SAFE[alias]
        self.alias = alias
        self.safe = settings
        self.server = kind(settings)
        self.end_of_all = ExitStack()

    def __enter__(self) -> Stage:
        self.end_of_all.enter_context(self.server)
        self.server.sql(f"CREATE DATABASE {DATABASE}")
        return self

    def __exit__(self, *details: Any) -> None:
        self.end_of_all.close()

    @property
    def settings(self) -> dict[str, Any]:
        """Where the server is, as an entry of DATABASES says it."""
        server = self.server
        return {"NAME": DATABASE, "USER": server.user, "PASSWORD": server.password, "HOST": "127.0.0.1", "PORT": server.port}

    def restart(self, settings: Mapping[str, str]) -> None:
        """Restart the server with these settings, in addition to its own."""
        self.server.settings = {**self.safe, **settings}
        self.server.stop()
        self.server.start()

    @contextmanager
    def scene(self) -> Iterator[Scene]:
        """One test on the server, which runs before and after it, as it was."""
        if self.server.pid is None:
            self.server.start()
        if self.server.settings != self.safe:
            self.restart({})
        with ExitStack() as stack:
            like = stack.enter_context(more_aliases())
            yield Scene(self, stack, like)


class Scene:
    """What one test has: an observer, an empty ledger, and aliases with pools of their own."""

    def __init__(self, stage: Stage, stack: ExitStack, add: Callable[..., Any]) -> None:
        self.stage = stage
        self.server = stage.server
        self._stack = stack
        self._add = add
        self.observer = self.observe()
        self.ledger = Ledger(self.observer)

    def observe(self) -> Observer:
        """Return somebody with a connection of its own."""
        observer = Observer({**connections[self.stage.alias].settings_dict, **self.stage.settings}, self.stage.alias)
        self._stack.callback(observer.close)
        return observer

    def proxy(self) -> Proxy:
        """Put a proxy before the server."""
        return self._stack.enter_context(Proxy("127.0.0.1", self.server.port, self.observer.wrapper.vendor))

    def add(self, name: str = "busy", *, pool: Mapping[str, Any], proxy: Proxy | None = None, **changes: Any) -> Any:
        """Add an alias that leads to the server, through the proxy if there is one; return its wrapper."""
        settings = {**self.stage.settings, "POOL_OPTIONS": dict(pool), "OPTIONS": {}, **changes}
        if proxy is not None:
            settings |= {"PORT": proxy.port, "OPTIONS": {**_UNENCRYPTED[self.stage.alias], **settings["OPTIONS"]}}
        return self._add(name, self.stage.alias, **settings)

    def count_attempts(self, name: str = "busy") -> Attempts:
        """Count from now on how often the pool of an alias tries to open a connection."""
        return Attempts(connections[name].find_pool())  # type: ignore[attr-defined]

    def kill_all(self) -> set[int]:
        """End every session of the database but the observer's, at the server; return which they were."""
        sessions = self.observer.sessions()
        for session in sessions:
            self.observer.kill(session)
        return sessions


class Attempts:
    """The moments at which a pool has tried to open a connection."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._real = pool.opener.open
        self._moments: list[float] = []
        pool.opener.open = self._open

    def _open(self) -> Any:
        self._moments.append(time.monotonic())
        return self._real()

    def between(self, begin: float, end: float = float("inf")) -> int:
        return sum(begin <= moment < end for moment in self._moments)
