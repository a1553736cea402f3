"""Known values to measure a policy against: exact optima, bounds and tuned heuristics; `hindsight` needs SciPy."""

from . import dual_sourcing, fixed_cost, hindsight, lost_sales, lot_sizing, newsvendor, pmf, serial
from .base import Reference

__all__ = [
    "Reference",
    "dual_sourcing",
    "fixed_cost",
    "hindsight",
    "lost_sales",
    "lot_sizing",
    "newsvendor",
    "pmf",
    "serial",
]
