"""Classical restocking rules, batched, and what they look ahead with.

A rule turns a model, its named features, parameters (one number per item) and a seed into units to order (n, items).
What is below 0 is no order, for a policy may order more than a rule does (`Heuristic.act`).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ...envs import Inventory, TableDemand
from ...envs.core.seeds import imagined_keys
from ...envs.inventory.params import CLASSICAL

PATHS = 64  # of demand, that inventory is projected on


def base_stock(model: Inventory, named: dict, level, seed: int):
    """Order up to a level of the inventory position (Snyder and Shen 2019, section 4.3)."""
    return level - model.seen_position(named)


def capped_base_stock(model: Inventory, named: dict, level, cap, seed: int):
    """Order up to a level, but never more than a cap (Xin 2021, Operations Research 69(1))."""
    return np.minimum(level - model.seen_position(named), cap)


def s_S(model: Inventory, named: dict, s, Q, seed: int):
    """Order up to S = s + Q whenever the inventory position is s or less (Scarf 1960)."""
    x = model.seen_position(named)
    return np.where(x <= s, s + Q - x, 0)


def newsvendor(model: Inventory, named: dict, fractile, seed: int):
    """Order up to a quantile of the forecast demand over the protection interval (lead time + 1 periods)."""
    return _quantile(model, named["forecast"], fractile) - model.seen_position(named)


def lost_sales_newsvendor(model: Inventory, named: dict, fractile, multiplier, cap, seed: int):
    """Order up to a quantile of the forecast demand over the protection interval, but no more than a quantile, `cap`,
    of the demand of its last period, in which the order arrives; both times a multiplier. A `cap` of 1 is none.

    What an order has to cover on a path of demand, where demand is lost while stock is out, is at most what the
    interval's demand lacks, and at most the last period's demand, as what was lost before asks no more
    (`order_on_paths` rolls the stock along every path). The quantile of the smaller of two is at most the smaller of
    their quantiles, and equal to it where the periods' demands rise and fall together. It is a capped base-stock policy
    (Xin 2021, Operations Research 69(1)) whose level and cap follow the forecasts.
    """
    level = multiplier * _quantile(model, named["forecast"], fractile)
    return np.minimum(level - model.seen_position(named), _most(model, named, multiplier, cap))


def shrunk_newsvendor(model: Inventory, named: dict, level, weight, fractile, multiplier, cap, seed: int):
    """As `lost_sales_newsvendor`, but the level is a weighted mean of its own and a fixed one: the forecast shrunk
    towards what the item needs in general.

    A weight of 0 without a cap is `base_stock`, one of 1 `lost_sales_newsvendor`. Between them the errors of a level
    that is late and of a forecast that is noisy partly cancel out (combining: Bates and Granger 1969, Operational
    Research Quarterly 20(4)).
    """
    ahead = multiplier * _quantile(model, named["forecast"], fractile)
    level = (1 - weight) * level + weight * ahead
    return np.minimum(level - model.seen_position(named), _most(model, named, multiplier, cap))


def _most(model: Inventory, named: dict, multiplier, cap):
    """Return the most that is ordered (n, items): see `lost_sales_newsvendor`."""
    return np.where(np.asarray(cap) < 1, multiplier * _quantile(model, named["arrival"], cap), np.inf)


def _quantile(model: Inventory, forecast: np.ndarray, fractile) -> np.ndarray:
    """Return the forecast demand (n, items) at a fractile (items,) or (n, items) of its quantiles (n, items, Q)."""
    quantiles = np.asarray(model.params.quantiles)
    if len(quantiles) == 1:
        return forecast[..., 0]
    fractile = np.clip(np.broadcast_to(fractile, forecast.shape[:2]), quantiles[0], quantiles[-1])
    upper = np.clip(np.searchsorted(quantiles, fractile), 1, len(quantiles) - 1)
    low, high = (np.take_along_axis(forecast, k[..., None], axis=-1)[..., 0] for k in (upper - 1, upper))
    weight = (fractile - quantiles[upper - 1]) / (quantiles[upper] - quantiles[upper - 1])
    return low + weight * (high - low)


def projected_inventory_level(model: Inventory, named: dict, level, seed: int):
    """Order what raises the expected stock at the order's arrival to a level (lost sales: van Jaarsveld and Arts 2024,
    Projected inventory-level policies for lost sales inventory systems, Operations Research 72(5))."""
    stock, paths = named["on_hand"][..., None], _demand_paths(model)
    projected = stock.mean(axis=-1)
    for k, demand in enumerate(paths):
        stock = np.maximum(stock - demand, 0)
        if k < model.max_lead - 1:
            stock = stock + named["pipeline"][:, k, :, None]
        projected = np.where(model.lead == k + 1, stock.mean(axis=-1), projected)
    return level - projected


@lru_cache(maxsize=4)
def _demand_paths(model: Inventory) -> np.ndarray:
    """Paths of the model's stationary demand (longest lead time, items, PATHS), always the same.

    A Latin hypercube sample (McKay, Beckman and Conover 1979): every period's demands are the quantiles of the
    distribution, in an order of their own.
    """
    drawn = model.source.draw(imagined_keys(0, 1), PATHS**2)["demand"][0]
    quantiles = np.sort(drawn, axis=0)[PATHS // 2 :: PATHS].T  # (items, PATHS)
    shape = (model.max_lead, *quantiles.shape)
    return np.random.default_rng(0).permuted(np.broadcast_to(quantiles, shape), axis=-1)


def ewa(model: Inventory, named: dict, level, mean, seed: int):
    """Order up to a level of the inventory position without what is expected to expire before the order arrives
    (EWA: Broekmeulen and van Donselaar 2009, Computers & Operations Research 36(11))."""
    return level - model.seen_position(named) + _estimated_waste(model, named, mean)


def bsp_low_ew(model: Inventory, named: dict, S1, S2, b, mean, seed: int):
    """As `ewa` up to S2; below b, the level falls with the inventory position x, down to S1 at x = 0: BSP-low-EW,
    S1 - (S1 - S2 + b) / b x (Haijema and Minner 2019, International Journal of Production Economics 209, as De Moor et
    al. 2022 state it)."""
    x = model.seen_position(named)
    slope = (S1 - S2 + b) / np.maximum(b, 1e-9)
    order = np.where(x < b, S1 - slope * x, S2 - x)
    return order + _estimated_waste(model, named, mean)


def _estimated_waste(model: Inventory, named: dict, mean):
    """Return the units (n, items) that expire in the periods of the lead time if every demand is the mean (items,)."""
    shelf, waste = tuple(np.moveaxis(named["shelf"], 1, 0)), 0
    life: Any = model.shelf  # there is one: see `available`
    for k in range(model.max_lead):
        expired, shelf = life.age(life.issue(shelf, mean))
        waste = waste + expired * (model.lead > k)
        if k < model.max_lead - 1:
            shelf = life.put(shelf, named["pipeline"][:, k])
    return waste


def constant_order(model: Inventory, named: dict, quantity, seed: int):
    """Order the same in every period (near-optimal for long lead times: Goldberg et al. 2016)."""
    return np.broadcast_to(quantity, named["on_hand"].shape)


def random(model: Inventory, named: dict, seed: int):
    """Order uniformly between nothing and the largest order."""
    largest = model.per_order()
    return np.random.default_rng(seed).uniform(0, 1, named["on_hand"].shape) * largest


RULES: dict[str, tuple[Callable, tuple[str, ...]]] = {  # name -> the rule, the parameters that are tuned
    "base_stock": (base_stock, ("level",)),
    "capped_base_stock": (capped_base_stock, ("level", "cap")),
    "s_S": (s_S, ("s", "Q")),
    "newsvendor": (newsvendor, ("fractile",)),
    "lost_sales_newsvendor": (lost_sales_newsvendor, ("fractile", "multiplier", "cap")),
    "shrunk_newsvendor": (shrunk_newsvendor, ("level", "weight", "fractile", "multiplier", "cap")),
    "myopic": (base_stock, ("level",)),
    "projected_inventory_level": (projected_inventory_level, ("level",)),
    "ewa": (ewa, ("level",)),
    "bsp_low_ew": (bsp_low_ew, ("S1", "S2", "b")),
    "constant_order": (constant_order, ("quantity",)),
    "random": (random, ()),
}
HEURISTICS = tuple(RULES)


def available(model: Inventory) -> list[str]:
    """Return the heuristics that fit a model.

    `newsvendor` needs forecasts, `lost_sales_newsvendor` and `shrunk_newsvendor` also those of the period of arrival,
    `ewa` and `bsp_low_ew` perishables with fixed lead times, `projected_inventory_level` lost sales, fixed lead times
    and a stationary demand.
    """
    p = model.params
    perishes = model.shelf is not None and not model.random_lead
    classical = all((p.per_item(name) == value).all() for name, value in CLASSICAL.items())
    lost = p.backorder_share == 0 and not model.random_lead and isinstance(model.source, TableDemand)
    needs = {"newsvendor": "forecast" in model.layout, "ewa": perishes, "bsp_low_ew": perishes}
    needs["lost_sales_newsvendor"] = needs["shrunk_newsvendor"] = "arrival" in model.layout
    needs["projected_inventory_level"] = classical and lost
    return [kind for kind in HEURISTICS if needs.get(kind, True)]
