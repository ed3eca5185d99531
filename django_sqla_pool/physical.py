"""An open connection, and who opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

    from .drivers import Driver

__all__ = ["Opener", "Physical"]


class Opener(Protocol):
    """Opens connections of one PoolKey and sets them up."""

    facts: dict[str, Any]  # what Django asks a server once, by the name under which a wrapper keeps it

    def open(self) -> Driver:
        """Open a connection and set it up; raises the driver's own error."""

    def restore(self, driver: Driver) -> None:
        """Bring the session of an open connection back to what it was after ``open``."""

    def is_refusal(self, error: BaseException) -> bool:
        """Tell whether opening may succeed a moment later."""


class Physical:
    """One open connection and what the pool has to remember about it. Times are of the pool's clock."""

    __slots__ = ("driver", "expires_at", "generation", "idle_since", "opened_at", "record")

    def __init__(
        self,
        driver: Driver,
        record: ConnectionPoolEntry,
        opened_at: float,
        expires_at: float,
        generation: object,
    ) -> None:
        self.driver = driver
        self.record = record  # SQLAlchemy's own entry for it
        self.opened_at = opened_at
        self.expires_at = expires_at
        self.generation = generation
        self.idle_since: float | None = None  # None: never lent yet
