"""The site that is measured over HTTP: a view with one SELECT, one with three, and one that tells which worker answers."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path


def _select() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()


def _answer(text: str) -> HttpResponse:
    return HttpResponse(text, headers={"Content-Length": str(len(text))})  # else it would be sent in chunks


def one(request: HttpRequest) -> HttpResponse:
    _select()
    return _answer("ok")


def three(request: HttpRequest) -> HttpResponse:
    for _ in range(3):
        _select()
    return _answer("ok")


def worker(request: HttpRequest) -> HttpResponse:
    return _answer(str(os.getpid()))


urlpatterns = [path("one", one), path("three", three), path("worker", worker)]


wsgi = get_wsgi_application()
asgi = get_asgi_application()
