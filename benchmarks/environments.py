"""Environments: the virtual environments that the arms run in, and what they hold.

Two, since Django prefers psycopg 3 and mysqlclient where they are installed beside psycopg2 and PyMySQL.
"""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.matrix import interpreters
from tests.servers import ServerError

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work"

COMMON = ["Django", "django-db-connection-pool"]
REQUIREMENTS = {
    "bench-a": [
        *COMMON,
        "psycopg[binary,pool]",
        "mysqlclient",
        "django-db-geventpool",
        "django-pg-real-pool",
        "gunicorn[gevent]",
        "uvicorn",
    ],
    "bench-b": [*COMMON, "psycopg2-binary", "PyMySQL"],
}
FACTORS = ("py313", "py312", "py311", "py310")

_LOOK = """
import json, platform
from importlib.metadata import distributions
found = {each.metadata["Name"].lower(): each.version for each in distributions()}
print(json.dumps({"python": platform.python_version(), **found}))
"""
_DRIVERS = {
    "postgresql": (("psycopg", "psycopg 3"), ("psycopg2-binary", "psycopg2"), ("psycopg2", "psycopg2")),
    "mysql": (("mysqlclient", "mysqlclient"), ("pymysql", "PyMySQL")),
}
SHOWN = {
    "Django": "django",
    "SQLAlchemy": "sqlalchemy",
    "psycopg": "psycopg",
    "psycopg2": "psycopg2-binary",
    "mysqlclient": "mysqlclient",
    "PyMySQL": "pymysql",
    "psycopg-pool": "psycopg-pool",
    "django-db-connection-pool": "django-db-connection-pool",
    "django-db-geventpool": "django-db-geventpool",
    "django-pg-real-pool": "django-pg-real-pool",
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn",
    "gevent": "gevent",
}


@dataclass(frozen=True)
class Environment:
    """An interpreter, and the versions of the packages that it finds, by their names in lower case."""

    python: Path
    versions: dict[str, str]

    @classmethod
    def of(cls, python: Path) -> Environment:
        done = subprocess.run([python, "-c", _LOOK], capture_output=True, text=True, check=True, timeout=60)
        return cls(python, json.loads(done.stdout))

    def has(self, package: str) -> bool:
        return package in self.versions

    def driver(self, vendor: str) -> str | None:
        """The driver that Django takes here for "postgresql" or "mysql"; None if there is none."""
        return next((shown for package, shown in _DRIVERS[vendor] if self.has(package)), None)

    def described(self) -> str:
        named = [f"{shown} {self.versions[name]}" for shown, name in SHOWN.items() if self.has(name)]
        return f"CPython {self.versions['python']}: {', '.join(named)}"


def current() -> list[Environment]:
    """The environment that this process runs in, for a smoke run."""
    return [Environment.of(Path(sys.executable))]


def make() -> list[Environment]:
    """Both environments, on the newest CPython found; made anew when what they are made from has changed.

    Raises: ServerError - no interpreter, or pip failed.
    """
    found = interpreters.find(FACTORS)
    if not found:
        raise ServerError(f"none of the supported interpreters runs here: {', '.join(FACTORS)}")
    python = max(found.values())
    return [Environment.of(_make(name, Path(python.path), words)) for name, words in REQUIREMENTS.items()]


def _make(name: str, python: Path, requirements: list[str]) -> Path:
    venv = WORK / name
    inside, stamp = venv / "bin" / "python", venv / "made-from"
    ours = configparser.ConfigParser(interpolation=None)
    ours.read(ROOT / "setup.cfg")
    made_from = "\n".join([str(python), *requirements, ours["options"]["install_requires"]])
    if not (stamp.exists() and stamp.read_text() == made_from):
        print(f"Making {venv.relative_to(ROOT)}: {', '.join(requirements)}", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        WORK.mkdir(exist_ok=True)
        _run([python, "-m", "venv", venv])
        _run([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ROOT, *requirements])
        stamp.write_text(made_from)
    return inside


def _run(words: list[str | Path]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise ServerError(f"{' '.join(map(str, words[:5]))} failed:\n{(done.stderr or done.stdout)[-3000:]}")
