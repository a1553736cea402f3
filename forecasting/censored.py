"""Demand behind sales of an item that ran out: on such a day demand was at least what was sold, no more is known.

Expectation-maximisation for censored counts: the E-step puts E[demand | demand >= sales] in the place of the sales
(Conrad 1976, ORQ 27(1): Poisson; Agrawal & Smith 1996, Naval Research Logistics 43(6): negative binomial; Vulcano, van
Ryzin & Ratliff 2012, Operations Research 60(2): EM), the M-step fits a mean per day. That mean is the item's level
times factors of the weekday, of promotions, and of the weeks around the day, updated one after the other (ECM:
Meng & Rubin 1993, Biometrika 80(2)). Each factor has a Gamma(10, 10) prior, so that who sells little is drawn to 1.
The dispersion maximises the likelihood of what was seen (ECME: Liu & Rubin 1994, Biometrika 81(4)).

Where the hours without stock are known (`Panel.out_share`), the sales are those of the other hours, as of a Poisson
process whose rate of the day is gamma distributed: what the hours without stock would have sold is then negative
binomial too, given the sales. Demand counts as even over the open hours.
"""

import zlib
from dataclasses import replace

import numpy as np
from scipy import special, stats

from ..data import Panel
from ..errors import FieldError
from .base import whole_units
from .outliers import without_far_out

TREATMENTS = ("sales", "missing", "expected", "drawn")
_PRIOR = 10.0  # units: shape of the gamma priors
_WEEKS_AROUND = 28  # days before and after, whose level a day shares
_ALPHAS = np.geomspace(1e-3, 16.0, 15)  # 1 / size of the negative binomial; the first is as good as Poisson
_STEPS, _TOLERANCE = 50, 1e-2  # of the EM: at most, and the largest change, in shares of 1 + demand, to stop at


def treated(panel: Panel, treatment: str) -> Panel:
    """The panel with other units on the open days on which an item was `stocked_out`, and no such day any more.

    Args:
        panel: sales in `units`; nothing but its days is used.
        treatment: `sales`: sales are taken for demand; `missing`: NaN, not observed; `expected`: the mean of demand,
            given the sales. That is no whole number, and never below the sales. `drawn`: what every forecaster does,
            see `demand_of`.

    Raises:
        ValueError: an unknown treatment.
    """
    if treatment not in TREATMENTS:
        raise FieldError("treatment", treatment, f"one of {', '.join(TREATMENTS)}")
    units, censored = panel.units.copy(), _censored(panel)
    missing = censored if treatment == "missing" else tells_nothing(panel) & (treatment == "drawn")
    units[missing] = np.nan
    day, item = np.nonzero(censored & ~missing)
    if treatment != "sales" and len(day):
        mean, alpha = fit(panel)
        of = units[day, item], mean[day, item], alpha[item], panel.out_share[day, item]
        chance = _chances(panel)[day, item]
        drawn = treatment == "drawn"
        units[day, item] = _drawn(*of, chance, whole_units(panel.units)[item]) if drawn else _expected(*of)
    return replace(panel, units=units, stocked_out=None, out_share=None)


def demand_of(panel: Panel) -> np.ndarray:
    """Demand (D, I) as far as the panel tells it, else NaN: what every forecaster trains on and starts from.

    Days far out are not observed (see `outliers`), nor are those of an item that ran out before it sold a unit. On
    other days without stock demand is a draw from its distribution given the sales: so its spread is that of demand,
    and whole units stay whole. The same item and day are drawn at the same level always.
    """
    panel = replace(panel, units=without_far_out(panel.units))
    return treated(panel, "drawn").units if panel.stocked_out.any() else panel.units


def tells_nothing(panel: Panel) -> np.ndarray:
    """Whether (D, I) an item was out of stock all day: sold nothing, where the hours are not known."""
    share = panel.out_share
    return _censored(panel) & np.where(np.isnan(share), panel.units == 0, share == 1)


def fit(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """The mean (D, I) of demand in units/day, 0 on days not observed or closed, and alpha (I,) by EM.

    Demand is negative binomial with variance mean + alpha mean^2. The mean of an item that was sold out on every day
    has no upper bound in the likelihood: there its prior decides, which is centred at the mean of its sales.
    """
    seen = ~np.isnan(panel.units) & ~panel.closed[:, None]
    censored, out = _censored(panel), panel.out_share
    timed = censored & (out < 1)  # of hours known: False where NaN
    open_share = np.where(censored & ~np.isnan(out), 1 - np.nan_to_num(out), 1.0)
    free = seen & (~censored | timed)
    sales = np.where(seen, panel.units, 0.0)
    known = np.where(free.any(axis=0), free, seen)  # days that the start and the prior's centre are taken from
    usual = np.maximum((sales * known).sum(axis=0) / np.maximum((open_share * known).sum(axis=0), 1), 1e-3)
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
        of = sales, free, censored & ~free, mean * open_share
        likelihood = [_log_likelihood(*of, _ALPHAS[k]) + counts[k, items] for k in near]
        place = near[np.argmax(likelihood, axis=0), items]
        before = demand[censored]
        alpha = np.broadcast_to(_ALPHAS[place], demand.shape)[censored]
        demand[censored] = _expected(sales[censored], mean[censored], alpha, out[censored])
        if (np.abs(demand[censored] - before) <= _TOLERANCE * (1 + before)).all():
            break
    return mean, _ALPHAS[place]


def _censored(panel: Panel) -> np.ndarray:
    return panel.stocked_out & ~panel.closed[:, None] & ~np.isnan(panel.units)


def _chances(panel: Panel) -> np.ndarray:
    """A number in (0, 1) for each day and item (D, I), uniform, by the item's name and the date alone (splitmix64)."""
    names = np.array([zlib.crc32(name.encode()) for name in panel.items], np.uint64)
    days = panel.dates.to_numpy("datetime64[D]").astype(np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):
        x = (names[None] << np.uint64(32)) + days[:, None] * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(float) * 2.0**-53 + 2.0**-54


def _around(x: np.ndarray) -> np.ndarray:
    """Sums over the days around each day, inside the panel."""
    total = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
    day = np.arange(len(x))
    return total[np.minimum(day + _WEEKS_AROUND + 1, len(x))] - total[np.maximum(day - _WEEKS_AROUND, 0)]


def _tail(units, size, odds):
    """P(N >= units) of a negative binomial of mean size * odds."""
    return np.where(units > 0, special.betainc(np.maximum(units, 1e-9), size, odds / (1 + odds)), 1.0)


def _expected(sales, mean, alpha, out) -> np.ndarray:
    """The mean of demand given the sales, all arrays (n,), by N f(N; size) = mean f(N - 1; size + 1) where N >= sales.

    `out` is the share of the day without stock, NaN = not known.
    """
    size, odds = 1 / alpha, mean * alpha
    tail = np.maximum(_tail(sales, size, odds), 1e-290)
    at_least = np.maximum(mean * _tail(sales - 1, size + 1, odds) / tail, sales)
    timed = np.where(out < 1, sales + _rest(sales, mean, size, out), np.maximum(sales, mean))
    return np.where(np.isnan(out), at_least, timed)


def _rest(sales, mean, size, out) -> np.ndarray:
    """The mean of what the hours without stock would have sold, given the sales of the others."""
    return out * mean * (size + sales) / (size + (1 - out) * mean)


def _drawn(sales, mean, alpha, out, chance, whole) -> np.ndarray:
    """The quantile of demand given the sales at the level `chance`, all arrays (n,); see `_expected`.

    Units that are not whole are gamma distributed, with the mean and the variance of the negative binomial.
    """
    known, size = ~np.isnan(out), 1 / alpha
    law_mean = np.maximum(np.where(known, _rest(sales, mean, size, out), mean), 1e-9)
    law_size, least = np.where(known, size + sales, size), np.where(known, 0.0, sales)
    spread = 1 + law_mean / law_size  # variance over mean

    def quantile(law, below):
        return np.maximum(law.ppf(below + chance * (1 - below)), least)

    counts, amounts = stats.nbinom(law_size, 1 / spread), stats.gamma(law_mean / spread, scale=spread)
    drawn = np.where(whole, quantile(counts, counts.cdf(least - 1)), quantile(amounts, amounts.cdf(least)))
    return np.where(known, sales + drawn, np.where(np.isfinite(drawn), drawn, sales))


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
