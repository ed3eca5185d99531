"""The system checks: each speaks when it should, in so many words, and is silent otherwise."""

from __future__ import annotations

import io
import re

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError

from django_sqla_pool.checks import CHECKS
from tests.support.aliases import check, more_aliases, run_command
from tests.support.wire import Proxy

E001, W001, W002, W003, W004 = CHECKS


@pytest.fixture(autouse=True)
def add_alias(monkeypatch):
    """A function that adds an alias to DATABASES for the test; WEB_CONCURRENCY is not set."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    with more_aliases() as add:
        yield add


def test_sound_settings_cause_no_message():
    assert check() == []
    assert check("default", "mysql") == []


def test_each_id_is_used_and_no_other(add_alias):
    add_alias("a", "default", POOL_OPTIONS={"POOL_SISE": 5})
    add_alias("b", "default", CONN_MAX_AGE=60)
    add_alias("c", "default", OPTIONS={"pool": True})
    add_alias("d", "default", ENGINE="django.db.backends.postgresql", POOL_OPTIONS={})
    add_alias("e", "default", POOL_OPTIONS={"POOL_SIZE": 0})
    assert sorted(id_ for id_, _ in check("e")) == sorted(CHECKS)


def test_e001_each_problem_of_pool_options_is_an_error(add_alias, alias):
    add_alias("bad", alias, POOL_OPTIONS={"pool_size": 5, "TIMEOUT": "soon", "RECYCLE": 0})
    assert check() == [  # in the order of the alphabet, which is Django's
        (E001, "DATABASES['bad']['POOL_OPTIONS']: RECYCLE = 0 is out of bounds; it must be greater than 0 s, or -1."),
        (E001, "DATABASES['bad']['POOL_OPTIONS']: TIMEOUT = 'soon' is not a number; it must be at least 0 s."),
        (E001, "DATABASES['bad']['POOL_OPTIONS']: unknown option 'pool_size'; did you mean 'POOL_SIZE'?"),
    ]


@pytest.mark.parametrize("raw", [[], "", "POOL_SIZE=5", False, 5], ids=repr)
def test_e001_pool_options_must_be_a_dict(add_alias, raw):
    add_alias("bad", "default", POOL_OPTIONS=raw)
    kind = type(raw).__name__
    assert check() == [
        (E001, f"DATABASES['bad']['POOL_OPTIONS'] is of type {kind}; give a dict such as {{'POOL_SIZE': 5}}, or leave it out."),
    ]


@pytest.mark.parametrize("raw", [None, {}, {"POOL_SIZE": "5", "PRE_PING": "off"}], ids=repr)
def test_e001_is_silent_about_good_options(add_alias, alias, raw):
    add_alias("good", alias, POOL_OPTIONS=raw)
    assert check() == []


@pytest.mark.parametrize("age", [60, None, 0.5, -1], ids=repr)
def test_w001_a_conn_max_age_keeps_connections_from_the_pool(add_alias, alias, age):
    add_alias("keeps", alias, CONN_MAX_AGE=age)
    assert check() == [
        (
            W001,
            f"DATABASES['keeps']['CONN_MAX_AGE'] = {age!r}: each thread keeps its pooled connection between requests, "
            "and others wait for it.",
        )
    ]


def test_w001_is_silent_about_engines_that_are_not_pooled(add_alias, alias):
    engine = settings.DATABASES[alias]["ENGINE"].replace("django_sqla_pool", "django.db")
    add_alias("keeps", alias, CONN_MAX_AGE=60, ENGINE=engine)
    assert check() == []


@pytest.mark.parametrize("pool", [True, {"min_size": 1}], ids=repr)
def test_w002_djangos_own_pool_comes_before_this_one(add_alias, pool):
    wrapper = add_alias("both", "default", OPTIONS={"pool": pool}, CONN_MAX_AGE=60)
    assert check() == [
        (W002, "DATABASES['both']['OPTIONS']['pool'] asks for Django's own pool; POOL_OPTIONS has no effect."),
    ]
    assert wrapper.find_pool() is None, "the message must be true"


@pytest.mark.parametrize("pool", [False, None, {}], ids=repr)
def test_w002_is_silent_where_django_sees_no_pool_asked_for(add_alias, pool):
    wrapper = add_alias("ours", "default", OPTIONS={"pool": pool})
    assert check() == []
    assert wrapper.find_pool() is not None


def test_w003_pool_options_without_a_pooled_engine(add_alias, alias):
    engine = settings.DATABASES[alias]["ENGINE"].replace("django_sqla_pool", "django.db")
    add_alias("plain", alias, ENGINE=engine, POOL_OPTIONS={"nonsense": 1})
    assert check() == [(W003, f"DATABASES['plain'] has POOL_OPTIONS, but ENGINE '{engine}' is not pooled.")]


def test_w003_is_silent_without_pool_options(add_alias, alias):
    add_alias("plain", alias, ENGINE=settings.DATABASES[alias]["ENGINE"].replace("django_sqla_pool", "django.db"))
    assert check() == []


def test_every_message_says_what_to_do(add_alias):
    said = io.StringIO()
    add_alias("b", "default", CONN_MAX_AGE=60)
    add_alias("c", "default", OPTIONS={"pool": True})
    add_alias("d", "default", ENGINE="django.db.backends.postgresql", POOL_OPTIONS={})
    add_alias("e", "default", POOL_OPTIONS={"POOL_SIZE": 0})
    call_command("check", databases=["e"], stdout=said, stderr=said, no_color=True)
    hints = re.findall(r"^\tHINT: (.*)$", said.getvalue(), re.MULTILINE)
    assert sorted(hints) == [
        "Lower POOL_SIZE or MAX_OVERFLOW, run fewer processes, or raise the server's max_connections.",
        "Remove CONN_MAX_AGE: the pool keeps the connections open.",
        "Remove OPTIONS['pool'], or use Django's own ENGINE.",
        "Replace 'django.db' (or 'django.contrib.gis.db') by 'django_sqla_pool' in ENGINE if the server is PostgreSQL, "
        "MySQL or MariaDB; else remove POOL_OPTIONS.",
    ]


def test_only_check_with_database_asks_a_server(add_alias, alias):
    there = settings.DATABASES[alias]
    protocol = "mysql" if alias == "mysql" else "postgresql"
    unencrypted = {} if alias == "mysql" else {"sslmode": "disable", "gssencmode": "disable"}
    with Proxy(there["HOST"], there["PORT"], protocol) as proxy:
        add_alias("watched", alias, HOST=proxy.host, PORT=proxy.port, OPTIONS=unencrypted)
        check()
        assert proxy.connections == 0
        check("watched")
        assert [text for text in proxy.statements if "max_connections" in text] != []
        add_alias("away", alias, HOST=proxy.host, PORT=proxy.port, OPTIONS=unencrypted, POOL_OPTIONS={"CONNECT_RETRY": 0})
        proxy.refuse()
        check()
        with pytest.raises(OperationalError):
            check("away")


def test_manage_py_check_of_a_project(tmp_path):
    done = run_command(tmp_path, "", "check", "--database", "default", "--database", "mysql")
    assert (done.returncode, done.stderr) == (0, "")
    done = run_command(tmp_path, "DATABASES['mysql']['POOL_OPTIONS'] = {'POOL_SISE': 5}", "check")
    assert done.returncode == 1
    assert (
        "?: (django_sqla_pool.E001) DATABASES['mysql']['POOL_OPTIONS']: unknown option 'POOL_SISE'; did you mean 'POOL_SIZE'?"
        in done.stderr
    )
