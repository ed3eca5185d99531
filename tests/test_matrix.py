"""What `make test` chooses and reports: interpreters, corners, the verdict and its last lines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.matrix import environments, interpreters
from tests.matrix.environments import Environment
from tests.matrix.report import Console, Report, Step
from tests.matrix.tools import Tools
from tests.servers import command

ROOT = Path(__file__).parent.parent
PASSED = "============================== 12 passed in 3.21s ===============================\n"
FAILED = "==================== 1 failed, 11 passed in 65.43s (0:01:05) ====================\n"


def names(found: list[Environment]) -> list[str]:
    return [environment.name for environment in found]


def test_the_matrix_is_all_valid_combinations_and_no_other() -> None:
    versions = {
        (python, django, sqlalchemy)
        for python in ("py310", "py311", "py312", "py313")
        for django in ("dj52", "dj60", "dj61")
        for sqlalchemy in ("sa20", "sa21")
        if (django == "dj52" or python >= "py312") and (sqlalchemy == "sa20" or python >= "py311")
    }
    expected = {"-".join((*each, flavour)) for each in versions for flavour in "ab"}
    assert set(names(environments.matrix())) == expected


def test_the_corners_are_the_newest_and_the_oldest_in_both_flavours() -> None:
    everything = environments.matrix()
    newest, oldest = ["py313-dj61-sa21-a", "py313-dj61-sa21-b"], ["py310-dj52-sa20-a", "py310-dj52-sa20-b"]
    assert names(environments.corners(everything)) == [*newest, *oldest]
    of_one_python = [environment for environment in everything if environment.python == "py310"]
    assert names(environments.corners(of_one_python)) == oldest
    assert environments.corners([]) == []


def test_an_interpreter_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, factor = f"python3.{sys.version_info[1]}", f"py3{sys.version_info[1]}"
    shims, good = tmp_path / "shims", tmp_path / "good"
    for folder in (shims, good):
        folder.mkdir()
    (shims / name).write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    (shims / name).chmod(0o755)
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(shims))
    assert interpreters.find([factor]) == {}
    (good / name).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{shims}:{good}")
    found = interpreters.find([factor, "py399"])
    assert list(found) == [factor]
    assert found[factor].version == sys.version_info[:3]
    assert str(found[factor]) == f"CPython {'.'.join(map(str, sys.version_info[:3]))}"


def test_pyenvs_interpreters_are_found_outside_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, factor = f"python3.{sys.version_info[1]}", f"py3{sys.version_info[1]}"
    folder = tmp_path / "versions" / "any" / "bin"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert list(interpreters.find([factor])) == [factor]


def test_what_one_flavour_of_the_newest_corner_leaves_out_is_run_in_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(command, "run", lambda words, *_: called.append(words) or 0)
    newest = [environment.name for environment in environments.corners(environments.matrix())[:2]]
    tools = Tools(interpreters.find([f"py3{sys.version_info[1]}"]))
    tools.run(",".join(newest), None, {}, ())
    tools.run(newest[0], None, {}, ("tests/test_x.py", "-k", "y"))
    every, named = called
    assert named[-4:] == ["--", "tests/test_x.py", "-k", "y"]

    # What tox makes of it, without doing it.
    words = ["config" if word == "run" else word for word in every if word not in ("--skip-pkg-install", "-qq")]
    done = subprocess.run([*words, "-k", "commands"], capture_output=True, text=True, timeout=120, check=True)
    commands = re.findall(r"commands = python .*", done.stdout)
    in_a, in_b = (set(re.findall(r"--(?:ignore|deselect)=(\S+)", each)) for each in commands)
    assert in_a and in_b
    assert in_a & in_b == set()


def run_of(name: str, status: int, *lines: str) -> Step:
    step = Step(name, status=status)
    for line in lines:
        step.hear(line)
    return step


def test_the_last_line_of_a_good_session_is_pytests_own(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report([run_of("one", 0, "...\n", PASSED, "  one: OK\n"), Step("coverage")])
    assert report.end() == 0
    assert capsys.readouterr().out.endswith(f"\none:\n{PASSED}")


def test_a_failed_run_is_shown_last_whatever_came_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    summary = ["=========================== short test summary info ============================\n", "FAILED tests/x.py::y\n"]
    report = Report([run_of("one", 1, *summary, FAILED, "  one: FAIL\n"), run_of("two", 0, PASSED), Step("coverage")])
    assert report.end() == 1
    assert capsys.readouterr().out.endswith("".join(["\none:\n", *summary, FAILED]))


def test_a_failure_without_words_of_pytest_has_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report([Step("types", status=1), run_of("one", 0, PASSED)])
    assert report.end() == 1
    assert capsys.readouterr().out.endswith(f"{PASSED}FAILED: types; see above\n")


def test_one_step_is_shown_live_and_the_others_after_it_whole(capsys: pytest.CaptureFixture[str]) -> None:
    console, first, second, third = Console(), Step("first"), Step("second"), Step("third")
    console.begin(first)
    console.begin(second)
    console.say(second, "2a\n")
    console.say(first, "1a\n")
    assert capsys.readouterr().out.endswith("\n1a\n")
    console.end(second)
    console.begin(third)
    console.say(third, "3a\n")
    capsys.readouterr()
    console.end(first)
    assert capsys.readouterr().out == "\n#### second\n2a\n\n#### third\n3a\n"
    console.say(third, PASSED)
    console.end(third)
    assert capsys.readouterr().out == PASSED
    assert third.tail == [PASSED.rstrip("\n")]


def test_no_interpreter_at_all_is_an_error(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.matrix", "test"]
    environ = {"PATH": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "FAILED: none of the supported interpreters runs here: CPython 3.10, " in done.stderr


def test_wrong_usage_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.matrix", "walk"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python3 -m tests.matrix test")
