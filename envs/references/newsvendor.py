"""The newsvendor: one order before one period's demand, no order cost, what is left costs, what is missing costs.

Snyder and Shen, Fundamentals of Supply Chain Theory, 2nd ed. (2019), section 4.3.
"""

import math
from statistics import NormalDist

import numpy as np

from .pmf import check, require_positive


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
        raise ValueError(f"mean: {mean!r} is not allowed; use a finite number")
    require_positive("overage_cost", overage_cost)
    require_positive("underage_cost", underage_cost)
    z = NormalDist().inv_cdf(underage_cost / (underage_cost + overage_cost))
    return mean + z * std, (overage_cost + underage_cost) * std * NormalDist().pdf(z)


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
