"""The example project as it is run in earnest: its commands, and gunicorn."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

from .cleanup import Cleanup, Command, stop
from .failure import Failure, tail

PROJECT = Path(__file__).resolve().parent.parent
WORKERS = 2
THREADS = 8
START_SECONDS = 30.0


class Site:
    """The project on one database, and the port on which it answers."""

    def __init__(self, cleanup: Cleanup, database_url: str, directory: Path) -> None:
        self._cleanup = cleanup
        self._directory = directory
        self._environment = os.environ | {
            "DATABASE_URL": database_url,
            "SECRET_KEY": secrets.token_urlsafe(40),
            "GUNICORN_CMD_ARGS": "",
        }
        # The socket is ours and gunicorn inherits it: no other process can take the port between two servers.
        self._socket = socket.create_server(("127.0.0.1", 0))
        cleanup.add(self._socket.close)
        self.host, self.port = self._socket.getsockname()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"

    def manage(self, *arguments: str, **environment: str) -> str:
        """Run ``manage.py`` to its end; return what it printed."""
        log = self._directory / f"{arguments[0]}.log"
        command: Command = [sys.executable, PROJECT / "manage.py", *arguments]
        child = self._cleanup.start(command, log=log, cwd=PROJECT, env=self._environment | environment)
        if child.wait() != 0:
            raise Failure(f"manage.py {arguments[0]} failed:\n{tail(log)}")
        return log.read_text()

    def serve(self, *, pooled: bool) -> None:
        """Have gunicorn serve the site, in place of the one before; return when it answers."""
        if self._server is not None:
            with self._cleanup.held():
                stop(self._server)
        self._log = log = self._directory / f"gunicorn-{'pooled' if pooled else 'django'}.log"
        command = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"fd://{self._socket.fileno()}"]
        command += ["--workers", f"{WORKERS}", "--worker-class", "gthread", "--threads", f"{THREADS}"]
        command += ["--keep-alive", "15", "--graceful-timeout", "5", "--log-level", "warning", "--no-control-socket"]
        environment = self._environment | {"ATLAS_POOLED": "yes" if pooled else "no"}
        passed = [self._socket.fileno()]
        self._server = server = self._cleanup.start(command, log=log, cwd=PROJECT, env=environment, pass_fds=passed)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._cleanup.has_ended(server) or time.monotonic() > deadline:
                raise Failure(f"the site did not start:\n{tail(log)}")
            time.sleep(0.05)

    def check(self) -> None:
        """Fail if gunicorn has ended."""
        assert self._server is not None
        if self._cleanup.has_ended(self._server):
            raise Failure(f"gunicorn ended by itself:\n{tail(self._log)}")

    def _answers(self) -> bool:
        client = http.client.HTTPConnection(self.host, self.port, timeout=1)
        try:
            client.request("GET", "/")
            return client.getresponse().status == 200
        except OSError:
            return False
        finally:
            client.close()
