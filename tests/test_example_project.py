"""The example project's own tests and checks, in a process with settings of its own, on each server and either engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent / "example_project"
SECONDS = 120.0  # on a machine that has much else to do


@pytest.fixture(params=["TEST_POSTGRESQL_URL", "TEST_MARIADB_URL"], ids=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    """Each server's address in turn."""
    return os.environ[request.param]


def manage(url: str, *arguments: str, pooled: str = "yes") -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    environment |= {"DATABASE_URL": url, "ATLAS_POOLED": pooled}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=SECONDS)


@pytest.mark.parametrize("pooled", ["yes", "no"])
def test_the_site_passes_its_own_tests_on_either_engine(url: str, pooled: str) -> None:
    name = f"atlas_{uuid.uuid4().hex[:12]}"  # of which the runner makes test_atlas_..., and drops it
    ended = manage(url + name, "test", "--noinput", pooled=pooled)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"Ran 1\d tests", ended.stderr)


def test_the_site_has_nothing_for_the_checks_and_no_migration_missing(url: str) -> None:
    name = "postgres" if url.startswith("postgres") else "mysql"
    checked = manage(url + name, "check", "--fail-level=INFO")
    assert checked.returncode == 0, checked.stderr
    compared = manage(url + name, "makemigrations", "--check", "--dry-run")
    assert compared.returncode == 0, compared.stdout
