"""The app's own tests: spatial queries on pooled connections, given back between any two."""

from django.contrib.gis.geos import Point, Polygon
from django.db import connection
from django.test import TransactionTestCase

from django_sqla_pool import snapshots
from tests.spatial.models import Place


class Spatial(TransactionTestCase):
    def test_points_go_in_and_come_out(self) -> None:
        for name, x, y in (("Bern", 7.45, 46.95), ("Oslo", 10.75, 59.91)):
            Place.objects.create(name=name, point=Point(x, y, srid=4326))
            connection.close()
        alps = Polygon.from_bbox((5, 44, 15, 48))
        alps.srid = 4326
        for _ in range(3):
            found = Place.objects.get(point__within=alps)
            self.assertEqual((found.name, found.point.coords), ("Bern", (7.45, 46.95)))
            connection.close()
        (pool,) = [pool for pool in snapshots() if pool.idle]
        self.assertGreaterEqual(pool.checkouts, 5)
        self.assertEqual(pool.opened - pool.closed_count, 1)
