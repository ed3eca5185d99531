"""The app's own tests: they write, in two processes."""

from django.apps import apps
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

from tests.early_bird.models import Note


class Common:
    def test_only_the_test_database_is_touched(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()" if connection.vendor == "postgresql" else "SELECT DATABASE()")
            name = cursor.fetchone()[0]
        assert name.startswith("test_"), name
        assert not apps.get_app_config("early_bird").database_of_ready.startswith("test_")

    def test_writing(self) -> None:
        for number in range(20):
            Note.objects.create(text=f"from a test {number}")
        assert Note.objects.count() == 20

    def test_after_giving_the_connection_back(self) -> None:
        with transaction.atomic():
            Note.objects.create(text="from a test")
        assert Note.objects.filter(text="from a test").count() == 1


class One(Common, TransactionTestCase):
    pass


class Two(Common, TransactionTestCase):
    pass


class Three(Common, TestCase):
    pass


class Four(Common, TestCase):
    pass
