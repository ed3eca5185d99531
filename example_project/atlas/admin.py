"""The admin of the atlas."""

from django.contrib import admin

from .models import City, Country, Visit


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    list_display = ["name", "code", "capital", "continent", "population", "visit_count"]
    list_filter = ["continent"]
    search_fields = ["name", "capital"]
    readonly_fields = ["visit_count"]


@admin.register(City)
class CityAdmin(admin.ModelAdmin):
    list_display = ["name", "country", "population"]
    list_select_related = ["country"]
    search_fields = ["name"]
    autocomplete_fields = ["country"]


@admin.register(Visit)
class VisitAdmin(admin.ModelAdmin):
    list_display = ["visitor", "country", "made_at"]
    list_select_related = ["country"]
    autocomplete_fields = ["country"]
