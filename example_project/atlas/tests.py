"""manage.py test: the atlas on the database of DATABASE_URL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, TestCase, TransactionTestCase

from .models import City, Country, Visit

CITIES = 2000


class PagesTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        call_command("load_atlas", cities=CITIES, stdout=StringIO())

    def test_everything_was_loaded(self) -> None:
        self.assertGreater(Country.objects.count(), 240)
        self.assertEqual(City.objects.count(), CITIES)

    def test_loading_twice_is_refused(self) -> None:
        with self.assertRaisesMessage(CommandError, "empty database only"):
            call_command("load_atlas")

    def test_a_country_page_takes_three_queries(self) -> None:
        with self.assertNumQueries(3):
            page = self.client.get("/countries/PT/")
        self.assertContains(page, "<h1>Portugal</h1>", html=True)
        self.assertContains(page, "<td>Lisbon</td>", html=True)

    def test_an_unknown_country_is_not_found(self) -> None:
        self.assertEqual(self.client.get("/countries/XX/").status_code, 404)

    def test_the_front_page_lists_all_countries_in_one_query(self) -> None:
        with self.assertNumQueries(1):
            page = self.client.get("/")
        self.assertContains(page, 'href="/countries/', count=Country.objects.count())

    def test_a_search_takes_one_query_and_knows_no_accents_or_case(self) -> None:
        with self.assertNumQueries(1):
            page = self.client.get("/", {"q": "SAO PAU"})
        self.assertContains(page, "<td>São Paulo</td>", html=True)

    def test_a_search_without_result_says_so(self) -> None:
        self.assertContains(self.client.get("/", {"q": "%_no such place"}), "No city found")

    def test_a_visit_is_counted_and_shown(self) -> None:
        page = self.client.post("/countries/PT/visits/", {"visitor": "Vasco"}, follow=True)
        self.assertRedirects(page, "/countries/PT/")
        self.assertContains(page, "Vasco")
        self.assertEqual(Country.objects.get(code="PT").visit_count, 1)

    def test_a_visit_without_a_name_is_refused(self) -> None:
        page = self.client.post("/countries/PT/visits/", {"visitor": ""})
        self.assertContains(page, "This field is required", status_code=422)
        self.assertEqual(Country.objects.get(code="PT").visit_count, 0)

    def test_a_city_added_in_the_admin_is_found(self) -> None:
        self.client.force_login(User.objects.create_superuser("reader"))
        city = {"name": "Évora", "country": "PT", "population": 1, "latitude": 38.6, "longitude": -7.9}
        self.assertRedirects(self.client.post("/admin/atlas/city/add/", city), "/admin/atlas/city/")
        self.assertContains(self.client.get("/", {"q": "evora"}), "<td>Évora</td>", html=True)

    def test_the_pool_page_shows_the_figures_and_no_password(self) -> None:
        page = self.client.get("/pool/")
        self.assertIn("pools", page.json())
        if connection.settings_dict["PASSWORD"]:
            self.assertNotContains(page, connection.settings_dict["PASSWORD"])


class VisitsTest(TransactionTestCase):
    def test_visits_at_the_same_time_are_all_counted(self) -> None:
        Country.objects.create(code="PT", name="Portugal", continent="EU", area=1, population=1)

        def visit(number: int) -> Any:
            try:
                return Client().post("/countries/PT/visits/", {"visitor": f"reader {number}"}).status_code
            finally:
                connection.close()  # the end of a request: in a test, its signal closes nothing

        with ThreadPoolExecutor(8) as readers:
            self.assertEqual(set(readers.map(visit, range(40))), {302})
        self.assertEqual(Visit.objects.count(), 40)
        self.assertEqual(Country.objects.get().visit_count, 40)
