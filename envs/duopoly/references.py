"""The logit oligopoly: for two firms that of Calvano, Calzolari, Denicolo and Pastorello 2020, AER 110(10).

Firm i sells q_i = exp((a_i - p_i) / mu) / (exp(a_0 / mu) + sum over firms of exp((a_j - p_j) / mu)).
"""

import numpy as np
from numpy.typing import ArrayLike

from ...errors import FieldError
from ..core.pmf import require_positive
from ..pricing.references.mnl import lambert_w_of_exp


def demand(prices: ArrayLike, quality: ArrayLike = 2.0, outside: float = 0.0, mu: float = 0.25) -> np.ndarray:
    """The firms' shares of customers (..., firms) at prices (..., firms)."""
    utility = (np.asarray(quality, dtype=float) - np.asarray(prices, dtype=float)) / mu
    top = np.maximum(utility.max(axis=-1, keepdims=True), outside / mu)  # against overflow
    weight = np.exp(utility - top)
    return weight / (np.exp(outside / mu - top) + weight.sum(axis=-1, keepdims=True))


def best_response(rivals_price, quality=2.0, rivals_quality=2.0, outside: float = 0.0, mu: float = 0.25, cost=1.0):
    """The price that maximises one firm's profit of a period against a rival's price, of any shape.

    p = c + mu (1 + W), W = LambertW(exp((a - c) / mu - 1) / (exp(a_0 / mu) + exp((a_j - p_j) / mu))): the firm is a
    logit monopolist whose outside option includes the rival.
    """
    rivals = (rivals_quality - np.asarray(rivals_price, dtype=float)) / mu
    return _response(np.logaddexp(outside / mu, rivals), quality, mu, cost)


def _response(rest, quality, mu: float, cost):
    """The best price where buying elsewhere or nothing weighs exp(rest)."""
    require_positive("mu", mu)
    return cost + mu * (1 + lambert_w_of_exp((quality - cost) / mu - 1 - rest))


def nash(
    quality: ArrayLike = (2.0, 2.0), outside: float = 0.0, mu: float = 0.25, cost: ArrayLike = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """The Bertrand-Nash prices and profits of one period, one per firm: best responses, iterated to 1e-13.

    Args:
        quality: a_i of the firms (firms,), two or more; or one number for all.
        outside: a_0.
        mu: differentiation, > 0.
        cost: money per customer (firms,), or one number for all.

    Raises:
        FieldError: qualities and costs of different numbers of firms, or of one firm.
    """
    try:
        quality, cost = np.broadcast_arrays(np.asarray(quality, dtype=float), np.asarray(cost, dtype=float))
    except ValueError:
        raise FieldError("cost", np.shape(cost), f"one per firm, {np.size(quality)}, as in quality") from None
    if quality.ndim != 1 or len(quality) < 2:
        raise FieldError("quality", quality.tolist(), "one per firm, at least two")
    prices = cost + mu
    for _ in range(10_000):
        before = prices.copy()
        for i in range(len(prices)):
            rivals = np.delete((quality - prices) / mu, i)
            prices[i] = _response(np.logaddexp.reduce([outside / mu, *rivals]), quality[i], mu, cost[i])
        if np.abs(prices - before).max() < 1e-13:
            break
    return prices, (prices - cost) * demand(prices, quality, outside, mu)


def monopoly(
    quality: ArrayLike = (2.0, 2.0), outside: float = 0.0, mu: float = 0.25, cost: ArrayLike = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """The prices (2,) and profits (2,) that maximise the firms' joint profit: one markup mu (1 + W) for both."""
    require_positive("mu", mu)
    quality, cost = np.asarray(quality, dtype=float), np.asarray(cost, dtype=float)
    w = lambert_w_of_exp(np.logaddexp.reduce((quality - cost - outside) / mu - 1))
    prices = cost + mu * (1 + w)
    return prices, (prices - cost) * demand(prices, quality, outside, mu)


def price_grid(nash_price: float, monopoly_price: float, count: int = 15, margin: float = 0.1) -> np.ndarray:
    """The grid (count,) from p_N - margin (p_M - p_N) to p_M + margin (p_M - p_N) (their section II)."""
    span = monopoly_price - nash_price
    return np.linspace(nash_price - margin * span, monopoly_price + margin * span, count)
