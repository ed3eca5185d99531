"""All faults at random, one after the other, on one server under load; and what must hold all the same.

    with stage.scene() as scene:
        violations = Mix(scene, seed=7, say=print).run(seconds=30)

Owns: which fault comes when, which is the seed's decision alone, and the rules for who may fail. How each fault is made is
written here; the accounts are load.py's.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from django.db import Error, connections

from django_sqla_pool import dispose
from tests.faults.stage import Scene
from tests.support.load import Load
from tests.support.sessions import session_id

THREADS = 8
# How long a server's end may take to reach a client, through the proxy and on a busy machine.
NEWS = 2.0


class Mix:
    """One round: a pool whose options the seed chooses, and faults until the time is over."""

    def __init__(self, scene: Scene, seed: int, say: Callable[[str], object]) -> None:
        self.scene = scene
        self.say = say
        self.chance = chance = random.Random(seed)
        self.proxy = scene.proxy()
        options = {
            "POOL_SIZE": chance.randint(1, 5),
            "MAX_OVERFLOW": chance.randint(0, 3),
            "TIMEOUT": 40,
            "CONNECT_RETRY": 30,  # longer than any fault: a checkout has no reason to fail
            "RECYCLE": chance.choice([-1, 0.5, 30]),
            "IDLE_TIMEOUT": chance.choice([0.2, 30]),
            "PING_AFTER": chance.choice([0, 0.5]),
            "RESET": chance.choice(["rollback", "session"]),
            "USE_LIFO": chance.choice([True, False]),
        }
        self.pool = scene.add(pool=options, proxy=self.proxy).find_pool()
        self.load = Load("busy", scene.ledger, THREADS, seed=seed)
        self.violations: list[str] = []
        self.faults: list[tuple[float, float]] = []  # begin and end of each that may cost a request in flight
        self.count = 0
        say(f"seed {seed}: " + ", ".join(f"{key} {value}" for key, value in options.items()))

    def run(self, seconds: float) -> list[str]:
        """Make faults for so long; return what went wrong: nothing, if all is well."""
        harmful = [self.kill, self.kill_all, self.restart, self.crash, self.cut, self.cut_while_refusing]
        harmless = [self.refuse, self.silence, self.dispose, self.fork, self.fill, self.die]
        begin = time.monotonic()
        try:
            with self.load:
                self.load.wait_for_successes(10)
                while time.monotonic() < begin + seconds:
                    fault = self.chance.choice([*harmful, *harmless])
                    before = time.monotonic()
                    said = fault()
                    if fault in harmful:
                        self.faults.append((before, time.monotonic() + NEWS))
                    self.count += 1
                    # Sometimes one fault follows the other before anything has recovered.
                    back = ""
                    if self.chance.random() < 0.7:
                        ended = time.monotonic()
                        self.load.wait_for_successes(THREADS)
                        back = f"; first success after {self.load.first_success_after(ended):.2f} s"
                    self.say(f"{before - begin:7.1f} s  {fault.__name__}{said}{back}")
                self.load.wait_for_successes(THREADS)
        except (AssertionError, Error) as error:
            self.violations.append(f"{type(error).__name__}: {error}")
            connections["busy"].close()
        self.violations += self.load.violations() + self._unexplained()
        if self.load.hanging:
            self.violations += [*self.proxy.links(), *self.scene.observer.describe()]  # whom they wait for
        rows = self.scene.ledger.figures()
        self.say(
            f"{self.count} faults, {len(self.load.successes)} requests succeeded, {len(self.load.failures)} failed; rows: "
            f"{rows['acknowledged']} acknowledged, {rows['failed']} not written, {rows['in doubt']} in doubt"
        )
        return self.violations

    def _unexplained(self) -> list[str]:
        """Who may fail: one request for each connection that was lost, while it was being lost."""
        failures = self.load.failures
        found = [f"it could have waited: {failure}" for failure in failures if failure.step == "checkout"]
        found += [
            f"nothing happened to it: {failure}"
            for failure in failures
            if not any(begin < failure.ended and failure.began < end for begin, end in self.faults)
        ]
        closed = self.pool.snapshot().closed
        lost = closed.get("dead", 0) + closed.get("reset failed", 0)
        if len(failures) > lost:
            found.append(f"{lost} connections were lost, and {len(failures)} requests failed")
        return found

    def _wait(self, longest: float) -> str:
        seconds = self.chance.uniform(0.0, longest)
        time.sleep(seconds)  # that is the fault
        return f", {seconds:.1f} s"

    # ------------------------------------------------------------------------------ what may cost a request in flight

    def kill(self) -> str:
        """End one session at the server."""
        sessions = sorted(self.scene.observer.sessions())
        if sessions:
            self.scene.observer.kill(self.chance.choice(sessions))
        return f" one of {len(sessions)}"

    def kill_all(self) -> str:
        """End every session at the server."""
        return f", {len(self.scene.kill_all())} sessions"

    def restart(self, mode: Any = "fast") -> str:
        """Restart the server; it stays away for a while."""
        self.scene.observer.close()
        self.scene.server.stop(mode)
        said = self._wait(1.5)
        self.scene.server.start()
        return said

    def crash(self) -> str:
        """The same, without a farewell."""
        return self.restart("immediate")

    def cut(self) -> str:
        """Break every connection on the way."""
        self.proxy.cut()
        return ""

    def cut_while_refusing(self) -> str:
        """Break every connection, and let no new one through for a while."""
        self.proxy.refuse()
        self.proxy.cut()
        said = self._wait(1.5)
        self.proxy.accept()
        return said

    # ------------------------------------------------------------------------------------------ what costs no request

    def refuse(self) -> str:
        """Let no new connection through for a while."""
        self.proxy.refuse()
        said = self._wait(1.0)
        self.proxy.accept()
        return said

    def silence(self) -> str:
        """Hold back all that is sent for a while."""
        self.proxy.silence()
        said = self._wait(0.5)
        self.proxy.resume()
        return said

    def dispose(self) -> str:
        """Have every connection replaced."""
        self.pool.dispose()
        return ""

    def fork(self) -> str:
        """In the middle of a request, fork a child that closes all it has inherited, and ends as processes do."""
        if self.faults and time.monotonic() < self.faults[-1][1]:
            time.sleep(NEWS)  # so that there is no other reason for an error here
        before = session_id(connections["busy"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks among threads: that is what is tried
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                connections.close_all()
                dispose()
                gc.collect()
                status = 0
            finally:
                os._exit(status)
        deadline = time.monotonic() + 20
        while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.005)
        if found == (0, 0):
            os.kill(pid, signal.SIGKILL)
            found = os.waitpid(pid, 0)
        if session_id(connections["busy"]) != before:
            self.violations.append("a forked child has cost its parent a session")
        connections["busy"].close()
        if found[1]:
            self.violations.append(f"a forked child ended with {found[1]}")
        return ""

    def fill(self) -> str:
        """Take every place of the pool for a while."""
        leases: list[Any] = []
        try:
            leases += (self.pool.checkout() for _ in range(self.pool.options.limit))
            return self._wait(0.5)
        finally:
            for lease in leases:
                lease.close()

    def die(self) -> str:
        """A thread takes a connection, and ends without giving it back."""
        # A thread that is not the load's: it has a wrapper of its own.
        thread = threading.Thread(target=lambda: connections["busy"].ensure_connection())
        thread.start()
        thread.join(60)
        if thread.is_alive():
            self.violations.append("a thread hangs in a checkout")
        return ""
