"""The site for an ASGI server, with what docs/deployments.rst says of the end."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

import django_sqla_pool

site = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Django's, which does not hear of the server's end, and that."""
    if scope["type"] != "lifespan":
        await site(scope, receive, send)
        return
    while True:
        event = (await receive())["type"]
        if event == "lifespan.shutdown":
            django_sqla_pool.dispose()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
