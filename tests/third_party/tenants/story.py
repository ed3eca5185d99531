"""What happens on the tenants' site, in a process of its own: prints what was seen, as one line of JSON.

Requests go through Django's own WSGI handler, its signals included, so that connections come and go as they do in earnest.
"""

from __future__ import annotations

import json
import threading
from wsgiref.util import setup_testing_defaults

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

TENANTS = ("amber", "beryl")


def furnish() -> None:
    """Make both tenants, each with a note of its own."""
    from tests.third_party.tenants.customers.models import Customer, Domain
    from tests.third_party.tenants.notes.models import Note

    call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
    for name in TENANTS:
        customer = Customer(schema_name=name)
        customer.save(verbosity=0)
        Domain.objects.create(domain=f"{name}.test", tenant=customer, is_primary=True)
        with customer:
            Note.objects.create(text=f"a note of {name}")


def get(application, tenant: str, path: str = "/") -> dict:
    """Answer one request for a tenant's page, from its first byte to its last."""
    environ = {"HTTP_HOST": f"{tenant}.test", "PATH_INFO": path}
    setup_testing_defaults(environ)
    status: list[str] = []
    response = application(environ, lambda line, headers: status.append(line))
    try:
        body = b"".join(response)
    finally:
        response.close()
    return json.loads(body) if status[0].startswith("200") else {"status": status[0]}


def close_in_the_middle(application) -> list[dict]:
    """Read a tenant's page, close, let the other tenant have the connection, and read on as if nothing had been."""
    from django.db import connection
    from django.test import RequestFactory

    from tests.third_party.tenants.customers.models import Customer
    from tests.third_party.tenants.urls import notes

    pages = []
    with Customer.objects.get(schema_name="amber"):
        pages.append(json.loads(notes(RequestFactory().get("/")).content))
        connection.close()
        other = threading.Thread(target=lambda: pages.append(get(application, "beryl")))
        other.start()
        other.join(60)
        pages.append(json.loads(notes(RequestFactory().get("/")).content))
        connection.close()
    return pages


def main() -> None:
    """Tell the story."""
    django.setup()
    import logging

    from django.db import connection

    import django_sqla_pool

    logging.getLogger("django.request").disabled = True  # the page that breaks does so on purpose
    furnish()
    connection.close()
    connection.close_pool()
    application = get_wsgi_application()
    before = connection.find_pool().snapshot()

    in_turn = [get(application, tenant) for _ in range(10) for tenant in TENANTS]
    snapshot = connection.find_pool().snapshot()
    opened_in_turn, checkouts = snapshot.opened - before.opened, snapshot.checkouts - before.checkouts

    # The session itself, asked past django-tenants: whose search path does the next borrower find there?
    get(application, "beryl")
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        [left_behind] = cursor.fetchone()
    connection.close()

    middle = close_in_the_middle(application)
    broken = get(application, "amber", "/breaks/")
    after_broken = [get(application, tenant) for tenant in reversed(TENANTS)]

    mixed: list[dict] = []
    answered: list[str] = []

    def ask_often(number: int) -> None:
        for turn in range(25):
            tenant = TENANTS[(number + turn) % 2]
            answer = get(application, tenant)
            answered.append(tenant)
            if answer.get("schema") != tenant or answer.get("notes") != [f"a note of {tenant}"]:
                mixed.append({"asked": tenant, **answer})

    threads = [threading.Thread(target=ask_often, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    final = connection.find_pool().snapshot()
    print(
        json.dumps(
            {
                "in_turn": in_turn,
                "opened_in_turn": opened_in_turn,
                "checkouts": checkouts,
                "left_behind": left_behind,
                "middle": middle,
                "broken": broken,
                "after_broken": after_broken,
                "answered": len(answered),
                "mixed": mixed,
                "opened": final.opened - before.opened,
                "in_use": final.in_use,
                "pools": len(django_sqla_pool.snapshots()),
            }
        )
    )


if __name__ == "__main__":
    main()
