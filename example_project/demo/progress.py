"""One line a stage: what is being done, how far it is, how long it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic


@contextmanager
def stage(title: str) -> Iterator[Callable[[str], None]]:
    """Begin a line with ``title`` and end it with the seconds taken. Yields a function that adds a word meanwhile."""
    started = monotonic()
    print(f"{title:<34}", end="", flush=True)
    try:
        yield lambda word: print(f" {word}", end="", flush=True)
    except BaseException:
        print(flush=True)
        raise
    print(f" {monotonic() - started:.1f} s", flush=True)
