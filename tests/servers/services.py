"""Services: keeps Debian's own PostgreSQL and MariaDB from being started by the installation of their packages.

The tests start servers of their own; one on the standard port, with somebody's data to come, is not ours to leave.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: Asked by every package before it starts a service; 101 forbids. Source: Debian's invoke-rc.d(8).
POLICY = Path("/usr/sbin/policy-rc.d")
FORBID = "#!/bin/sh\n# Written by django_sqla_pool's tests while they install packages.\nexit 101\n"


@contextmanager
def unstarted(prefix: Sequence[str], services: Sequence[str]) -> Iterator[None]:
    """Within this block a package may be installed without its service being started, now or at the next boot.

    ``services`` are those that come with the packages; one that is here already is somebody else's and stays as it is.
    ``prefix`` are the words that make us root.
    """
    ours = [service for service in services if not Path("/etc/init.d", service).exists()]
    is_written = bool(ours) and not POLICY.exists()
    if is_written:
        _run([*prefix, "sh", "-c", 'cat > "$0" && chmod 755 "$0"', str(POLICY)], FORBID)
    try:
        yield
    finally:
        if is_written:
            _run([*prefix, "rm", "-f", str(POLICY)])
        for service in ours:
            if Path("/run/systemd/system").exists():
                _run([*prefix, "systemctl", "disable", "--quiet", "--now", service])
            elif Path("/etc/init.d", service).exists():
                _run([*prefix, "service", service, "stop"])


def _run(words: list[str], text: str = "") -> None:
    subprocess.run(words, input=text, text=True, capture_output=True, timeout=120, check=False)
