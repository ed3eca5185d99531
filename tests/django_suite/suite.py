"""Suite: one run of Django's tests on one engine, in the environment that they need, and where its results are kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.environments import ROOT
from tests.servers import ServerError, command

from . import provision
from .engines import Engine
from .provision import WORK
from .results import Results

INSIDE = Path(__file__).parent / "inside"

OPTIONS = ("--settings=django_suite_settings", "--parallel=2", "--noinput")

#: Variables that would make the runs of two people differ, or have somebody else's tools look in.
_FOREIGN = ("COVERAGE_", "DJANGO_", "LANG", "LC_", "MYSQL_", "PG", "PYTEST_", "PYTHON", "TEST_")


class SuiteError(Exception):
    """A run that did not come to its end, with the last it said."""


@dataclass(frozen=True)
class Suite:
    """Django's suite for one engine: ``python`` is that of the environment, ``url`` names the server, no modules mean all."""

    engine: Engine
    python: Path
    url: str
    server_version: str
    modules: Sequence[str] = ()

    @property
    def versions(self) -> dict[str, str]:
        return provision.versions(self.python)

    def run(self) -> Results:
        """Run it on our engine. Raises: SuiteError - it did not come to its end."""
        return self._run(self.engine.ours, self._file("ours"))

    def run_stock(self) -> Results:
        """Run it on Django's engine, unless that was done before with all the same versions. Raises: SuiteError."""
        path = self._file("stock")
        found = Results.load(path)
        if found.is_complete:
            print(f"{path.name}: as it was on {time.ctime(path.stat().st_mtime)}", flush=True)
            return found
        return self._run(self.engine.stock, path)

    def _file(self, kind: str) -> Path:
        """Where the results are: a name for each combination of versions, of the runner and of the modules."""
        versions = {name: version for name, version in self.versions.items() if name != "django-sqla-pool"}
        runner = [path.read_text(encoding="utf-8") for path in (*sorted(INSIDE.glob("*.py")), Path(__file__))]
        key = json.dumps([versions, self.server_version, runner, list(self.modules)])
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return WORK / kind / f"{self.engine.name}-{self.versions['Django']}-{digest}.jsonl"

    def _run(self, engine: str, path: Path) -> Results:
        tests = provision.source(self.versions["Django"], self.python) / "tests"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        databases = self.engine.databases(engine, self.url)
        password = databases["default"]["PASSWORD"]
        env = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        env |= {
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, (tests.parent, INSIDE, ROOT))),
            "DJANGO_SUITE_DATABASES": json.dumps(databases),
            "DJANGO_SUITE_RESULTS": str(path),
        }
        # In its own folder: some tests write where they are, and a folder there that is called as a module hides that module.
        words = ["env", f"--chdir={tests}", *without_override(), str(self.python), "runtests.py"]
        log = path.with_suffix(".log")
        print(f"{engine}, Django {self.versions['Django']}: what it says is in {log}", flush=True)
        with log.open("w", encoding="utf-8") as file:

            def keep(line: str) -> None:
                file.write(line.replace(password, "***") if password else line)
                file.flush()

            status = command.run([*words, *OPTIONS, *self.modules], env, keep)
        results = Results.load(path)
        # Failures are the comparison's business; all else, as a test database that could not be dropped, is nobody else's.
        if not results.is_complete or status not in (0, 1):
            tail = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-40:])
            raise SuiteError(f"Django's suite on {engine} stopped before its end (status {status}):\n{tail[-6000:]}")
        return results


def without_override() -> list[str]:
    """The words before a command that make root respect the permissions of files: some tests make a file nobody may write."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerError("as root, Django's suite needs setpriv; on Debian: apt-get install util-linux. Or run it as a user")
    return [setpriv, *(f"--{which}=-dac_override,-dac_read_search" for which in ("bounding-set", "inh-caps"))]
