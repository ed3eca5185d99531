"""What having a connection takes within a request: cursor(), and what Django does about connections at both of its ends."""

from __future__ import annotations

import time
from typing import Any
from wsgiref.util import setup_testing_defaults

from django.db import connections

from .site import wsgi

_spent: list[int] = []  # nanoseconds, call by call
_inside: list[str] = []  # the calls that are under way: a pool's connect() may take a cursor


def watch() -> None:
    """Have the calls timed from now on."""
    kind: Any = type(connections["default"])
    for name in ("cursor", "close_if_unusable_or_obsolete"):
        setattr(kind, name, _timed(name, getattr(kind, name)))


def spent(view: str, cursors: int, requests: int) -> float:
    """Microseconds that these calls took in the last of some requests, each of which takes so many cursors."""
    for _ in range(requests):
        environ: dict[str, Any] = {"PATH_INFO": f"/{view}"}
        setup_testing_defaults(environ)
        _spent.clear()
        response = wsgi(environ, lambda *_: None)
        assert b"".join(response) == b"ok"
        response.close()
        assert len(_spent) == cursors + 2, _spent  # and both ends
    return sum(_spent) / 1000


def _timed(name: str, method: Any) -> Any:
    def timed(wrapper: Any) -> Any:
        _inside.append(name)
        begun = time.perf_counter_ns()
        try:
            return method(wrapper)
        finally:
            ended = time.perf_counter_ns()
            _inside.pop()
            if not _inside:
                _spent.append(ended - begun)

    return timed
