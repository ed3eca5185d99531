"""Users at the servers that a test makes for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.sessions import Observer


@contextmanager
def user(observer: Observer, name: str, password: str) -> Iterator[dict[str, str]]:
    """Make a user who may use the observer's database; yield USER and PASSWORD, and drop the user at the end."""
    database = observer.wrapper.settings_dict["NAME"]
    user = f"{name}_{database}"[-32:]  # MySQL takes no longer name; the end tells the runs on one server apart
    if observer.wrapper.vendor == "mysql":
        observer.query(f"DROP USER IF EXISTS '{user}'")
        observer.query(f"CREATE USER '{user}' IDENTIFIED BY '{password}'")
        observer.query(f"GRANT ALL ON {database}.* TO '{user}'")
    else:
        observer.query(f"DROP ROLE IF EXISTS {user}")
        observer.query(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    try:
        yield {"USER": user, "PASSWORD": password}
    finally:
        observer.query(f"DROP USER '{user}'" if observer.wrapper.vendor == "mysql" else f"DROP ROLE {user}")
