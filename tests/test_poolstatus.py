"""``manage.py poolstatus``: the figures of the pools, for people and for machines."""

from __future__ import annotations

import dataclasses
import io
import json
import socket

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from django_sqla_pool import Snapshot, snapshots
from tests.support import people
from tests.support.aliases import more_aliases, run_command

COLUMNS = "pool size limit in-use idle overflow waiting opened closed checkouts timeouts wait-s use-s"


@pytest.fixture
def add_alias():
    with more_aliases() as add:
        yield add


def poolstatus(*databases, **options):
    out, errors = io.StringIO(), io.StringIO()
    call_command("poolstatus", database=list(databases) or None, stdout=out, stderr=errors, no_color=True, **options)
    return out.getvalue(), errors.getvalue()


def status_of(*databases):
    """Return the JSON of these aliases, parsed."""
    out, errors = poolstatus(*databases, json=True)
    assert errors == ""
    return json.loads(out)


def fresh(add_alias, name, like, **pool_options):
    """An alias with a pool that nobody has used yet."""
    return add_alias(name, like, POOL_OPTIONS={"IDLE_TIMEOUT": 1234.5, **pool_options})


def test_it_checks_out_a_connection_and_gives_it_back(add_alias, alias):
    wrapper = fresh(add_alias, "looked_at", alias, POOL_SIZE=3, MAX_OVERFLOW=4)
    (found,) = status_of("looked_at")
    assert {key: found[key] for key in ("pool_size", "max_overflow", "limit", "in_use", "idle", "opened", "checkouts")} == {
        "pool_size": 3,
        "max_overflow": 4,
        "limit": 7,
        "in_use": 0,
        "idle": 1,
        "opened": 1,
        "checkouts": 1,
    }
    assert wrapper.connection is None
    assert status_of("looked_at")[0]["opened"] == 1


def test_a_connection_in_use_stays_in_use(add_alias, alias):
    wrapper = fresh(add_alias, "busy", alias)
    with wrapper.cursor():
        (found,) = status_of("busy")
        assert (found["in_use"], found["idle"], found["checkouts"]) == (1, 0, 1)
        assert wrapper.connection is not None
    wrapper.close()


def test_the_json_has_every_figure_of_a_snapshot_and_the_overflow(add_alias, alias):
    wrapper = fresh(add_alias, "looked_at", alias, POOL_SIZE=0)
    found = status_of("looked_at")
    assert [set(figures) for figures in found] == [{field.name for field in dataclasses.fields(Snapshot)} | {"overflow"}]
    now = wrapper.find_pool().snapshot()
    assert found == [now.as_dict()]
    assert (found[0]["limit"], found[0]["overflow"], found[0]["closed"]) == (None, 1, {})


def test_the_table_has_a_line_for_each_pool(add_alias, alias):
    wrapper = fresh(add_alias, "looked_at", alias, POOL_SIZE=3, MAX_OVERFLOW=4)
    wrapper.ensure_connection()
    wrapper.close_pool()
    wrapper.close()  # disposed
    head, line = poolstatus("looked_at")[0].splitlines()
    assert head.replace("in use", "in-use").replace(" s ", "-s ").replace("use s", "use-s").split() == COLUMNS.split()
    figures = wrapper.find_pool().snapshot()
    cells = line.replace("disposed 1", "disposed-1").split()
    assert cells[:-2] == [figures.name, "3", "7", "0", "1", "0", "0", "2", "disposed-1", "2", "0"]
    assert cells[-2:] == [f"{figures.wait_seconds:.3f}", f"{figures.use_seconds:.3f}"]


def test_the_columns_of_the_table_stand_under_their_heads(add_alias):
    fresh(add_alias, "a_pool", "default", POOL_SIZE=123456, MAX_OVERFLOW=0)
    head, *lines = poolstatus("a_pool", "mysql")[0].splitlines()
    for name, cells in (("size", {"123456", "5"}), ("limit", {"123456", "15"})):
        at = head.index(name)
        assert {line[at:].split()[0] for line in lines} == cells
        assert all(line[at - 1] == " " for line in lines)


def test_a_pool_without_a_limit_says_none(add_alias):
    fresh(add_alias, "endless", "default", MAX_OVERFLOW=-1)
    head, line = poolstatus("endless")[0].splitlines()
    assert line[head.index("limit") :].split()[0] == "none"


def test_without_database_all_pools_are_shown(add_alias):
    wrappers = [connections["default"], connections["mysql"], fresh(add_alias, "third", "mysql")]
    assert [figures["name"] for figures in status_of()] == [figures.name for figures in snapshots()]
    shown = len(poolstatus()[0].splitlines()) - 1
    assert shown == len(snapshots()) >= 3
    assert {wrapper.find_pool().snapshot().name for wrapper in wrappers} <= {figures["name"] for figures in status_of()}


def test_with_database_only_its_pool_is_shown(add_alias):
    fresh(add_alias, "third", "mysql", POOL_SIZE=7)
    status_of()  # so that all of them exist
    assert [figures["pool_size"] for figures in status_of("third")] == [7]
    assert [figures["name"].partition(":")[0] for figures in status_of("mysql", "default")] == ["mysql", "postgresql"]


def test_aliases_that_share_a_pool_are_one_line(add_alias, alias):
    fresh(add_alias, "one", alias)
    fresh(add_alias, "other", alias)
    (found,) = status_of("one", "other", "one")
    assert (found["opened"], found["checkouts"]) == (1, 3)


def test_an_unknown_alias_is_an_error_that_names_the_known_ones():
    with pytest.raises(CommandError) as caught:
        poolstatus("default", "nowhere", "elsewhere")
    assert str(caught.value) == "nowhere, elsewhere: no pooled database of that name; there are default, mysql."


def test_an_alias_that_is_not_pooled_is_an_error(add_alias):
    add_alias("plain", "default", ENGINE="django.db.backends.postgresql")
    with pytest.raises(CommandError, match=r"^plain: no pooled database of that name; there are default, mysql\.$"):
        poolstatus("plain")


def test_a_project_without_a_pooled_alias_is_told_so(tmp_path):
    unpooled = (
        "for described in DATABASES.values(): described['ENGINE'] = described['ENGINE'].replace('django_sqla_pool', 'django.db')"
    )
    done = run_command(tmp_path, unpooled, "poolstatus")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "CommandError: There is no pool: no ENGINE of DATABASES is one of django_sqla_pool.backends.\n",
    )


def test_an_alias_with_djangos_own_pool_is_named_and_left_out(add_alias):
    add_alias("both", "default", OPTIONS={"pool": True})
    out, errors = poolstatus("both", "mysql", json=True)
    assert errors == "both: OPTIONS['pool'] asks for Django's own pool, so there is none of ours.\n"
    assert [figures["name"].partition(":")[0] for figures in json.loads(out)] == ["mysql"]


def test_bad_options_are_an_error_without_a_traceback(tmp_path):
    done = run_command(tmp_path, "DATABASES['default']['POOL_OPTIONS'] = {'POOL_SISE': 5, 'RECYCLE': 0}", "poolstatus")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "CommandError: default: DATABASES['default']['POOL_OPTIONS']: unknown option 'POOL_SISE'; did you mean 'POOL_SIZE'?\n"
        "DATABASES['default']['POOL_OPTIONS']: RECYCLE = 0 is out of bounds; it must be greater than 0 s, or -1.\n",
    )


def test_a_server_that_is_away_is_an_error_that_names_the_alias(add_alias, alias):
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        wrapper = add_alias("away", alias, HOST="127.0.0.1", PORT=port, POOL_OPTIONS={"CONNECT_RETRY": 0})
        with pytest.raises(OperationalError) as raised:
            wrapper.ensure_connection()
        with pytest.raises(CommandError) as caught:
            poolstatus("away")
    assert str(caught.value) == f"away: {raised.value}"


def test_the_password_is_never_printed(add_alias, alias, observer):
    with people.user(observer, "reader", "hush-7f3a") as credentials:
        add_alias("secretive", alias, **credentials)
        out, errors = poolstatus("secretive")
        assert f"{credentials['USER']}@" in out
        out += poolstatus("secretive", json=True)[0]
        assert credentials["PASSWORD"] not in out + errors
        connections["secretive"].close_pool()
