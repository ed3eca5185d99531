"""python -m benchmarks.measured: read a request a line, answer each with a line."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def main() -> None:
    # Nothing that a library prints may get among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            module = importlib.import_module(f"benchmarks.measured.{request['module']}")
            result = getattr(module, request["function"])(**request["arguments"])
        except Exception:
            answer = {"error": traceback.format_exc()}
        else:
            answer = {"result": result}
        answers.write(json.dumps(answer) + "\n")


main()
