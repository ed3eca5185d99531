"""What each tenant has for itself."""

from __future__ import annotations

from django.db import models


class Note(models.Model):
    """A line of text."""

    text = models.TextField()
