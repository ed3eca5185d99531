"""Which connections may be lent: their age, the probe, the ping, and whom the fate of one makes suspect.

It owns what a dead or silent connection tells of the others. It opens and closes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from .drivers import Liveness, NoAnswer
from .options import PoolOptions
from .physical import Physical

__all__ = ["Verifier"]

log = logging.getLogger("django_sqla_pool")

# Seconds for the answer to a ping. A round trip around the world takes 0.3 s, and TCP sends a lost packet again after 0.2 to
# 1 s (RFC 6298): within 2 s an answer comes even if some packets are lost. HikariCP's validation timeout is 5 s.
ANSWER_WITHIN = 2.0
# And for one whose checkout has no more time: less would take distant servers for dead.
ANSWER_WITHIN_AT_LEAST = 0.5


class Verifier:
    """Looks at connections before they are lent. May be used from any thread: its state is changed by single operations."""

    def __init__(self, name: str, options: PoolOptions, clock: Callable[[], float]) -> None:
        self._name = name
        self._options = options
        self._clock = clock
        self._distrusted_at = float("-inf")  # a connection idle since before then is pinged, however fresh
        self._silent_at = float("-inf")  # a connection idle since before then is closed, and nobody waits for its answer

    def suspect_all(self) -> None:
        """A connection has died: have those pinged that are idle at this moment, however fresh."""
        self._distrusted_at = self._clock()

    def find_fault(self, physical: Physical, generation: object, deadline: float) -> str | None:
        """Say why a connection must not be lent, if so. ``deadline``: when the checkout is over, on the pool's clock."""
        if physical.generation is not generation:
            return "disposed"
        idle_since = physical.idle_since
        if idle_since is None:
            return None
        now, driver = self._clock(), physical.driver
        if now >= physical.expires_at:
            return "expired"
        if driver.is_answer_due and not self._answers(physical, driver.read_answer, now, deadline):
            return "dead"
        if not self._options.pre_ping:
            return None
        is_trusted = now - idle_since < self._options.ping_after and idle_since >= self._distrusted_at
        if is_trusted and driver.is_quiet():
            return None
        liveness = driver.probe()
        if liveness is Liveness.DEAD:
            self._distrusted_at = now
            return "dead"
        return None if self._answers(physical, driver.ping, now, deadline) else "dead"

    def _answers(self, physical: Physical, ask: Callable[[float], None], now: float, deadline: float) -> bool:
        """Tell whether the server answers on an idle connection, within ANSWER_WITHIN seconds."""
        assert physical.idle_since is not None, "bug: idle, but never given back"
        if physical.idle_since < self._silent_at:
            return False  # another one, asked later than this was used, has waited in vain: once is enough
        try:
            ask(max(ANSWER_WITHIN_AT_LEAST, min(ANSWER_WITHIN, deadline - now)))
        except Exception as error:
            log.debug("%s: a connection does not answer: %s", self._name, error)
            self._distrusted_at = now
            if isinstance(error, NoAnswer):
                self._silent_at = now
            return False
        return True
