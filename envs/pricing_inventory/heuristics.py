"""Rules that price and order: separately, as the newsvendor would, or with both tuned together on training scenarios.

Net stock is what is on hand less the backlog, in units.
"""

from functools import lru_cache

import numpy as np

from ..core.contract import Rule
from ..inventory.references.fixed_cost import solve as fixed_cost_levels
from .model import PricingInventory

ZERO = np.zeros((1, 1))


def net_stock(named: dict) -> np.ndarray:
    """Return the net stock (n,), units."""
    waiting = named["backlog"][:, 0] if "backlog" in named else 0
    return named["on_hand"][:, 0].astype(float) - waiting


def separate(model: PricingInventory, named: dict, seed: int) -> np.ndarray:
    """Price first, then order: the most profitable price for the mean demand, then the best levels for that price.

    The levels are the newsvendor's, or with a fixed cost the (s, S) of the lowest average cost for backorders, S no
    more than what the rest of the season is expected to take.
    """
    price, mean, missing, over = _separate_rates(model)
    p, now, left = model.params, net_stock(named), named["time_left"][:, 0] * model.horizon
    pmf = p.demand.pmf(price)
    if p.fixed_cost:
        low, high = _s_S_levels(tuple(pmf), over, missing, p.fixed_cost)
        high = np.minimum(high, mean * left)
    else:
        over = np.where(left > 1.5, over, max(p.holding_cost + p.purchase_cost - p.salvage_value, 0))
        high = np.searchsorted(np.cumsum(pmf), np.minimum(missing / (missing + over), 1 - 1e-9))
        low = high
    return model.to_action(price, np.where(now <= low, high - now, 0))


def _separate_rates(model: PricingInventory) -> tuple[float, float, float, float]:
    """Return the price that `separate` sets, its mean demand, and the cost of a unit missing and of one left over.

    A unit missing costs its backorder cost, or the sale. A unit left over costs its holding; with a shelf life also its
    purchase and waste, spread over its periods.
    """
    p, prices = model.params, model.prices
    price = float(prices[np.argmax((prices - p.purchase_cost) * p.demand.mean(prices))])
    missing = p.backorder_cost if model.backorders else price - p.purchase_cost + p.lost_sale_cost
    over = p.holding_cost + (p.purchase_cost + p.waste_cost) / p.shelf_life
    return price, float(p.demand.mean(price)), missing, over


@lru_cache(maxsize=64)
def _s_S_levels(pmf: tuple[float, ...], over: float, missing: float, fixed_cost: float) -> tuple[int, int]:
    return fixed_cost_levels(np.array(pmf), 0, over, missing, fixed_cost)[:2]


def _separates(model: PricingInventory) -> bool:
    """Return whether there is a price that earns, and a cost of too much and of too little."""
    price, mean, missing, over = _separate_rates(model)
    return price > model.params.purchase_cost and mean > 0 and missing > 0 and over > 0


def base_stock(model: PricingInventory, named: dict, seed: int, price, level, slope=ZERO) -> np.ndarray:
    """The net stock raised to a level, at a list price; for each unit above the level the price falls by the slope.

    The form of the optimum without a fixed cost (Federgruen and Heching 1999), with a straight line for its prices.
    """
    now = net_stock(named)
    above = np.maximum(now - level[:, 0], 0)
    return model.to_action(price[:, 0] - slope[:, 0] * above, level[:, 0] - now)


def s_S(model: PricingInventory, named: dict, seed: int, reorder, size, price, slope=ZERO) -> np.ndarray:
    """At a net stock of `reorder` or less, an order up to `size` units above it; the fewer are left, the dearer.

    The form of (s, S, p) with S = s + size (Chen and Simchi-Levi 2004), with a straight line for its prices: `price` is
    that at the middle between s and S, stock counts with what is ordered, and the slope is per unit. S is no more than
    what the rest of the season is expected to take at `price`.
    """
    now, low, left = net_stock(named), np.floor(reorder[:, 0] + 0.5), named["time_left"][:, 0] * model.horizon
    high = np.minimum(low + size[:, 0], model.params.demand.mean(price[:, 0]) * left)
    stock = np.where(now <= low, np.maximum(now, np.floor(high + 0.5)), now)
    return model.to_action(price[:, 0] - slope[:, 0] * (stock - low - size[:, 0] / 2), stock - now)


def random(model: PricingInventory, named: dict, seed: int) -> np.ndarray:
    """Any action of the space, each as likely."""
    rng, shape = np.random.default_rng(seed), (len(named["on_hand"]), 2)
    low, high = model.action_low, model.action_high
    return rng.integers(low, high + 1, shape).astype(float) if model.grid else rng.uniform(low, high, shape)


def _boxes(model: PricingInventory, *names: str) -> dict[str, tuple]:
    """Return where parameters are looked for: the lowest, the highest and the first step of each; units are whole."""
    low, high = float(model.prices[0]), float(model.prices[-1])
    largest = int(model.params.max_order)
    span, step = high - low or 1.0, max(1, largest // 8)
    boxes = {
        "price": (low, high, span / 8),
        "level": (0, 2 * largest, step),
        "slope": (0.0, span / 10, span / 80),
        "reorder": (-largest if model.backorders else -1, largest, step),
        "size": (1, largest, step),
    }
    return {name: boxes[name] for name in names}


def _tuned(act, fixed_cost: bool, *names: str) -> Rule:
    """Return a rule for problems with or without a fixed cost, with the parameters that are tuned."""
    fits = lambda model: (model.params.fixed_cost > 0) == fixed_cost
    return Rule(act, lambda model, scenario: _boxes(model, *names), fits)


RULES = {
    "separate": Rule(separate, fits=_separates),
    "base_stock_fixed_price": _tuned(base_stock, False, "price", "level"),
    "base_stock_list_price": _tuned(base_stock, False, "price", "level", "slope"),
    "s_S_fixed_price": _tuned(s_S, True, "reorder", "size", "price"),
    "s_S_p": _tuned(s_S, True, "reorder", "size", "price", "slope"),
    "random": Rule(random),
}
