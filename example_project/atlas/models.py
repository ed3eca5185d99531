"""Countries, cities, and visits."""

from __future__ import annotations

from typing import Any

from django.db import connections, models
from django.urls import reverse

from .geonames import searchable


class Country(models.Model):
    class Continent(models.TextChoices):
        AFRICA = "AF", "Africa"
        ANTARCTICA = "AN", "Antarctica"
        ASIA = "AS", "Asia"
        EUROPE = "EU", "Europe"
        NORTH_AMERICA = "NA", "North America"
        OCEANIA = "OC", "Oceania"
        SOUTH_AMERICA = "SA", "South America"

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=80)
    capital = models.CharField(max_length=80, blank=True)
    continent = models.CharField(max_length=2, choices=Continent.choices)
    area = models.FloatField(help_text="km²")
    population = models.BigIntegerField()
    currency = models.CharField(max_length=40, blank=True)
    visit_count = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("atlas:country", args=[self.code])


class CityQuerySet(models.QuerySet["City"]):
    def named(self, beginning: str) -> CityQuerySet:
        """Cities whose name begins so, whatever its case and accents."""
        # The names are stored in lower case, so both lookups mean the same. Each is the one that its server answers from
        # the index: "startswith" is LIKE BINARY on MySQL, and "istartswith" is UPPER() LIKE on PostgreSQL.
        lookup = "istartswith" if connections[self.db].vendor == "mysql" else "startswith"
        return self.filter(**{f"search_name__{lookup}": searchable(beginning)})


class City(models.Model):
    name = models.CharField(max_length=80)
    search_name = models.CharField(max_length=80, db_index=True, editable=False)
    country = models.ForeignKey(Country, models.CASCADE, related_name="cities")
    population = models.PositiveIntegerField()
    latitude = models.FloatField()
    longitude = models.FloatField()

    objects = CityQuerySet.as_manager()

    class Meta:
        ordering = ["-population"]
        indexes = [models.Index(fields=["country", "-population"], name="atlas_city_biggest")]
        verbose_name_plural = "cities"

    def __str__(self) -> str:
        return self.name

    def save(self, **options: Any) -> None:
        self.search_name = searchable(self.name)
        super().save(**options)


class Visit(models.Model):
    country = models.ForeignKey(Country, models.CASCADE, related_name="visits")
    visitor = models.CharField("your name", max_length=40)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["country", "-id"], name="atlas_visit_latest")]

    def __str__(self) -> str:
        return f"{self.visitor} in {self.country_id}"
