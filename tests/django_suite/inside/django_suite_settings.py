"""Django's settings for its own suite, as the release that is tested wants them, but for the databases and the runner."""

from __future__ import annotations

import json
import os

from test_sqlite import *  # type: ignore[import-not-found]  # noqa: F403  (beside Django's runtests.py)

DATABASES = json.loads(os.environ["DJANGO_SUITE_DATABASES"])
TEST_RUNNER = "django_suite_runner.Runner"
