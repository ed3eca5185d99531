"""``manage.py test`` touches test databases and no others, in parallel too, though an app queries before they exist."""

from __future__ import annotations

import pytest

from tests.support import project


@pytest.fixture
def production(alias, observer):
    """The real database of the project, with one note in it."""
    name = f"{observer.wrapper.settings_dict['NAME']}_production"
    observer.query(f"DROP DATABASE IF EXISTS {name}")
    observer.query(f"CREATE DATABASE {name}")
    run(alias, name, "migrate", "--verbosity", "0")
    code = "from tests.early_bird.models import Note; Note.objects.create(text='precious')"
    run(alias, name, "shell", "--verbosity", "0", "--command", code)
    yield name
    observer.query(f"DROP DATABASE {name}")


def run(alias, name, *command, **environment):
    return project.run("early_bird", alias, name, *command, **environment)


def notes(alias, name):
    code = "from tests.early_bird.models import Note; print(sorted(Note.objects.values_list('text', flat=True)))"
    return run(alias, name, "shell", "--verbosity", "0", "--command", code).strip()


def databases(observer, production):
    """Return the databases that the project may have anything to do with."""
    if observer.wrapper.vendor == "postgresql":
        rows = observer.query("SELECT datname FROM pg_database")
    else:
        rows = observer.query("SHOW DATABASES")
    return {row[0] for row in rows if production in row[0]}


def test_a_test_run_touches_test_databases_only(alias, observer, production):
    before = databases(observer, production)
    for parallel, was_killed in (("1", False), ("2", True), ("2", False)):
        if was_killed:  # a run before, that is, whose database was left behind
            observer.query(f"CREATE DATABASE test_{production}")
        command = ("test", "tests.early_bird", "--pattern", "tests_of*.py", "--noinput", "--parallel", parallel)
        output = run(alias, production, *command, EARLY_BIRD_QUERIES="yes")
        assert "Ran 12 tests" in output
        assert "\nOK" in output
        assert databases(observer, production) == before
    assert notes(alias, production) == "['precious']"
