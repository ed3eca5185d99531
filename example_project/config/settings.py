"""Settings of the example project: an ordinary Django site on pooled connections.

From the environment: DATABASE_URL (postgres://user:password@host:port/name or mysql://...), SECRET_KEY, DEBUG=1, and
ATLAS_POOLED=no, which puts the site back on Django's own engine, for comparison.
"""

import os
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEBUG") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "only for trials on your own machine")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

if not os.environ.get("DATABASE_URL"):
    raise ImproperlyConfigured("Set DATABASE_URL, for instance to postgres://user:password@127.0.0.1:5432/atlas")
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}

# The pool. In a project of your own it is one word in ENGINE, and POOL_OPTIONS if the defaults do not suit:
#
#   -    "ENGINE": "django.db.backends.postgresql",
#   +    "ENGINE": "django_sqla_pool.backends.postgresql",
#   +    "POOL_OPTIONS": {"POOL_SIZE": 8, "MAX_OVERFLOW": 4, "TIMEOUT": 10.0},
if os.environ.get("ATLAS_POOLED", "yes") == "yes":
    DATABASES["default"]["ENGINE"] = DATABASES["default"]["ENGINE"].replace("django.db", "django_sqla_pool")
    DATABASES["default"]["POOL_OPTIONS"] = {
        "POOL_SIZE": 8,  # as many as a gunicorn worker has threads: each may hold one connection
        "MAX_OVERFLOW": 4,
        "TIMEOUT": 10.0,
    }

if DATABASES["default"]["ENGINE"].endswith(".mysql"):
    DATABASES["default"]["TEST"] = {"CHARSET": "utf8mb4"}  # what the server has by default may not hold every name
    try:
        import MySQLdb  # noqa: F401
    except ImportError:  # no mysqlclient here: PyMySQL takes its place
        import pymysql

        pymysql.install_as_MySQLdb()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_sqla_pool",  # system checks and `manage.py poolstatus`
    "atlas",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # serve the apps' own files, so that nobody has to run collectstatic

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
