"""We pool, and django-prometheus counts what passes."""

from django_prometheus.db.backends.mysql.base import DatabaseWrapper as Counting

from django_sqla_pool.backends.mysql.base import DatabaseWrapper as Pooled


class DatabaseWrapper(Counting, Pooled):
    """Both of them."""
