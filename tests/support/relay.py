"""One thread that passes bytes between clients and a server, and shows the clients' bytes to a reader first.

Owns: all sockets of a proxy. Never decides anything by itself: wire.py says when to refuse, to break, to hold back.
"""

from __future__ import annotations

import queue
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.support.frames import Reader, WireError

# 10 s: everything here is on loopback and takes microseconds; longer means that the machine or the relay hangs.
PATIENCE = 10.0
HOST = "127.0.0.1"
QUESTIONS, ANSWERS = "questions", "answers"
T = TypeVar("T")


@dataclass(eq=False)
class _End:
    """One of the two sockets of a link, and what still has to be sent on it."""

    sock: socket.socket
    sends: str
    unsent: bytearray = field(default_factory=bytearray)
    has_finished: bool = False  # has sent all that it will send
    is_shut: bool = False  # has been told that nothing more will come


@dataclass(eq=False)
class _Link:
    client: _End
    server: _End
    reader: Reader
    held: frozenset[str]  # what is not passed on
    number: int = 0  # of its session, from 1; 0 until the client logs in

    def peer(self, end: _End) -> _End:
        return self.server if end is self.client else self.client


class Relay:
    """Listens on ``port`` from start() to stop(); between them ``call`` runs everything else in its thread."""

    def __init__(self, server: tuple[str, int], new_reader: Callable[[], Reader]) -> None:
        self._server = server
        self._new_reader = new_reader
        # Everything belongs to the thread. From outside, the next three may be read at any time: _asked only grows or
        # is replaced, the other two are replaced.
        self.asked: list[tuple[int, str]] = []
        self.connections = 0
        self.error: Exception | None = None
        self._sessions = 0
        self._links: set[_Link] = set()
        self._held: frozenset[str] = frozenset()  # of connections that are still to come
        self._is_over = False
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, self._obey)
        # Bound but never listening, it keeps the port ours while no connection is accepted.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"relay {self.port}", daemon=True)

    def start(self) -> None:
        self.listen()
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.call(self._end)
            self._thread.join(PATIENCE)
        for thing in (self._waker, self._woken, self._place, self._selector):
            thing.close()

    def call(self, command: Callable[[], T]) -> T:
        """Have the thread run a command, and wait for its result."""
        done: Future[T] = Future()
        self._commands.put((command, done))
        self._waker.send(b"!")
        return done.result(PATIENCE)

    # --- commands, for call()

    def forget(self) -> None:
        self.asked, self.connections = [], 0

    def is_quiet(self) -> bool:
        ready = [key for key, _ in self._selector.select(0) if key.fileobj is not self._woken]
        return not ready and not any(link.client.unsent or link.server.unsent for link in self._links)

    def links(self) -> list[str]:
        last = dict(self.asked)
        return [
            f"link {link.number}, last asked {last.get(link.number)}, held {sorted(link.held)}: "
            f"{_state(link.client)}; {_state(link.server)}"
            for link in self._links
        ]

    def hold(self, *directions: str) -> None:
        self._held = frozenset(directions)
        self.hold_open_ones(*directions)

    def hold_open_ones(self, *directions: str) -> None:
        for link in self._links:
            link.held = frozenset(directions)
            self._watch(link, link.client)
            self._watch(link, link.server)

    def listen(self) -> None:
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(512)
            self._selector.register(self._listener, selectors.EVENT_READ, self._admit)

    def lead_to(self, host: str, port: int) -> None:
        self._server = (host, port)

    def stop_listening(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def break_all(self) -> None:
        for link in tuple(self._links):
            self._close(link, _reset)

    # --- the thread

    def _run(self) -> None:
        try:
            while not self._is_over:
                for key, _ in self._selector.select():
                    # What was served just before may have closed this one, and its number may be in use again.
                    if self._selector.get_map().get(key.fd) is key:
                        key.data()
        except Exception as error:
            self.error = error
            self._end()

    def _obey(self) -> None:
        self._woken.recv(1)
        command, done = self._commands.get()
        try:
            done.set_result(command())
        except Exception as error:
            done.set_exception(error)

    def _end(self) -> None:
        self._is_over = True
        self.stop_listening()
        self.break_all()

    def _admit(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._server, timeout=PATIENCE)
        except OSError:
            _reset(client)
            return
        link = _Link(_End(client, QUESTIONS), _End(server, ANSWERS), self._new_reader(), self._held)
        self._links.add(link)
        for end in (link.client, link.server):
            end.sock.setblocking(False)
            end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._watch(link, end)

    def _watch(self, link: _Link, end: _End) -> None:
        """Tell the selector what to wait for on this socket, as things are now."""
        events = 0 if end.has_finished or end.sends in link.held else selectors.EVENT_READ
        if end.unsent:
            events |= selectors.EVENT_WRITE
        key = self._selector.get_map().get(end.sock)
        if key is not None and key.events != events:
            self._selector.unregister(end.sock)
            key = None
        if key is None and events:
            self._selector.register(end.sock, events, lambda: self._serve(link, end))

    def _serve(self, link: _Link, end: _End) -> None:
        """Move what can be moved: from this end what it has sent, to this end what waits for it."""
        peer = link.peer(end)
        try:
            self._receive(link, end, peer)
            _send(end, is_last=peer.has_finished)
            _send(peer, is_last=end.has_finished)
        except (OSError, WireError) as error:
            if isinstance(error, WireError):
                self.error = error
            self._close(link, _reset)
            return
        if end.is_shut and peer.is_shut:
            self._close(link, socket.socket.close)
            return
        self._watch(link, end)
        self._watch(link, peer)

    def _receive(self, link: _Link, end: _End, peer: _End) -> None:
        if end.has_finished or end.sends in link.held:
            return
        try:
            data = end.sock.recv(1 << 16)
        except BlockingIOError:
            return
        if not data:
            end.has_finished = True
        elif end.sends == QUESTIONS:
            self._count(link, data)
        else:
            link.reader.answer(data)
        peer.unsent += data

    def _count(self, link: _Link, data: bytes) -> None:
        questions = list(link.reader.questions(data))
        if link.reader.is_session and not link.number:
            self._sessions += 1
            self.connections += 1
            link.number = self._sessions
        self.asked.extend((link.number, text) for text in questions)

    def _close(self, link: _Link, close: Callable[[socket.socket], None]) -> None:
        self._links.discard(link)
        for end in (link.client, link.server):
            if self._selector.get_map().get(end.sock) is not None:
                self._selector.unregister(end.sock)
            close(end.sock)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((HOST, port))
    return sock


def _state(end: _End) -> str:
    ends = [word for word, is_so in (("has finished", end.has_finished), ("was told the end", end.is_shut)) if is_so]
    return ", ".join([f"who sends {end.sends} is owed {len(end.unsent)} bytes", *ends])


def _send(end: _End, is_last: bool) -> None:
    """Send what waits, as far as the socket takes it; after the last byte say that it was the last."""
    if end.unsent:
        try:
            del end.unsent[: end.sock.send(end.unsent)]
        except BlockingIOError:
            return
    if is_last and not end.unsent and not end.is_shut:
        end.is_shut = True
        end.sock.shutdown(socket.SHUT_WR)


def _reset(sock: socket.socket) -> None:
    # Lingering for 0 s makes close() send a reset instead of a farewell.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
