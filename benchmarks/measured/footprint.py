"""What a pool costs in memory and at the start. Each function wants a fresh process."""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

_kept: list[Any] = []


def idle_connections(count: int, is_pooled: bool, is_traced: bool) -> float:
    """Bytes that ``count`` open and idle connections take, per connection; above a warm-up, which is not counted.

    ``is_pooled``: opened and given back through Django's wrappers; else only the driver's own objects are kept.
    ``is_traced``: what Python has allocated (tracemalloc); else what the process has (RSS), which can only be whole pages.
    """
    if is_traced:
        tracemalloc.start()
    _open(2, is_pooled)
    before = _size(is_traced)
    _open(count, is_pooled)
    return (_size(is_traced) - before) / count


def first_request() -> dict[str, float]:
    """Milliseconds of the first query of a process and its close(), and of the second: wall time and CPU time."""
    from django.db import connections

    found = {}
    for name in ("first", "second"):
        wall, cpu = time.perf_counter(), time.process_time()
        wrapper = connections["default"]
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
        wrapper.close()
        found[f"{name}_wall"] = (time.perf_counter() - wall) * 1e3
        found[f"{name}_cpu"] = (time.process_time() - cpu) * 1e3
    return found


def _open(count: int, is_pooled: bool) -> None:
    from django.db import connections

    wrappers = [connections.create_connection("default") for _ in range(count)]
    for wrapper in wrappers:
        wrapper.connect()
    for wrapper in wrappers:
        if is_pooled:
            wrapper.close()
        else:
            _kept.append(wrapper.connection)
            wrapper.connection = None
    wrappers.clear()


def _size(is_traced: bool) -> int:
    gc.collect()
    if is_traced:
        return tracemalloc.get_traced_memory()[0]
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
