"""Worker: a process that measures, and how it is asked. Each has one set of DATABASES for its whole life."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

from .environments import ROOT, Environment

CALL_SECONDS = 120.0


class MeasurementFailed(Exception):
    """A worker could not do what it was asked; the text holds its traceback."""


class Worker:
    """A process in an environment, with Django set up; ``call`` runs a function of ``benchmarks.measured`` in it."""

    def __init__(self, environment: Environment, databases: dict[str, Any], log: Path) -> None:
        variables = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.measured.settings",
            "BENCHMARK_DATABASES": json.dumps(databases),
            "PYTHONPATH": str(ROOT),
        }
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [environment.python, "-m", "benchmarks.measured"],
                env={**os.environ, **variables},
                cwd=ROOT,
                stdin=subprocess.PIPE,  # its end is the worker's end, however ours comes
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._log = log
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, module: str, function: str, **arguments: Any) -> Any:
        """Run ``benchmarks.measured.<module>.<function>(**arguments)`` there and return what it returns.

        Raises: MeasurementFailed - it raised, ended, or took longer than CALL_SECONDS, after which there is no worker any more.
        """
        self.ask(module, function, **arguments)
        return self.answer()

    def ask(self, module: str, function: str, **arguments: Any) -> None:
        """Have a function run, without waiting for it; ``answer`` does."""
        assert self._process.stdin is not None
        request = {"module": module, "function": function, "arguments": arguments}
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise MeasurementFailed(f"the worker has ended:\n{self._last_words()}") from None

    def answer(self) -> Any:
        """Wait for what was asked."""
        answer = json.loads(self._read_line())
        if "error" in answer:
            raise MeasurementFailed(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process.stdout.close()

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + CALL_SECONDS
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                self._process.kill()  # its answer, were it to come, would be taken for that to the next question
                self._process.wait(5)
                raise MeasurementFailed(f"no answer within {CALL_SECONDS:g} s")
            data = os.read(descriptor, 1 << 20)
            if not data:
                raise MeasurementFailed(f"the worker has ended:\n{self._last_words()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
