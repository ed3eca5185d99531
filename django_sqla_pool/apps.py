"""The Django app: put ``"django_sqla_pool"`` into INSTALLED_APPS for the system checks and ``manage.py poolstatus``."""

from django.apps import AppConfig
from django.core import checks

from .checks import check_capacity, check_settings

__all__ = ["DjangoSqlaPoolConfig"]


class DjangoSqlaPoolConfig(AppConfig):
    name = "django_sqla_pool"
    verbose_name = "Connection pools"

    def ready(self) -> None:
        checks.register(check_settings)
        checks.register(check_capacity, checks.Tags.database)
