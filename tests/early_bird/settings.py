"""A project of its own for ``manage.py test``: one database, named by the environment."""

import os

from tests import settings as shared

ALIAS = os.environ["PROJECT_ALIAS"]
DATABASES = {"default": {**shared.DATABASES[ALIAS], "NAME": os.environ["PROJECT_NAME"]}}
INSTALLED_APPS = ["tests.early_bird"]
SECRET_KEY = "only for the tests"
USE_TZ = True
