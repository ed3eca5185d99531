"""A proxy on loopback between a driver and a real server: it counts round trips exactly, and breaks the line on demand.

    with wire.Proxy("127.0.0.1", 5432, protocol="postgresql") as proxy:
        connection = psycopg.connect(host=proxy.host, port=proxy.port, sslmode="disable", ...)
        proxy.reset()
        connection.execute("SELECT 1")
        assert proxy.round_trips == 1

Owns: what is counted, and the switches. Never changes, delays or drops a byte unless it is told to.
What a round trip is, is decided in frames.py. A question is counted before the server sees it, so whoever has
read the answer finds it counted; only what was sent without waiting for an answer needs ``settled()`` first.
It is a thread of the process under test: a driver that waits for its server without releasing the GIL waits for ever
(psycopg's ``cancel()`` and psycopg2's do; psycopg's ``cancel_safe()`` does not, nor does anything that Django calls).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.frames import READERS, WireError
from tests.support.relay import ANSWERS, HOST, PATIENCE, QUESTIONS, Relay

__all__ = ["Proxy", "WireError"]
T = TypeVar("T")


class Proxy:
    """Count what passes between clients and one server, and break it when told to.

    ``protocol`` is "postgresql" or "mysql", and clients connect to ``host``:``port`` without TLS and without compression; or
    it is "opaque", for those that encrypt, and nothing is counted.
    Raises: WireError - at the next look at any figure, and at the end, if something passed that can not be read.
    """

    host = HOST

    def __init__(self, server_host: str, server_port: int, protocol: str) -> None:
        self._relay = Relay((server_host, server_port), READERS[protocol])
        self.port = self._relay.port

    def __enter__(self) -> Proxy:
        self._relay.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._relay.stop()
        self._check()

    # --- figures, since the beginning or the last reset()

    @property
    def connections(self) -> int:
        """How many sessions were begun; a socket that was opened without logging in is none."""
        self._check()
        return self._relay.connections

    @property
    def round_trips(self) -> int:
        """How often a client asked something that it has to wait for. Logging in and out are not counted."""
        return len(self.statements)

    @property
    def statements(self) -> tuple[str, ...]:
        """The question of each round trip, in order: its SQL, or the name of its command."""
        self._check()
        return tuple(text for _, text in tuple(self._relay.asked))

    @property
    def by_connection(self) -> dict[int, tuple[str, ...]]:
        """The same for each connection that asked anything; they are numbered from 1 as they logged in."""
        self._check()
        found: dict[int, tuple[str, ...]] = {}
        for number, text in tuple(self._relay.asked):
            found[number] = (*found.get(number, ()), text)
        return found

    def reset(self) -> None:
        """Forget the figures, once all that was sent before this call is counted."""
        self.settled()
        self._call(self._relay.forget)

    def settled(self) -> Proxy:
        """Wait until every byte that was sent has been counted and passed on, but for what is held back on purpose."""
        deadline = time.monotonic() + PATIENCE
        while not self._call(self._relay.is_quiet):
            if time.monotonic() > deadline:
                raise WireError(f"bytes were still passing after {PATIENCE:g} s")
        return self

    def links(self) -> list[str]:
        """Say of each open connection what has not been passed on, and which of the two sides has ended."""
        return self._call(self._relay.links)

    # --- faults

    def refuse(self) -> None:
        """Refuse new connections, as a server that is not running does. Those that are open go on."""
        self._call(self._relay.stop_listening)

    def accept(self) -> None:
        """Accept new connections again, on the same port."""
        self._call(self._relay.listen)

    def lead_to(self, host: str, port: int) -> None:
        """Take new connections to another server, as a moved address does. Those that are open go on."""
        self._call(lambda: self._relay.lead_to(host, port))

    def cut(self) -> None:
        """Break every open connection at once, with a reset on both sides."""
        self._call(self._relay.break_all)

    def silence(self) -> None:
        """From now on pass nothing, close nothing and answer nothing: a network that swallows packets. Undone by resume()."""
        self._call(lambda: self._relay.hold(QUESTIONS, ANSWERS))

    def lose(self) -> None:
        """Do so with the connections that are open, and serve new ones: a firewall that has lost its table."""
        self._call(lambda: self._relay.hold_open_ones(QUESTIONS, ANSWERS))

    def hold_answers(self) -> None:
        """Let questions through and hold the answers back: who goes on did not wait for one. Undone by resume()."""
        self._call(lambda: self._relay.hold(ANSWERS))

    def resume(self) -> None:
        """Pass everything again, beginning with what was held back."""
        self._call(self._relay.hold)

    # ---

    def _check(self) -> None:
        if self._relay.error is not None:
            raise self._relay.error

    def _call(self, command: Callable[[], T]) -> T:
        self._check()
        return self._relay.call(command)
