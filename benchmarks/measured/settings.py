"""Django's settings of a measured process: DATABASES from the environment, and as little else as there can be."""

from __future__ import annotations

import importlib.util
import json
import os

if importlib.util.find_spec("MySQLdb") is None and importlib.util.find_spec("pymysql") is not None:
    import pymysql

    pymysql.install_as_MySQLdb()

DATABASES = {"default": {}, **json.loads(os.environ["BENCHMARK_DATABASES"])}  # Django insists on a default
INSTALLED_APPS: list[str] = []
# No middleware: the less a request costs, the more of it is the way to the database.
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "benchmarks.measured.site"
ALLOWED_HOSTS = ["*"]
SECRET_KEY = "only for the benchmarks"
USE_TZ = True
TIME_ZONE = "UTC"
