"""Forked children that say what became of them."""

from __future__ import annotations

import faulthandler
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any


class Child:
    """Runs a function in a forked child, from now on."""

    def __init__(
        self, function: Callable[[], object], leave: Callable[[int], object] = os._exit, fork: Callable[[], int] = os.fork
    ) -> None:
        self._reading, writing = os.pipe()
        self.pid = fork()
        if self.pid == 0:
            os.close(self._reading)
            # A child that hangs says where, and ends. Not dump_traceback_later(): pytest's own left its thread in the parent.
            faulthandler.register(signal.SIGALRM, file=writing, chain=True)
            signal.alarm(60)
            try:
                answer = f"ok {function()}"
            except BaseException:
                answer = traceback.format_exc()
            os.write(writing, answer.encode())
            os.close(writing)
            leave(0)
        os.close(writing)

    def answer(self) -> str:
        """Wait for the child's end; return what the function returned, as text. A function that raised fails the test."""
        with os.fdopen(self._reading) as pipe:
            answer = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        assert answer.startswith("ok "), answer
        assert status == 0
        return answer[3:]


def in_child(function: Callable[[], object], *arguments: Any, **more: Any) -> str:
    """Fork, run a function in the child, and return what it returned, or raise what it raised."""
    return Child(function, *arguments, **more).answer()
