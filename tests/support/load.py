"""A load of threads that work as requests do and write a ledger, and the accounts of what became of each of them.

    with Load("busy", Ledger(observer), threads=8) as load:
        load.wait_for_successes(20)
        server.restart()
        load.wait_for_successes(20)
    assert load.violations() == []

Owns: its threads and its records. It breaks nothing; who does may look at the records by time (``time.monotonic()``).
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from django.db import Error, close_old_connections, connections, transaction

from tests.support.ledger import COUNT, INSERT, Ledger

#: 60 s: more than any TIMEOUT of these tests and a server's start; a thread that takes longer hangs.
PATIENCE = 60.0
_SLEEP = {"postgresql": "SELECT pg_sleep(%s)", "mysql": "SELECT SLEEP(%s)"}


@dataclass(frozen=True)
class Request:
    """What became of one request. Without an error it is a success, and all that it wrote is acknowledged."""

    thread: int
    began: float
    connected: float | None  # when it had its connection; None: it got none
    ended: float
    session: int | None = None  # that connection's, at the server
    step: str = ""  # where it failed: "checkout", "work" (nothing was committed) or "commit" (in doubt)
    kind: type[BaseException] | None = None
    text: str = ""  # of the error; the error itself would keep the connection alive

    @property
    def waited(self) -> float:
        """How long it took to get a connection, or to be told that there is none."""
        return (self.ended if self.connected is None else self.connected) - self.began

    def __str__(self) -> str:
        name = "success" if self.kind is None else f"{self.step}: {self.kind.__name__}: {self.text}"
        who = f"thread {self.thread}, session {self.session}"
        return f"{who}, {self.began:.3f} to {self.ended:.3f}, waited {self.waited:.3f} s: {name}"


class _RolledBack(Exception):
    """What a view raises that does not want its transaction."""


@dataclass
class _Doing:
    """How far a request has come, and which rows it has begun to write."""

    step: str = "checkout"
    numbers: list[int] = field(default_factory=list)


class Load:
    """Run requests on an alias of ``connections`` from __enter__ to __exit__, in threads of their own.

    ``pause``: seconds between two requests of a thread; ``sleep``: seconds that a request spends in a slow query.
    ``seed`` decides which request does what, thread by thread.
    """

    def __init__(
        self, alias: str, ledger: Ledger, threads: int = 8, *, pause: float = 0.003, sleep: float = 0.0, seed: int = 0
    ) -> None:
        self.alias = alias
        self.ledger = ledger
        self.pause = pause
        self.sleep = sleep
        self.patience = PATIENCE
        # Changed by single atomic operations only: each list is appended to, and copied to be read.
        self._requests: list[Request] = []
        self._seen: list[str] = []  # violations found while it ran
        self.pools: dict[int, Any] = {}  # each pool that the settings have led to
        self._stop = threading.Event()
        seeds = random.Random(seed)
        chances = [random.Random(seeds.random()) for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._work, args=each, name=f"request {each[0]}", daemon=True)
            for each in enumerate(chances)
        ]
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)

    # --------------------------------------------------------------------------------------------------------- records

    @property
    def requests(self) -> list[Request]:
        """All that have ended, in the order of their ends."""
        return list(self._requests)

    @property
    def successes(self) -> list[Request]:
        return [request for request in self.requests if request.kind is None]

    @property
    def failures(self) -> list[Request]:
        return [request for request in self.requests if request.kind is not None]

    @property
    def hanging(self) -> list[threading.Thread]:
        """The threads that have not come to the end of their requests; empty, unless __exit__ has waited for them in vain."""
        return [thread for thread in self._threads if thread.is_alive()]

    def first_success_after(self, moment: float) -> float:
        """Return after how many seconds the first request succeeded that ended after a moment; inf: none did."""
        return min((request.ended - moment for request in self.successes if request.ended >= moment), default=float("inf"))

    def wait_for_successes(self, count: int, within: float = PATIENCE) -> float:
        """Wait until so many more requests have succeeded, and return the time."""
        target = len(self.successes) + count
        deadline = time.monotonic() + within
        while len(self.successes) < target:
            assert time.monotonic() < deadline, f"no {count} successes within {within:g} s; the last failed: {self._last()}"
            time.sleep(0.002)
        return time.monotonic()

    def _last(self) -> list[str]:
        return [str(request) for request in self.failures[-5:]]

    # ------------------------------------------------------------------------------------------------------- invariants

    def violations(self, rest: float = 10.0) -> list[str]:
        """Say what is not as it has to be, after the load has ended: rows, limits, sessions, threads.

        ``rest``: how many seconds the server may take to notice the end of sessions. The server must be there.
        """
        found = list(dict.fromkeys(self._seen))
        for thread in self.hanging:
            where = "".join(traceback.format_stack(sys._current_frames()[thread.ident]))  # type: ignore[index]
            found.append(f"{thread.name} hangs at:\n{where}")
        self.ledger.observer.close()  # a restart may have broken it
        for pool in self.pools.values():
            figures = pool.snapshot()
            if figures.in_use or figures.waiting:
                found.append(f"at rest, and yet in use {figures.in_use}, waiting {figures.waiting}: {figures.name}")
        found += self._odd_sessions(rest)
        return found + self.ledger.violations()

    def _odd_sessions(self, rest: float) -> list[str]:
        """Compare the sessions at the server with those that the pools know, after each pool has looked at its own."""
        for pool in self.pools.values():
            # The pool learns at a checkout that an idle connection was killed.
            leases = [pool.checkout() for _ in range(pool.snapshot().idle)]
            for lease in leases:
                lease.close()
        deadline = time.monotonic() + rest
        while (known := self._known_sessions()) != (there := self.ledger.observer.sessions()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)  # a server has no event for this
        found = [f"session {session} is at the server, and no pool knows it" for session in sorted(there - known)]
        return found + [f"session {session} is a pool's, and not at the server" for session in sorted(known - there)]

    def _known_sessions(self) -> set[int]:
        physicals = [physical for pool in self.pools.values() for physical in tuple(pool._queue.physicals)]
        return {_session_of(physical.driver.connection) for physical in physicals if not physical.driver.is_closed()}

    def _sample(self) -> None:
        while not self._stop.wait(0.002):
            for pool in list(self.pools.values()):
                figures = pool.snapshot()
                if figures.limit is not None and figures.in_use + figures.idle > figures.limit:
                    self._seen.append(f"in use {figures.in_use} + idle {figures.idle} > {figures.limit}")

    # ------------------------------------------------------------------------------------------------------------ work

    def __enter__(self) -> Load:
        for thread in [*self._threads, self._sampler]:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let every request come to its end; ``violations()`` names the threads that do not within ``patience``."""
        self._stop.set()
        if error is not None and not isinstance(error, Exception):
            return  # somebody wants to have an end: daemons end with the process
        deadline = time.monotonic() + self.patience
        for thread in [*self._threads, self._sampler]:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, number: int, chance: random.Random) -> None:
        wrapper = connections[self.alias]
        try:
            while not self._stop.wait(self.pause * chance.uniform(0.5, 1.5)):
                self._request(number, wrapper, chance)
        except Exception:  # neither Django's errors nor ours: a bug, of the library or of this module
            self._seen.append(f"{threading.current_thread().name} died:\n{traceback.format_exc()}")
        finally:
            connections.close_all()

    def _request(self, number: int, wrapper: Any, chance: random.Random) -> None:
        close_old_connections()
        began = time.monotonic()
        connected = session = None
        doing = _Doing()
        failure = None
        try:
            wrapper.ensure_connection()
            connected = time.monotonic()
            session = _session_of(wrapper.connection)
            if (pool := wrapper.find_pool()) is not None:
                self.pools[id(pool)] = pool
            doing.step = "work"
            chance.choice([self._read, self._write, self._write_in_atomic, self._change_its_mind])(wrapper, doing)
        except Error as error:
            failure = error
        ended = time.monotonic()
        if failure is None:
            self.ledger.acknowledge(*doing.numbers)
        elif doing.step != "commit":
            self.ledger.fail(*doing.numbers)
        try:
            if chance.random() < 0.5:
                close_old_connections()
            else:
                wrapper.close()
        except Error as error:  # a check-in never raises for what a server does
            self._seen.append(f"closing failed: {error}")
        why = () if failure is None else (doing.step, type(failure), str(failure).strip())
        self._requests.append(Request(number, began, connected, ended, session, *why))

    def _read(self, wrapper: Any, doing: _Doing) -> None:
        with wrapper.cursor() as cursor:
            cursor.execute(COUNT, [0])
            assert cursor.fetchone() == (0,), "the answer to another question"
            if self.sleep:
                cursor.execute(_SLEEP[wrapper.vendor], [self.sleep])

    def _write(self, wrapper: Any, doing: _Doing) -> None:
        self._read(wrapper, doing)
        with wrapper.cursor() as cursor:
            doing.numbers.append(self.ledger.new())
            doing.step = "commit"  # without a transaction the statement is the commit
            cursor.execute(INSERT, doing.numbers)

    def _write_in_atomic(self, wrapper: Any, doing: _Doing) -> None:
        with transaction.atomic(using=self.alias):
            self._read(wrapper, doing)
            with wrapper.cursor() as cursor:
                for _ in range(2):
                    doing.numbers.append(self.ledger.new())
                    cursor.execute(INSERT, doing.numbers[-1:])
                try:
                    with transaction.atomic(using=self.alias):
                        self._write_what_nobody_wants(cursor)
                except _RolledBack:
                    # Not for the sight of it only: if the connection is lost by now, Django would end the outer block, which
                    # it can only roll back, without a word.
                    cursor.execute(COUNT, doing.numbers[:1])
                    assert cursor.fetchone() == (1,), "a transaction does not see its own row"
            doing.step = "commit"

    def _change_its_mind(self, wrapper: Any, doing: _Doing) -> None:
        with contextlib.suppress(_RolledBack), transaction.atomic(using=self.alias), wrapper.cursor() as cursor:
            self._write_what_nobody_wants(cursor)

    def _write_what_nobody_wants(self, cursor: Any) -> None:
        unwanted = self.ledger.new()
        self.ledger.fail(unwanted)
        cursor.execute(INSERT, [unwanted])
        raise _RolledBack


def _session_of(connection: Any) -> int:
    if hasattr(connection, "thread_id"):  # both MySQL drivers
        return int(connection.thread_id())
    return int(connection.info.backend_pid)  # psycopg and psycopg2
