"""Sends HTTP requests over keep-alive connections, which it keeps from one order to the next.

One thread and non-blocking sockets, so that it takes little of the machine from the server. Each connection sends its next
request when the answer to the last one is complete. It has nothing of an arm: one of these asks all the sites.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import selectors
import socket
import time

from benchmarks.figures import percentile
from benchmarks.processes import cpu_seconds

ANSWER_SECONDS = 20.0
# Answers on each connection before any is counted: while others had their turn a site has stood idle, for longer than PING_AFTER.
WARM_UP = 3
SPREAD_SECONDS = 30.0  # for a worker to start, and to accept its part


class Client:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0

    def close(self) -> None:
        self.socket.close()

    def ask_worker(self) -> bytes:
        """Return which of the site's workers has accepted this connection."""
        self.socket.sendall(_request("/worker"))
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        if answer.status != http.client.OK:
            raise ConnectionError(f"/worker was answered with {answer.status}")
        return answer.read()

    def send(self, request: bytes) -> None:
        self._received = b""
        self.sent_at = time.monotonic()
        with contextlib.suppress(ConnectionError):  # receive() will meet it as well
            self.socket.sendall(request)

    def receive(self) -> bool | None:
        """Read what is there; None while the answer is incomplete, else whether it is a good one."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            return False
        if not data:
            return False
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                if len(body) < int(value):
                    return None
                return head.startswith(b"HTTP/1.1 200 ")
        return False


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def connect(port: int, connections: int, workers: int) -> list[Client]:
    """Open the connections, as many to each worker. Who accepts one is chance: two were found to share 32 as 0 and 32.

    Raises: ConnectionError - it was in vain.
    """
    clients: dict[bytes, list[Client]] = {}
    deadline = time.monotonic() + SPREAD_SECONDS
    with contextlib.ExitStack() as stack:
        missing = connections
        while time.monotonic() < deadline:
            # All at once, so that no worker is free for each of them.
            for client in [stack.enter_context(contextlib.closing(Client(port))) for _ in range(missing)]:
                of_worker = clients.setdefault(client.ask_worker() if workers > 1 else b"", [])
                if len(of_worker) < connections // workers:
                    of_worker.append(client)
                else:
                    client.close()
            missing = connections - sum(map(len, clients.values()))
            if not missing:
                stack.pop_all()
                return [client for of_worker in clients.values() for client in of_worker]
            time.sleep(0.01)  # a worker that has not started yet does not say when it has
    raise ConnectionError(f"{connections} connections can't be spread over {workers} workers: {len(clients)} were met")


_clients: dict[int, list[Client]] = {}  # by the port of their site


def forget(port: int) -> None:
    """Close the connections to a site."""
    for client in _clients.pop(port, ()):
        client.close()


def send(port: int, path: str, connections: int, workers: int, seconds: float, pid: int) -> dict[str, float]:
    """Keep as many requests under way as there are ``connections``, for ``seconds`` after a warm-up.

    Returns: how many good answers, ``errors``, answers ``per_second``, the ``p50`` and ``p99`` of the latency in seconds, and the
    ``cpu`` seconds of the process ``pid`` and of its children; all but the errors without the warm-up.
    """
    if port not in _clients:
        _clients[port] = connect(port, connections, workers)
    request = _request(path)
    latencies: list[float] = []
    errors = 0
    missing = dict.fromkeys(_clients[port], WARM_UP)  # answers until it is warm
    with contextlib.ExitStack() as unless_well, selectors.DefaultSelector() as selector:
        # What is still owed would be taken for the next answer, and a new connection may be with any worker.
        unless_well.callback(forget, port)
        begun = cpu = 0.0
        end = math.inf
        for client in _clients[port]:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(request)
        waiting = connections
        while waiting:
            ready = selector.select(ANSWER_SECONDS)
            now = time.monotonic()
            if not missing and end == math.inf:
                cpu, begun, end = cpu_seconds(pid), now, now + seconds
                latencies.clear()
            for key, _ in ready:
                client = key.data
                is_good = client.receive()
                if is_good is None:
                    continue
                if missing.get(client, 0) > 1:
                    missing[client] -= 1
                else:
                    missing.pop(client, None)
                if is_good:
                    latencies.append(now - client.sent_at)
                else:
                    errors += 1
                    selector.unregister(client.socket)
                    client.close()
                    client.connect()
                    selector.register(client.socket, selectors.EVENT_READ, client)
                if now < end and errors <= 10 * connections:
                    client.send(request)
                else:
                    waiting -= 1
            if not ready:
                errors += waiting
                break
        took = time.monotonic() - begun
        cpu = cpu_seconds(pid) - cpu
        if not errors:
            unless_well.pop_all()
    if end == math.inf:
        latencies.clear()  # it was given up before there was anything to count
    return {
        "requests": len(latencies),
        "errors": errors,
        "cpu": cpu,
        "per_second": len(latencies) / took,
        "p50": percentile(latencies, 0.5),
        "p99": percentile(latencies, 0.99),
    }
