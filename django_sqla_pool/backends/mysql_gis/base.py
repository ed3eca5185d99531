"""django.contrib.gis.db.backends.mysql, with its connections from a pool."""

from django.contrib.gis.db.backends.mysql.base import DatabaseWrapper as Unpooled

from ...wrapper import pooled

DatabaseWrapper = pooled(Unpooled)
