"""Server: one real database server on 127.0.0.1 with a home, a port and a password of its own.

What PostgreSQL and MariaDB have in common: a process, its start and its end. Never touches a server it did not start.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from . import machine, processes
from .home import Home
from .machine import ServerError

Mode = Literal["fast", "immediate"]
Self = TypeVar("Self", bound="Server")


class Server:
    """A server of our own; ``with PostgreSQL() as server`` starts it and leaves nothing of it behind.

    The port, the home and the data outlive stop(), kill() and start(); remove() ends them. ``settings`` are written
    into the server's configuration at every start, so a changed one takes effect with restart().
    """

    kind: ClassVar[str]
    variable: ClassVar[str]  # the environment variable that names such a server
    scheme: ClassVar[str]
    accounts: ClassVar[tuple[str, ...]]
    signals: Mapping[Mode, signal.Signals]

    user: ClassVar[str] = "tester"
    # Both are there in 1 to 3 s on two idle cores; a machine twenty times slower is still served.
    greeting: ClassVar[tuple[str, str]] = ("SELECT 1", "")  # what is asked to see that it answers, and in which database
    start_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 30.0

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.settings = dict(settings or {})
        self.programs = self.find_programs()
        self.port = machine.free_port()
        self.password = secrets.token_hex(16)
        self.home = Home(self.kind, machine.account(*self.accounts))
        self.data = self.home.path / "data"
        self.log = self.home.path / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def find_programs(cls) -> dict[str, Path]:
        """Find this server's programs. Raises: ServerError - one of them is not there."""
        raise NotImplementedError

    def create(self) -> None:
        """Make the data folder, once, without starting the server."""
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        """Write the configuration down, and say how to start the server on it in the foreground."""
        raise NotImplementedError

    def furnish(self) -> None:
        """Give a server that has just come up for the first time what its users expect to find in it."""

    def sql(self, statements: str, database: str = "") -> str:
        """Run statements with the server's own client and return the bare values it prints. Raises: ServerError."""
        raise NotImplementedError

    def release_memory(self) -> None:
        """Release what a killed server holds outside its home."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.user}:{self.password}@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int | None:
        """The main process; None while the server is stopped, also when it ended by itself."""
        # Neither here nor at a start is Popen asked: Stopped in the midst of poll(), or of wait() with a deadline, can leave the
        # lock of both taken for ever, and then nobody hears of the end of the process any more.
        return self._process.pid if self._process is not None and processes.is_running(self._process.pid) else None

    def version(self) -> str:
        """The running server's version, as it says itself."""
        return self.sql("SELECT version()").strip()

    def state(self) -> dict[str, Any]:
        """What another process must know to watch or signal this server. No password."""
        return {
            "pid": self.pid,
            "port": self.port,
            "user": self.user,
            "run_as": self.home.owner,
            "home": str(self.home.path),
            "data": str(self.data),
            "log": str(self.log),
            "programs": {name: str(path) for name, path in self.programs.items()},
        }

    def start(self) -> None:
        """Start the server, creating its data first if need be, and wait until it lets its user in.

        Raises: ServerError, with the end of the server's log - it ended, or did not answer within ``start_seconds``.
        """
        if self.pid is not None:
            raise AssertionError(f"bug: {self} is already running")
        if self._process is not None:
            self._process.wait()  # it has ended by itself, and nobody has asked for its status
        is_new = not self.data.exists()
        if is_new:
            self.create()
        # Before anybody knows the port it may change: another program may have taken it since it was chosen.
        for attempts_left in reversed(range(5 if is_new else 1)):
            self.home.write(self.log.name, "")
            self._process = self.home.launch(*self.command(), log=self.log)
            try:
                self._wait_until_ready(self._process)
                break
            except ServerError:
                self.kill()
                if not attempts_left or "Address already in use" not in self.log.read_text(errors="replace"):
                    raise
                self.port = machine.free_port()
        if is_new:
            self.furnish()

    def stop(self, mode: Mode = "fast") -> None:
        """End the server: "fast" disconnects everybody and leaves clean data, "immediate" is a crash with manners.

        Raises: ServerError - it did not end within ``stop_seconds``, and has been killed.
        """
        if self._process is None:
            return
        self._process.send_signal(self.signals[mode])
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise ServerError(f"{self} did not stop ({mode}) within {self.stop_seconds:g} s and was killed") from error
        self._process = None

    def kill(self) -> None:
        """End the server and its helper processes as a power cut would; start() then recovers the data."""
        if self._process is None:
            return
        pids = processes.descendants(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + self.stop_seconds
        while pids := [pid for pid in pids if processes.is_running(pid)]:
            for pid in pids:
                processes.send(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise ServerError(f"{self}: processes {pids} survive SIGKILL")
            time.sleep(0.01)  # they are not our children: there is nothing to wait on

    def restart(self, mode: Mode = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """End the server and delete all that belongs to it. May be called twice."""
        try:
            self.stop("immediate")
        finally:
            self.release_memory()
            self.home.remove()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.start_seconds
        said = ""
        while time.monotonic() < deadline:
            if not processes.is_running(process.pid):
                raise ServerError(f"{self} ended while starting (status {process.wait()}):\n{self._end_of_log()}")
            try:
                self.sql(*self.greeting)
                return
            except ServerError as error:
                said = str(error)
            time.sleep(0.05)  # a server has no event for this
        raise ServerError(f"{self} did not answer within {self.start_seconds:g} s ({said}):\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def __enter__(self: Self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self.remove()

    def __str__(self) -> str:
        return f"{self.kind} on 127.0.0.1:{self.port}"
