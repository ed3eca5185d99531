"""Pages of the atlas. Nothing here knows of the pool, but for the page that shows its figures."""

import os

from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

import django_sqla_pool

from .forms import VisitForm
from .models import City, Country

CITIES_FOUND = 20
CITIES_SHOWN = 40
VISITS_SHOWN = 10


def search(request: HttpRequest) -> HttpResponse:
    """Cities whose name begins with ``?q=``, the most populous first; without it, all countries."""
    query = request.GET.get("q", "").strip()[:80]
    if query:
        cities = City.objects.named(query).select_related("country")
        return render(request, "atlas/search.html", {"query": query, "cities": cities[:CITIES_FOUND]})
    return render(request, "atlas/search.html", {"countries": Country.objects.order_by("continent", "name")})


def country(request: HttpRequest, code: str) -> HttpResponse:
    """A country's page. Three queries: the country, its biggest cities, its latest visits."""
    return _country_page(request, get_object_or_404(Country, code=code), VisitForm())


@require_POST
def visit(request: HttpRequest, code: str) -> HttpResponse:
    """Record a visit: the row and the country's count in one transaction, or neither."""
    visited = get_object_or_404(Country, code=code)
    form = VisitForm(request.POST)
    if not form.is_valid():
        return _country_page(request, visited, form, status=422)
    form.instance.country = visited
    with transaction.atomic():
        # F() adds up in the database: two visitors at once are two, whichever thread comes first.
        Country.objects.filter(code=code).update(visit_count=F("visit_count") + 1)
        form.save()
    return redirect(visited)


def pool(request: HttpRequest) -> JsonResponse:
    """The figures of the pools of the worker that answers. A site open to the public shows them to its staff only."""
    pools = [vars(snapshot) | {"closed": dict(snapshot.closed)} for snapshot in django_sqla_pool.snapshots()]
    return JsonResponse({"worker": os.getpid(), "pools": pools}, json_dumps_params={"indent": 2})


def _country_page(request: HttpRequest, country: Country, form: VisitForm, status: int = 200) -> HttpResponse:
    context = {
        "country": country,
        "cities": country.cities.all()[:CITIES_SHOWN],
        "visits": country.visits.all()[:VISITS_SHOWN],
        "form": form,
    }
    return render(request, "atlas/country.html", context, status=status)
