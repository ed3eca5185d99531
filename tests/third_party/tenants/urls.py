"""The tenants' site: its only page shows whose it is, and breaks on demand."""

from __future__ import annotations

from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.third_party.tenants.notes.models import Note


def notes(request: HttpRequest) -> JsonResponse:
    """Show the tenant's notes, the schema the server reads them from, and the session at the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), current_schema()")
        session, schema = cursor.fetchone()
    return JsonResponse({"session": session, "schema": schema, "notes": list(Note.objects.values_list("text", flat=True))})


def breaks(request: HttpRequest) -> JsonResponse:
    """Write a note and fail within the transaction, after an error of the database in it."""
    with transaction.atomic(), connection.cursor() as cursor:
        Note.objects.create(text="never kept")
        cursor.execute("SELECT nothing_of_that_name")
    return JsonResponse({})


urlpatterns = [path("", notes), path("breaks/", breaks)]
