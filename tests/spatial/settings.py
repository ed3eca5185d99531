"""A project with a spatial database of its own, named by the environment."""

import os

from tests import settings as shared

ALIAS = os.environ["PROJECT_ALIAS"]
ENGINES = {"default": "django_sqla_pool.backends.postgis", "mysql": "django_sqla_pool.backends.mysql_gis"}
DATABASES = {"default": {**shared.DATABASES[ALIAS], "ENGINE": ENGINES[ALIAS], "NAME": os.environ["PROJECT_NAME"]}}
INSTALLED_APPS = ["django.contrib.gis", "tests.spatial"]
SECRET_KEY = "only for the tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
