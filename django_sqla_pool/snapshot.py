"""The figures of one pool at one moment, and the counters they are made from."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .physical import Physical

__all__ = ["Counters", "Snapshot"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a pool is doing and has done. Counts are since the pool was made; times are seconds."""

    name: str  # vendor://user@host:port/database, never a password
    pool_size: int
    max_overflow: int
    limit: int | None  # None: no limit
    in_use: int
    idle: int
    waiting: int  # checkouts that wait for a place
    opened: int
    closed: Mapping[str, int]  # by reason
    checkouts: int
    timeouts: int  # checkouts that waited in vain
    wait_seconds: float  # sum over all checkouts, opening included
    use_seconds: float  # sum over all leases that have come back
    oldest_lease_seconds: float  # 0.0 if none is out
    last_error: str  # why the last opening failed; empty if the server is not known to be away

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, and the overflow, as values that JSON knows."""
        figures = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**figures, "closed": dict(self.closed), "overflow": self.overflow}

    @property
    def overflow(self) -> int:
        """How many connections there are above POOL_SIZE."""
        return max(0, self.in_use + self.idle - self.pool_size)

    @property
    def closed_count(self) -> int:
        """How many connections have been closed, whatever the reason."""
        return sum(self.closed.values())


class Counters:
    """Which connections of one pool are open, and what has been done with them and those before."""

    def __init__(self) -> None:
        # _lock guards all of them: += is no atomic operation. Nothing waits under it. An RLock: the garbage collector may
        # run in between, and somebody's finaliser may close a connection.
        self._lock = threading.RLock()
        self.physicals: set[Physical] = set()  # those that are open: may be copied without the lock
        self.opened = 0
        self.timeouts = 0
        self._closed: dict[str, int] = {}
        # What the closed ones have been used for. Each that is open counts for itself: only who has it adds to that.
        self._checkouts = 0
        self._wait_seconds = 0.0
        self._use_seconds = 0.0

    @property
    def closed(self) -> Mapping[str, int]:
        """How many connections were closed, by reason."""
        return MappingProxyType(dict(self._closed))

    def count_open(self, physical: Physical) -> None:
        with self._lock:
            self.physicals.add(physical)
            self.opened += 1

    def count_close(self, physical: Physical, reason: str) -> None:
        with self._lock:
            self.physicals.discard(physical)
            self._closed[reason] = self._closed.get(reason, 0) + 1
            self._checkouts += physical.checkouts
            self._wait_seconds += physical.wait_seconds
            self._use_seconds += physical.use_seconds

    def count_timeout(self) -> None:
        with self._lock:
            self.timeouts += 1

    def sums(self) -> tuple[int, float, float]:
        """Return how many checkouts there were, how long they took, and for how long what has come back was used, in seconds."""
        with self._lock:
            physicals = tuple(self.physicals)
            return (
                self._checkouts + sum(physical.checkouts for physical in physicals),
                self._wait_seconds + sum(physical.wait_seconds for physical in physicals),
                self._use_seconds + sum(physical.use_seconds for physical in physicals),
            )
