"""The pools of this process, one for each distinct set of connection parameters.

It owns the map from PoolKey to Pool and what becomes of it at fork and at exit. It opens and lends nothing.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from . import ending, housekeeper, process
from .options import PoolOptions, parse
from .pool import Pool
from .snapshot import Snapshot

__all__ = ["Lookup", "PoolKey", "dispose", "dispose_database", "look_up", "snapshots"]

Settings = dict[str, Any]
TimeZone = tuple[bool, str | None]  # whether USE_TZ is on, and the name of the connection's time zone

# Settings of an alias that say nothing of its connections, or have a place of their own in the key. Any other may be one
# that an engine of a third party reads while it connects.
_NOT_OF_A_CONNECTION = frozenset(
    {
        "ATOMIC_REQUESTS",
        "AUTOCOMMIT",
        "CONN_HEALTH_CHECKS",
        "CONN_MAX_AGE",
        "DISABLE_SERVER_SIDE_CURSORS",
        "ENGINE",
        "HOST",
        "NAME",
        "PASSWORD",
        "POOL_OPTIONS",
        "PORT",
        "SCHEMA",  # django-tenants: the tenant of the moment, whose search path it sets at each cursor
        "TEST",
        "TIME_ZONE",
        "USER",
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolKey:
    """What must be equal for two wrappers to share connections.

    Made from the settings, not from the finished connection parameters: those differ from call to call, and they do not
    hold the role and the isolation level. The representation hides the password.
    """

    wrapper_class: type
    database: tuple[str, ...]  # HOST, PORT, NAME
    user: str
    password: str = dataclasses.field(repr=False)
    autocommit: bool
    time_zone: TimeZone
    options: object = dataclasses.field(repr=False)  # OPTIONS and all else; may hold a password as well
    pool_options: PoolOptions

    @classmethod
    def of(cls, wrapper_class: type, settings: Settings, time_zone: TimeZone, alias: str) -> PoolKey:
        """Make the key of an alias' settings.

        Raises: ImproperlyConfigured - something is wrong with POOL_OPTIONS; it names the alias.
        """
        return cls(
            wrapper_class=wrapper_class,
            database=_database(settings),
            user=str(settings["USER"] or ""),
            password=str(settings["PASSWORD"] or ""),
            autocommit=settings["AUTOCOMMIT"],
            time_zone=time_zone,
            options=_frozen({key: settings[key] for key in settings if key not in _NOT_OF_A_CONNECTION}),
            pool_options=parse(settings.get("POOL_OPTIONS"), alias),
        )


@dataclasses.dataclass(repr=False)  # the settings hold a password
class Lookup:
    """What was found for the settings dict of an alias, as it was then."""

    settings: Settings  # the dict itself: keeps its id from being given to another
    copy: Settings
    wrapper_class: type
    time_zone: TimeZone
    pool: Pool


# _lock guards _pools; nothing waits under it. _seen is a cache of it, by the id of the settings: read and written by single
# operations. A lookup compares all settings at each call: one that is changed in place leads to another pool at once.
_lock = threading.Lock()
_pools: dict[PoolKey, Pool] = {}
_seen: dict[int, Lookup] = {}
_MOST_SEEN = 1000  # settings dicts of copied wrappers come and go; a cache that is thrown away costs 10 µs a lookup

# A password that changes and a tenant that comes once leave a pool behind. An hour: a quiet night on a small site is
# allowed to end a pool's figures, a coffee break is not.
_FORGET_AFTER = 3600.0
_SHORTEST_PAUSE = 0.05

_abandoned: list[Pool] = []  # the parent's pools, in a forked child: kept, for collecting a connection would close it


def look_up(
    wrapper_class: type, settings: Settings, time_zone: TimeZone, alias: str, make: Callable[[PoolOptions], Pool]
) -> Lookup:
    """Find the pool of these settings; ``make`` makes it if there is none."""
    if not process.mark[0]:
        notice_fork()
    seen = _seen.get(id(settings))
    if seen is not None and seen.wrapper_class is wrapper_class and seen.time_zone == time_zone and seen.copy == settings:
        return seen
    key = PoolKey.of(wrapper_class, settings, time_zone, alias)
    with _lock:
        pool = _pools.get(key)
        is_new = pool is None
        if pool is None:
            pool = _pools[key] = make(key.pool_options)
        if len(_seen) >= _MOST_SEEN:
            _seen.clear()
        seen = _seen[id(settings)] = Lookup(settings, copied(settings), wrapper_class, time_zone, pool)
    if is_new:
        housekeeper.start(_make_round)
        ending.hear_of_it(_at_exit)
    return seen


def notice_fork() -> None:
    """Leave the parent's pools, if this is a child of a fork that did not run Python's hooks, as uWSGI's may not."""
    if process.has_forked():
        _leave_parent()


def snapshots() -> tuple[Snapshot, ...]:
    """Return the figures of every pool of this process. Cheap enough to call every second."""
    return tuple(pool.snapshot() for pool in _all_pools())


def dispose() -> None:
    """Close the connections of every pool of this process: the idle ones now, those in use when they come back.

    The pools stay usable: the next checkout opens a connection.
    """
    for pool in _all_pools():
        pool.dispose()


def dispose_database(settings: Settings) -> None:
    """Close the connections of every pool to the database of these settings, whoever uses it and however."""
    with _lock:
        pools = [pool for key, pool in _pools.items() if key.database == _database(settings)]
    for pool in pools:
        pool.dispose()


def _database(settings: Settings) -> tuple[str, ...]:
    return tuple(str(settings[key] or "") for key in ("HOST", "PORT", "NAME"))


def copied(value: Any) -> Any:
    """Copy dicts and lists, and what is in them; share the rest, which may not be copyable (an SSLContext is not)."""
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def _frozen(value: object) -> object:
    """Make a hashable stand-in that is equal for equal values; what has no hash stands for itself alone."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return _Identity(value)
    return value


@dataclasses.dataclass(frozen=True, eq=False)
class _Identity:
    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _all_pools() -> list[Pool]:
    with _lock:
        return list(_pools.values())


def forget_unused(unused_for: float) -> None:
    """Drop the pools that have no connection and have not been used for so many seconds."""
    with _lock:
        for key, pool in list(_pools.items()):
            if pool.retire(unused_for):
                del _pools[key]
        _seen.clear()


def _make_round() -> float | None:
    """Sweep every pool; tell the housekeeper how long it may sleep."""
    forget_unused(_FORGET_AFTER)
    pauses = [pause for pool in _all_pools() if (pause := pool.sweep()) is not None]
    # What comes back or is lent from now on is due in the shortest of these at the earliest; what is idle or out now is
    # not due before the shortest of the pauses.
    for options in (pool.options for pool in _all_pools()):
        pauses += [options.idle_timeout, _positive(options.recycle * 0.9), _positive(options.leak_after)]
    # Not below: with an IDLE_TIMEOUT of microseconds there would be no end of rounds.
    return max(_SHORTEST_PAUSE, min(pauses)) if pauses else None


def _positive(seconds: float) -> float:
    return seconds if seconds > 0 else float("inf")


def _leave_parent() -> None:
    """In a forked child: start with no pools, and make the connections that came along harmless.

    A thread of the parent may hold any lock at this moment; it does not exist here, and will never release it.
    """
    global _lock, _pools, _seen
    inherited = list(_pools.values())
    _lock, _pools, _seen = threading.Lock(), {}, {}
    process.remember()
    _abandoned.extend(inherited)
    housekeeper.forget()
    for pool in inherited:
        for owner in pool.abandon():
            owner.forget_lease()


def _at_exit() -> None:
    notice_fork()
    housekeeper.stop()  # it may be closing a connection, and would be cut off in the middle
    for pool in _all_pools():
        for owner in pool.end():
            owner.forget_lease()


os.register_at_fork(after_in_child=_leave_parent)
atexit.register(_at_exit)
