"""A lease: one checkout of one connection, until it is checked in.

It owns what has to be known about a borrower: who, since when, what went wrong, which cursors are open.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from . import housekeeper
from .jobs import at_end_of_job, runs_jobs

if TYPE_CHECKING:
    from .physical import Physical
    from .pool import Pool
    from .reports import Stack

__all__ = ["Lease", "Owner", "here"]


class _Here(threading.local):
    """What each thread (each greenlet, if they are patched in) has of its own, and loses when it ends."""

    def __init__(self) -> None:
        self.leases: set[Lease] = _LeasesOfJobs() if runs_jobs() else set()
        self.will = _Will(self.leases)


class _LeasesOfJobs(set["Lease"]):
    """The leases of a thread that is given one job after the other: each ends with the job in which it began, at the latest."""

    def add(self, lease: Lease) -> None:
        super().add(lease)
        lease.is_ordinary = False  # it is not to be resumed: for each job there has to be another one
        at_end_of_job(lease._end_with_job)


class _Will:
    """Dies with its thread, and passes on what the thread has not given back."""

    def __init__(self, leases: set[Lease]) -> None:
        self.leases = leases

    def __del__(self) -> None:
        # In any thread, under any lock: nothing may be done here but to pass it on.
        for lease in self.leases.copy():  # in one step
            if lease.pool.is_out(lease):
                housekeeper.submit(lease._abandon_unless_shared)


here = _Here()


def _nobody() -> None:
    """Return the owner of a lease that has none, or takes no more notice of it."""


class Owner(Protocol):
    """Who a lease was given to; the pool keeps only a weak reference."""

    #: Of the thread that it belongs to. Django has no public name for it.
    _thread_ident: int

    @property
    def allow_thread_sharing(self) -> bool:
        """Whether other threads use the connection as well, and may outlive the borrower."""

    def close_if_unusable_or_obsolete(self) -> None:
        """Do what Django does at the end of a request: give the connection back, if CONN_MAX_AGE does not say to keep it."""

    def forget_lease(self) -> None:
        """The leased connection is the parent's, in a forked child, or closed, at the end: it must not be used any more."""


class Lease:
    """The right to use ``connection``, the driver's own object, until ``close()``. A context manager."""

    # Class attributes until they are set: most leases end without.
    stack: Stack | None = None  # how it was taken, if LEAK_AFTER asks for it
    is_reported = False  # it has been out for longer than that
    had_errors = False  # a statement failed
    may_hold_cursors = False  # a statement may have left a cursor open that no object stands for, and that no rollback closes
    end_reason: str | None = None  # why the connection is to be closed, not kept
    is_ordinary = True  # no named cursor, none of the above is set, and it is of the thread of its owner: it may be resumed
    prune_at = 32  # so many cursors

    def __init__(
        self,
        pool: Pool,
        physical: Physical,
        owner: Owner | None,
        since: float,
    ) -> None:
        self.pool = pool
        self.physical = physical
        self.connection: Any = physical.driver.connection
        # Whoever loses its connection, by being collected or by the end of its thread, gives it back all the same.
        self.owner: Callable[[], Owner | None] = _nobody if owner is None else weakref.ref(owner, self._lose_owner)
        self.thread = get_ident()
        # Those of its thread, by more than whose number one knows it: that may be another's by now. Changed by single atomic
        # operations only.
        self.siblings = here.leases
        # A thread that opens what belongs to another one, as sharing allows, may end: the other goes on.
        if owner is not None and owner._thread_ident == self.thread:
            self.siblings.add(self)
        else:
            self.is_ordinary = False
        self.since = since  # when the checkout ended, on the pool's clock
        self.cursors: list[weakref.ref[Any]] = []  # to be closed at its end
        self.named_cursors: list[Any] = []

    def close(self) -> None:
        """Give the connection back. The first call does, the others nothing. Never raises for what the server does."""
        self.forget_owner()
        self.pool.checkin(self)

    def pause(self) -> None:
        """Give the connection back; if nothing was out of the ordinary, ``pool.resume()`` may lend it again, by this lease."""
        if self.is_ordinary:
            self.pool.checkin(self)
        else:
            self.close()

    def forget_owner(self) -> None:
        """Take no more notice of what becomes of the owner and its thread; the lease can't be resumed."""
        self.owner = _nobody  # the callback of a reference refers to this lease: a cycle
        self.siblings.discard(self)

    def end(self, reason: str) -> None:
        """Have the connection closed instead of kept, when it comes back."""
        self.end_reason = self.end_reason or reason
        self.is_ordinary = False

    def prune_cursors(self) -> None:
        """Forget the cursors that are gone."""
        self.cursors = [reference for reference in self.cursors if reference() is not None]
        self.prune_at = max(32, 2 * len(self.cursors))  # twice what is left: a loop over a million cursors prunes seldom

    def add_named_cursor(self, cursor: Any) -> None:
        """Remember a cursor that lives at the server as well, and keep it alive: that part does not die with the object."""
        self.is_ordinary = False
        self.named_cursors = [cursor for cursor in self.named_cursors if not cursor.closed]
        self.named_cursors.append(cursor)

    def close_named_cursors(self) -> None:
        """Close the open cursors that live at the server and end with the transaction."""
        self.physical.driver.check_free()  # closing them asks the server
        for cursor in self.named_cursors:
            if not cursor.withhold and not cursor.closed:
                cursor.close()

    def close_held_cursors(self) -> bool:
        """Close the open cursors that outlive a transaction (WITH HOLD); true if there were any."""
        still_open = [cursor for cursor in self.named_cursors if not cursor.closed]
        self.named_cursors.clear()
        for cursor in still_open:
            cursor.close()
        return bool(still_open)

    def _end_with_job(self) -> None:
        owner = self.owner()
        if owner is not None and not owner.allow_thread_sharing:
            owner.close_if_unusable_or_obsolete()

    def _lose_owner(self, _: object) -> None:
        # The garbage collector runs this in any thread, under any lock: nothing may be done here but to pass it on.
        if self.pool.is_out(self):
            housekeeper.submit(self._abandon)
        else:
            self.forget_owner()

    def _abandon_unless_shared(self) -> None:
        owner = self.owner()
        if owner is None or not owner.allow_thread_sharing:
            self._abandon()

    def _abandon(self) -> None:
        self.end("abandoned")
        self.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
