"""POOL_OPTIONS: declared once, parsed into a frozen PoolOptions.

It owns every option's type, default, bound and sentence; messages and the documentation's table are derived from them.
It never corrects a value silently, and it names all problems of a dict at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

__all__ = ["PoolOptions", "describe", "parse", "problems"]


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What one option accepts, and its sentence in the documentation."""

    doc: str
    unit: str = ""
    minimum: float | None = None
    maximum: float = 1e9  # 31 years or a billion connections; beyond it Python's locks overflow
    also: float | None = None  # one value below the minimum that has a meaning of its own
    positive: bool = False  # the minimum itself is excluded
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return " or ".join(repr(choice) for choice in self.choices)
        if self.minimum is None:
            return "True or False"
        text = f"{'greater than' if self.positive else 'at least'} {self.minimum:g}{self.unit and ' ' + self.unit}"
        return text if self.also is None else f"{text}, or {self.also:g}"

    def find_breach(self, value: Any) -> str:
        """Say what is wrong with a value of the right type, and what it must be; empty if nothing is."""
        if self.choices:
            return "" if value in self.choices else f"is no choice; it must be {self}"
        if self.minimum is None or value == self.also:
            return ""
        if value > self.maximum:
            return f"is out of bounds; it must be at most {self.maximum:,.0f}{self.unit and ' ' + self.unit}"
        is_above = value > self.minimum if self.positive else value >= self.minimum
        return "" if is_above else f"is out of bounds; it must be {self}"


def option(default: Any, doc: str, **bounds: Any) -> Any:
    """Declare a field of PoolOptions: its default and its Bounds."""
    return dataclasses.field(default=default, metadata={"bounds": Bounds(doc, **bounds)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """The validated POOL_OPTIONS of one alias. All times are seconds."""

    pool_size: int = option(
        5,
        "Connections kept while nobody uses them. 0: none is kept beyond IDLE_TIMEOUT, and their number has no limit.",
        minimum=0,
    )
    max_overflow: int = option(10, "How many more may exist at once. -1: no limit.", minimum=0, also=-1)
    timeout: float = option(30.0, "Longest wait for a connection.", minimum=0, unit="s")
    connect_retry: float = option(
        5.0,
        "How long a checkout goes on trying while the server refuses or drops new connections (restart, failover, no slot"
        " free), within TIMEOUT. 0: fail at once. A wrong password or database always fails at once.",
        minimum=0,
        unit="s",
    )
    recycle: float = option(
        1800.0,
        "Greatest age of a connection, less up to 10 % jitter. -1: no limit.",
        minimum=0,
        positive=True,
        also=-1,
        unit="s",
    )
    pre_ping: bool = option(
        True, "Verify a connection before lending it: a probe of its socket, then a ping if PING_AFTER has passed."
    )
    ping_after: float = option(
        # 0.5 s: as HikariCP's alive-bypass window; below it a ping costs more than it finds.
        0.5,
        "Idle time after which the check is a real ping. 0: always ping.",
        minimum=0,
        unit="s",
    )
    reset: str = option(
        "rollback",
        'What check-in restores: "rollback" (transaction, cursors, autocommit) or "session" (the whole session).',
        choices=("rollback", "session"),
    )
    idle_timeout: float = option(
        600.0,
        "Idle time after which a connection above POOL_SIZE is closed.",
        minimum=0,
        positive=True,
        unit="s",
    )
    leak_after: float = option(
        -1.0,
        "Report a connection that is out for longer, with the stack of its borrower, and again when it is back. -1: never.",
        minimum=0,
        positive=True,
        also=-1,
        unit="s",
    )
    use_lifo: bool = option(True, "Lend the most recently used connection first, so that the rest can go idle.")

    @property
    def limit(self) -> int | None:
        """How many connections may exist at once; None: any number."""
        if self.pool_size == 0 or self.max_overflow == -1:
            return None
        return self.pool_size + self.max_overflow


_FIELDS = {field.name.upper(): field for field in dataclasses.fields(PoolOptions)}
_TYPES = {"int": "an integer", "float": "a number", "bool": "a boolean", "str": "a string"}
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def parse(raw: object, alias: str = "default") -> PoolOptions:
    """Turn a POOL_OPTIONS dict into PoolOptions. None is an alias without one.

    Values may be strings ("10", "true"), as the environment gives them.

    Raises: ImproperlyConfigured - naming every unknown key, wrong type and value out of bounds at once.
    """
    found = problems(raw, alias)
    if found:
        raise ImproperlyConfigured("\n".join(found))
    given = raw if isinstance(raw, Mapping) else {}
    return PoolOptions(**{key.lower(): _convert(_FIELDS[key], value) for key, value in given.items()})


def problems(raw: object, alias: str = "default") -> list[str]:
    """Say all that is wrong with a POOL_OPTIONS value, one sentence each; an empty list if nothing is."""
    where = f"DATABASES[{alias!r}]['POOL_OPTIONS']"
    if raw is None:
        return []
    if not isinstance(raw, Mapping):
        # Its type and not itself: a string that has gone astray may be a URL with a password.
        return [f"{where} is of type {type(raw).__name__}; give a dict such as {{'POOL_SIZE': 5}}, or leave it out."]
    return [f"{where}: {problem}" for key, value in raw.items() for problem in _problems_of(key, value)]


def describe() -> Iterator[tuple[str, Any, str]]:
    """Yield (key, default, meaning with unit and bound) of every option, for documentation."""
    for key, field in _FIELDS.items():
        bounds: Bounds = field.metadata["bounds"]
        yield key, field.default, f"{bounds.doc} Accepts: {bounds}."


def _problems_of(key: object, value: object) -> Iterator[str]:
    field = _FIELDS.get(key) if isinstance(key, str) else None
    if field is None:
        near = _nearest(str(key).upper())
        hint = f"did you mean {near!r}?" if near else f"the options are {', '.join(_FIELDS)}."
        yield f"unknown option {key!r}; {hint}"
        return
    bounds: Bounds = field.metadata["bounds"]
    try:
        breach = bounds.find_breach(_convert(field, value))
    except (TypeError, ValueError):
        breach = f"is not {_TYPES[str(field.type)]}; it must be {bounds}"
    if breach:
        yield f"{key} = {value!r} {breach}."


def _nearest(key: str) -> str | None:
    # SQLAlchemy's create_engine() has pool_timeout, pool_recycle...; to difflib POOL_TIMEOUT is nearer to IDLE_TIMEOUT.
    if key.removeprefix("POOL_") in _FIELDS:
        return key.removeprefix("POOL_")
    return next(iter(difflib.get_close_matches(key, _FIELDS, n=1)), None)


def _convert(field: dataclasses.Field[Any], value: Any) -> Any:
    """Give the value in the field's type; ValueError or TypeError if that would change what it says."""
    if field.type == "bool":
        said = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
        return said if isinstance(said, bool) else _refuse(value)
    if field.type == "str":
        return value if isinstance(value, str) else _refuse(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return _refuse(value)  # True is an int to Python, but no number of connections
    number = _to_float(value)
    if math.isinf(number):
        return number  # out of bounds, whatever the type
    if math.isnan(number) or (field.type == "int" and not number.is_integer()):
        return _refuse(value)
    return int(number) if field.type == "int" else number


def _to_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an int of 309 digits
        return math.copysign(math.inf, 1 if value > 0 else -1)


def _refuse(value: object) -> Any:
    raise ValueError(value)
