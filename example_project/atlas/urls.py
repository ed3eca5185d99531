"""Addresses of the atlas."""

from django.urls import path

from . import views

app_name = "atlas"
urlpatterns = [
    path("", views.search, name="search"),
    path("countries/<str:code>/", views.country, name="country"),
    path("countries/<str:code>/visits/", views.visit, name="visit"),
    path("pool/", views.pool, name="pool"),
]
