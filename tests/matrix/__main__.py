"""python3 -m tests.matrix test [PYTEST ARGUMENTS...] | all | soak [ARGUMENTS...] | lint: see the Makefile."""

from __future__ import annotations

import sys

from tests.servers import ServerError, command

from .session import Session

USAGE = "usage: python3 -m tests.matrix test [PYTEST ARGUMENTS...] | all | soak [ARGUMENTS...] | lint"


def main(words: list[str]) -> int:
    """Return 0 if all went well, 1 if something failed, 2 if it could not be run, 128 + n if stopped by a signal."""
    command.raise_when_stopped()
    try:
        match words:
            case ["test"]:
                return Session().test()
            case ["test", *arguments]:
                return Session().quick(arguments)
            case ["all"]:
                return Session(choose=list).test()
            case ["soak", *arguments]:
                return Session().soak(arguments)
            case ["lint"]:
                return Session().lint()
    except ServerError as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 2
    except command.Stopped as stop:
        print(f"\nstopped by {stop}", file=sys.stderr)
        return stop.status
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
