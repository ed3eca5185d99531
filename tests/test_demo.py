"""`make demo`, in processes of its own, watched from outside: what it prints, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connections

PROJECT = Path(__file__).resolve().parent.parent / "example_project"
QUICKLY = ["--seconds=1", "--cities=1000"]
SECONDS = 120.0  # for a whole demo, on a machine that has much else to do
Start = Callable[..., "Demo"]

each_server = pytest.mark.parametrize(
    ("alias", "variable"), [("default", "TEST_POSTGRESQL_URL"), ("mysql", "TEST_MARIADB_URL")], ids=["postgresql", "mysql"]
)


class Demo:
    """A demo under way, known by a mark in the environment of all that it starts."""

    def __init__(self, directory: Path, url: str, *arguments: str, module: str = "demo.run", cwd: Path = PROJECT) -> None:
        self._mark = uuid.uuid4().hex
        self._directory = directory
        environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        environment |= {"DATABASE_URL": url, "TMPDIR": str(directory), "DEMO_MARK": self._mark, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""

    def read_until(self, text: str) -> None:
        """Read what it prints until ``text`` has come; a demo that ends before is a failure."""
        assert self.process.stdout is not None
        while text not in self.output:
            letter = self.process.stdout.read(1)
            assert letter, f"it ended without {text!r}:\n{self.output}"
            self.output += letter

    def end(self) -> int:
        """Read the rest and return the exit status."""
        rest, _ = self.process.communicate(timeout=SECONDS)
        self.output += rest
        return self.process.returncode

    def leftovers(self) -> list[Any]:
        """Processes that carry its mark, and files in its temporary directory."""
        return [*self.processes(), *self._directory.iterdir()]

    def processes(self) -> list[list[str]]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("DEMO_MARK") == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.cmdline())
            except psutil.Error:  # it has ended meanwhile, or is none of ours
                continue
        return found


@pytest.fixture
def start() -> Iterator[Start]:
    """Start demos, and end them whatever the test has come to."""
    demos: list[Demo] = []
    # Not tmp_path: a Unix socket's path is short, and `nobody` must get there if root runs the tests.
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)

        def start(url: str, *arguments: str, **options: Any) -> Demo:
            demos.append(Demo(Path(directory).resolve(), url, *arguments, **options))
            return demos[-1]

        yield start
        for demo in demos:
            if demo.process.poll() is None:
                demo.process.terminate()
            demo.process.communicate(timeout=SECONDS)


def databases(alias: str) -> set[str]:
    statement = {"default": "SELECT datname FROM pg_database", "mysql": "SHOW DATABASES"}[alias]
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return {name for (name,) in cursor.fetchall() if name.startswith("sqla_pool_demo")}


def figures(output: str, row: str) -> tuple[float, float]:
    """The two figures of one row of the table."""
    found = re.search(rf"^{row} +([\d,.]+) +([\d,.]+)", output, re.MULTILINE)
    assert found, output
    return float(found[1].replace(",", "")), float(found[2].replace(",", ""))


def check_table(output: str) -> None:
    django, pooled = figures(output, "connections opened")
    assert 1 <= pooled <= 2 * (8 + 4) < django  # two workers, POOL_SIZE + MAX_OVERFLOW of each
    assert figures(output, "errors") == (0, 0)
    assert min(figures(output, "requests/s")) > 0


def test_two_demos_at_once_on_servers_of_their_own_do_not_meet_and_leave_nothing_behind(start: Start) -> None:
    demos = [start("", "--once", *QUICKLY) for _ in range(2)]
    for demo in demos:
        assert demo.end() == 0, demo.output
        check_table(demo.output)
    assert [demo.leftovers() for demo in demos] == [[], []]


@each_server
def test_the_demo_runs_on_a_given_server_until_ctrl_c(start: Start, alias: str, variable: str) -> None:
    before = databases(alias)
    demo = start(os.environ[variable], *QUICKLY)
    demo.read_until("Ctrl-C ends it")
    check_table(demo.output)
    assert len(databases(alias) - before) == 1

    address = re.search(r"http://127\.0\.0\.1:\d+/pool/", demo.output)
    assert address
    with urllib.request.urlopen(address[0], timeout=10) as answer:
        [pool] = json.load(answer)["pools"]
    assert pool["opened"] >= 1

    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, demo.output
    assert databases(alias) == before
    assert demo.leftovers() == []
    assert os.environ[variable].split(":")[2].split("@")[0] not in demo.output  # the password


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("starting PostgreSQL", signal.SIGINT),
        ("making a database", signal.SIGTERM),
        ("migrating", signal.SIGINT),
        ("Django's engine", signal.SIGTERM),
    ],
)
def test_a_demo_that_is_interrupted_leaves_nothing_behind(start: Start, stage: str, number: int) -> None:
    demo = start("", "--once", *QUICKLY)
    demo.read_until(stage)
    demo.process.send_signal(number)
    assert demo.end() == 128 + number, demo.output
    assert demo.leftovers() == []


INTERRUPTED_WHILE_IT_LOOKS = """
import os, signal, subprocess
from demo.cleanup import Cleanup

class Lock:
    def __init__(self, real):
        self.locked, self.release = real.locked, real.release
        self.real = real

    def acquire(self, *words):
        taken = self.real.acquire(*words)
        os.kill(os.getpid(), signal.SIGINT)  # between this line and the next one a handler may raise
        return taken

def work():
    global child
    child = cleanup.start(["sleep", "60"], log=subprocess.DEVNULL)
    child._waitpid_lock = Lock(child._waitpid_lock)
    cleanup.has_ended(child)
    raise AssertionError("it was not interrupted")

cleanup = Cleanup()
assert cleanup.run(work) == 128 + signal.SIGINT
assert child.returncode == -signal.SIGTERM
"""


def test_an_interrupt_while_it_looks_at_a_child_does_not_hide_the_end_of_the_child() -> None:
    words = [sys.executable, "-c", INTERRUPTED_WHILE_IT_LOOKS]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@each_server
def test_an_interrupted_demo_drops_its_database(start: Start, alias: str, variable: str) -> None:
    before = databases(alias)
    demo = start(os.environ[variable], "--once", *QUICKLY)
    demo.read_until("loading the atlas")
    demo.process.send_signal(signal.SIGTERM)
    assert demo.end() == 128 + signal.SIGTERM, demo.output
    assert databases(alias) == before
    assert demo.leftovers() == []


@pytest.mark.parametrize(
    ("url", "arguments", "message"),
    [
        ("", ["--onse"], "unrecognized arguments: --onse"),
        ("", ["--seconds=0"], "--seconds takes 1 to 600"),
        ("", ["--cities=5"], "--cities takes 1000 or more"),
        ("sqlite:///atlas", [], "must begin with postgres:// or mysql://"),
        ("127.0.0.1:5432", [], "must begin with postgres:// or mysql://"),
        ("postgres://user:Zx#Qw@127.0.0.1/", [], "write %23 for #"),
        ("postgres://user:Zx/Qw@127.0.0.1/", [], "%2F for /"),
        ("mysql://user:ZxQw@127.0.0.1:port/", [], "cannot be read"),
        ("mysql://user:ZxQw@[::1/", [], "cannot be read"),
    ],
)
def test_what_cannot_be_understood_is_refused_before_anything_is_installed(
    start: Start, url: str, arguments: list[str], message: str
) -> None:
    demo = start(url, *arguments, module="demo")
    assert demo.end() in (1, 2)
    assert message in demo.output
    assert "Traceback" not in demo.output
    assert "Zx" not in demo.output
    assert "Qw" not in demo.output


@pytest.mark.parametrize("variable", ["TEST_POSTGRESQL_URL", "TEST_MARIADB_URL"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (r"://\1:hush@\3/", "password|Access denied"),
        (r"://\1:\2@127.0.0.1:1/", "Connection refused|Can't connect|\\(111\\)"),
        (r"://\1:\2@\3/?nonsense=1", "nonsense"),
    ],
)
def test_a_server_that_cannot_be_used_is_a_short_message(start: Start, variable: str, change: str, message: str) -> None:
    demo = start(re.sub(r"://(.*?):(.*?)@(.*?)/?$", change, os.environ[variable]), "--once")
    assert demo.end() == 1
    assert re.search(message, demo.output)
    assert "Check that it runs there" in demo.output
    assert "Traceback" not in demo.output
    assert "hush" not in demo.output
    assert demo.leftovers() == []


@each_server
def test_a_user_who_may_not_make_databases_learns_what_to_ask_for(start: Start, alias: str, variable: str) -> None:
    name = f"poor_{uuid.uuid4().hex[:8]}"
    with connections[alias].cursor() as cursor:
        if alias == "default":
            kind, user, password = "ROLE", name, "LOGIN PASSWORD 'hush'"
        else:
            cursor.execute("SELECT SUBSTRING_INDEX(USER(), '@', -1)")  # this host, as the server calls it
            kind, user, password = "USER", f"{name}@'{cursor.fetchone()[0]}'", "IDENTIFIED BY 'hush'"
        cursor.execute(f"CREATE {kind} {user} {password}")
        try:
            demo = start(re.sub(r"://.*@", f"://{name}:hush@", os.environ[variable]), "--once")
            assert demo.end() == 1
        finally:
            cursor.execute(f"DROP {kind} {user}")
    assert "CREATEDB" in demo.output or "GRANT ALL ON `sqla" in demo.output
    assert "Traceback" not in demo.output
    assert demo.leftovers() == []


def test_an_environment_that_cannot_be_installed_says_why_and_is_not_taken_for_whole(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROJECT, tmp_path / "example_project", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(PROJECT.parent / name, tmp_path)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        demo = start("", "--once", module="demo", cwd=tmp_path / "example_project")
        assert demo.end() == 1
        assert "making .work" in demo.output
        assert "check the way to the package index" in demo.output
        assert "Traceback" not in demo.output
        assert demo.leftovers() == []
