"""Sends HTTP requests over keep-alive connections: python -m benchmarks.load PORT PATH CONNECTIONS WORKERS WARM_UP SECONDS PID.

One thread and non-blocking sockets, so that it takes little of the machine from the server. Each connection sends its next
request when the answer to the last one is complete. As many connections are with each of the site's WORKERS. What comes in the
first WARM_UP seconds is not counted: the site has stood idle while others had their turn. Prints one JSON object; in it are the
CPU seconds of the process PID and of its children.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import selectors
import socket
import sys
import time

from benchmarks.figures import percentile
from benchmarks.processes import cpu_seconds

ANSWER_SECONDS = 20.0
SPREAD_SECONDS = 30.0  # for a worker to start, and to accept its part


class Client:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = _request(path)
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

    def send(self) -> None:
        self._received = b""
        self.sent_at = time.monotonic()
        self.socket.sendall(self._request)

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


def connect(port: int, path: str, connections: int, workers: int) -> list[Client]:
    """Open the connections, as many to each worker. Who accepts one is chance: two were found to share 32 as 0 and 32.

    Raises: ConnectionError - it was in vain.
    """
    clients: dict[bytes, list[Client]] = {}
    deadline = time.monotonic() + SPREAD_SECONDS
    with contextlib.ExitStack() as stack:
        missing = connections
        while time.monotonic() < deadline:
            # All at once, so that no worker is free for each of them.
            for client in [stack.enter_context(contextlib.closing(Client(port, path))) for _ in range(missing)]:
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


def send(
    port: int, path: str, connections: int, workers: int, warm_up: float, seconds: float, pid: int
) -> dict[str, float]:
    """Keep ``connections`` requests under way for ``seconds`` after a warm-up; latencies are seconds, of good answers only."""
    latencies: list[float] = []
    errors = 0
    clients = connect(port, path, connections, workers)
    with selectors.DefaultSelector() as selector:
        begun = time.monotonic() + warm_up
        cpu = 0.0
        is_warm = False
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send()
        end = begun + seconds
        waiting = connections
        while waiting:
            ready = selector.select(ANSWER_SECONDS)
            now = time.monotonic()
            if not is_warm and now >= begun:
                is_warm = True
                cpu, begun, end = cpu_seconds(pid), now, now + seconds
                latencies.clear()
            for key, _ in ready:
                client = key.data
                is_good = client.receive()
                if is_good is None:
                    continue
                if is_good:
                    latencies.append(now - client.sent_at)
                else:
                    errors += 1
                    selector.unregister(client.socket)
                    client.close()
                    client.connect()
                    selector.register(client.socket, selectors.EVENT_READ, client)
                if now < end and errors <= 10 * connections:
                    client.send()
                else:
                    selector.unregister(client.socket)
                    client.close()
                    waiting -= 1
            if not ready:
                errors += waiting
                break
        took = time.monotonic() - begun
        cpu = cpu_seconds(pid) - cpu
    if not is_warm:
        latencies.clear()  # it was given up before there was anything to count
    return {
        "requests": len(latencies),
        "errors": errors,
        "cpu": cpu,
        "per_second": len(latencies) / took,
        "p50": percentile(latencies, 0.5),
        "p99": percentile(latencies, 0.99),
    }


if __name__ == "__main__":
    port, path, connections, workers, warm_up, seconds, pid = sys.argv[1:]
    print(json.dumps(send(int(port), path, int(connections), int(workers), float(warm_up), float(seconds), int(pid))))
