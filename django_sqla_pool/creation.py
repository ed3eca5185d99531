"""Test databases: no pooled connection may be open to a database that is created, cloned or dropped.

It owns the moments at which Django's test runner needs a database to itself.
"""

from __future__ import annotations

import functools
from typing import Any, cast

from django.db.backends.base.creation import BaseDatabaseCreation

from . import registry

__all__ = ["pooled_creation"]


@functools.cache  # one class for one base: Django compares and reuses them
def pooled_creation(base: type[BaseDatabaseCreation]) -> type[BaseDatabaseCreation]:
    """Make a DatabaseCreation that empties the pools of a database before it needs it to itself."""
    namespace = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return type(base.__name__, (_PooledCreation, base), namespace)


class _PooledCreation(BaseDatabaseCreation):
    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        # The real database, which nobody should be connected to from here on, and a test database of the last run.
        self._dispose(self.connection.settings_dict["NAME"])
        self._dispose(self._get_test_db_name())  # type: ignore[attr-defined]
        return cast(str, super()._create_test_db(verbosity, autoclobber, keepdb))  # type: ignore[misc]

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        # PostgreSQL copies a database only while nobody is connected to it.
        self.connection.close()
        self._dispose(self.connection.settings_dict["NAME"])
        self._dispose(self.get_test_db_clone_settings(suffix)["NAME"])
        super()._clone_test_db(suffix, verbosity, keepdb)  # type: ignore[misc]

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self._dispose(test_database_name)
        super()._destroy_test_db(test_database_name, verbosity)  # type: ignore[misc]

    def _dispose(self, name: Any) -> None:
        registry.dispose_database({**self.connection.settings_dict, "NAME": name})
