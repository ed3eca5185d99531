"""The pool: lends the connections of one PoolKey, and decides which of them may be lent.

It owns one ConnectionQueue, its places, its leases and its figures. It never touches a Django wrapper: how a connection is
opened and set up is the opener's business, what its state is the driver's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

from . import housekeeper
from .connection_queue import ConnectionQueue
from .errors import PoolTimeout
from .lease import Lease, Owner, here
from .options import PoolOptions
from .physical import Opener, Physical
from .reports import Reports, stack_of_borrower
from .semaphore import FairSemaphore
from .snapshot import Counters, Snapshot
from .verifier import Verifier

__all__ = ["Pool"]

log = logging.getLogger("django_sqla_pool")

# 1 s: so often, at most, are all connections closed while the address still leads to a server that has lost its role; and for so
# long, at most, can one of them be lent after the address has moved.
LEAVE_PAUSE = 1.0


class Pool:
    """Lends connections, no more than ``options.limit`` at once, each to one borrower at a time.

    Public methods may be called from any thread. ``clock`` returns seconds and never goes backwards.
    """

    def __init__(self, name: str, options: PoolOptions, opener: Opener, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.options = options
        self.opener = opener
        self._clock = clock
        self._ping_after = options.ping_after
        self._restores_session = options.reset == "session"
        self._notes_borrowers = options.leak_after > 0
        # Each of these has a lock of its own, and none is taken under another. A connection's place is taken for as long
        # as it is not idle in the queue, closing included; so there are never more connections than places.
        self._places = FairSemaphore(options.limit)
        self.line = self._places.line  # whoever waits for a place; only to be looked at
        self._counters = Counters()
        self._reports = Reports(name, clock)
        self._verifier = Verifier(name, options, clock)
        self._queue = ConnectionQueue(opener, options, self._counters, self._reports, clock)
        # Changed by single atomic operations only.
        self._leases: set[Lease] = set()
        self._used_at = clock()  # when a connection last came back
        self._left_at = float("-inf")  # when all connections were closed, since their server had lost its role
        self._is_leaving_again = False  # LEAVE_PAUSE seconds later they will be closed once more

    # ------------------------------------------------------------------------------------------------------- checkout

    def checkout(self, owner: Owner | None = None, last: Physical | None = None) -> Lease:
        """Lend a live connection.

        Waits up to ``options.timeout`` seconds while all are in use, first come, first served. A connection idle for
        more than ``options.ping_after`` seconds is pinged first, and replaced if it does not answer within 2 seconds. ``owner``:
        when it is garbage-collected, or the calling thread ends, the lease ends. ``last``: the connection that it had last, which
        it is lent again by the rules of ``ConnectionQueue.lend()``.

        Returns: a lease; give it back with ``lease.close()``, once, from any thread.
        Raises: PoolTimeout - none became free in time. The driver's own error - opening one failed. Closed - the pool
        has been retired: ask the registry for another.
        """
        arrived = self._clock()
        deadline = arrived + self.options.timeout
        if not self._places.acquire(self.options.timeout):
            self._counters.count_timeout()
            raise self._timeout_error()
        try:
            physical = self._take(deadline, last, arrived - self.options.ping_after)
            lease: Lease | None = None
            try:
                lease = Lease(self, physical, owner, self._clock())
                if self._notes_borrowers:
                    lease.stack = stack_of_borrower()
                physical.checkouts += 1
                physical.wait_seconds += lease.since - arrived
                self._leases.add(lease)
            except BaseException:
                if lease is not None:
                    self._leases.discard(lease)  # an interrupt comes after this as well
                self._discard(physical, "abandoned")
                raise
        except BaseException:
            self._places.release()
            raise
        return lease

    def resume(self, lease: Lease) -> bool:
        """Lend a connection again to who had it last, by the same lease; false if that is not to be: ``checkout`` sees to it.

        For one request after the other of a thread that has come to have a connection of its own. The rules are those of a
        checkout, in a third of its steps: whoever would have to wait, make others wait, or ping, is left to that.
        ``lease``: the last one of the owner that calls, who has been lent nothing since.
        """
        # Once for nearly every request, by all threads in turn: each call costs, so the steps of others are taken here.
        physical, queue, places, now = lease.physical, self._queue, self._places, self._clock()
        permit = queue.permit
        if not (
            permit is physical.permit
            and permit is not None
            and now - physical.idle_since < self._ping_after  # type: ignore[operator]  # what has a permit has come back
            and now < physical.expires_at
            and lease.siblings is here.leases
            and physical.driver.is_quiet()
            and not places.line
        ):
            return False
        try:
            places.free.pop()
        except IndexError:
            return False
        try:
            if queue.idle.pop(physical.record, False):
                # It was looked at while anybody could have taken it. Of all that was true then, only these may not be now: who
                # has had it meanwhile gave it back under the same permit, if that is still the queue's.
                if queue.permit is not permit or physical.driver.is_answer_due:
                    queue.put_back(physical)
                else:
                    try:
                        lease.since = now
                        if self._notes_borrowers:
                            lease.stack = stack_of_borrower()
                        physical.checkouts += 1
                        self._leases.add(lease)
                    except BaseException:
                        self._leases.discard(lease)  # an interrupt comes after this as well
                        self._discard(physical, "abandoned")
                        raise
                    return True
        except BaseException:
            self._places.release()
            raise
        self._places.release()
        if physical.generation is not queue.generation:
            self._close_disposed()  # dispose() has not found it: we had it
        return False

    def is_out(self, lease: Lease) -> bool:
        """Tell whether a lease has begun, and neither ended nor been paused. Takes no lock."""
        return lease in self._leases

    def _take(self, deadline: float, last: Physical | None, fresh_since: float) -> Physical:
        while True:
            physical = self._queue.lend(deadline, last, fresh_since)
            try:
                reason = self._verifier.find_fault(physical, self._queue.generation, deadline)
            except BaseException:
                self._discard(physical, "dead")
                raise
            if reason is None:
                return physical
            self._discard(physical, reason)
            # A new one that is disposed of before it is lent: nobody is to open one after the other for ever.
            if physical.idle_since is None and self._clock() >= deadline:
                self._counters.count_timeout()
                raise self._timeout_error()

    # -------------------------------------------------------------------------------------------------------- checkin

    def checkin(self, lease: Lease) -> None:
        """Take a leased connection back: roll it back, and keep or close it; nothing, if it is not out.

        ``Lease.close()`` calls it, and ``Lease.pause()`` for one that may be resumed.
        """
        try:
            self._leases.remove(lease)
        except KeyError:
            return
        physical, queue = lease.physical, self._queue
        permit = queue.permit  # as it is before anything is looked at: what happens from here on may have come too late for it
        reason: str | None = "abandoned"  # in case of an interrupt
        try:
            if physical.generation is not queue.generation:
                lease.end("disposed")
            if lease.end_reason is None:
                for reference in lease.cursors:
                    if (cursor := reference()) is not None:
                        cursor.close()  # what it has not read is thrown away
                lease.cursors.clear()
                if lease.is_ordinary and not self._restores_session:
                    physical.driver.reset(False)
                else:
                    self._reset(lease)
            reason = lease.end_reason
        except Exception as error:
            reason = "reset failed"
            log.debug("%s: %s: %s", self.name, reason, error)
            if physical.driver.is_demotion(error):
                self.leave(physical, error)
        finally:
            self._used_at = now = self._clock()
            used = now - lease.since
            physical.use_seconds += used
            try:
                if reason is None:
                    physical.idle_since = now
                    physical.permit = permit
                    queue.idle[physical.record] = True  # as queue.put_back() does
                    if queue.outage.error is not None:
                        queue.outage.wake()
                else:
                    self._discard(physical, reason)
            finally:
                self._places.release()
        if physical.generation is not queue.generation:
            self._close_disposed()  # dispose() came after the look above, and before this one was idle
        if lease.is_reported:
            self._reports.returned(used)

    def _reset(self, lease: Lease) -> None:
        """Undo what a borrower left behind who did more than to open cursors."""
        driver = lease.physical.driver
        if lease.named_cursors:
            lease.close_named_cursors()
        driver.reset(lease.had_errors)
        # After the rollback: inside a failed transaction they can't be closed.
        if lease.named_cursors and lease.close_held_cursors():
            driver.reset(False)  # CLOSE has begun a transaction, if autocommit is off
        if lease.may_hold_cursors and not self._restores_session:
            driver.close_held_cursors()
            driver.reset(False)  # as above
        if self._restores_session:
            self.opener.restore(driver)

    def _discard(self, physical: Physical, reason: str) -> None:
        """Close a connection that is out of the queue; the caller holds its place."""
        try:
            if reason == "dead":
                self._verifier.suspect_all()
                self._queue.renew_permit()  # now: it may take a while to close this one
        finally:
            self._queue.close_lent(physical, reason)
        self._reports.closed(physical, reason)

    # ---------------------------------------------------------------------------------------------------- housekeeping

    def sweep(self) -> float | None:
        """Close idle connections that are too old, or above POOL_SIZE and idle for too long; report what is overdue.

        Returns: seconds until there will be something to do; None if there will not.
        """
        due = [*self._report_held()]
        if (pause := self._reports.sum_up()) is not None:
            due.append(pause)
        if self._is_leaving_again:
            if (pause := self._left_at + LEAVE_PAUSE - self._clock()) > 0:
                due.append(pause)
            else:
                self._leave()

        def fault(physical: Physical) -> str | None:
            assert physical.idle_since is not None, "bug: idle, but never given back"
            now = self._clock()
            if now >= physical.expires_at:
                return "expired"
            due.append(physical.expires_at - now)
            if len(self._queue.physicals) > self.options.pool_size:
                idle_until = physical.idle_since + self.options.idle_timeout
                if now >= idle_until:
                    return "idle"
                due.append(idle_until - now)
            return None

        self._close_idle(fault)
        return min(due, default=None)

    def _report_held(self) -> Iterator[float]:
        """Report the leases that are older than LEAK_AFTER, once each; yield in how many seconds the others will be."""
        if not self._notes_borrowers:
            return
        for lease in tuple(self._leases):
            seconds = self._clock() - lease.since
            if seconds < self.options.leak_after:
                yield self.options.leak_after - seconds
            elif not lease.is_reported:
                lease.is_reported, lease.is_ordinary = True, False
                self._reports.held(lease, seconds)

    def dispose(self) -> None:
        """Close every connection: the idle ones now, those in use when they come back. The pool stays usable."""
        self._queue.new_generation()
        self._close_disposed()

    def _close_disposed(self) -> None:
        """Close the idle connections of another generation; for whoever puts one back after ``dispose()`` has looked for them."""
        queue = self._queue
        self._close_idle(lambda physical: None if physical.generation is queue.generation else "disposed")

    def leave(self, physical: Physical, error: BaseException) -> None:
        """Close every connection, since the server of this one has lost its role; the address leads to another now, or soon.

        Not again within LEAVE_PAUSE seconds, but then: while the address still leads to the same server, and on an alias of a
        replica, a write that fails is not to cost all the others their connections each time.
        """
        if physical.generation is not self._queue.generation:
            return  # done already: this one was lent at that moment
        if self._clock() - self._left_at >= LEAVE_PAUSE:
            self._reports.left(error)
            self._leave()
        elif not self._is_leaving_again:
            self._is_leaving_again = True
            housekeeper.submit(housekeeper.wake)  # who will see to it

    def _leave(self) -> None:
        self._left_at = self._clock()
        self._is_leaving_again = False
        self.dispose()

    def retire(self, unused_for: float) -> bool:
        """End a pool that has no connection and has not been used for so many seconds; false if it is not like that."""
        is_forgotten = not self._queue.physicals and self._clock() - self._used_at >= unused_for
        if not is_forgotten or not self._places.close():
            return False
        # Nobody can come in any more; who did between the two looks has left an idle connection.
        while (found := self._queue.take(lambda _: "idle")) is not None:
            self._discard(*found)
        return True

    def _close_idle(self, fault: Callable[[Physical], str | None]) -> None:
        # With a place taken for each one that is being closed, nobody can open another before it is closed. If there
        # is no place, all connections are in use and none is idle. No place is taken only to look: it might be the last one,
        # and somebody who does not wait (TIMEOUT 0) would be refused it.
        while self._queue.has(fault) and self._places.acquire(0):
            try:
                found = self._queue.take(fault)
                if found is not None:
                    self._discard(*found)
            finally:
                self._places.release()

    def end(self) -> Iterator[Owner]:
        """At the end of the process: close every connection, and yield the owners of the leases that end so.

        All but those of other threads that still run, as only daemon threads do then: they may be inside the driver.
        """
        self.dispose()
        running = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        for lease in tuple(self._leases):
            if lease.thread not in running:
                owner = lease.owner()
                lease.end("disposed")
                lease.close()
                if owner is not None:
                    yield owner

    def abandon(self) -> Iterator[Owner]:
        """In a forked child: make every inherited connection harmless, and yield the owners of the leases.

        The sockets are shared with the parent, and a driver says goodbye when it closes or collects a connection. So
        each descriptor is turned to /dev/null first. Nothing is closed: another thread of the parent may have been
        inside the driver, and left its locks held.
        """
        devnull = os.open(os.devnull, os.O_RDWR)
        try:
            for physical in tuple(self._queue.physicals):
                with contextlib.suppress(Exception):  # a connection closed behind our back has no descriptor
                    os.dup2(devnull, physical.driver.fileno())
        finally:
            os.close(devnull)
        self._queue.permit = None  # and nobody here goes on with one that was the parent's
        for lease in tuple(self._leases):
            owner = lease.owner()
            lease.forget_owner()  # nobody is to close it when its thread, which is not here, is found to have ended
            if owner is not None:
                yield owner

    # --------------------------------------------------------------------------------------------------------- figures

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment. Takes no lock but that of the counters, which is held for a few instructions."""
        counters, now = self._counters, self._clock()
        leases = tuple(self._leases)
        error = self._queue.last_error
        checkouts, wait_seconds, use_seconds = counters.sums()
        return Snapshot(
            name=self.name,
            pool_size=self.options.pool_size,
            max_overflow=self.options.max_overflow,
            limit=self.options.limit,
            in_use=len(leases),
            # Not the length of the queue: it is read at another moment, and the two might add up to more than there are.
            idle=max(0, len(self._queue.physicals) - len(leases)),
            waiting=self._places.waiting,
            opened=counters.opened,
            closed=counters.closed,
            checkouts=checkouts,
            timeouts=counters.timeouts,
            wait_seconds=wait_seconds,
            use_seconds=use_seconds,
            oldest_lease_seconds=max((now - lease.since for lease in leases), default=0.0),
            last_error="" if error is None else str(error).strip(),
        )

    def _timeout_error(self) -> PoolTimeout:
        threads = threading.enumerate()  # first: the one with the oldest lease may give back and end meanwhile
        oldest = min(tuple(self._leases), key=lambda lease: lease.since, default=None)
        return self._reports.timeout(self.snapshot(), self.options.timeout, oldest, threads)
