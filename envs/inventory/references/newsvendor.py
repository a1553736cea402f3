"""The newsvendor: one order before one period's demand, with a cost per unit left over and per unit missing.

Snyder and Shen, Fundamentals of Supply Chain Theory, 2nd ed. (2019), section 4.3.
"""

import math
from statistics import NormalDist

import numpy as np

from ....errors import FieldError
from ...core.pmf import check, require_positive


def solve(pmf: np.ndarray, overage_cost: float, underage_cost: float) -> tuple[int, float]:
    """The optimal order-up-to level S (units) and its expected cost per period.

    `pmf` is P(D = k) at index k; `overage_cost` (holding) per unit left over and `underage_cost` (shortage) per unit
    missing, both > 0. S is the smallest level with P(D <= S) >= underage / (underage + overage).
    """
    pmf = check(pmf)
    level = critical_level(pmf, overage_cost, underage_cost)
    return level, float(expected_cost(pmf, np.array([level]), overage_cost, underage_cost)[0])


def solve_normal(mean: float, std: float, overage_cost: float, underage_cost: float) -> tuple[float, float]:
    """The same for a continuous normal demand, in closed form: S = mean + z std, cost = (o + u) std phi(z)."""
    require_positive("std", std)
    if not math.isfinite(mean):
        raise FieldError("mean", mean, "a finite number")
    require_positive("overage_cost", overage_cost)
    require_positive("underage_cost", underage_cost)
    z = NormalDist().inv_cdf(underage_cost / (underage_cost + overage_cost))
    return mean + z * std, (overage_cost + underage_cost) * std * NormalDist().pdf(z)


def solve_yield(
    pmf: np.ndarray,
    overage_cost: float,
    underage_cost: float,
    yield_mean: float,
    yield_std: float,
    purchase_cost: float = 0.0,
) -> tuple[float, float]:
    """The optimal order of divisible goods of which a random share arrives, and its expected cost.

    Of an order q arrives u q, u of a beta distribution with `yield_mean` (0 to 1) and `yield_std` (> 0); all of q is
    paid. The cost is convex in q; with F the demand's distribution, the best q has
    E[u ((overage + underage) F(u q) - underage)] + purchase = 0 (Henig and Gerchak 1990, Operations Research 38(4),
    the single period). Needs the extra `optimize` (SciPy). Raises FieldError for values out of range.
    """
    try:
        from scipy.optimize import brentq
        from scipy.special import betainc
    except ImportError as error:
        raise ImportError("the newsvendor with random yield needs SciPy: pip install 'storelab[optimize]'") from error
    pmf = check(pmf)
    require_positive("overage_cost", overage_cost)
    require_positive("underage_cost", underage_cost)
    if not 0 < yield_mean < 1:
        raise FieldError("yield_mean", yield_mean, "a number > 0 and < 1")
    if not 0 < yield_std**2 < yield_mean * (1 - yield_mean):
        bound = math.sqrt(yield_mean * (1 - yield_mean))
        because = f"with yield_mean {yield_mean!r}"
        raise FieldError("yield_std", yield_std, f"a number > 0 and < {bound:.4g}, as of a beta distribution", because)
    if not 0 <= purchase_cost < underage_cost * yield_mean:
        bound = underage_cost * yield_mean
        raise FieldError("purchase_cost", purchase_cost, f"a number >= 0 and < {bound:g}, or nothing is ordered")
    size = yield_mean * (1 - yield_mean) / yield_std**2 - 1
    a, b = yield_mean * size, (1 - yield_mean) * size
    demand = np.arange(len(pmf))

    def slope(order):
        arrived = yield_mean * betainc(a + 1, b, np.minimum(demand / order, 1))  # E[u; u q <= D]
        over = yield_mean - pmf @ arrived
        return overage_cost * over - underage_cost * (yield_mean - over) + purchase_cost

    low, high = 1e-9, 1.0  # around the root
    if slope(low) >= 0:
        return 0.0, underage_cost * float(pmf @ demand)
    while slope(high) < 0:
        high *= 2
    order, _ = brentq(slope, low, high, xtol=1e-12, full_output=True)
    at = np.minimum(demand / order, 1)
    over = pmf @ (order * yield_mean * (1 - betainc(a + 1, b, at)) - demand * (1 - betainc(a, b, at)))
    under = pmf @ demand - order * yield_mean + over
    return order, float(overage_cost * over + underage_cost * under + purchase_cost * order)


def critical_level(pmf: np.ndarray, overage_cost: float, underage_cost: float) -> int:
    """The smallest S with P(D <= S) >= underage / (underage + overage)."""
    require_positive("overage_cost", overage_cost)
    require_positive("underage_cost", underage_cost)
    ratio = underage_cost / (underage_cost + overage_cost)
    # Where P(D <= S) equals the ratio, rounding must not push S up (S and S + 1 cost the same there).
    return min(int(np.searchsorted(np.cumsum(pmf), ratio - 1e-12)), len(pmf) - 1)


def expected_cost(pmf: np.ndarray, levels: np.ndarray, overage_cost: float, underage_cost: float) -> np.ndarray:
    """overage E(y - D)+ + underage E(D - y)+ for each integer y of `levels`, any sign, any shape."""
    left = np.concatenate([[0.0], np.cumsum(np.cumsum(pmf))])  # E(y - D)+ for y = 0 .. len(pmf)
    capped = np.clip(levels, 0, len(pmf))
    over = left[capped] + np.maximum(levels - capped, 0)
    under = np.maximum(pmf @ np.arange(len(pmf)) - levels + over, 0)
    return overage_cost * over + underage_cost * under
