"""We pool, and django-prometheus counts what passes."""

from django_prometheus.db.backends.postgresql.base import DatabaseWrapper as Counting

from django_sqla_pool.backends.postgresql.base import DatabaseWrapper as Pooled


class DatabaseWrapper(Counting, Pooled):
    """Both of them."""
