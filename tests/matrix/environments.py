"""Environments: the names in tox's env_list, read from setup.cfg, and which of them are the corners."""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


FLAVOURS = {"a": "psycopg 3 + mysqlclient", "b": "psycopg2 + PyMySQL"}


@dataclass(frozen=True)
class Environment:
    """One environment of the matrix, such as py313-dj61-sa21-a."""

    name: str

    @property
    def python(self) -> str:
        return self.name.split("-")[0]

    @property
    def flavour(self) -> str:
        return self.name.split("-")[-1]

    @property
    def plan(self) -> str:
        """What it is to hold, before anybody knows which releases that will be."""
        _, django, sqlalchemy, flavour = self.name.split("-")
        return f"Django {django[2]}.{django[3:]}, SQLAlchemy {sqlalchemy[2]}.{sqlalchemy[3:]}, {FLAVOURS[flavour]}"

    @property
    def age(self) -> tuple[int, ...]:
        """The greater, the newer: Python first, then Django, then SQLAlchemy."""
        return tuple(int(number) for number in re.findall(r"\d+", self.name.rpartition("-")[0]))

    def __str__(self) -> str:
        return self.name


def matrix() -> list[Environment]:
    """All environments, oldest first."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    names = [name for line in config["tox:tox"]["env_list"].split() for name in expand(line)]
    return sorted(map(Environment, names), key=lambda environment: (environment.age, environment.flavour))


def corners(environments: Sequence[Environment]) -> list[Environment]:
    """The newest corner, then the oldest, each in every flavour; only once where they are the same."""
    if not environments:
        return []
    ages = {environments[0].age, environments[-1].age}
    chosen = [environment for environment in environments if environment.age in ages]
    return sorted(chosen, key=lambda environment: environment.age, reverse=True)


def expand(line: str) -> Iterable[str]:
    """Expand braces as tox does: "py{310,311}-{a,b}" into four names."""
    parts = re.split(r"\{([^}]*)\}", line)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))
