"""django.contrib.gis.db.backends.postgis, with its connections from a pool."""

from django.contrib.gis.db.backends.postgis.base import DatabaseWrapper as Unpooled

from ...wrapper import pooled

DatabaseWrapper = pooled(Unpooled)
