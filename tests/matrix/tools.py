"""Tools: tox in a virtual environment of its own under .work/, and how it is called."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tests.servers import ServerError, command

from .environments import ROOT, Environment
from .interpreters import Interpreter

WORK = ROOT / ".work"
_TOOLS = WORK / "tools"

#: What an environment really holds: asked of itself, once it is made.
_VERSIONS = """
import platform
from importlib.metadata import PackageNotFoundError, version
found = ["CPython " + platform.python_version()]
for name in ("Django", "SQLAlchemy", "psycopg", "psycopg2-binary", "mysqlclient", "PyMySQL"):
    try:
        found.append(name + " " + version(name))
    except PackageNotFoundError:
        continue
print(", ".join(found))
"""


class Tools:
    """tox, run by the newest interpreter, and told where the others are."""

    def __init__(self, interpreters: Mapping[str, Interpreter]) -> None:
        newest = max(interpreters.values())
        self._discover = [interpreter.path for interpreter in interpreters.values()]
        self._python = _TOOLS / "bin" / "python"
        if not self._has_tox():
            shutil.rmtree(_TOOLS, ignore_errors=True)
            for words in (
                [newest.path, "-m", "venv", str(_TOOLS)],
                [str(self._python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "tox >= 4.25"],
            ):
                _run(words, "making the virtual environment for tox")

    def make(self, names: Iterable[str], on_line: Callable[[str], None]) -> int:
        """Make these environments, two at a time, and install into them; return tox's status."""
        # Two: pip is bound by one core, and the smallest machine that CI gives has two.
        return self._tox(["run-parallel", "--parallel", "2", "--notest", "-e", ",".join(names)], on_line)

    def run(self, name: str, on_line: Callable[[str], None] | None, env: Mapping[str, str], words: Sequence[str]) -> int:
        """Run the commands of an environment that make() has made, with ``words`` if there are any; return their status."""
        # "--" with nothing behind it is, for tox, somebody who asks for nothing: then {posargs:these} are not taken.
        named = ["--", *words] if words else []
        return self._tox(["run", "--skip-pkg-install", "-qq", "-e", name, *named], on_line, env)

    def python(self, environment: Environment) -> Path:
        return WORK / "tox" / environment.name / "bin" / "python"

    def versions(self, environment: Environment) -> str:
        return _run([str(self.python(environment)), "-I", "-c", _VERSIONS], f"looking into {environment}").strip()

    def _tox(self, words: list[str], on_line: Callable[[str], None] | None, env: Mapping[str, str] | None = None) -> int:
        tox = [str(self._python), "-m", "tox", "--root", str(ROOT), "--conf", str(ROOT / "setup.cfg"), *words[:1]]
        tox += ["--discover", *self._discover]
        return command.run([*tox, *words[1:]], {**os.environ, **(env or {})}, on_line)

    def _has_tox(self) -> bool:
        if not self._python.exists():
            return False
        words = [str(self._python), "-m", "tox", "--version"]
        return subprocess.run(words, capture_output=True, check=False, cwd=WORK).returncode == 0


def _run(words: list[str], doing: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"{doing} failed: {' '.join(words)}\n{(done.stderr or done.stdout)[-3000:]}")
    return done.stdout
