"""The site: each view asks the database, and says what it answered and where."""

from __future__ import annotations

import gc
import os
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

SESSION = {"postgresql": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}
SLEEP = {"postgresql": "SELECT pg_sleep(%s)", "mysql": "SELECT SLEEP(%s)"}

at_import: int | None = None


def question(nonce: str) -> dict[str, Any]:
    """Have the database repeat a word."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s, {SESSION[connection.vendor]}", [nonce])
        word, session = cursor.fetchone()
    return {"nonce": word, "session": session, "process": os.getpid(), "at_import": at_import}


def query_while_loading() -> None:
    """What a project should not do: leave a transaction open while it is loaded."""
    global at_import
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    at_import = question("")["session"]


def execute(*statement: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(*statement)


def echo(request: HttpRequest, nonce: str) -> JsonResponse:
    return JsonResponse(question(nonce))


async def aecho(request: HttpRequest, nonce: str) -> JsonResponse:
    return JsonResponse(await sync_to_async(question)(nonce))


async def hold(request: HttpRequest) -> JsonResponse:
    """Write a row, query for a second, and only then commit."""
    await sync_to_async(execute)("BEGIN")
    await sync_to_async(execute)("INSERT INTO held VALUES (1)")
    await sync_to_async(execute)(SLEEP[connection.vendor], [1])
    await sync_to_async(execute)("COMMIT")
    return JsonResponse({})


urlpatterns = [path("echo/<nonce>", echo), path("aecho/<nonce>", aecho), path("hold", hold)]

if os.environ.get("SWITCH_GC_OFF"):
    gc.disable()
if os.environ.get("QUERY_WHILE_LOADING"):
    query_while_loading()
