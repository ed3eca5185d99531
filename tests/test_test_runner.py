"""``manage.py test`` touches test databases and no others, in parallel too, though an app queries before they exist."""

from __future__ import annotations

from unittest import mock

import pytest

from tests.support import project
from tests.support.sessions import session_id


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


@pytest.mark.parametrize("step", ["_create_test_db", "_clone_test_db", "_destroy_test_db"])
def test_nobody_is_connected_to_a_database_that_the_runner_needs(alias, make_wrapper, observer, step):
    """Not even idle, when Django's own method is called."""
    real = make_wrapper()
    creation = real.creation
    if step == "_clone_test_db":
        words, name = ("1", 0), creation.get_test_db_clone_settings("1")["NAME"]
    else:
        name = creation._get_test_db_name()
        words = (0, True) if step == "_create_test_db" else (name, 0)
    observer.query(f"DROP DATABASE IF EXISTS {name}")
    observer.query(f"CREATE DATABASE {name}")
    needed = [make_wrapper(NAME=name)] if step == "_destroy_test_db" else [make_wrapper(NAME=name), real]
    sessions = {wrapper.settings_dict["NAME"]: {session_id(wrapper)} for wrapper in needed}
    for wrapper in needed:
        if wrapper is not real or step != "_clone_test_db":  # which is called while the runner's own is connected
            wrapper.close()
    assert all(observer.sessions(name) >= ours for name, ours in sessions.items())

    def check(*_):
        for name, ours in sessions.items():
            observer.wait_until_gone(ours, name)

    _, behind, *_ = [each for each in type(creation).__mro__ if step in vars(each)]
    with mock.patch.object(behind, step, side_effect=check) as called:
        getattr(creation, step)(*words)
    called.assert_called_once()
    observer.query(f"DROP DATABASE {name}")
