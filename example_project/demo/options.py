"""What the user asks for: ARGS, and the server that DATABASE_URL names."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

from .failure import Failure

SCHEMES = ("postgres", "postgresql", "mysql")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read ARGS; what is unknown or out of bounds ends the program with the usage and status 2."""
    parser = argparse.ArgumentParser(
        prog="make demo",
        usage='make demo [ARGS="--once --seconds S --cities N"] [DATABASE_URL=postgres://... or mysql://...]',
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cities", type=int)
    options = parser.parse_args(arguments)
    if not 1 <= options.seconds <= 600:
        parser.error("--seconds takes 1 to 600")
    if options.cities is not None and options.cities < 1000:
        parser.error("--cities takes 1000 or more")
    return options


def check_url(url: str) -> None:
    """Refuse a DATABASE_URL that cannot be read. The message repeats no part of it: any part may be the password's."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is no number
    except ValueError:
        parts = None
    # A raw '#', '/' or '?' ends the host early, and the rest of the password is taken for a port, path or query.
    if parts is None or parts.fragment or "@" in parts.path + parts.query:
        raise Failure(
            "DATABASE_URL cannot be read. It has the form postgres://user:password@host:port/name; within the user "
            "name and the password, write %23 for #, %2F for /, %3A for :, %3F for ? and %40 for @."
        )
    if parts.scheme not in SCHEMES:
        raise Failure("DATABASE_URL must begin with postgres:// or mysql:// (for MariaDB too).")
