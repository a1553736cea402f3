"""Known values to measure a policy against: exact optima and tuned heuristics, computed with NumPy alone."""

from . import (
    duopoly,
    fixed_cost,
    gallego_van_ryzin,
    lost_sales,
    mnl,
    newsvendor,
    pmf,
    price_dp,
    reference_price,
)
from .base import Reference

__all__ = [
    "Reference",
    "duopoly",
    "fixed_cost",
    "gallego_van_ryzin",
    "lost_sales",
    "mnl",
    "newsvendor",
    "pmf",
    "price_dp",
    "reference_price",
]
