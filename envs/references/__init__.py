"""Known values to measure a policy against: exact optima and tuned heuristics, computed with NumPy alone."""

from . import fixed_cost, lost_sales, newsvendor, perishable, pmf
from .base import Reference

__all__ = ["Reference", "fixed_cost", "lost_sales", "newsvendor", "perishable", "pmf"]
