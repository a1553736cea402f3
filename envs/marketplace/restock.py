"""What the whole store orders from its suppliers."""

import numpy as np

from .state import State


def levels(model, demand, safety, quantiles=None) -> np.ndarray:
    """Return the newsvendor's order-up-to levels (n, I): mean + safety x deviation of demand in lead time + 1 days.

    The mean is the smoothed demand times the forecast factor (its middle quantile); the deviation is that of
    Poisson demand, and of the factor, read from its quantiles as if it were normal.

    Args:
        demand: units per day, smoothed (n, I).
        safety: standard deviations (n, 1).
        quantiles: of the visits' factor (n, Q), where there are forecasts.
    """
    days = model.params.lead_time + 1
    mean = variance = demand * days
    if quantiles is not None:
        wide = (quantiles[:, -1:] - quantiles[:, :1]) / (model._normal[-1] - model._normal[0] or 1)
        mean = mean * quantiles[:, [quantiles.shape[1] // 2]]
        variance = mean + (demand * days * wide) ** 2
    return np.maximum(mean + safety * np.sqrt(variance), 0)


def orders_to_suppliers(model, state: State, given: dict, shock: dict) -> np.ndarray:
    """Return the units ordered from the suppliers (n, I): up to the level, of what is there and on order."""
    p, level = model.params, given["restock"]
    if p.resolution == "store" or "restock" not in p.decides:
        level = model.restock_levels(state.demand, level, shock.get("forecast"))
    position = model.stock(state) + sum(state.pipeline[1:]) - state.backlog
    return np.floor(np.maximum(np.minimum(level, p.max_level) - position, 0) + 0.5)
