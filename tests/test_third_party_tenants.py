"""django-tenants, pooled, underneath our engine and on top of it: a schema for each tenant, and connections for all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connections

from tests.support.sessions import Observer

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "django_sqla_pool_tenants"


@pytest.fixture(scope="module")
def server(scratch_databases, django_db_blocker):
    with django_db_blocker.unblock():
        observer = Observer(connections["default"].settings_dict, "default")
        yield observer
        observer.query(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        observer.close()


@pytest.fixture(
    scope="module",
    params=[("under", "no", "rollback"), ("under", "yes", "rollback"), ("over", "no", "session"), ("over", "yes", "rollback")],
    ids=lambda param: "-".join(param),
)
def story(request, server):
    """What was seen on the tenants' site, with the engine on that side, that search path option and that RESET."""
    side, remember, reset = request.param
    server.query(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    server.query(f"CREATE DATABASE {DATABASE}")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.third_party.tenants.settings",
        "TENANTS_DATABASE": DATABASE,
        "TENANTS_SIDE": side,
        "TENANTS_REMEMBER": remember,
        "TENANTS_RESET": reset,
    }
    command = [sys.executable, "-m", "tests.third_party.tenants.story"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {"reset": reset, **json.loads(done.stdout)}


def answer(tenant, session):
    return {"session": session, "schema": tenant, "notes": [f"a note of {tenant}"]}


def test_two_tenants_in_turn_share_one_connection_and_see_their_own(story):
    session = story["in_turn"][0]["session"]
    assert story["in_turn"] == [answer("amber", session), answer("beryl", session)] * 10
    assert (story["opened_in_turn"], story["checkouts"]) == (1, 20)
    assert story["pools"] == 1


def test_the_session_is_indeed_the_one_that_the_other_tenant_had(story):
    # Else the tests here would prove nothing. RESET="session" removes even this.
    assert story["left_behind"] == {"rollback": "beryl, public", "session": '"$user", public'}[story["reset"]]


def test_a_tenant_who_closes_in_the_middle_reads_on_in_its_own_schema(story):
    session = story["middle"][0]["session"]
    assert story["middle"] == [answer(tenant, session) for tenant in ("amber", "beryl", "amber")]


def test_a_request_that_failed_in_its_transaction_leaves_nothing_to_the_next_tenant(story):
    assert story["broken"] == {"status": "500 Internal Server Error"}
    sessions = {page["session"] for page in story["after_broken"]}
    assert story["after_broken"] == [answer(tenant, *sessions) for tenant in ("beryl", "amber")]


def test_tenants_in_many_threads_never_mix(story):
    assert story["answered"] == 200
    assert story["mixed"] == []
    assert 1 <= story["opened"] <= 2
    assert story["in_use"] == 0
