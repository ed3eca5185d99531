"""django.db.backends.postgresql, with its connections from a pool."""

from django.db.backends.postgresql.base import DatabaseWrapper as Unpooled

from ...wrapper import pooled

DatabaseWrapper = pooled(Unpooled)
