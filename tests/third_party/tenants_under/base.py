"""django-tenants chooses the schema, and we pool what it makes.

On top of ours it needs no module: ORIGINAL_BACKEND = "django_sqla_pool.backends.postgresql" is its own way to say so.
"""

from django_tenants.postgresql_backend.base import DatabaseWrapper as Unpooled

from django_sqla_pool import pooled

DatabaseWrapper = pooled(Unpooled)
