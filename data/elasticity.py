"""Price elasticities from a panel: Poisson regression with effects of item and period, pooled over the items."""

import numpy as np
import pandas as pd

from .panel import Panel

ROUNDS = 60  # of the alternating fit


def price_elasticities(panel: Panel, days: int = 7, least_units: float = 50, spread: float = 0.02) -> pd.DataFrame:
    """Estimate how demand answers to each item's price: units ~ price^-elasticity.

    Periods of `days` are summed up. The model is E[units] = exp(item + period - elasticity log(price / usual price)),
    the item's usual price being its median: Poisson pseudo maximum likelihood with two-way effects (Santos Silva and
    Tenreyro 2006, Review of Economics and Statistics 88(4)), standard errors by the estimated dispersion. Single items'
    estimates are shrunk towards their precision-weighted mean by as much as they vary beyond their errors (DerSimonian
    and Laird 1986). What moves prices and demand at once (a bulk order's rebate, a promotion's display) is taken for
    the price's effect.

    Args:
        panel: of days (or of weeks, with `days=1`).
        days: of a period.
        least_units: that an item must have sold in all.
        spread: standard deviation of log(price / usual price) that an item must have had.

    Returns:
        A row per item that qualifies: `elasticity` (shrunk), `raw`, `error` (standard, of raw), `pooled` (all items').

    Raises:
        ValueError: no item qualifies.
    """
    count = len(panel.dates) // days
    shape = (count, days, len(panel.items))
    known = ~np.isnan(panel.units[: count * days]) & ~np.isnan(panel.price[: count * days])
    units = np.where(known, panel.units[: count * days], 0.0).reshape(shape).sum(axis=1)
    price = np.where(known, panel.price[: count * days], 0.0)
    weight = np.where(known, np.maximum(panel.units[: count * days], 1e-3), 0.0)  # what customers paid
    seen = known.reshape(shape).all(axis=1)
    paid = (price * weight).reshape(shape).sum(axis=1) / np.maximum(weight.reshape(shape).sum(axis=1), 1e-12)
    seen &= paid > 0
    usual = np.array([np.median(paid[seen[:, i], i]) if seen[:, i].any() else np.nan for i in range(shape[2])])
    log = np.where(seen, np.log(np.where(seen, paid, 1.0) / np.where(usual > 0, usual, 1.0)), 0.0)
    varied = np.sqrt((log**2).sum(axis=0) / np.maximum(seen.sum(axis=0), 1))
    rows = np.flatnonzero((units.sum(axis=0) >= least_units) & (varied >= spread) & (seen.sum(axis=0) >= 8))
    if not len(rows):
        raise ValueError(
            f"panel: no item sold {least_units:g} units at prices that varied by {spread:g}, expected some"
        )
    raw, error = _poisson(np.where(seen, units, 0.0)[:, rows], log[:, rows], seen[:, rows].astype(float))
    precision = error**-2.0
    mean = (precision @ raw) / precision.sum()
    excess = (precision @ (raw - mean) ** 2) - (len(rows) - 1)
    between = max(0.0, excess / (precision.sum() - (precision**2).sum() / precision.sum())) if len(rows) > 1 else 0.0
    pooled = (raw / (error**2 + between)).sum() / (1 / (error**2 + between)).sum()
    kept = between / (between + error**2)
    table = {"elasticity": pooled + kept * (raw - pooled), "raw": raw, "error": error, "pooled": pooled}
    return pd.DataFrame(table, index=pd.Index([panel.items[i] for i in rows], name="item"))


def _poisson(units: np.ndarray, log: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit by turns: item effects and elasticities by Newton's steps, period effects in closed form. All (W, I)."""
    item = np.log(np.maximum(units.sum(axis=0), 0.5) / seen.sum(axis=0))
    period, slope = np.zeros(len(units)), np.zeros(units.shape[1])
    for _ in range(ROUNDS):
        mean = seen * np.exp(item + period[:, None] - slope * log)
        period += np.log(np.maximum(units.sum(axis=1), 0.5) / np.maximum(mean.sum(axis=1), 1e-12))
        period -= period.mean()
        mean = seen * np.exp(item + period[:, None] - slope * log)
        item += np.log(np.maximum(units.sum(axis=0), 0.5) / np.maximum(mean.sum(axis=0), 1e-12))
        mean = seen * np.exp(item + period[:, None] - slope * log)
        centred = log - (mean * log).sum(axis=0) / np.maximum(mean.sum(axis=0), 1e-12)
        curvature = np.maximum((mean * centred**2).sum(axis=0), 1e-9)
        slope = np.clip(slope + np.clip(((mean - units) * centred).sum(axis=0) / curvature, -0.5, 0.5), -20, 20)
    mean = seen * np.exp(item + period[:, None] - slope * log)
    freedom = np.maximum(seen.sum(axis=0) - 3, 1)
    dispersion = np.maximum((seen * (units - mean) ** 2 / np.maximum(mean, 1e-9)).sum(axis=0) / freedom, 1.0)
    return slope, np.sqrt(dispersion / curvature)
