"""More entries of DATABASES, while a test runs; and Django's commands, as a project runs them."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections

from django_sqla_pool import registry

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def more_aliases() -> Iterator[Callable[..., Any]]:
    """Yield a function that adds an alias like another one, but for the settings given, and returns its wrapper."""
    added: list[str] = []

    def add(name: str, like: str, **changes: Any) -> Any:
        connections.settings[name] = {**registry.copied(connections[like].settings_dict), **changes}
        added.append(name)
        return connections[name]

    try:
        yield add
    finally:
        for name in added:
            connections[name].close()
            del connections[name], connections.settings[name]
        registry.dispose()
        registry.forget_unused(0)


def check(*databases: str) -> list[tuple[str, str]]:
    """Run ``manage.py check``, with ``--database`` for each name; return (id, text) of this package's messages."""
    said = io.StringIO()
    try:
        call_command("check", databases=databases, stdout=said, stderr=said, no_color=True)
    except SystemCheckError as error:
        said.write(str(error))
    return re.findall(r"^\?: \((django_sqla_pool\.\w+)\) (.*)$", said.getvalue(), re.MULTILINE)


def run_command(folder: Path, settings: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a management command in a process of its own, with the tests' settings and these lines after them."""
    (folder / "project_settings.py").write_text(f"from tests.settings import *\n{settings}\n")
    variables = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project_settings",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        **environment,
    }
    # 60 s: it takes one; more means that it hangs.
    return subprocess.run([sys.executable, "-m", "django", *arguments], env=variables, capture_output=True, text=True, timeout=60)
