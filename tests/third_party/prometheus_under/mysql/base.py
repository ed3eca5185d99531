"""django-prometheus counts, and we pool what it makes."""

from django_prometheus.db.backends.mysql.base import DatabaseWrapper as Unpooled

from django_sqla_pool import pooled

DatabaseWrapper = pooled(Unpooled)
