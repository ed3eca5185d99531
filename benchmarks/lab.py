"""Lab: what one session has to measure with: servers, databases, environments, arms, and the results so far."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import random
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from tests.servers import MariaDB, PostgreSQL, ServerError, packages

from . import environments, servers
from .arms import ARMS, Arm, Settings
from .environments import Environment
from .figures import Results
from .servers import Address
from .worker import MeasurementFailed, Worker

Item = TypeVar("Item")

TLS = "tls"


@dataclasses.dataclass
class Lab:
    """One session. ``addresses``: "postgresql", "mysql", "tls" where there are such, and one database name for all."""

    is_smoke: bool
    environments: list[Environment]
    addresses: dict[str, Address]
    pgbouncer: Address | None
    folder: Path  # for logs
    results: Results
    observer: Worker
    dice: random.Random = dataclasses.field(default_factory=lambda: random.Random(1))

    @property
    def environment(self) -> Environment:
        """The one that everything is measured in but the other drivers."""
        return self.environments[0]

    def settings(self, arm: Arm, server: str, size: int, more: int = 0, database: str = "") -> Settings | None:
        """The DATABASES entry of an arm; None, with a note in the results, where it can't be had."""
        address = self.addresses.get(server)
        if address is None:
            self.results.note(f"no {server} server: nothing was measured there")
            return None
        if address["vendor"] not in arm.engines:
            return None
        if arm.behind_pgbouncer:
            if server != "postgresql" or self.pgbouncer is None:
                return None
            address = self.pgbouncer
        if missing := [package for package in arm.needs if not self.environment.has(package)]:
            self.results.note(f"{arm.name} was left out: {', '.join(missing)} is not installed here")
            return None
        if database:
            address = {**address, "NAME": database}
        return arm.settings(address, size, more)

    def worker(
        self, settings: Settings, environment: Environment | None = None, aliases: Mapping[str, Settings] | None = None
    ) -> Worker:
        """A fresh process with these settings as its default alias."""
        return Worker(environment or self.environment, {"default": settings, **(aliases or {})}, self.folder / "workers.log")

    @contextlib.contextmanager
    def workers(self, names: Iterable[str], server: str, size: int, more: int = 0) -> Iterator[dict[str, Worker]]:
        """A process for each of these arms that can be had."""
        with contextlib.ExitStack() as stack:
            found = {}
            for name in names:
                settings = self.settings(ARMS[name], server, size, more)
                if settings is not None:
                    found[name] = stack.enter_context(self.worker(settings))
            yield found

    def interleaved(self, rounds: int, items: Sequence[Item]) -> Iterator[Item]:
        """Yield every item once a round, each round in an order of its own; the first in the order given, as tables will be."""
        for number in range(rounds):
            yield from self.dice.sample(items, len(items)) if number else items

    def tried(self, what: str, measure: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Measure; a failure is noted and gives None, so that one arm that breaks does not end the session."""
        try:
            return measure(*arguments, **more)
        except MeasurementFailed as failure:
            self.results.note(f"{what} failed: {str(failure).strip().splitlines()[-1]}")
            return None

    def free_slots(self, server: str) -> int:
        """How many connections that server still lets in."""
        return int(self.observer.call("databases", "free_slots", alias=server))


@contextlib.contextmanager
def opened(is_smoke: bool) -> Iterator[Lab]:
    """Start what is needed, and end it whatever happens.

    A smoke run takes the servers that the environment names, if any, and the interpreter that it is run by.
    """
    found = environments.current() if is_smoke else environments.make()
    results = Results()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="django_sqla_pool-benchmarks-")))
        urls = servers.named_urls() if is_smoke else {}
        started = dict(_started(stack, urls, results))
        name = f"sqla_pool_bench_{secrets.token_hex(4)}"
        addresses = {vendor: servers.address(url, name) for vendor, url in started.items()}
        for vendor in [vendor for vendor in addresses if found[0].driver(addresses[vendor]["vendor"]) is None]:
            results.note(f"no driver for {vendor} is installed here: nothing was measured there")
            del addresses[vendor]
        if TLS in addresses:
            addresses[TLS]["OPTIONS"] = {"sslmode": "require"}
        observer = stack.enter_context(Worker(found[0], _maintenance(addresses), folder / "observer.log"))
        stack.callback(_drop, observer, name)
        observer.call("databases", "create", names=[name])
        results.about = {
            "when": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": machine(),
            "servers": observer.call("databases", "versions"),
            "environments": [environment.described() for environment in found],
        }
        bouncer = None
        try:
            if not is_smoke:
                packages.provide([packages.PGBOUNCER])
            bouncer = stack.enter_context(servers.pgbouncer(addresses["postgresql"], 16))
        except (ServerError, KeyError) as error:
            results.note(f"PgBouncer was left out: {error}")
        yield Lab(is_smoke, found, addresses, bouncer, folder, results, observer)


def _drop(observer: Worker, name: str) -> None:
    with contextlib.suppress(MeasurementFailed):  # what has ended the session may have ended the observer as well
        observer.call("databases", "drop", names=[name])


def _started(stack: contextlib.ExitStack, urls: dict[str, str], results: Results) -> Iterator[tuple[str, str]]:
    """Yield (name, URL) of each server, starting those that are not named."""
    postgresql, mariadb = (None, None) if len(urls) == 2 else servers.own_servers()
    for name, kind, own in (("postgresql", PostgreSQL, postgresql), ("mysql", MariaDB, mariadb)):
        if kind.kind in urls:
            yield name, urls[kind.kind]
        elif own is not None:
            yield name, stack.enter_context(own).url
    try:
        tls = servers.PostgreSQLBehindTLS({"max_connections": servers.CONNECTIONS})
        yield TLS, stack.enter_context(tls).url
    except ServerError as error:  # where the named servers are all that there is
        results.note(f"PostgreSQL behind TLS was left out: {error}")


def _maintenance(addresses: dict[str, Address]) -> dict[str, Any]:
    names = {"postgresql": "postgres", "mysql": "mysql"}
    return {
        name: ARMS["CONN_MAX_AGE=None"].settings({**address, "NAME": names[address["vendor"]]}, 1, 0)
        for name, address in addresses.items()
    }


def machine() -> str:
    """The machine, in one line."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {memory / 2**20:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
