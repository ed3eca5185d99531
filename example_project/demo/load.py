"""Sends HTTP load to the example site and checks every answer: python -m demo.load --help

A process of its own, so that it takes no time of the site's interpreter. Prints one JSON line a second, and at the end
one with the figures. The warm-up is sent first and not counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import random
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from html import escape
from http.cookies import SimpleCookie
from time import monotonic
from urllib.parse import urlencode

from atlas import geonames

TIMEOUT = 15.0  # longer than the site's own limits, so that its error is seen and not ours
SEARCHED = 200  # the biggest cities: loaded however few are
# Requests on one HTTP connection. It stays with the gunicorn worker that took it, and one worker may have taken most of
# them; where connections end now and then, the worker with time to spare takes the new ones.
KEPT_ALIVE_FOR = 20
ERRORS_AT_MOST = 50  # of one client: a site that is gone ends the load early


class WrongAnswer(Exception):
    """The site answered, but not what it should."""


@dataclass
class Figures:
    """What the clients saw after the warm-up. Latencies in seconds, of good answers only."""

    requests: int
    per_second: float
    p50: float
    p99: float
    errors: int
    first_error: str


@dataclass
class Client:
    """One reader with one keep-alive connection."""

    host: str
    port: int
    pages: list[tuple[str, str]]
    searches: list[tuple[str, str]]
    choice: random.Random
    latencies: list[tuple[float, float]] = field(default_factory=list)  # when it ended, how long it took
    errors: list[tuple[float, str]] = field(default_factory=list)

    def run(self, until: float) -> None:
        """Send one request after the other until then."""
        self._http = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        self._cookie = self._token = ""
        while monotonic() < until and len(self.errors) < ERRORS_AT_MOST:
            started = monotonic()
            if (len(self.latencies) + 1) % KEPT_ALIVE_FOR == 0:
                self._http.close()  # and opened again by the next request
            try:
                self._act()
            except (OSError, http.client.HTTPException, WrongAnswer) as error:
                self.errors.append((monotonic(), f"{type(error).__name__}: {error}"))
                self._http.close()
            else:
                ended = monotonic()
                self.latencies.append((ended, ended - started))
        self._http.close()

    def _act(self) -> None:
        """Of ten requests seven read a country, two search, one records a visit."""
        dice = self.choice.randrange(10)
        path, expected = self.choice.choice(self.searches if dice in (7, 8) else self.pages)
        if dice == 9 and self._token:
            form = urlencode({"csrfmiddlewaretoken": self._token, "visitor": "a reader"})
            headers = {"Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
            self._request("POST", f"{path}visits/", 302, "", form, headers)
            return
        body = self._request("GET", path, 200, expected, None, {"Cookie": self._cookie} if self._cookie else {})
        if not self._token and (found := re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', body)):
            self._token = found[1]

    def _request(self, method: str, path: str, status: int, expected: str, body: str | None, headers: dict[str, str]) -> str:
        self._http.request(method, path, body, headers)
        response = self._http.getresponse()
        text = response.read().decode()
        if response.status != status or expected not in text:
            raise WrongAnswer(f"{method} {path} answered {response.status}, not {status} with {expected!r}")
        if not self._cookie and (sent := response.getheader("Set-Cookie")):
            self._cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in SimpleCookie(sent).items())
        return text


def send(host: str, port: int, *, clients: int, warmup: float, seconds: float, report: Callable[[int, int], None]) -> Figures:
    """Send requests from ``clients`` threads for ``warmup + seconds``; ``report`` gets each second's count of answers."""
    pages = [(f"/countries/{row['code']}/", f"<h1>{escape(row['name'])}</h1>") for row in geonames.countries()]
    searches = [(f"/?{urlencode({'q': row['name']})}", f"<td>{escape(row['name'])}</td>") for row in geonames.cities(SEARCHED)]
    readers = [Client(host, port, pages, searches, random.Random(number)) for number in range(clients)]
    begin = monotonic()
    end = begin + warmup + seconds
    threads = [threading.Thread(target=reader.run, args=(end,), daemon=True) for reader in readers]
    for thread in threads:
        thread.start()
    reported = 0
    for second in range(1, math.ceil(warmup + seconds) + 1):
        for thread in threads:
            thread.join(max(0.0, begin + second - monotonic()))
        answered = sum(len(reader.latencies) for reader in readers)
        report(second, answered - reported)
        reported = answered
    for thread in threads:
        thread.join(TIMEOUT + 1)  # the last answers
    return figures(readers, begin + warmup, seconds)


def figures(readers: list[Client], counted_from: float, seconds: float) -> Figures:
    """Put the clients' notes together; what ended before ``counted_from`` was the warm-up. Errors always count."""
    latencies = sorted(took for reader in readers for ended, took in reader.latencies if ended >= counted_from)
    errors = sorted(error for reader in readers for error in reader.errors)
    return Figures(
        requests=len(latencies),
        per_second=len(latencies) / seconds,
        p50=percentile(latencies, 0.50),
        p99=percentile(latencies, 0.99),
        errors=len(errors),
        first_error=errors[0][1] if errors else "",
    )


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that ``share`` of the values do not exceed (nearest rank); not a number if there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.load", description="Send HTTP load to the example site.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--clients", type=int, default=16, help="keep-alive connections, each in a thread of its own")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds before the counting begins")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds that count")
    options = parser.parse_args()

    def report(second: int, answers: int) -> None:
        print(json.dumps({"second": second, "answers": answers}), flush=True)

    print(json.dumps(asdict(send(**vars(options), report=report))), flush=True)


if __name__ == "__main__":
    main()
