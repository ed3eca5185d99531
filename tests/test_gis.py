"""The spatial engines: an extension made by a migration, spatial queries, types known on every pooled connection."""

from __future__ import annotations

import pytest
from django.contrib.gis.db.backends.postgis.adapter import PostGISAdapter
from django.contrib.gis.geos import Point
from django.db import connection

from tests.support import project


def test_a_project_with_a_spatial_database(alias, observer):
    name = f"{observer.wrapper.settings_dict['NAME']}_spatial"
    command = ("test", "tests.spatial", "--pattern", "tests_of*.py", "--noinput")
    output = project.run("spatial", alias, name, *command)
    assert "Ran 1 test" in output
    assert "\nOK" in output


@pytest.mark.parametrize("alias", ["default"])
def test_connections_opened_before_the_extension_was_made_do_not_serve_spatial_queries(make_wrapper, observer):
    observer.query("DROP EXTENSION IF EXISTS postgis")
    # psycopg 3 needs the types when the server binds the parameters; psycopg2 never does, and needs none.
    options = {"server_side_binding": True} if connection.Database.__name__ == "psycopg" else {}
    wrappers = [make_wrapper(ENGINE="django_sqla_pool.backends.postgis", OPTIONS=options) for _ in range(3)]
    for wrapper in wrappers:
        wrapper.ensure_connection()
    for wrapper in wrappers:
        wrapper.close()
    wrappers[0].prepare_database()  # as migrate does: it makes the extension
    wrappers[0].close()
    try:
        for wrapper in wrappers:
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT ST_AsText(%s)", [PostGISAdapter(Point(7.45, 46.95, srid=4326))])
                assert cursor.fetchone() == ("POINT(7.45 46.95)",)
    finally:
        for wrapper in wrappers:
            wrapper.close()
        wrappers[0].find_pool().dispose()
        observer.query("DROP EXTENSION postgis")
