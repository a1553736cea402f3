"""A period's demand at given prices, deterministic given what a scenario has drawn."""

import math

import numpy as np

from ..core.counts import NEGLIGIBLE, SMALLEST_LOG, poisson

CELLS = 4096  # of [0, 1), in a table of counts
LARGEST_TABLE = 2**20  # numbers
FAR = 1000  # units from which on a negative binomial is summed up in blocks


def inverse_transform(mean: np.ndarray, uniform: np.ndarray, noise: str, dispersion: float) -> np.ndarray:
    """Return counts whose means are `mean`: the smallest k with uniform < P(count <= k).

    They rise with the mean, and so fall with a price, for the same `uniform` (Devroye 1986, chapter III.2).

    Args:
        mean: units per period, any shape.
        uniform: in [0, 1), the same shape, float64.
        noise: `poisson`, `bernoulli` (means above 1 count as 1) or `negative_binomial`.
        dispersion: of the negative binomial, variance = mean + mean^2 / dispersion.

    Returns:
        float32, the same shape.
    """
    if noise == "bernoulli":
        return (uniform >= 1 - mean).astype(np.float32)
    counts = np.zeros(mean.shape, np.float32)
    if noise == "poisson" and (large := -mean < SMALLEST_LOG).any():
        counts[large] = poisson(mean[large], uniform[large])
        counts[~large] = inverse_transform(mean[~large], uniform[~large], noise, dispersion)
        return counts
    mean, flat = mean.ravel(), counts.ravel()
    if noise == "poisson":
        mass = np.exp(-mean)
    else:
        mass = (dispersion / (mean + dispersion)) ** dispersion
    rest = uniform.ravel() - mass
    over = np.flatnonzero(rest >= 0)
    rest, mass, mean, k = rest[over], mass[over], mean[over], 0
    while len(over) and (noise == "poisson" or k < FAR):
        k += 1
        flat[over] = k
        if noise == "poisson":
            mass *= mean / k
        else:
            mass *= mean / (mean + dispersion) * ((k - 1 + dispersion) / k)
        rest -= mass
        # Rounding may leave a rest of 1e-16 that no mass takes any more.
        on = np.flatnonzero((rest >= 0) & (mass > 0))
        over, rest, mass, mean = over[on], rest[on], mass[on], mean[on]
    for at, left, last, expected in zip(over, rest, mass, mean, strict=True):
        flat[at] = _far(k, left, last, expected, dispersion)
    return counts


def _far(k: int, rest: float, mass: float, mean: float, dispersion: float) -> int:
    """Return the negative binomial count beyond k, whose probability is `mass`, where `rest` of the uniform is left."""
    decay, block = mean / (mean + dispersion), np.arange(1.0, 4097.0)
    while True:
        further = k + block
        masses = mass * np.cumprod(decay * ((further - 1 + dispersion) / further))
        beyond = rest - np.cumsum(masses) < 0
        if beyond.any():
            return k + 1 + int(beyond.argmax())
        k, rest, mass = k + len(block), rest - masses.sum(), masses[-1]
        if mass / (1 - decay) < NEGLIGIBLE:  # all that follows: what rounding leaves is nobody's
            return k


class CountTable:
    """Counts by inverse transform for means known beforehand, looked up (a guide table: Devroye 1986, chapter III.2.4).

    Exact: where more than one count falls into a cell of the uniforms, the distribution itself is searched.
    """

    def __init__(self, mean: np.ndarray, noise: str, dispersion: float):
        """Tabulate the counts of means (P, items), units per period."""
        self._items = np.arange(mean.shape[1])
        self._below = _cumulative(mean.ravel(), noise, dispersion)  # (P * items, K)
        edges = np.arange(CELLS + 1) / CELLS
        low = np.stack([np.searchsorted(row, edges[:-1], side="right") for row in self._below])
        high = np.stack([np.searchsorted(row, edges[1:], side="left") for row in self._below])
        self._counts = np.where(low == high, low, -1).astype(np.float32).ravel()

    @staticmethod
    def fits(mean: np.ndarray, noise: str, dispersion: float) -> bool:
        """Return whether such a table is small enough."""
        return mean.size * max(CELLS, longest(mean, noise, dispersion)) <= LARGEST_TABLE

    def __call__(self, which: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Return the counts (n, items), float32, of the means `which` (n, items) at `uniform` (n, items)."""
        row = which if len(self._items) == 1 else which * len(self._items) + self._items
        counts = self._counts.take(row * CELLS + (uniform * CELLS).astype(np.intp))
        rough = np.flatnonzero(counts < 0)
        if rough.size:
            below = self._below.take(row.take(rough), axis=0)
            counts.put(rough, (uniform.take(rough)[:, None] >= below).sum(axis=1))
        return counts


def longest(mean: np.ndarray, noise: str, dispersion: float) -> int:
    """Return an upper bound on counts of means, exceeded with a probability of at most 1e-17."""
    if noise == "bernoulli":
        return 2
    largest = float(mean.max())
    if noise == "poisson":
        return math.ceil(largest + 12 * math.sqrt(largest) + 40)
    return math.ceil(largest + (40 + 4 * math.sqrt(largest)) * (1 + largest / dispersion))


def _cumulative(mean: np.ndarray, noise: str, dispersion: float) -> np.ndarray:
    """Return P(count <= k) of means (m,) for k = 0, 1, ... (m, K); what rounding leaves of the last ones is 1."""
    mean, k = mean[:, None], np.arange(1, longest(mean, noise, dispersion))
    if noise == "bernoulli":
        return np.concatenate([1 - np.minimum(mean, 1), np.ones_like(mean)], axis=1)
    if noise == "poisson":
        first, ratio = np.exp(-mean), mean / k
    else:
        first = (dispersion / (mean + dispersion)) ** dispersion
        ratio = mean / (mean + dispersion) * ((k - 1 + dispersion) / k)
    below = np.cumsum(first * np.cumprod(np.concatenate([np.ones_like(mean), ratio], axis=1), axis=1), axis=1)
    below[below >= below[:, -1:]] = 1
    return below


def linear(demand, price: np.ndarray, reference: np.ndarray | None, noise: np.ndarray, size, slope) -> np.ndarray:
    """Return size - slope p + gain (r - p)+ - loss (p - r)+ + std noise, at least 0: units (n, items), float32.

    Args:
        demand: `PriceDemandParams`.
        price: p (n, items), money.
        reference: r (n, items), money; None without one.
        noise: (n, items), standard normal.
        size, slope: (items,).
    """
    units = size - slope * price + demand.std * noise
    if reference is not None:
        above = price - reference
        units = units - np.where(above > 0, demand.loss, demand.gain) * above
    return np.maximum(units, 0).astype(np.float32)


def choose(weight: np.ndarray, stock: np.ndarray | None, customers: np.ndarray, taste: np.ndarray):
    """Let customers choose one after another by the multinomial logit, from what is left in stock.

    A customer's utilities are fixed: item i is chosen where taste_i / weight_i is the least among the items in stock
    and below taste_0 of buying nothing (the exponential race; the same as Gumbel noise on utilities log weight_i).
    So a customer whose first choice is out takes the second one, and no other choice changes.

    Args:
        weight: (n, items), exp of the utilities at the prices.
        stock: (n, items), whole units; None: no limit.
        customers: (n,), how many come.
        taste: (n, M, 1 + items), standard exponential, buying nothing first.

    Returns:
        First choices, sales, and first choices that were out of stock: (n, items), float32.
    """
    n, items = weight.shape
    with np.errstate(divide="ignore", over="ignore"):
        slow = (1 / weight).astype(np.float32).T.copy()  # (items, n), as all that follows: long axes last are faster
    come = np.arange(taste.shape[1], dtype=np.float32) < customers[:, None]
    row = np.repeat(np.arange(n), customers.astype(np.intp))  # of each customer
    drawn = taste.reshape(-1, 1 + items).take(np.flatnonzero(come), axis=0).T.copy()
    wanted = got = _soonest(drawn, slow.take(row, axis=1))
    first = sales = _count(row, wanted, n, items)
    if stock is None:
        return first, sales, np.zeros_like(first)
    gone = stock <= 0
    if gone.any():  # whose first choice is out races again among the others
        turned = np.flatnonzero((wanted > 0) & gone[row, wanted - 1])
        now, got = row[turned], wanted.copy()
        got[turned] = _soonest(drawn[:, turned], np.where(gone[now].T, np.inf, slow[:, now]))
        sales = _count(row, got, n, items)
    short = sales > stock
    if short.any():
        # Only where a stock runs out within the period does it matter who came first: one after another.
        short = short.any(axis=1)
        rows, left, got = np.flatnonzero(short), stock[short], got.copy()
        start = np.searchsorted(row, rows)  # the first customer of each
        for k in range(int(customers[rows].max())):
            on = np.flatnonzero(customers[rows] > k)
            who = start[on] + k
            got[who] = _soonest(drawn[:, who], np.where(left[on].T > 0, slow[:, rows[on]], np.inf))
            bought = got[who] > 0
            left[on[bought], got[who][bought] - 1] -= 1
        sales = _count(row, got, n, items)
    elif got is wanted:
        return first, sales, np.zeros_like(first)
    return first, sales, _count(row, np.where(got != wanted, wanted, 0), n, items)


def _soonest(taste: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Return who wins each race (m,) of taste (1 + items, m) times slow (items, m): 0 buying nothing, else 1 + item."""
    times = np.empty_like(taste)
    times[0] = taste[0]
    np.multiply(taste[1:], slow, out=times[1:])
    best = np.fmin.reduce(times, axis=0)  # fmin: 0 times inf, which is not a number, wins nothing
    many = len(times)
    order = np.arange(many, 0, -1, dtype=np.int8 if many < 127 else np.int32)[:, None]  # the first of equal ones wins
    return many - ((times == best) * order).max(axis=0).astype(np.intp)


def _count(row: np.ndarray, choice: np.ndarray, n: int, items: int) -> np.ndarray:
    """Return how many in each row chose each item (n, items), float32."""
    cells = n * (items + 1)
    return np.bincount(row * (items + 1) + choice, minlength=cells).reshape(n, -1)[:, 1:].astype(np.float32)
