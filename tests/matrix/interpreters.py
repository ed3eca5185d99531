"""Interpreters: which CPythons this machine has, found in PATH and among pyenv's, and whether each really runs."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Run by each candidate. A shim of pyenv fails here, and so does a build without what pip and Django import.
_PROBE = """
import json, platform, ssl, sqlite3, sys, sysconfig
print(json.dumps([platform.python_implementation(), list(sys.version_info[:3]), sys.executable,
                  sysconfig.get_path("include"), sys.version_info.releaselevel]))
"""


@dataclass(frozen=True, order=True)
class Interpreter:
    """One CPython that runs; ``factor`` is tox's word for its version."""

    version: tuple[int, int, int]
    path: str
    include: str

    @property
    def factor(self) -> str:
        return f"py{self.version[0]}{self.version[1]}"

    @property
    def has_headers(self) -> bool:
        return Path(self.include, "Python.h").exists()

    @property
    def is_debians(self) -> bool:
        return os.path.realpath(self.path).startswith("/usr/bin/")

    def __str__(self) -> str:
        return f"CPython {'.'.join(map(str, self.version))}"


def find(factors: Iterable[str]) -> dict[str, Interpreter]:
    """The newest release of each of these versions ("py313") that runs here; for equals the first in PATH."""
    best: dict[str, Interpreter] = {}
    for factor in factors:
        for path in _candidates(f"python{factor[2]}.{factor[3:]}"):
            found = _probe(path)
            if found and found.factor == factor and (factor not in best or found.version > best[factor].version):
                best[factor] = found
    return best


def _candidates(name: str) -> Iterator[str]:
    for folder in os.get_exec_path():
        if path := shutil.which(name, path=folder):
            yield path
    if root := _pyenv_root():
        yield from sorted(glob.glob(f"{root}/versions/*/bin/{name}"), key=_numbers, reverse=True)


def _pyenv_root() -> str:
    if root := os.environ.get("PYENV_ROOT"):
        return root
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return ""
    return subprocess.run([pyenv, "root"], capture_output=True, text=True, timeout=30, check=False).stdout.strip()


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def _probe(path: str) -> Interpreter | None:
    try:
        done = subprocess.run([path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    implementation, version, executable, include, level = json.loads(done.stdout)
    if implementation != "CPython" or level != "final":
        return None
    return Interpreter((version[0], version[1], version[2]), executable, include)
