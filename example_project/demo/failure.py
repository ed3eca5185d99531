"""What the demo says when it cannot go on."""

from __future__ import annotations

from pathlib import Path


class Failure(Exception):
    """The demo cannot go on; the message says why and what to do. Shown without a traceback."""


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a child's output, for a message."""
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:]) or "(it printed nothing)"
