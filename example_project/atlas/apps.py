"""The app's name for Django."""

from django.apps import AppConfig


class AtlasConfig(AppConfig):
    name = "atlas"
