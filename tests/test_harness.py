"""The harness as its user sees it: what a command gets, that nothing stays behind, and what is said of bad input."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import MariaDB, PostgreSQL, Server, ServerError, named, processes

KINDS = [PostgreSQL, MariaDB]
ROOT = Path(__file__).parent.parent

#: A command to run: prints what it was given, then waits to be told to end.
SHOW = """
import json, os, sys
found = {name: value for name, value in os.environ.items() if name.startswith("TEST_")}
print(json.dumps({**found, "pid": str(os.getpid()), "state": open(os.environ["TEST_SERVERS_STATE"]).read()}), flush=True)
sys.stdin.read()
sys.exit(7)
"""


def harness(*words: str, **environ: str) -> subprocess.Popen[str]:
    """Run the harness as a user does, with servers of its own unless ``environ`` names some."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "COVERAGE_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.servers", *words],
        env={**bare, **environ},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to which "Ctrl-C" can be sent
    )


def showing(**environ: str) -> tuple[subprocess.Popen[str], dict[str, str], dict[str, Any]]:
    """Run SHOW within the harness; give the process, the TEST_ variables and the contents of the state file."""
    process = harness("run", "--", sys.executable, "-c", SHOW, **environ)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    found = json.loads(line)
    return process, found, json.loads(found.pop("state"))


def refusal(*words: str, **environ: str) -> str:
    """What the harness says while refusing to run a command."""
    process = harness(*words, **environ)
    output, complaint = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    return complaint


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_gone(state: dict[str, Any]) -> bool:
    """Whether neither a process nor a folder nor a listener of these servers is left."""
    for server in state.values():
        with socket.socket() as probe:
            probe.settimeout(1)
            answers = probe.connect_ex(("127.0.0.1", server["port"])) == 0
        if answers or processes.is_running(server["pid"]) or Path(server["home"]).exists():
            return False
    return True


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.kind)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param() as server:
        yield server


def test_a_command_sees_two_servers_and_hands_its_status_on() -> None:
    process, variables, state = showing()
    for kind in KINDS:
        named.check(kind, variables[kind.variable])
        assert f":{state[kind.kind]['port']}/" in variables[kind.variable]
        assert processes.is_running(state[kind.kind]["pid"])
        assert kind.__name__ in state[kind.kind]["version"]
        password = variables[kind.variable].split(":")[2].split("@")[0]
        assert password and password not in json.dumps(state)
    process.communicate(timeout=60)
    assert process.returncode == 7
    assert is_gone(state)
    assert not Path(variables["TEST_SERVERS_STATE"]).exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda signum: signum.name)
def test_nothing_stays_behind_when_it_is_told_to_end(signum: signal.Signals) -> None:
    process, variables, state = showing()
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # as a terminal does: to the command as well
    else:
        process.send_signal(signum)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert f"stopped by {signum.name}" in complaint
    assert is_gone(state)
    assert not Path(variables["TEST_SERVERS_STATE"]).exists()


def test_nothing_stays_behind_when_it_is_killed() -> None:
    process, variables, state = showing()
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    # The command would wait for its input for ever: it is ended, not left to find its servers gone.
    wait_until(lambda: not processes.is_running(int(variables["pid"])))
    wait_until(lambda: is_gone(state) and not Path(variables["TEST_SERVERS_STATE"]).parent.exists())
    process.communicate(timeout=60)


def test_a_server_of_the_commands_own_goes_too_when_it_is_killed(server: Server) -> None:
    start = "from tests.servers import PostgreSQL\nimport json, sys\nserver = PostgreSQL()\nserver.start()\n"
    show = "print(json.dumps({'own': server.state()}), flush=True)\nsys.stdin.read()\n"
    process = harness("run", "--", sys.executable, "-c", start + show, **{server.variable: server.url})
    assert process.stdout is not None
    state = json.loads(process.stdout.readline())
    assert processes.is_running(state["own"]["pid"])
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: is_gone(state))


def test_a_command_that_will_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    stubborn = "import os, signal, subprocess, sys\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\n"
    inner, outer = tmp_path / "inner.py", tmp_path / "outer.py"
    inner.write_text(stubborn + "print(os.getpid(), flush=True)\nsignal.pause()\n")
    outer.write_text(stubborn + f"subprocess.run([sys.executable, {str(inner)!r}])\n")
    impatient = "import os, sys\nfrom tests.servers import command\ncommand.GRACE_SECONDS = 0.2\n"
    runs = f"command.raise_when_stopped()\ncommand.run([sys.executable, {str(outer)!r}], os.environ)\n"
    words = [sys.executable, "-c", impatient + runs]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode != 0
    wait_until(lambda: not processes.is_running(pid))


def test_servers_named_by_the_user_are_used_and_left_alone(server: Server) -> None:
    process, variables, state = showing(**{server.variable: server.url})
    assert variables[server.variable] == server.url
    assert state.pop(server.kind) is None
    process.communicate(timeout=60)
    assert is_gone(state)
    assert server.sql("SELECT 1") == "1\n"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("{scheme}://me:hunter2@127.0.0.1:1/", "no server answers at {scheme}://me:***@127.0.0.1:1/"),
        (
            "http://me:hunter2@127.0.0.1:1/",
            "is http://me:***@127.0.0.1:1/, not a URL of the form {scheme}://user:password@host:port/",
        ),
        ("{scheme}://me:hunter2@127.0.0.1/", "not a URL of the form"),
        ("{scheme}://me:hunter2@127.0.0.1:port/?password=hunter2", "is not a URL of the form"),
        ("hunter2", "not a URL of the form"),
    ],
    ids=["nobody listens", "wrong scheme", "no port", "bad port", "no URL"],
)
def test_a_named_server_that_is_not_there_is_refused_without_its_password(kind: type[Server], url: str, says: str) -> None:
    complaint = refusal("run", "--", "true", **{kind.variable: url.format(scheme=kind.scheme)})
    assert kind.variable in complaint
    assert says.format(scheme=kind.scheme) in complaint
    assert "hunter2" not in complaint


def test_a_server_of_the_other_kind_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "SECONDS", 1.0)
    other = next(kind for kind in KINDS if kind.kind != server.kind)
    # MariaDB speaks first and in its own tongue; PostgreSQL waits to be spoken to.
    says = "is not PostgreSQL" if other is PostgreSQL else "says nothing within 1 s"
    with pytest.raises(ServerError, match=rf"what answers at \w+://tester:\*\*\*@127.0.0.1:\d+/ {says}"):
        named.check(other, server.url.replace(server.scheme, other.scheme))


def test_what_is_missing_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    complaint = refusal("run", "--", "true", PATH=str(tmp_path))
    assert "missing on this machine: a MariaDB server" in complaint
    assert "apt-get install --no-install-recommends mariadb-server" in complaint
    assert "TEST_MARIADB_URL=mysql://user:password@host:port/" in complaint


def test_wrong_usage_is_told(tmp_path: Path) -> None:
    for words in ([], ["run"], ["run", "--"], ["walk", "--", "true"]):
        assert refusal(*words) == "usage: python3 -m tests.servers run -- COMMAND...\n"


def test_a_command_that_does_not_exist_is_named(server: Server) -> None:
    process = harness("run", "--", "no-such-command", **{server.variable: server.url})
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 127
    assert "no-such-command" in complaint
