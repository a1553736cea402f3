"""Known values to measure a policy against: exact optima, bounds and tuned heuristics; `hindsight` needs SciPy."""

from . import (
    dual_sourcing,
    duopoly,
    fixed_cost,
    gallego_van_ryzin,
    hindsight,
    lost_sales,
    lot_sizing,
    marketplace,
    mnl,
    newsvendor,
    perishable,
    pmf,
    price_dp,
    price_hindsight,
    reference_price,
    serial,
)
from .base import Reference

__all__ = [
    "Reference",
    "dual_sourcing",
    "duopoly",
    "fixed_cost",
    "gallego_van_ryzin",
    "hindsight",
    "lost_sales",
    "lot_sizing",
    "marketplace",
    "mnl",
    "newsvendor",
    "perishable",
    "pmf",
    "price_dp",
    "price_hindsight",
    "reference_price",
    "serial",
]
