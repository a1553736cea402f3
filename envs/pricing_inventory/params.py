"""The parameters of deciding price and order together, each with its unit, checked where they are made."""

import math
from dataclasses import dataclass, field

import numpy as np

from ...errors import FieldError
from ..core import pmf as pmfs
from ..core.checks import LARGEST, check_choice, check_list, check_number

LARGEST_MEAN = 500.0  # units per period at the lowest price: up to there counts are drawn exactly


@dataclass
class DemandCurveParams:
    """Demand of a period: a count whose mean falls with the price p.

    `linear`: max(size - b p, 0); `exponential`: size e^(-b p); `logit`: size / (1 + e^(b p - utility)).
    """

    kind: str = "linear"  # linear | exponential | logit
    size: float = 20.0  # units per period at price 0; logit: customers per period
    sensitivity: float = 2.0  # b: units per period and money (linear), or per money
    utility: float = 5.0  # logit only: of the item at price 0; buying nothing has 0
    noise: str = "poisson"  # poisson | negative_binomial
    dispersion: float = 2.0  # negative_binomial only: variance = mean + mean^2 / dispersion

    def __post_init__(self):
        check_choice("demand.kind", self.kind, ("linear", "exponential", "logit"))
        check_choice("demand.noise", self.noise, ("poisson", "negative_binomial"))
        check_number("demand.size", self.size, 0, 1e5, exclusive=True)
        check_number("demand.sensitivity", self.sensitivity, 0, 1e5)
        check_number("demand.utility", self.utility, -100, 100)
        check_number("demand.dispersion", self.dispersion, 0.1, 1e6)

    def mean(self, price) -> np.ndarray:
        """Return the expected demand, units per period, at prices of any shape, in money."""
        price = np.asarray(price, dtype=float)
        if self.kind == "linear":
            return np.maximum(self.size - self.sensitivity * price, 0)
        if self.kind == "exponential":
            return self.size * np.exp(-self.sensitivity * price)
        return self.size * 0.5 * (1 - np.tanh((self.sensitivity * price - self.utility) / 2))

    def pmf(self, price: float) -> np.ndarray:
        """Return the probabilities (K,) of 0, 1, ... units at a price."""
        mean = float(self.mean(price))
        if mean < 1e-12:
            return np.ones(1)
        return pmfs.poisson(mean) if self.noise == "poisson" else pmfs.negative_binomial(mean, self.dispersion)


@dataclass
class PricingInventoryParams:
    """Parameters of one item whose price and order are decided together, over one season."""

    horizon: int = 20  # periods in a season
    demand: DemandCurveParams = field(default_factory=DemandCurveParams)
    prices: list[float] = field(default_factory=lambda: [round(3 + 0.5 * k, 1) for k in range(13)])  # money, rising
    action: str = "grid"  # grid: an index of `prices` and units | continuous: a price between their ends and units
    max_order: int = 60  # units per period
    unmet: str = "backorder"  # backorder: unmet demand waits, paid when it is placed | lost
    initial_stock: int = 0  # units on hand at the start
    shelf_life: float = math.inf  # periods in which a unit can be sold, that of its arrival the first
    purchase_cost: float = 2.0  # money per unit ordered
    fixed_cost: float = 0.0  # money per order placed
    holding_cost: float = 0.5  # money per unit on hand at the end of a period
    backorder_cost: float = 2.0  # backorder only: money per unit that waits at the end of a period
    lost_sale_cost: float = 0.0  # lost only: money per unit lost, beside the revenue
    waste_cost: float = 0.0  # money per unit that expires
    salvage_value: float = 1.0  # money per unit on hand when the season ends

    def __post_init__(self):
        if isinstance(self.demand, dict):
            self.demand = DemandCurveParams(**self.demand)
        check_number("horizon", self.horizon, 1, 10_000, integer=True)
        check_choice("action", self.action, ("grid", "continuous"))
        least = 1 if self.action == "grid" else 2
        check_list("prices", self.prices, 0, LARGEST, least=least, most=10_000, rising=True)
        self.prices = [float(price) for price in self.prices]
        check_number("max_order", self.max_order, 1, 1000, integer=True)
        check_choice("unmet", self.unmet, ("backorder", "lost"))
        check_number("initial_stock", self.initial_stock, 0, LARGEST, integer=True)
        check_number("shelf_life", self.shelf_life, 1, 100, integer=True, endless=True)
        if self.shelf_life == 1 and self.initial_stock:
            raise FieldError("initial_stock", self.initial_stock, "0", "with shelf_life 1")
        for name in ("purchase_cost", "fixed_cost", "holding_cost", "backorder_cost", "lost_sale_cost"):
            check_number(name, getattr(self, name), 0, LARGEST)
        for name in ("waste_cost", "salvage_value"):
            check_number(name, getattr(self, name), 0, LARGEST)
        mean = float(self.demand.mean(self.prices[0]))
        if mean > LARGEST_MEAN:
            because = f"with {mean:g} units expected at the lowest price"
            raise FieldError("demand.size", self.demand.size, f"at most {LARGEST_MEAN:g} units", because)

    @property
    def continuing(self) -> bool:
        """Return False: the horizon ends a season."""
        return False

    @property
    def earns(self) -> bool:
        """Return True: there is revenue."""
        return True

    @property
    def items(self) -> int:
        """Return 1."""
        return 1

    @property
    def perishes(self) -> bool:
        """Return whether units expire."""
        return math.isfinite(self.shelf_life)

    @property
    def layers(self) -> int:
        """Return for how many further periods a unit that is left over can be sold; 0: none, or for ever."""
        return int(self.shelf_life) - 1 if self.perishes else 0
