"""A password appears in no message, representation or log record, whatever happens."""

from __future__ import annotations

import gc
import io
import json
import logging
import socket
import traceback

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error, connections

from django_sqla_pool import PoolTimeout, registry
from tests.support import people
from tests.support.aliases import more_aliases
from tests.support.sessions import session_id
from tests.support.threads import wait_until

PASSWORD, WRONG = "hush-7f3a", "hush-9c1b"
SECRET = "hush-"  # in both


@pytest.fixture
def log():
    """Every record of every logger, down to DEBUG, as text; including SQLAlchemy's and Django's own."""
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append(record)

    loggers = [logging.getLogger()] + [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    before = [(logger, logger.level, logger.propagate, logger.disabled) for logger in loggers]
    keep = Keep()
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate, logger.disabled = True, False
    logging.getLogger().addHandler(keep)
    yield records
    logging.getLogger().removeHandler(keep)
    for logger, level, propagate, disabled in before:
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled


@pytest.fixture(params=["PASSWORD", "OPTIONS"])
def credentials(request, observer):
    """Settings by which a user logs in whose password is known to be unmistakable, in either of the two places."""
    with people.user(observer, "reader", PASSWORD) as settings:
        if request.param == "OPTIONS":
            settings = {**settings, "PASSWORD": "", "OPTIONS": {"password": settings["PASSWORD"]}}
        yield settings


def wrong(credentials):
    """The same with another password."""
    if credentials["PASSWORD"]:
        return {**credentials, "PASSWORD": WRONG}
    return {**credentials, "OPTIONS": {"password": WRONG}}


def told(error):
    """All that can be read off an error, and off what caused it."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)) + repr(error)


def failures(make_wrapper, credentials):
    """Yield an error of each kind."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        for changes in (
            wrong(credentials),
            {**credentials, "NAME": "no_database_of_that_name"},
            {**credentials, "PORT": place.getsockname()[1], "CONNECT_RETRY": 0.1},
            {**credentials, "HOST": ".".join(["nowhere" * 8] * 5)},
            {**credentials, "PORT": "db"},
        ):
            with pytest.raises(Exception) as raised:
                make_wrapper(**changes).ensure_connection()
            yield raised.value
    full = {**credentials, "POOL_SIZE": 1, "MAX_OVERFLOW": 0, "TIMEOUT": 0}
    with make_wrapper(**full).find_pool().checkout():
        with pytest.raises(PoolTimeout) as raised:
            make_wrapper(**full).ensure_connection()
        yield raised.value


def test_no_error_shows_it(make_wrapper, credentials):
    errors = list(failures(make_wrapper, credentials))
    assert len(errors) == 6
    for error in errors:
        assert SECRET not in told(error)


def test_no_log_record_shows_it(make_wrapper, credentials, observer, log):
    wrapper = make_wrapper(**credentials, RESET="session", PING_AFTER=0)
    wrapper.force_debug_cursor = True  # Django logs the statements as well
    session = session_id(wrapper)
    with pytest.raises(Error), wrapper.cursor() as cursor:
        cursor.execute("SELECT nothing_of_that_name")
    wrapper.close()
    observer.kill(session)
    session_id(wrapper)  # finds the dead one, and opens another
    observer.kill(session_id(wrapper))
    wrapper.close()  # a reset that fails
    wrapper.ensure_connection()
    wrapper.close()
    wrapper.find_pool().dispose()
    assert dict(wrapper.find_pool().snapshot().closed) == {"dead": 1, "reset failed": 1, "disposed": 1}
    for _ in failures(make_wrapper, credentials):
        pass
    names = {record.name for record in log}
    assert {"django_sqla_pool", "django.db.backends", "django_sqla_pool.connection_queue.ConnectionQueue"} <= names
    formatter = logging.Formatter()
    for record in log:
        assert SECRET not in formatter.format(record) + repr(record.args)


def test_no_representation_shows_it(make_wrapper, credentials):
    wrapper = make_wrapper(**credentials)
    wrapper.ensure_connection()
    pool = wrapper.find_pool()
    key = registry.PoolKey.of(type(wrapper), wrapper.settings_dict, (True, "UTC"), wrapper.alias)
    user = credentials["USER"]
    for shown in (key, pool, pool.snapshot(), pool.options, pool.opener, wrapper, wrapper._lease):
        assert SECRET not in f"{shown!r} {shown!s} {shown:}"
    assert f"user={user!r}" in repr(key), "it hides no more than it has to"
    assert f"{wrapper.vendor}://{user}@" in pool.snapshot().name
    assert SECRET not in json.dumps(pool.snapshot().as_dict())


def test_no_object_of_the_package_shows_it(make_wrapper, credentials):
    """Error pages and reports show the local variables of every frame."""
    wrapper = make_wrapper(**credentials)
    wrapper.ensure_connection()
    wait_until(lambda: wrapper.find_pool() and registry._seen)  # the cache of settings, which the housekeeper may empty
    ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("django_sqla_pool")]
    assert {"Pool", "PoolKey", "PoolOptions", "Lease"} <= {type(thing).__name__ for thing in ours}
    assert [type(thing) for thing in ours if SECRET in repr(thing)] == []


def test_neither_check_nor_poolstatus_prints_it(alias, credentials):
    with more_aliases() as add:
        add("secretive", alias, **credentials, POOL_OPTIONS={"POOL_SIZE": 100_000})
        add("locked_out", alias, **wrong(credentials))
        said = io.StringIO()
        call_command("check", databases=["secretive"], stdout=said, stderr=said)
        assert "(django_sqla_pool.W004)" in said.getvalue()
        call_command("poolstatus", database=["secretive"], stdout=said)
        call_command("poolstatus", database=["secretive"], json=True, stdout=said)
        with pytest.raises(CommandError) as raised:
            call_command("poolstatus", database=["locked_out"], stdout=said)
        assert "locked_out: " in str(raised.value)
        connections["secretive"].settings_dict["POOL_OPTIONS"] = credentials  # a bad option, and a secret in a bad place
        with pytest.raises(CommandError) as checked:
            call_command("check")
        assert "unknown option 'PASSWORD'" in str(checked.value)
        connections["secretive"].settings_dict["POOL_OPTIONS"] = None
        assert SECRET not in said.getvalue() + told(raised.value) + told(checked.value)
