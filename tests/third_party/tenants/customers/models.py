"""The tenants, in the public schema."""

from __future__ import annotations

from django_tenants.models import DomainMixin, TenantMixin


class Customer(TenantMixin):
    """A tenant; saving one makes its schema."""


class Domain(DomainMixin):
    """The name by which requests ask for a tenant."""
