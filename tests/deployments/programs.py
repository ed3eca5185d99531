"""Programs that serve the project, run as their users run them, and clients of theirs."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import started
from tests.support.aliases import ROOT

#: The longest that a program may take over starting, over one answer and over its end; each takes a second or two.
SECONDS = 30.0


NOT_OURS = [
    # gunicorn takes the socket that it is given for two.
    "ignore::ResourceWarning:gunicorn.arbiter",
    # Celery's advice, where the tests are run as root.
    "ignore:You're running the worker with superuser privileges",
    # CPython 3.13.0 counts the threads when the housekeeper is back already.
    *(["ignore:This process:DeprecationWarning"] if sys.version_info[:2] == (3, 13) else []),
]


@dataclass(frozen=True)
class Answer:
    """Where a question was answered: by which process, in which session; ``at_import``: the one opened while loading."""

    process: int
    session: int
    at_import: int | None = None


class Program:
    """A program that runs, and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.process = process
        self.log = log
        self.port = port

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Tell the program to end; return its status, negative for a signal."""
        self.process.send_signal(signum)
        return self.process.wait(SECONDS)

    def get(self, path: str) -> Any:
        """Ask once; return what the JSON of the answer says."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as client:
            client.request("GET", path)
            response = client.getresponse()
            said = response.read()
            assert response.status == 200, f"{said[-2000:]!r}\n{self.said()[-3000:]}"
            return json.loads(said)

    def ask(self, questions: int, at_once: int, path: str = "/echo/") -> list[Answer]:
        """Ask many times, each with a word of its own that has to come back from the database."""

        def ask(_: int) -> Answer:
            nonce = uuid.uuid4().hex
            answer = self.get(path + nonce)
            assert answer.pop("nonce") == nonce, "an answer to somebody else's question"
            return Answer(**answer)

        with ThreadPoolExecutor(at_once) as threads:
            return list(threads.map(ask, range(questions)))


def sessions_of(answers: Sequence[Answer]) -> dict[int, set[int]]:
    """{process: its sessions}; none of them may be another process's."""
    found = defaultdict(set)
    for answer in answers:
        found[answer.process].add(answer.session)
    assert sum(map(len, found.values())) == len(set.union(*found.values())), f"a session is shared: {dict(found)}"
    return dict(found)


def assert_quiet(program: Program) -> None:
    """Nothing was said of an error or of something that was left open."""
    said = program.said()
    assert not [word for word in ("Traceback", "Exception ignored", "Warning", "Error") if word in said], said


@contextmanager
def running(words: Sequence[str], database: dict[str, Any], folder: Path, **environment: str) -> Iterator[Program]:
    """Run ``python -m words``; "{fd}" stands for the descriptor of a socket that it shall listen on."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        descriptor, port = listening.fileno(), listening.getsockname()[1]
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.deployments.project.settings",
            "DEPLOYED_DATABASE": json.dumps(database),
            "PYTHONPATH": str(ROOT),
            "PYTHONDEVMODE": "1",
            "PYTHONWARNINGS": ",".join(NOT_OURS),
            "GUNICORN_CMD_ARGS": "",
            **environment,
        }
        command = [sys.executable, "-m", *(word.format(fd=descriptor) for word in words)]
        log = folder / "program.log"
        with started(command, variables, log, pass_fds=[descriptor], cwd=folder) as process:
            yield Program(process, log, port)


def wait_for(program: Program, word: str) -> None:
    """Wait until the program has said a word."""
    deadline = time.monotonic() + SECONDS
    while word not in program.said():
        assert program.process.poll() is None and time.monotonic() < deadline, program.said()
        time.sleep(0.01)  # a file has no event
