"""A server that stays up, but takes no more writes or has left its cluster: its connections are not lent again."""

from __future__ import annotations

import pytest
from django.db import DatabaseError

from tests.support.sessions import session_id
from tests.test_pool import clock, figures, lend, make_pool  # noqa: F401  (fixtures, but for two)

READ_ONLY = "The MariaDB server is running with the --read-only option so it cannot execute this statement"
FOR_WRITES = {"default": {"target_session_attrs": "read-write"}, "mysql": {}}


def write_to_a_demoted_server(wrapper):
    """Have a statement fail as it does there: the server's own error, from a transaction or by its own SIGNAL."""
    with pytest.raises(DatabaseError), wrapper.cursor() as cursor:
        if wrapper.vendor == "mysql":
            cursor.execute(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT = '{READ_ONLY}'")
        else:
            cursor.execute("BEGIN READ ONLY; CREATE TABLE nowhere (id int)")


def sessions_of(wrappers):
    """Let all of them connect, then all close; return the ids of their sessions."""
    sessions = {session_id(wrapper) for wrapper in wrappers}
    for wrapper in wrappers:
        wrapper.close()
    return sessions


def test_a_write_that_is_refused_for_good_costs_all_connections_to_that_server(make_wrapper, alias, caplog):
    wrappers = [make_wrapper(OPTIONS=FOR_WRITES[alias]) for _ in range(4)]
    before = sessions_of(wrappers)
    write_to_a_demoted_server(wrappers[0])
    wrappers[0].close()
    assert not before & sessions_of(wrappers)
    assert wrappers[0].find_pool().snapshot().closed == {"disposed": 4}
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "the server has lost its role" in warning
    assert "read-only" in warning


def test_what_was_lent_at_that_moment_is_closed_as_it_comes_back_and_costs_nobody_else(make_wrapper, alias):
    wrappers = [make_wrapper(OPTIONS=FOR_WRITES[alias]) for _ in range(3)]
    session_id(wrappers[0])
    session_id(wrappers[1])
    write_to_a_demoted_server(wrappers[0])
    after = session_id(wrappers[2])
    wrappers[2].close()
    write_to_a_demoted_server(wrappers[1])
    for wrapper in wrappers[:2]:
        wrapper.close()
    assert session_id(wrappers[2]) == after
    assert wrappers[0].find_pool().snapshot().closed == {"disposed": 2}


@pytest.mark.parametrize("alias", ["default"])
@pytest.mark.parametrize("options", [{}, {"target_session_attrs": "any"}])
def test_where_nobody_asked_for_a_server_that_takes_writes_read_only_is_no_reason(make_wrapper, options):
    wrapper = make_wrapper(OPTIONS=options)
    session = session_id(wrapper)
    write_to_a_demoted_server(wrapper)
    wrapper.close()
    assert session_id(wrapper) == session


@pytest.mark.parametrize("alias", ["default"])
def test_what_the_environment_asks_of_the_server_counts_as_well(make_wrapper, monkeypatch):
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "primary")
    wrapper = make_wrapper()
    session = session_id(wrapper)
    write_to_a_demoted_server(wrapper)
    wrapper.close()
    assert session_id(wrapper) != session


@pytest.mark.parametrize("alias", ["mysql"])
@pytest.mark.parametrize(
    ("number", "text", "is_left"),
    [
        (1290, "The MySQL server is running with the --super-read-only option so it cannot execute this statement", True),
        (1290, "innodb_read_only", True),
        (1290, "The MariaDB server is running with the --secure-file-priv option so it cannot execute this", False),
        (1836, "Running in read-only mode", True),
        (1792, "Cannot execute statement in a READ ONLY transaction", False),
        (1047, "WSREP has not yet prepared node for application use", True),
        (1047, "Unknown command", False),
        (1205, "Lock wait timeout exceeded; try restarting transaction", False),
        (1213, "Deadlock found when trying to get lock; try restarting transaction", False),
    ],
)
def test_what_mysql_and_galera_say(wrapper, number, text, is_left):
    session = session_id(wrapper)
    with pytest.raises(DatabaseError, match=text), wrapper.cursor() as cursor:
        cursor.execute(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{text}'")
    wrapper.close()
    assert (session_id(wrapper) != session) is is_left


def test_while_the_address_leads_to_the_same_server_all_connections_are_closed_once_a_second(make_pool, clock):  # noqa: F811
    pool = make_pool()

    def write():
        lend(pool, 3)
        lease = pool.checkout()
        lease.end("disposed")
        pool.leave(lease.physical, DatabaseError())
        lease.close()
        return figures(pool)

    assert write() == (0, 0, {"disposed": 3})
    clock.now += 0.4
    assert write() == (0, 2, {"disposed": 4})
    clock.now += 0.4
    assert write() == (0, 2, {"disposed": 5})
    assert pool.sweep() == pytest.approx(0.2)
    assert figures(pool) == (0, 2, {"disposed": 5})
    clock.now += 0.2
    pool.sweep()  # those two may still lead to the server that was left
    assert figures(pool) == (0, 0, {"disposed": 7})
    pool.sweep()
    lend(pool, 3)
    pool.sweep()
    assert figures(pool) == (0, 3, {"disposed": 7}), "once"
    clock.now += 1.1
    assert write() == (0, 0, {"disposed": 10})


@pytest.mark.parametrize("alias", ["mysql"])
def test_a_rollback_at_checkin_may_be_what_finds_out(make_pool, monkeypatch):  # noqa: F811
    pool = make_pool()
    lend(pool, 3)
    lease = pool.checkout()

    def roll_back(had_errors):
        raise DatabaseError(1047, "WSREP has not yet prepared node for application use")

    monkeypatch.setattr(lease.physical.driver, "reset", roll_back)
    lease.close()
    assert figures(pool) == (0, 0, {"reset failed": 1, "disposed": 2})


def test_a_server_outside_its_cluster_or_a_standby_is_waited_for(wrapper, alias):
    texts = {
        "default": ["session is read-only", "server is in hot standby mode", 'could not make a writable connection to "x"'],
        "mysql": ["WSREP has not yet prepared node for application use"],
    }
    is_refusal = wrapper.find_pool().opener.is_refusal
    for text in texts[alias]:
        assert is_refusal(DatabaseError(*([1047] if alias == "mysql" else []), text))
    assert not is_refusal(DatabaseError(1047, "Unknown command"))
