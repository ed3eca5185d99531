"""The floor of what any pool costs: Django's connect() and close() around a list of connections, and nothing else.

No connection is looked at, none is reset, no bound is kept. It is here to be measured, not to be used.
"""

from __future__ import annotations

from typing import Any


def floor(base: Any) -> Any:
    """Make such a DatabaseWrapper from an engine's."""
    idle: list[Any] = []

    class DatabaseWrapper(base):  # type: ignore[misc]
        def get_connection_params(self) -> None:
            pass

        def get_new_connection(self, parameters: None) -> Any:
            try:
                return idle.pop()
            except IndexError:
                opener = base(self.settings_dict, self.alias)
                opener.connect()
                connection, opener.connection = opener.connection, None
                return connection

        def init_connection_state(self) -> None:
            pass

        def _set_autocommit(self, autocommit: bool) -> None:
            pass

        def _close(self) -> None:
            idle.append(self.connection)

    return DatabaseWrapper
