"""The figures of one pool at one moment, and the counters they are made from."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["Counters", "Snapshot"]

MOST_NOTED = 100  # checkins; adding up so many takes 20 µs


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
    last_error: str  # of the last open that failed; empty if the last one went well

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
    """Sums that many threads add to."""

    def __init__(self) -> None:
        # _lock guards all of them: += is no atomic operation. Nothing waits under it. An RLock: the garbage collector may
        # run in between, and somebody's finaliser may close a connection.
        self._lock = threading.RLock()
        self.opened = 0
        self.timeouts = 0
        self._closed: dict[str, int] = {}
        # What every checkin adds is only noted, by a single atomic operation, and added up now and then.
        self._noted: deque[tuple[float, float]] = deque()
        self._checkins = 0
        self._wait_seconds = 0.0
        self._use_seconds = 0.0

    @property
    def closed(self) -> Mapping[str, int]:
        """How many connections were closed, by reason."""
        return MappingProxyType(dict(self._closed))

    def count_open(self) -> None:
        with self._lock:
            self.opened += 1

    def count_close(self, reason: str) -> None:
        with self._lock:
            self._closed[reason] = self._closed.get(reason, 0) + 1

    def count_timeout(self) -> None:
        with self._lock:
            self.timeouts += 1

    def count_checkin(self, waited: float, used: float) -> None:
        self._noted.append((waited, used))
        if len(self._noted) >= MOST_NOTED:
            self.sums()

    def sums(self) -> tuple[int, float, float]:
        """Return how many checkins there were, and how long their leases were waited for and used, in seconds."""
        with self._lock:
            with contextlib.suppress(IndexError):
                while True:
                    waited, used = self._noted.popleft()
                    self._checkins += 1
                    self._wait_seconds += waited
                    self._use_seconds += used
            return self._checkins, self._wait_seconds, self._use_seconds
