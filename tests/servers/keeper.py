"""The keeper: a process that clears up after its owner, should that be killed and not come to do it itself.

Neither Ctrl-C nor a signal to the owner's group reaches it, since it has a session of its own. Its standard input is a
pipe from the owner; however the owner ends, the kernel closes that pipe, and clearing.py takes care of what is still
on the list: folders with the servers in them, and the command that the servers were for.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tests.servers.clearing"

_lock = threading.Lock()  # guards the keeper's beginning, and each line to it
_keeper: subprocess.Popen[bytes] | None = None


def watch(what: Path | int) -> None:
    """From now on this folder (or process) ends with us, unless forget() comes first."""
    global _keeper
    with _lock:
        if _keeper is None:
            _keeper = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,
            )
            atexit.register(_dismiss, os.getpid())
        _tell_locked("watch", what)


def forget(what: Path | int) -> None:
    """It has come to its end in an orderly way."""
    with _lock:
        _tell_locked("forget", what)


def _tell_locked(verb: str, what: Path | int) -> None:
    if _keeper is None or _keeper.stdin is None:
        raise AssertionError("bug: the keeper is told to forget before there is a keeper")
    _keeper.stdin.write(f"{verb} {what}\n".encode())
    _keeper.stdin.flush()


def _dismiss(owner: int) -> None:
    # A forked child inherits this hook, but neither the keeper nor what it watches.
    if _keeper is not None and os.getpid() == owner:
        _keeper.communicate(timeout=60)
