"""How a period's customers answer to prices, deterministically, given the chance that a scenario has drawn."""

import numpy as np


def inverse_transform(mean: np.ndarray, uniform: np.ndarray, noise: str, dispersion: float) -> np.ndarray:
    """Return counts whose means are `mean`: the smallest k with uniform < P(count <= k).

    They rise with the mean, and so fall with a price, for the same `uniform` (Devroye 1986, chapter III.2).

    Args:
        mean: units per period, any shape, below 700 for Poisson counts.
        uniform: in [0, 1), the same shape, float64.
        noise: `poisson`, `bernoulli` (means above 1 count as 1) or `negative_binomial`.
        dispersion: of the negative binomial, variance = mean + mean^2 / dispersion.

    Returns:
        float32, the same shape.
    """
    if noise == "bernoulli":
        return (uniform >= 1 - mean).astype(np.float32)
    counts = np.zeros(mean.shape, np.float32)
    if noise == "poisson":
        step, decay, mass = mean.ravel(), 0.0, np.exp(-mean.ravel())
    else:
        decay = (mean / (mean + dispersion)).ravel()  # P(k) / P(k - 1) = decay (k - 1 + dispersion) / k
        step, mass = decay * (dispersion - 1), (1 - decay) ** dispersion
    rest = uniform.ravel() - mass
    flat, open_ = counts.ravel(), np.flatnonzero(rest >= 0)
    rest, mass, step = rest[open_], mass[open_], step[open_]
    decay = decay[open_] if isinstance(decay, np.ndarray) else decay
    k = 0
    while len(open_):
        k += 1
        flat[open_] = k
        mass = mass * (step / k + decay)
        rest = rest - mass
        # Rounding may leave a rest of 1e-16 that no mass takes any more.
        on = (rest >= 0) & (mass > 0)
        open_, rest, mass, step = open_[on], rest[on], mass[on], step[on]
        decay = decay[on] if isinstance(decay, np.ndarray) else decay
    return counts


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
    first, sales, out = (np.zeros((n, items), np.float32) for _ in range(3))
    with np.errstate(divide="ignore", over="ignore"):
        slow = (1 / weight).astype(np.float32)
    everyone, most = np.arange(n), int(customers.max(initial=0))
    for k in range(most):
        rows = everyone if k == 0 and customers.min() >= 1 else np.flatnonzero(customers > k)
        drawn = taste[rows, k]  # (m, 1 + items)
        best = drawn[:, 0].copy()
        got, wanted, best_any = np.full(len(rows), -1), np.full(len(rows), -1), best.copy()
        for i in range(items):
            time = drawn[:, i + 1] * slow[rows, i]
            if stock is not None:
                sooner = (time < best) & (stock[rows, i] > sales[rows, i])
                np.copyto(best, time, where=sooner)
                np.copyto(got, i, where=sooner)
            sooner = time < best_any
            np.copyto(best_any, time, where=sooner)
            np.copyto(wanted, i, where=sooner)
        some = wanted >= 0
        first[rows[some], wanted[some]] += 1
        if stock is not None:
            missed = some & (got != wanted)
            out[rows[missed], wanted[missed]] += 1
            some = got >= 0
            sales[rows[some], got[some]] += 1
    return first, (first if stock is None else sales), out
