"""``manage.py poolstatus``: see that pooling works, and with which figures."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_sqla_pool import snapshots
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
        for alias in self._aliases(options["database"]):
            wrapper = connections[alias]
            with wrapper.temporary_connection():
                pass  # a checkout and a checkin: the pool exists, and a second look would find its connection idle
        found = snapshots()
        if options["json"]:
            self.stdout.write(json.dumps([figures.as_dict() for figures in found], indent=2))
            return
        rows = [[name for name, _ in _COLUMNS], *([str(tell(figures)) for _, tell in _COLUMNS] for figures in found)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _aliases(self, wanted: list[str] | None) -> list[str]:
        pooled = [alias for alias in connections if is_pooled(connections[alias])]
        unknown = [alias for alias in wanted or () if alias not in pooled]
        if unknown or not pooled:
            names = ", ".join(pooled) or "none: no ENGINE of DATABASES is one of django_sqla_pool.backends"
            raise CommandError(f"{', '.join(unknown) or 'DATABASES'}: no pooled database; pooled are: {names}.")
        return wanted or pooled
