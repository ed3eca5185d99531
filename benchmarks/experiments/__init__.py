"""What is measured, and what it is held to. Each module has:

    NAME, TITLE              for the tables
    run(lab)                 measures, into lab.results
    comparisons(results)     what its tables show: see tables.Comparison
    targets(results)         what must hold
"""

from __future__ import annotations

from types import ModuleType

from . import checkout, churn, contention, footprint, growth, http, request

EXPERIMENTS: dict[str, ModuleType] = {
    module.NAME: module for module in (checkout, request, http, contention, churn, footprint, growth)
}
