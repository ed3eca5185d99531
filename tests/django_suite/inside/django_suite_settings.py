"""Django's settings for its own suite: as its tests/test_sqlite.py, but for the databases and the runner."""

from __future__ import annotations

import json
import os

DATABASES = json.loads(os.environ["DJANGO_SUITE_DATABASES"])
TEST_RUNNER = "django_suite_runner.Runner"

# These three are expected by some of the tests.
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False
