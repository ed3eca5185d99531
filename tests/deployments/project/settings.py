"""Django's settings of a program under test: one database, named by the environment."""

from __future__ import annotations

import json
import os

from tests.settings import DEFAULT_AUTO_FIELD, INSTALLED_APPS, SECRET_KEY, TIME_ZONE, USE_TZ  # noqa: F401

DATABASES = {"default": json.loads(os.environ["DEPLOYED_DATABASE"])}
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "tests.deployments.project.site"
ALLOWED_HOSTS = ["*"]
