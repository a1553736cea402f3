"""Pricing a stock over a season at demand rate a exp(-b p): Gallego and van Ryzin 1994, Management Science 40(8).

Customers come as a Poisson process; `customers` = a times the time to go is how many would buy at price 0, on average.
Stock is whole units, unsold units are worth nothing, and prices may change at any time. With p' = b p the problem is
the paper's (section 2.3), so that prices and values are its own divided by the `sensitivity` b.
"""

import math

import numpy as np

from ....errors import FieldError
from ...core import pmf
from ...core.pmf import require_nonnegative, require_positive


def value(stock: int, customers: float, sensitivity: float = 1.0) -> float:
    """The optimal expected revenue J* = ln(sum over k <= stock of x^k / k!) / b, x = customers / e."""
    _check(stock, customers, sensitivity)
    k = np.arange(stock + 1)
    logs = k * math.log(customers) - k - np.array([math.lgamma(i + 1) for i in k.tolist()])
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).sum())) / sensitivity


def price(stock: int, customers: float, sensitivity: float = 1.0) -> float:
    """The optimal price with `stock` >= 1 units and so many customers to come: 1/b + J*(n) - J*(n - 1)."""
    _check(stock, customers, sensitivity, least=1)
    return 1 / sensitivity + value(stock, customers, sensitivity) - value(stock - 1, customers, sensitivity)


def fluid(stock: float, customers: float, sensitivity: float = 1.0) -> tuple[float, float]:
    """The price and the revenue where demand comes at its mean: the revenue is an upper bound on J*.

    The price is the larger of the one that maximises the revenue rate, 1/b, and the one that sells just the stock.
    """
    _check(stock, customers, sensitivity, whole=False)
    if stock == 0:
        return math.inf, 0.0
    best = max(1.0, math.log(customers / stock)) / sensitivity
    return best, best * min(stock, customers * math.exp(-sensitivity * best))


def fixed_price_value(price: float, stock: int, customers: float, sensitivity: float = 1.0) -> float:
    """The expected revenue p E min(D, stock) of one price for the whole season, D Poisson(customers exp(-b p))."""
    _check(stock, customers, sensitivity)
    require_nonnegative("price", price)
    demand = pmf.poisson(customers * math.exp(-sensitivity * price))
    return price * float(demand @ np.minimum(np.arange(len(demand)), stock))


def best_fixed_price(stock: int, customers: float, sensitivity: float = 1.0) -> tuple[float, float]:
    """The best single price and its expected revenue: a grid, refined around its best point to 1e-6 / b."""
    _check(stock, customers, sensitivity, least=1)
    low, high = 0.0, max(2.0, math.log(max(customers / stock, 1.0)) + 3.0)  # in 1 / b
    while high - low > 1e-6:
        grid = np.linspace(low, high, 33)
        values = [fixed_price_value(p / sensitivity, stock, customers, sensitivity) for p in grid.tolist()]
        best = int(np.argmax(values))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 32)]
    return (low + high) / 2 / sensitivity, max(values)


def bernoulli_value(stock: int, customers: float, slots: int, sensitivity: float = 1.0) -> float:
    """The optimal revenue where time is cut into `slots` with at most one sale each, and any price for each slot.

    V_k(n) = V_{k+1}(n) + max_p q(p) (p - dV) with q(p) = customers / slots exp(-b p) <= 1 and
    dV = V_{k+1}(n) - V_{k+1}(n - 1).
    """
    _check(stock, customers, sensitivity)
    if not isinstance(slots, int) or slots < 1:
        raise FieldError("slots", slots, "an integer >= 1")
    rate = customers / slots
    least = max(0.0, math.log(rate))  # the price at which a sale is certain
    values = np.zeros(stock + 1)
    for _ in range(slots):
        marginal = np.diff(values)
        prices = np.maximum(1 + marginal, least)
        values[1:] += rate * np.exp(-prices) * (prices - marginal)
    return float(values[-1]) / sensitivity


def _check(stock, customers: float, sensitivity: float, least: int = 0, whole: bool = True) -> None:
    number = isinstance(stock, int | float | np.number) and least <= stock <= 1e6
    if not number or (whole and stock != int(stock)):
        kind = "an integer" if whole else "a number"
        raise FieldError("stock", stock, f"{kind} >= {least} and <= 1e6")
    require_positive("customers", customers)
    require_positive("sensitivity", sensitivity)
