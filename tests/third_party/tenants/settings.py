"""Settings of the tenants' site. From the environment: TENANTS_SIDE, "under" or "over" our engine; TENANTS_REMEMBER, "yes"
to have the search path set once per connection instead of once per query (django-tenants' own option)."""

from __future__ import annotations

import os

from tests.settings import database

SIDE = os.environ["TENANTS_SIDE"]
DATABASES = {
    "default": {
        **database(
            {"under": "tests.third_party.tenants_under", "over": "django_tenants.postgresql_backend"}[SIDE], "TEST_POSTGRESQL_URL"
        ),
        "NAME": os.environ["TENANTS_DATABASE"],
        "POOL_OPTIONS": {"POOL_SIZE": 2, "MAX_OVERFLOW": 0, "RESET": os.environ["TENANTS_RESET"]},
    }
}
if SIDE == "over":
    ORIGINAL_BACKEND = "django_sqla_pool.backends.postgresql"
TENANT_LIMIT_SET_CALLS = os.environ["TENANTS_REMEMBER"] == "yes"

SHARED_APPS = ["django_tenants", "django.contrib.contenttypes", "tests.third_party.tenants.customers"]
TENANT_APPS = ["django.contrib.contenttypes", "tests.third_party.tenants.notes"]
INSTALLED_APPS = [*SHARED_APPS, "tests.third_party.tenants.notes"]
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_MODEL = "customers.Customer"
TENANT_DOMAIN_MODEL = "customers.Domain"

MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware"]
ROOT_URLCONF = "tests.third_party.tenants.urls"
ALLOWED_HOSTS = ["*"]
SECRET_KEY = "only for the tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
