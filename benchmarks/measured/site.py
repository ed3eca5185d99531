"""The site that is measured over HTTP: a view with one SELECT, and one with three."""

from __future__ import annotations

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path


def _select() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()


def _ok() -> HttpResponse:
    return HttpResponse("ok", headers={"Content-Length": "2"})  # else it would be sent in chunks


def one(request: HttpRequest) -> HttpResponse:
    _select()
    return _ok()


def three(request: HttpRequest) -> HttpResponse:
    for _ in range(3):
        _select()
    return _ok()


urlpatterns = [path("one", one), path("three", three)]


wsgi = get_wsgi_application()
asgi = get_asgi_application()
