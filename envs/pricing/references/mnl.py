"""Pricing of substitutes under the multinomial logit, with and without stocks.

A customer buys item i with probability exp(a_i - b p_i) / (1 + sum over items on offer). Without stocks all items have
the same markup (1 + W) / b over their cost, W Lambert's function (Aydin and Ryan 2000; Li and Huh 2011, Manufacturing &
Service Operations Management 13(4)). With stocks the cost of an item is what the last unit of it is worth (Dong,
Kouvelis and Tian 2009, Manufacturing & Service Operations Management 11(2)).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ....errors import FieldError
from ...core.pmf import require_positive

MAX_CELLS = 50_000_000  # of the value table: 400 MB


def lambert_w(z) -> np.ndarray:
    """The W >= 0 with W exp(W) = z, for z >= 0 of any shape, by Halley's method to machine precision."""
    z = np.asarray(z, dtype=float)
    if not (np.isfinite(z) & (z >= 0)).all():
        raise FieldError("z", z.tolist(), "finite numbers >= 0")
    w = np.where(z < 3, np.log1p(z), np.log(np.maximum(z, 3)) - np.log(np.log(np.maximum(z, 3))))
    for _ in range(8):
        e = np.exp(w)
        f = w * e - z
        w = w - f / (e * (w + 1) - (w + 2) * f / (2 * w + 2))
    return w


def lambert_w_of_exp(x) -> np.ndarray:
    """The W(exp(x)) of any x, of any shape: by Newton's method on W + log W = x where exp(x) is too large."""
    x = np.asarray(x, dtype=float)
    small = lambert_w(np.exp(np.minimum(x, 500.0)))
    if not (x > 500).any():
        return small
    w = np.maximum(x, 500.0)
    for _ in range(8):
        w = w * (1 + np.maximum(x, 500.0) - np.log(w)) / (1 + w)
    return np.where(x <= 500, small, w)


def shares(utility, sensitivity: float, prices) -> np.ndarray:
    """The probability (..., items) that a customer buys each item at prices (..., items)."""
    weight = np.exp(np.asarray(utility, dtype=float) - sensitivity * np.asarray(prices, dtype=float))
    return weight / (1 + weight.sum(axis=-1, keepdims=True))


def best_prices(utility, sensitivity: float, cost) -> tuple[np.ndarray, np.ndarray]:
    """The optimal prices (..., items) and the expected profit (...) per customer, W / b.

    `utility` and `cost` are (..., items), money for the latter; an infinite cost takes an item off the market.
    """
    require_positive("sensitivity", sensitivity)
    utility, cost = np.asarray(utility, dtype=float), np.asarray(cost, dtype=float)
    w = lambert_w(np.exp(utility - sensitivity * cost - 1).sum(axis=-1))
    return cost + (1 + w[..., None]) / sensitivity, w / sensitivity


@dataclass
class Solution:
    """The optimum with stocks, on tables over the states: all combinations of stocks, as a flat index of C order."""

    value: float  # money per episode, from the full stocks
    values: np.ndarray  # (T + 1, S) money to go, before each period
    prices: np.ndarray  # (T, S, items) optimal prices; infinite where an item is out of stock
    shape: tuple[int, ...]  # N_i + 1 of each item

    def act(self, period: int, stocks: np.ndarray) -> np.ndarray:
        """Return the optimal prices (n, items) at stocks (n, items)."""
        return self.prices[period, np.ravel_multi_index(tuple(np.asarray(stocks, dtype=int).T), self.shape)]


def solve(
    utility: ArrayLike,
    sensitivity: float,
    arrival: float,
    stocks: ArrayLike,
    horizon: int,
    cost: ArrayLike = 0.0,
    salvage: ArrayLike = 0.0,
) -> Solution:
    """The optimal prices of items with stocks, where a customer comes in a period with probability `arrival`.

    V_t(x) = V_{t+1}(x) + arrival W / b, with W = LambertW(sum over items in stock of exp(a_i - b (c_i + dV_i) - 1)).

    Args:
        utility: a (items,).
        sensitivity: b.
        arrival: probability, at most 1.
        stocks: N (items,), units.
        horizon: periods.
        cost: money per unit sold, a number or (items,).
        salvage: money per unit left at the end, a number or (items,).

    Raises:
        FieldError: a number out of its bounds, a table too large.
    """
    utility = np.asarray(utility, dtype=float)
    stocks = np.asarray(stocks)
    require_positive("sensitivity", sensitivity)
    require_positive("arrival", arrival)
    require_positive("horizon", horizon)
    if arrival > 1:
        raise FieldError("arrival", arrival, "a probability, at most 1")
    if utility.ndim != 1 or stocks.shape != utility.shape or (stocks < 0).any() or (stocks != np.rint(stocks)).any():
        raise FieldError("stocks", stocks.tolist(), "an integer >= 0 for each utility")
    shape = tuple(int(n) + 1 for n in stocks)
    if math.prod(shape) * (horizon + 1) * (len(shape) + 1) > MAX_CELLS:
        raise FieldError("stocks", stocks.tolist(), f"a table of at most {MAX_CELLS:,} cells")
    states = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1)  # (S, items)
    strides = np.array([math.prod(shape[i + 1 :]) for i in range(len(shape))])
    out, one_less = states == 0, np.maximum(np.arange(len(states))[:, None] - strides, 0)
    values = np.empty((horizon + 1, len(states)))
    prices = np.empty((horizon, *states.shape))
    values[horizon] = states @ np.broadcast_to(np.asarray(salvage, dtype=float), utility.shape)
    for t in reversed(range(horizon)):
        worth = np.where(out, np.inf, values[t + 1][:, None] - values[t + 1][one_less])
        prices[t], profit = best_prices(utility, sensitivity, worth + np.asarray(cost))
        values[t] = values[t + 1] + arrival * profit
    return Solution(float(values[0, -1]), values, prices, shape)
