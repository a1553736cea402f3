"""Demand behind sales of an item that ran out: on such a day demand was at least what was sold, no more is known.

Expectation-maximisation for censored counts: the E-step puts E[demand | demand >= sales] in the place of the sales
(Conrad 1976, ORQ 27(1): Poisson; Agrawal & Smith 1996, Naval Research Logistics 43(6): negative binomial; Vulcano, van
Ryzin & Ratliff 2012, Operations Research 60(2): EM), the M-step fits a mean per day. That mean is the item's level
times factors of the weekday, of promotions, and of the weeks around the day, updated one after the other (ECM:
Meng & Rubin 1993, Biometrika 80(2)). Each factor has a Gamma(10, 10) prior, so that who sells little is drawn to 1.
The dispersion maximises the likelihood of what was seen (ECME: Liu & Rubin 1994, Biometrika 81(4)).
"""

from dataclasses import replace

import numpy as np
from scipy import special

from ..data import Panel
from ..errors import FieldError

TREATMENTS = ("sales", "missing", "expected")
_PRIOR = 10.0  # units: shape of the gamma priors
_WEEKS_AROUND = 28  # days before and after, whose level a day shares
_ALPHAS = np.geomspace(1e-3, 16.0, 15)  # 1 / size of the negative binomial; the first is as good as Poisson
_STEPS, _TOLERANCE = 50, 1e-2  # of the EM: at most, and the largest change, in shares of 1 + demand, to stop at


def treated(panel: Panel, treatment: str) -> Panel:
    """The panel with other units on the open days on which an item was `stocked_out`; all else stays as it is.

    Args:
        panel: sales in `units`; nothing but its days is used.
        treatment: `sales`: sales are taken for demand; `missing`: NaN, not observed; `expected`: the mean of demand,
            given that it was at least the sales. That is no whole number, and never below the sales.

    Raises:
        ValueError: an unknown treatment.
    """
    if treatment not in TREATMENTS:
        raise FieldError("treatment", treatment, f"one of {', '.join(TREATMENTS)}")
    censored = _censored(panel)
    if treatment == "sales" or not censored.any():
        return panel
    units = panel.units.copy()
    if treatment == "missing":
        units[censored] = np.nan
    else:
        mean, alpha = fit(panel)
        units[censored] = _expected(units[censored], mean[censored], np.broadcast_to(alpha, mean.shape)[censored])
    return replace(panel, units=units)


def fit(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """The mean (D, I) of demand in units/day, 0 on days not observed or closed, and alpha (I,) by EM.

    Demand is negative binomial with variance mean + alpha mean^2. The mean of an item that was sold out on every day
    has no upper bound in the likelihood: there its prior decides, which is centred at the mean of its sales.
    """
    seen = ~np.isnan(panel.units) & ~panel.closed[:, None]
    censored = _censored(panel)
    free = seen & ~censored
    sales = np.where(seen, panel.units, 0.0)
    known = np.where(free.any(axis=0), free, seen)  # days that the start and the prior's centre are taken from
    usual = np.maximum((sales * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1), 1e-3)
    demand = np.where(censored, np.maximum(sales, usual), sales)
    weekday, promo = np.eye(7)[panel.dates.dayofweek], panel.promo & seen  # (D, 7), (D, I)
    pools = (lambda x: weekday @ (weekday.T @ x), lambda x: promo * (x * promo).sum(axis=0), _around)
    factors = [np.ones_like(demand) for _ in pools]
    items = np.arange(len(panel.items))
    place = np.full(len(items), len(_ALPHAS) // 2)  # of each item's alpha in _ALPHAS
    counts = np.stack([(_log_rising(sales, 1 / alpha) * free).sum(axis=0) for alpha in _ALPHAS])
    mean = seen * usual
    for _ in range(_STEPS):
        weight = seen / (1 + _ALPHAS[place] * mean)  # of a day in the likelihood of the negative binomial
        units = weight * demand
        level = (units.sum(axis=0) + _PRIOR) / ((weight * np.prod(factors, axis=0)).sum(axis=0) + _PRIOR / usual)
        for k, pool in enumerate(pools):
            others = level * weight * np.prod(factors[:k] + factors[k + 1 :], axis=0)
            factors[k] = (pool(units) + _PRIOR) / (pool(others) + _PRIOR)
        mean = level * seen * np.prod(factors, axis=0)
        near = np.clip(place + np.array([[-1], [0], [1]]), 0, len(_ALPHAS) - 1)
        likelihood = [_log_likelihood(sales, free, censored, mean, _ALPHAS[k]) + counts[k, items] for k in near]
        place = near[np.argmax(likelihood, axis=0), items]
        before = demand[censored]
        alpha = np.broadcast_to(_ALPHAS[place], demand.shape)[censored]
        demand[censored] = _expected(sales[censored], mean[censored], alpha)
        if (np.abs(demand[censored] - before) <= _TOLERANCE * (1 + before)).all():
            break
    return mean, _ALPHAS[place]


def _censored(panel: Panel) -> np.ndarray:
    return panel.stocked_out & ~panel.closed[:, None] & ~np.isnan(panel.units)


def _around(x: np.ndarray) -> np.ndarray:
    """Sums over the days around each day, inside the panel."""
    total = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
    day = np.arange(len(x))
    return total[np.minimum(day + _WEEKS_AROUND + 1, len(x))] - total[np.maximum(day - _WEEKS_AROUND, 0)]


def _tail(units, size, odds):
    """P(N >= units) of a negative binomial of mean size * odds."""
    return np.where(units > 0, special.betainc(np.maximum(units, 1e-9), size, odds / (1 + odds)), 1.0)


def _expected(sales, mean, alpha) -> np.ndarray:
    """E[N | N >= sales] of a negative binomial N, by N f(N; size) = mean f(N - 1; size + 1)."""
    size, odds = 1 / alpha, mean * alpha
    tail = np.maximum(_tail(sales, size, odds), 1e-290)
    return np.maximum(mean * _tail(sales - 1, size + 1, odds) / tail, sales)


def _log_rising(units, size):
    """log of Gamma(units + size) / Gamma(size) / size^units: the likelihood's part that needs no mean."""
    return special.gammaln(units + size) - special.gammaln(size) - units * np.log(size)


def _log_likelihood(sales, free, censored, mean, alpha) -> np.ndarray:
    """The other part (I,), up to what does not depend on alpha (I,); of sold-out days the whole."""
    odds = mean * alpha
    total = -((sales + 1 / alpha) * np.log1p(odds) * free).sum(axis=0)
    tail = np.zeros_like(mean)
    size = np.broadcast_to(1 / alpha, mean.shape)[censored]
    tail[censored] = np.log(np.maximum(_tail(sales[censored], size, odds[censored]), 1e-290))
    return total + tail.sum(axis=0)
