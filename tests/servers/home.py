"""Home: the folder that a server lives in, and the account whose programs work there. Knows nothing of any server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from . import keeper, machine
from .machine import ServerError

# How long a server's own client waits for an answer. Whatever else listens at the port may never give one.
CONNECT_SECONDS = 5


class Home:
    """A temporary folder that only ``owner`` can look into (None: we ourselves); the keeper watches over it."""

    def __init__(self, kind: str, owner: str | None) -> None:
        self.owner = owner
        self.path = machine.make_folder(kind, owner)
        keeper.watch(self.path)
        self._ids = self.path.stat()
        # Of its own: a MariaDB that starts deletes "#sql*" in its tmpdir, be they another server's.
        self.tmp = self.path / "tmp"
        self.tmp.mkdir()
        machine.give(self.tmp, owner)

    def write(self, name: str, text: str) -> Path:
        """Write a file (a key, pg_hba.conf, a configuration) that the owner, and nobody else, can read."""
        path = self.path / name
        path.touch(mode=0o600)
        machine.give(path, self.owner)
        path.write_text(text)
        return path

    def run(self, *words: str | Path, text: str = "", seconds: float = 60.0, password: str = "") -> str:
        """Run a program as the owner, with ``text`` as its input, and return what it prints.

        Raises: ServerError, with the end of what the program said - it failed, or took longer than ``seconds``.
        """
        program = Path(words[0]).name
        environ = {**self._environ(), "PGPASSWORD": password} if password else self._environ()
        try:
            done: subprocess.CompletedProcess[str] = subprocess.run(
                words,
                input=text,
                env=environ,
                cwd=self.path,
                capture_output=True,
                text=True,
                timeout=seconds,
                **self._identity(),
            )
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"{program} did not end within {seconds:g} s") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise ServerError(f"{program} failed with status {done.returncode}: {said}")
        return done.stdout

    def launch(self, *words: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a program that stays, as the owner; what it says goes to ``log``."""
        with log.open("ab") as output:
            return subprocess.Popen(
                words,
                env=self._environ(),
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A session of its own: Ctrl-C is for the tests, which still need the server to end in order.
                start_new_session=True,
                **self._identity(),
            )

    def remove(self) -> None:
        """Delete the folder. May be called twice."""
        if self.path.exists():
            shutil.rmtree(self.path)
            keeper.forget(self.path)

    def _identity(self) -> dict[str, Any]:
        if self.owner is None:
            return {}
        return {"user": self._ids.st_uid, "group": self._ids.st_gid, "extra_groups": []}

    def _environ(self) -> dict[str, str]:
        # Nothing of the user's: no PGHOST, no ~/.my.cnf, no language in which "Address already in use" reads otherwise.
        path = os.environ.get("PATH", os.defpath)
        environ = {"PATH": path, "LANG": "C.UTF-8", "HOME": str(self.path), "TMPDIR": str(self.tmp)}
        return {**environ, "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS)}
