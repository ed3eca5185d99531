from django.db.backends.mysql.base import DatabaseWrapper as Unpooled

from benchmarks.measured.floor import floor

DatabaseWrapper = floor(Unpooled)
