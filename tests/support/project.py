"""Run the commands of a small Django project below ``tests`` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def run(project: str, alias: str, name: str, *command: str, **environment: str) -> str:
    """Run ``manage.py command`` of tests.<project> on the database ``name`` of an alias; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "django", *command, "--settings", f"tests.{project}.settings"],
        env=os.environ | {"PROJECT_ALIAS": alias, "PROJECT_NAME": name} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
