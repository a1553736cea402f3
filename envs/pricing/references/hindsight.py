"""An upper bound on the profit of any prices on recorded demand, with the whole scenario known beforehand.

The planner sets any price each period and need not sell all that is asked for. What binds the periods together, the
stock, has one price (Lagrangian relaxation; Talluri and van Ryzin 2004, The Theory and Practice of Revenue Management,
chapter 3): at every such price the relaxed value is an upper bound, and the least of them is taken.
"""

import numpy as np

from ....errors import FieldError

STEPS = 40  # halvings of the interval that the stock's price lies in
LARGEST = 4_000_000  # numbers at a time


def bounds(model, scenario: dict) -> np.ndarray:
    """Return an upper bound on each scenario's profit (n,), money per episode, salvage included.

    Limits and costs of price changes are left out, which only adds choices.

    Args:
        model: a `Pricing` whose demand at the list price comes from a source (kind exponential or elastic).
        scenario: of its `scenarios`, n rows.

    Raises:
        FieldError: another kind of demand, or none from a source.
    """
    kind = model.params.demand.kind
    if model.source is None or kind not in ("exponential", "elastic"):
        raise FieldError("demand.kind", kind, "exponential or elastic, from a source", "here")
    total = np.zeros(len(scenario["demand"]))
    for item in range(model.params.items):
        demand, uniform = (scenario[name][:, : model.horizon, item].astype(float) for name in ("demand", "uniform"))
        largest = int((demand * model.factor(model.prices[0])[item] + uniform).max())
        rows = max(1, LARGEST // (model.horizon * (largest + 1)))
        for start in range(0, len(total), rows):
            part = slice(start, start + rows)
            total[part] += _of_item(model, item, demand[part], uniform[part], largest)
    return total


def _of_item(model, item: int, demand: np.ndarray, uniform: np.ndarray, largest: int) -> np.ndarray:
    """Return an item's bounds (n,) for `demand` and `uniform` (n, T); a period's sales are at most `largest`."""
    p = model.params
    cost, hold, salvage, stock = (
        float(p.per_item(name)[item]) for name in ("purchase_cost", "holding_cost", "salvage_value", "initial_stock")
    )
    if not model.limited:
        hold = salvage = stock = 0.0
    left = (0.0 if p.continuing else salvage) - hold * model.horizon  # a unit that is never sold
    count = np.arange(largest + 1)
    price = _highest_prices(model, item, demand, uniform, count)
    # What units sold in a period earn more than kept ones: (n, T, K), -inf where no price sells so many.
    gain = count * (price - cost - hold * np.arange(model.horizon)[:, None] - left)
    low, high = np.zeros(len(demand)), np.full(len(demand), max(0.0, float(model.prices[-1]) - left))
    if not model.limited:
        high = low
    best = np.full(len(demand), np.inf)
    for _ in range(STEPS):
        worth = (low + high) / 2  # of a unit of stock
        relaxed = gain - worth[:, None, None] * count
        chosen = relaxed.argmax(axis=2)
        value = np.take_along_axis(relaxed, chosen[..., None], axis=2)[..., 0].sum(axis=1) + worth * stock
        best = np.minimum(best, value)
        wants = chosen.sum(axis=1) > stock
        low, high = np.where(wants, worth, low), np.where(wants, high, worth)
    return best + stock * left


def _highest_prices(model, item: int, demand: np.ndarray, uniform: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the highest price (n, T, K) at which at least `count` (K,) units are asked for, -inf where there is none.

    They are floor(demand factor(price) + uniform), so that factor(price) has to be (count - uniform) / demand or more.
    """
    p = model.params
    b, listed = (float(p.per_item(f"demand.{name}")[item]) for name in ("sensitivity", "list_price"))
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.maximum(count - uniform[..., None], 0) / demand[..., None]  # nan: nothing needed of no demand
        highest = listed * needed ** (-1 / b) if p.demand.kind == "elastic" else listed - np.log(needed) / b
    highest = np.where(count - uniform[..., None] <= 0, np.inf, highest)
    highest += 1e-6 * np.abs(highest)  # the model's prices are in single precision
    if p.on_grid:
        place = np.searchsorted(model.prices, highest, side="right")
        return np.append(-np.inf, model.prices)[place]
    return np.where(highest < model.prices[0], -np.inf, np.minimum(highest, model.prices[-1]))
