from django.db.backends.postgresql.base import DatabaseWrapper as Unpooled

from benchmarks.measured.floor import floor

DatabaseWrapper = floor(Unpooled)
