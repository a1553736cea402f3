"""The parameters of an inventory problem, each with its unit, checked where they are made."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import FieldError
from ..core.checks import LARGEST, check_choice, check_episode, check_flag, check_list, check_number, check_quantiles
from ..core.demand import DemandParams

COSTS = ("purchase_cost", "fixed_cost", "holding_cost", "lost_sale_cost", "backorder_cost", "waste_cost")
# What the classical models do without: their solutions hold for these values alone.
CLASSICAL = {"yield_mean": 1, "disruption_probability": 0, "shelf_life": math.inf, "substitution_share": 0}


@dataclass
class InventoryParams:
    """Parameters of an inventory problem. "Per item": a number for all items or a list with one for each."""

    items: int = 1
    horizon: int = 200  # periods in an episode
    continuing: bool = True  # the horizon cuts an endless problem (truncated), or it ends a season (terminated)
    demand: DemandParams = field(default_factory=DemandParams)
    lead_time: Any = 1  # periods, per item
    lead_time_pmf: list[float] = field(default_factory=list)  # P(1), P(2), ... if random; see `Inventory`
    yield_mean: Any = 1.0  # share of an order that arrives, per item
    yield_std: Any = 0.0  # its standard deviation from order to order (beta distribution), per item
    disruption_probability: Any = 0.0  # that a supplier who is up is down in the next period, per item
    recovery_probability: Any = 1.0  # that a supplier who is down is up in the next period, per item
    shelf_life: Any = math.inf  # periods in which a unit can be sold, per item; then it is waste
    issuing: str = "fifo"  # fifo | lifo: the oldest or the freshest units are sold first
    substitution_share: float = 0.0  # share of unmet demand that turns to the item before or after it in the list
    backorder_share: float = 0.0  # share of unmet demand that waits; the rest is lost
    price: Any = 0.0  # money per unit sold, per item; a source that gives prices overrides it
    purchase_cost: Any = 0.0  # money per unit ordered, per item
    fixed_cost: Any = 0.0  # money per order placed, per item
    holding_cost: Any = 1.0  # money per unit on hand at the end of a period, per item
    lost_sale_cost: Any = 0.0  # money per unit of demand lost, per item
    backorder_cost: Any = 0.0  # money per unit waiting at the end of a period, per item
    waste_cost: Any = 0.0  # money per unit whose shelf life ends unsold, per item
    salvage_value: Any = 0.0  # money per unit on hand or on order when a season ends, per item
    initial_stock: Any = 0.0  # units on hand at the start, per item
    initial_pipeline: list[Any] = field(default_factory=list)  # units on order at the start, by arrival; each per item
    volume: Any = 1.0  # storage volume per unit, per item
    capacity: float = math.inf  # storage volume of the warehouse, shared by all items
    budget: float = math.inf  # money for purchases per period, shared by all items
    lot_size: float = 1.0  # orders are rounded to multiples of it, units; 0: divisible goods
    max_order: Any = 20.0  # units per order, per item
    action: str = "continuous"  # continuous | multi_discrete | discrete: of one item | base_stock
    forecast: str = "none"  # none | history | model | oracle: what is observed of demand, seen or to come
    history_days: int = 28  # periods of seen demand that are observed with forecast=history
    quantiles: list[float] = field(default_factory=lambda: [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98])

    def __post_init__(self):
        check_number("items", self.items, 1, 100_000, integer=True)
        check_number("horizon", self.horizon, 1, 100_000, integer=True)
        check_flag("continuing", self.continuing)
        if isinstance(self.demand, dict):
            self.demand = DemandParams(**self.demand)
        for name in ("mean", "std", "dispersion"):
            check_number(f"demand.{name}", getattr(self.demand, name), 0, LARGEST, items=self.items)
        check_number("lead_time", self.lead_time, 0, 100, integer=True, items=self.items)
        check_list("lead_time_pmf", self.lead_time_pmf, 0, 1, least=0, most=100, total=1)
        self._check_supply()
        self._check_shelf()
        for name in (*COSTS, "price", "salvage_value", "initial_stock"):
            check_number(name, getattr(self, name), 0, LARGEST, items=self.items)
        self._check_pipeline()
        check_number("volume", self.volume, 1e-6, LARGEST, items=self.items)
        check_number("capacity", self.capacity, 0, math.inf, exclusive=True)
        check_number("budget", self.budget, 0, math.inf, exclusive=True)
        check_number("lot_size", self.lot_size, 0, LARGEST)
        check_number("max_order", self.max_order, 1e-3, LARGEST, items=self.items)
        if (np.asarray(self.max_order) < self.lot_size).any():
            raise FieldError("max_order", self.max_order, f">= lot_size {self.lot_size}")
        check_choice("action", self.action, ("continuous", "multi_discrete", "discrete", "base_stock"))
        if self.action == "discrete" and self.items > 1:
            expected = "continuous, multi_discrete or base_stock"
            raise FieldError("action", self.action, expected, f"with {self.items} items")
        if self.in_lots and self.lot_size == 0:
            raise FieldError("lot_size", self.lot_size, "a number > 0", f"with action={self.action}")
        check_choice("forecast", self.forecast, ("none", "history", "model", "oracle"))
        check_number("history_days", self.history_days, 1, 10_000, integer=True)
        check_quantiles(self.quantiles)
        check_episode("horizon", self.horizon, self.numbers)

    @property
    def numbers(self) -> int:
        """Return how many numbers an episode holds: what is drawn over its periods, and the state."""
        lead = len(self.lead_time_pmf) or int(np.max(self.lead_time))
        life = self.per_item("shelf_life")
        drawn = 1 + bool(self.lead_time_pmf) + bool(np.any(self.disruption_probability)) + (self.backorder_share > 0)
        drawn += 2 * (lead if self.lead_time_pmf else 1) * bool(np.any(np.asarray(self.yield_mean) < 1))
        drawn += 2 * (self.substitution_share > 0) + 2 * len(self.quantiles) * (self.forecast in ("model", "oracle"))
        held = lead + int(life[np.isfinite(life)].max(initial=0)) + 2 * self.history_days * (self.forecast == "history")
        return self.items * ((self.horizon + 1 + lead) * drawn + held)

    @property
    def earns(self) -> bool:
        """Return whether there is revenue: what is reported then is profit, else cost."""
        return bool(np.any(self.price))

    def _check_pipeline(self):
        longest = len(self.lead_time_pmf) or int(np.max(self.lead_time))
        most = max(longest - 1, 0)
        if not isinstance(self.initial_pipeline, list) or len(self.initial_pipeline) > most:
            why = f"with a lead time of {longest}"
            raise FieldError(
                "initial_pipeline", self.initial_pipeline, f"a list of at most {most} numbers or lists", why
            )
        for period, units in enumerate(self.initial_pipeline):
            check_number(f"initial_pipeline[{period}]", units, 0, LARGEST, items=self.items)

    def _check_supply(self):
        check_number("yield_mean", self.yield_mean, 0, 1, exclusive=True, items=self.items)
        check_number("yield_std", self.yield_std, 0, 0.5, items=self.items)
        mean, std = self.per_item("yield_mean"), self.per_item("yield_std")
        if (std**2 >= mean * (1 - mean) + (std == 0)).any():
            bound = np.sqrt(mean * (1 - mean)).min()
            raise FieldError("yield_std", self.yield_std, f"0 or less than {bound:.4g}")
        check_number("disruption_probability", self.disruption_probability, 0, 1, items=self.items)
        check_number("recovery_probability", self.recovery_probability, 0, 1, exclusive=True, items=self.items)

    def _check_shelf(self):
        check_number("backorder_share", self.backorder_share, 0, 1)
        check_number("substitution_share", self.substitution_share, 0, 1)
        if self.substitution_share and self.items == 1:
            raise FieldError("substitution_share", self.substitution_share, "0", "with 1 item")
        check_number("shelf_life", self.shelf_life, 1, 100, integer=True, endless=True, items=self.items)
        check_choice("issuing", self.issuing, ("fifo", "lifo"))

    @property
    def in_lots(self) -> bool:
        """Return whether actions are numbers of lots."""
        return self.action in ("multi_discrete", "discrete")

    @property
    def whole_units(self) -> bool:
        """Return whether units are whole: shares of them are rounded at random, then, to whole units."""
        return self.lot_size > 0

    def per_item(self, name: str) -> np.ndarray:
        """Return a per-item parameter as an array (items,), float64."""
        return np.broadcast_to(np.asarray(getattr(self, name), dtype=float), (self.items,))
