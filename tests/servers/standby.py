"""Standby: a PostgreSQL server that follows another one, and can take its place."""

from __future__ import annotations

from . import machine
from .machine import ServerError
from .postgresql import PostgreSQL


class Standby(PostgreSQL):
    """A copy of a running primary, which receives all that is written there; the user and the password are the same."""

    def __init__(self, primary: PostgreSQL) -> None:
        super().__init__()
        self._primary = primary
        self.password = primary.password

    def create(self) -> None:
        program = machine.find_program("pg_basebackup", folders=[str(self.programs["postgres"].parent)])
        if program is None:
            raise ServerError(f"no pg_basebackup beside {self.programs['postgres']}")
        # --write-recovery-conf makes it a standby; it keeps the password as well, in the folder that only the server can read.
        words = [f"--pgdata={self.data}", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password"]
        address = f"host=127.0.0.1 port={self._primary.port} user={self.user} application_name=standby"
        self.home.run(program, *words, f"--dbname={address}", password=self.password)

    def promote(self) -> None:
        """Make it a primary, and wait until it takes writes."""
        self.sql("SELECT pg_promote()")
