"""The parameters of a pricing problem, each with its unit, checked where they are made."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import FieldError
from ..core import pmf as pmfs
from ..core.checks import (
    EXACT,
    LARGEST,
    check_choice,
    check_episode,
    check_flag,
    check_list,
    check_number,
    check_quantiles,
)

KINDS = ("exponential", "elastic", "linear", "mnl")
NOISES = ("poisson", "bernoulli", "negative_binomial")


@dataclass
class PriceDemandParams:
    """How demand depends on the price; `Pricing` has the formulas. "Per item": a number or a list of one per item."""

    kind: str = "exponential"  # exponential | elastic | linear | mnl
    size: Any = 2.0  # per item: units per period at `list_price` (linear: at 0); mnl: customers per period
    sensitivity: Any = 1.0  # per item: b of exp(-b p), elasticity, or units per period and money; mnl: one number
    list_price: Any = 0.0  # per item, money: where `size` is measured (exponential, elastic)
    noise: str = "poisson"  # poisson | bernoulli | negative_binomial: of counts
    dispersion: float = 2.0  # negative binomial only: variance = mean + mean^2 / dispersion
    std: float = 0.0  # linear only: standard deviation of normal noise, units per period
    utility: Any = 0.0  # per item, mnl only: of the item at price 0; buying nothing has 0
    gain: float = 0.0  # linear only: units per period for each unit of money below the reference price
    loss: float = 0.0  # linear only: the same above it
    memory: float = 0.7  # linear only: share of the reference price that stays from period to period
    initial_reference: float = 0.0  # linear only: money

    def __post_init__(self):
        check_choice("demand.kind", self.kind, KINDS)
        check_choice("demand.noise", self.noise, NOISES)
        for name in ("size", "sensitivity"):
            check_number(
                f"demand.{name}", getattr(self, name), 0, 1e5, exclusive=True, items=np.size(getattr(self, name))
            )
        check_number("demand.list_price", self.list_price, 0, LARGEST, items=np.size(self.list_price))
        check_number("demand.utility", self.utility, -100, 100, items=np.size(self.utility))
        check_number("demand.dispersion", self.dispersion, 1e-3, 1e6)
        check_number("demand.memory", self.memory, 0, 1)
        for name in ("std", "gain", "loss", "initial_reference"):
            check_number(f"demand.{name}", getattr(self, name), 0, LARGEST)
        if self.kind == "elastic" and np.min(self.list_price) <= 0:
            raise FieldError("demand.list_price", self.list_price, "> 0", "with kind=elastic")
        if self.kind == "mnl" and np.size(self.sensitivity) > 1:
            raise FieldError("demand.sensitivity", self.sensitivity, "one number", "with kind=mnl")
        if self.kind == "mnl" and (np.size(self.size) > 1 or (self.noise == "bernoulli" and np.max(self.size) > 1)):
            raise FieldError("demand.size", self.size, "one number, <= 1 with noise=bernoulli")

    @property
    def has_reference(self) -> bool:
        """Return whether customers compare prices with a reference price."""
        return self.kind == "linear" and (self.gain > 0 or self.loss > 0)

    def pmf(self, mean: float) -> np.ndarray:
        """Return the probabilities (K,) of 0, 1, ... units where `mean` are expected (bernoulli: at most 1)."""
        if self.noise == "bernoulli":
            return np.array([1 - min(mean, 1.0), min(mean, 1.0)])
        if mean < 1e-12:
            return np.ones(1)
        return pmfs.poisson(mean) if self.noise == "poisson" else pmfs.negative_binomial(mean, self.dispersion)


@dataclass
class PricingParams:
    """Parameters of a pricing problem. "Per item": a number for all items or a list with one for each."""

    items: int = 1
    horizon: int = 20  # periods in an episode
    continuing: bool = False  # the horizon cuts an endless problem (truncated), or it ends a season (terminated)
    demand: PriceDemandParams = field(default_factory=PriceDemandParams)
    initial_stock: Any = 10.0  # units, per item; .inf: as much as is asked for
    prices: list[float] = field(default_factory=lambda: [round(1 + 0.2 * k, 1) for k in range(11)])  # money, rising
    action: str = "grid"  # grid: an index of `prices` | discrete: as one number, of one item | continuous: a price
    purchase_cost: Any = 0.0  # money per unit sold, per item
    holding_cost: Any = 0.0  # money per unit on hand at the end of a period, per item
    salvage_value: Any = 0.0  # money per unit on hand when a season ends, per item
    price_change_cost: float = 0.0  # money per change of an item's price; an episode's first price is free
    markdown: bool = False  # prices only fall
    max_changes: float = math.inf  # of an item's price in an episode
    forecast: str = "none"  # none | model: quantiles of demand at the list price are observed, as the source gives them
    forecast_periods: int = 1  # periods that these quantiles are of
    quantiles: list[float] = field(default_factory=lambda: [0.1, 0.25, 0.5, 0.75, 0.9])

    def __post_init__(self):
        check_number("items", self.items, 1, 100_000, integer=True)
        check_number("horizon", self.horizon, 1, 100_000, integer=True)
        check_flag("continuing", self.continuing)
        check_flag("markdown", self.markdown)
        if isinstance(self.demand, dict):
            self.demand = PriceDemandParams(**self.demand)
        for name in ("size", "sensitivity", "list_price", "utility"):
            check_number(f"demand.{name}", getattr(self.demand, name), -LARGEST, LARGEST, items=self.items)
        check_number("initial_stock", self.initial_stock, 0, LARGEST, endless=True, items=self.items)
        finite = np.isfinite(self.initial_stock)
        if finite.any() != finite.all():
            raise FieldError("initial_stock", self.initial_stock, f"numbers <= {LARGEST:g}, or inf for all items")
        if self.demand.kind == "mnl" and finite.all():
            check_number("initial_stock", self.initial_stock, 0, LARGEST, integer=True, items=self.items)
        check_list("prices", self.prices, 0, LARGEST, least=2, most=10_000, rising=True)
        self._check_linear()
        check_choice("action", self.action, ("grid", "discrete", "continuous"))
        if self.action == "discrete" and self.items > 1:
            raise FieldError("action", self.action, "grid or continuous", f"with {self.items} items")
        for name in ("purchase_cost", "holding_cost", "salvage_value"):
            check_number(name, getattr(self, name), 0, LARGEST, items=self.items)
        check_number("price_change_cost", self.price_change_cost, 0, LARGEST)
        check_number("max_changes", self.max_changes, 0, LARGEST, integer=True, endless=True)
        check_choice("forecast", self.forecast, ("none", "model"))
        check_number("forecast_periods", self.forecast_periods, 1, 10_000, integer=True)
        check_quantiles(self.quantiles)
        check_episode("horizon", self.horizon, self.numbers)

    def _check_linear(self):
        """Refuse a linear demand that can be larger than float32 counts."""
        d = self.demand
        above = max(d.initial_reference, float(self.prices[-1])) - float(self.prices[0])  # of the reference price
        most = float(np.max(d.size)) + 12 * d.std + d.has_reference * d.gain * max(above, 0)
        if d.kind == "linear" and most > EXACT:
            raise FieldError("demand.gain", d.gain, f"a demand of at most {EXACT:,.0f} units", f"with {most:.4g} units")

    @property
    def numbers(self) -> int:
        """Return how many numbers an episode holds: what is drawn over its periods."""
        drawn = self.items
        if self.demand.kind == "mnl":  # a taste of each customer, as many as can come, for each item
            drawn = len(self.demand.pmf(float(np.max(self.demand.size)))) * (1 + self.items)
        return (self.horizon + 1) * drawn

    @property
    def earns(self) -> bool:
        """Return True: there is revenue."""
        return True

    @property
    def on_grid(self) -> bool:
        """Return whether actions are indices of `prices`."""
        return self.action != "continuous"

    def per_item(self, name: str) -> np.ndarray:
        """Return a per-item parameter, also `demand.<name>`, as an array (items,), float64."""
        owner, name = (self.demand, name[7:]) if name.startswith("demand.") else (self, name)
        return np.broadcast_to(np.asarray(getattr(owner, name), dtype=float), (self.items,))
