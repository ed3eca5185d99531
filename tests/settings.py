"""Django's settings for the tests: both servers through our engines, each on a scratch database of its own."""

from __future__ import annotations

import importlib.util
import os
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

if importlib.util.find_spec("MySQLdb") is None:
    import pymysql

    pymysql.install_as_MySQLdb()
    # It makes a TLS context for each connection, for which OpenSSL takes 50 ms of the processor to read all authorities that the
    # machine trusts. The servers of the tests need none of them.
    os.environ["SSL_CERT_FILE"] = os.devnull

#: The database behind each alias before pytest-django puts its test database in front; conftest.py makes and drops it.
SCRATCH = "django_sqla_pool_scratch" + os.environ.get("PYTEST_SCRATCH", "")


def database(engine: str, variable: str, **more: Any) -> dict[str, Any]:
    """One entry of DATABASES, from a URL such as postgres://user:password@host:port/ in the environment."""
    url = os.environ.get(variable)
    if not url:
        raise ImproperlyConfigured(
            f"{variable} is not set. Run the tests by `make test`, or by `python3 -m tests.servers run -- COMMAND`, "
            f"or let it name a server: scheme://user:password@host:port/"
        )
    parts = urlsplit(url)
    return {
        "ENGINE": engine,
        "NAME": SCRATCH,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
        **more,
    }


DATABASES = {
    "default": database("django_sqla_pool.backends.postgresql", "TEST_POSTGRESQL_URL"),
    "mysql": database(
        "django_sqla_pool.backends.mysql",
        "TEST_MARIADB_URL",
        TEST={"CHARSET": "utf8mb4"},
    ),
}
INSTALLED_APPS = ["django_sqla_pool"]
SECRET_KEY = "only for the tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
