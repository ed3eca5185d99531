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
    """One open connection and what the pool has to remember about it. Times are of the pool's clock, in seconds.

    What follows ``idle_since`` is changed by who has it.
    """

    __slots__ = (
        *("driver", "record", "opened_at", "expires_at", "generation", "idle_since"),
        *("permit", "checkouts", "wait_seconds", "use_seconds"),
    )

    def __init__(
        self,
        driver: Driver,
        record: ConnectionPoolEntry,
        opened_at: float,
        expires_at: float,
        generation: object,
    ) -> None:
        self.driver = driver
        self.record: Any = record  # SQLAlchemy's own entry for it; None, when it is closed
        self.opened_at = opened_at
        self.expires_at = expires_at
        self.generation = generation
        self.idle_since: float | None = None  # None: never lent yet
        self.permit: object = None  # while idle: the queue's, as it was at the checkin; see ``ConnectionQueue.permit``
        self.checkouts = 0
        self.wait_seconds = 0.0  # how long those took, opening included
        self.use_seconds = 0.0  # for how long those that have come back were out
