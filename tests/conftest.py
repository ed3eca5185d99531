"""What every test finds: the scratch databases, a pooled wrapper on each server, and somebody who watches the server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.mysql.base import DatabaseWrapper as MySQL
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from django.db.utils import ConnectionHandler, load_backend

from django_sqla_pool import options, registry
from tests.support.sessions import Observer

Make = Callable[..., Any]

_numbers = itertools.count(1)
_OPTION_NAMES = {key for key, _, _ in options.describe()}


@pytest.fixture(scope="session", autouse=True)
def scratch_databases(django_db_blocker: Any) -> Iterator[None]:
    """Make the databases that DATABASES names, and drop them; on Django's own engines, ours being what is tested."""
    described = ConnectionHandler(settings.DATABASES).settings
    connections = [(PostgreSQL(described["default"], "default"), " WITH (FORCE)"), (MySQL(described["mysql"], "mysql"), "")]

    def execute(*verbs: str) -> None:
        with django_db_blocker.unblock():
            for connection, force in connections:
                # A run that was killed may have left its own behind; a pool may hold connections to one that goes.
                with connection._nodb_cursor() as cursor:
                    name = connection.settings_dict["NAME"]
                    for verb in verbs:
                        cursor.execute(f"{verb} {name}{force if verb.startswith('DROP') else ''}")

    try:
        execute("DROP DATABASE IF EXISTS", "CREATE DATABASE")
    except DatabaseError as error:
        # One sentence in place of the same traceback for each test.
        pytest.exit(f"no test can be run: the server that TEST_*_URL names does not let us make a database: {error}", 3)
    yield
    execute("DROP DATABASE")


@pytest.fixture(autouse=True)
def databases_are_allowed(django_db_blocker: Any) -> Iterator[None]:
    """Let every test connect: pytest-django's guard is for projects whose tests must not."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(params=["default", "mysql"], ids=["postgresql", "mysql"])
def alias(request: pytest.FixtureRequest) -> str:
    """Each of the two servers in turn. A test that concerns one only says so by parametrizing ``alias`` itself."""
    return str(request.param)


@pytest.fixture
def make_wrapper(alias: str) -> Iterator[Make]:
    """A function that makes a wrapper on a pool that no other test knows.

    Its keyword arguments are settings; those of POOL_OPTIONS may be given by their own names. Equal arguments in one test
    lead to one pool, as equal settings do everywhere.
    """
    made: list[Any] = []
    own = {"IDLE_TIMEOUT": 600.0 + next(_numbers)}  # what makes the key another one

    def make(**changes: Any) -> Any:
        pool_options = {key: changes.pop(key) for key in list(changes) if key in _OPTION_NAMES}
        wrapper = connections[alias].copy()
        if engine := changes.pop("ENGINE", None):
            wrapper = load_backend(engine).DatabaseWrapper(wrapper.settings_dict | {"ENGINE": engine}, alias)
        wrapper.settings_dict["OPTIONS"] = changes.pop("OPTIONS", {})
        wrapper.settings_dict["POOL_OPTIONS"] = own | pool_options
        wrapper.settings_dict.update(changes)
        made.append(wrapper)
        return wrapper

    yield make
    for wrapper in made:
        wrapper.inc_thread_sharing()  # some are made in other threads
        wrapper.close()
        if (pool := wrapper.find_pool()) is not None:
            pool.dispose()
    registry.forget_unused(0)


@pytest.fixture
def wrapper(make_wrapper: Make) -> Any:
    """A pooled wrapper with the default POOL_OPTIONS, not connected yet."""
    return make_wrapper()


@pytest.fixture
def observer(alias: str) -> Iterator[Observer]:
    """Somebody with a connection of its own to the same server and database."""
    observer = Observer(connections[alias].settings_dict, alias)
    yield observer
    observer.close()
