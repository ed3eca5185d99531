"""Sends HTTP requests over keep-alive connections: python -m benchmarks.load PORT PATH CONNECTIONS WARM_UP SECONDS PID.

One thread and non-blocking sockets, so that it takes little of the machine from the server. Each connection sends its next
request when the answer to the last one is complete. What comes in the first WARM_UP seconds is not counted: the site has stood
idle while others had their turn. Prints one JSON object; in it are the CPU seconds of the process PID and of its children.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

from benchmarks.figures import percentile
from benchmarks.processes import cpu_seconds

ANSWER_SECONDS = 20.0


class Client:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0

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


def send(port: int, path: str, connections: int, warm_up: float, seconds: float, pid: int) -> dict[str, float]:
    """Keep ``connections`` requests under way for ``seconds`` after a warm-up; latencies are seconds, of good answers only."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    latencies: list[float] = []
    errors = 0
    with selectors.DefaultSelector() as selector:
        begun = time.monotonic() + warm_up
        cpu = 0.0
        is_warm = False
        for _ in range(connections):
            client = Client(port, request)
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
                    client.socket.close()
                    client.connect()
                    selector.register(client.socket, selectors.EVENT_READ, client)
                if now < end and errors <= 10 * connections:
                    client.send()
                else:
                    selector.unregister(client.socket)
                    client.socket.close()
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
    port, path, connections, warm_up, seconds, pid = sys.argv[1:]
    print(json.dumps(send(int(port), path, int(connections), float(warm_up), float(seconds), int(pid))))
