"""``manage.py poolstatus``: see that pooling works, and with which figures."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections

from django_sqla_pool import snapshots
from django_sqla_pool.pool import Pool
from django_sqla_pool.wrapper import is_pooled

_COLUMNS = (
    ("pool", lambda figures: figures.name),
    ("size", lambda figures: figures.pool_size),
    ("limit", lambda figures: "none" if figures.limit is None else figures.limit),
    ("in use", lambda figures: figures.in_use),
    ("idle", lambda figures: figures.idle),
    ("overflow", lambda figures: figures.overflow),
    ("waiting", lambda figures: figures.waiting),
    ("opened", lambda figures: figures.opened),
    ("closed", lambda figures: ", ".join(f"{reason} {n}" for reason, n in sorted(figures.closed.items())) or 0),
    ("checkouts", lambda figures: figures.checkouts),
    ("timeouts", lambda figures: figures.timeouts),
    ("wait s", lambda figures: f"{figures.wait_seconds:.3f}"),
    ("use s", lambda figures: f"{figures.use_seconds:.3f}"),
)


class Command(BaseCommand):
    help = (
        "Check out a connection of every pooled database, give it back, and print the figures of the pools. They are the "
        "figures of this process; a web worker tells its own by django_sqla_pool.snapshots()."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", action="append", metavar="ALIAS", help="only this alias; may be repeated")
        parser.add_argument("--json", action="store_true", help="print JSON, for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        pools = [pool for alias in self._aliases(options["database"]) if (pool := self._use_pool(alias)) is not None]
        found = snapshots()
        if options["database"]:
            found = tuple(pool.snapshot() for pool in dict.fromkeys(pools))
        if options["json"]:
            self.stdout.write(json.dumps([figures.as_dict() for figures in found], indent=2))
            return
        rows = [[name for name, _ in _COLUMNS], *([str(tell(figures)) for _, tell in _COLUMNS] for figures in found)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _use_pool(self, alias: str) -> Pool | None:
        """Check a connection out and in, so that there is something to see; say why if that is impossible."""
        wrapper = connections[alias]
        assert is_pooled(wrapper)
        try:
            pool = wrapper.find_pool()
            if pool is None:
                self.stderr.write(f"{alias}: OPTIONS['pool'] asks for Django's own pool, so there is none of ours.")
                return None
            with wrapper.temporary_connection():
                return pool
        except (ImproperlyConfigured, Error) as error:
            raise CommandError(f"{alias}: {error}") from error

    def _aliases(self, wanted: list[str] | None) -> list[str]:
        pooled = [alias for alias in connections if is_pooled(connections[alias])]
        if not pooled:
            raise CommandError("There is no pool: no ENGINE of DATABASES is one of django_sqla_pool.backends.")
        unknown = [alias for alias in wanted or () if alias not in pooled]
        if unknown:
            raise CommandError(f"{', '.join(unknown)}: no pooled database of that name; there are {', '.join(pooled)}.")
        return wanted or pooled
