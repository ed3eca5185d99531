"""python3 -m tests.servers run -- COMMAND...: run a command with a PostgreSQL and a MariaDB to test against."""

from __future__ import annotations

import os
import sys

from . import command, packages
from .machine import ServerError
from .running import running

USAGE = "usage: python3 -m tests.servers run -- COMMAND..."


def main(words: list[str]) -> int:
    """Return the command's status; 2 for wrong usage or servers that cannot be had, 127 for no such command."""
    if words[:2] != ["run", "--"] or len(words) < 3:
        print(USAGE, file=sys.stderr)
        return 2
    command.raise_when_stopped()
    try:
        packages.provide(packages.server_needs())
        with running() as urls:
            return command.run(words[2:], {**os.environ, **urls})
    except ServerError as error:
        print(f"tests.servers: {error}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"tests.servers: {error}", file=sys.stderr)
        return 127
    except command.Stopped as stop:
        print(f"tests.servers: stopped by {stop}", file=sys.stderr)
        return stop.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
