"""Dual sourcing with backorders: the optimal policy for the average cost, by dynamic programming.

Each period: orders are placed with a slow regular and a fast express source, demand comes, holding or backorder cost is
charged. With lead times l_r > l_e the state is the inventory position that counts what arrives within l_e periods, and
the regular orders that arrive later, l = l_r - l_e - 1 of them (Whittemore and Saunders 1977, SIAM Journal on Applied
Mathematics 32(2); Veeraraghavan and Scheller-Wolf 2008, Operations Research 56(4)).
"""

from dataclasses import dataclass

import numpy as np

from ....errors import FieldError
from ...core.pmf import check, require_lead_time, require_nonnegative, require_positive, total
from ...inventory.references.newsvendor import expected_cost

MAX_STATES = 2_000_000
MAX_ITERATIONS = 20_000


@dataclass
class Solution:
    """The optimal average cost, bounds that hold it, and the policy on the grid."""

    cost: float  # money per period, unit costs included
    lower: float
    upper: float
    low: int  # the smallest position of the grid, units
    express: np.ndarray  # (positions, orders, ..., orders) units to order at once
    regular: np.ndarray  # the same shape

    def act(self, position, later) -> tuple[np.ndarray, np.ndarray]:
        """The express and regular orders (n,) at express positions (n,) and later regular arrivals (n, l), units."""
        row = np.clip(np.asarray(position, dtype=int) - self.low, 0, len(self.express) - 1)
        where = (row, *np.clip(np.asarray(later, dtype=int), 0, self.regular.shape[-1] - 1 if later.size else 0).T)
        missing = np.maximum(self.low - np.asarray(position, dtype=int), 0)  # below the grid as at its edge, and that
        return self.express[where] + missing, self.regular[where]


def solve(
    pmf: np.ndarray,
    regular_lead: int,
    express_lead: int,
    holding_cost: float,
    backorder_cost: float,
    regular_cost: float,
    express_cost: float,
    max_regular: int | None = None,
    tolerance: float = 1e-6,
) -> Solution:
    """The optimal policy and its average cost, by relative value iteration (Puterman 1994, section 8.5).

    Args:
        pmf: P(D = k) of one period's demand at index k; cut where less than 1e-9 lies beyond.
        regular_lead, express_lead: periods, regular > express >= 0.
        holding_cost, backorder_cost: money per unit at a period's end, > 0.
        regular_cost, express_cost: money per unit, >= 0.
        max_regular: units per regular order (by default the largest demand); it bounds the grid.
        tolerance: span of the bounds, money per period.

    Raises:
        FieldError: values out of range, or too large a problem.
    """
    pmf = check(pmf)
    pmf = pmf[: np.count_nonzero(np.cumsum(pmf[::-1])[::-1] >= 1e-9)]
    pmf = pmf / pmf.sum()
    require_lead_time(regular_lead)
    require_lead_time(express_lead)
    if regular_lead <= express_lead:
        raise FieldError("regular_lead", regular_lead, f"more than express_lead, {express_lead}")
    require_positive("holding_cost", holding_cost)
    require_positive("backorder_cost", backorder_cost)
    require_nonnegative("regular_cost", regular_cost)
    require_nonnegative("express_cost", express_cost)
    later, largest = regular_lead - express_lead - 1, len(pmf) - 1
    limit = largest if max_regular is None else int(max_regular)
    exposed = total(pmf, express_lead + 1)
    # The position is raised to at least where backorders are dear, and never needs to exceed the slow source's demand.
    low, high = -2 * largest, (regular_lead + 2) * largest
    shape = (high - low + 1, *[limit + 1] * later)
    if np.prod(shape) * (limit + 1) > MAX_STATES * 10:
        expected = f"less, or shorter lead times, for fewer than {np.prod(shape):,.0f} states"
        raise FieldError("pmf", largest, expected, "as the largest demand")
    y = np.arange(low, high + 1)
    period = expected_cost(exposed, y, holding_cost, backorder_cost)
    value, span = np.zeros(shape), np.inf
    for _ in range(MAX_ITERATIONS):
        new, express, regular = _backup(value, pmf, y, period, regular_cost, express_cost, limit)
        change = new - value
        lower, upper = float(change.min()), float(change.max())
        value = new - new.flat[0]
        span = upper - lower
        if span <= tolerance:
            return Solution((lower + upper) / 2, lower, upper, low, express, regular)
    raise FieldError("tolerance", tolerance, f"a larger one: {MAX_ITERATIONS:,} iterations came to {span:.3g}")


def _backup(value, pmf, y, period, regular_cost, express_cost, limit):
    """One step of value iteration: min over y' >= y of c_e (y' - y) + G(y') + min over r of c_r r + E V(next)."""
    low, size, later = int(y[0]), len(y), value.ndim - 1
    # E V(z - D, ...) for z = low .. high + limit; below the grid an express order makes up for what is missing.
    z = np.arange(low, y[-1] + limit + 1)
    after = z[:, None] - np.arange(len(pmf))
    row = np.clip(after - low, 0, size - 1)
    kernel = np.zeros((len(z), size))
    np.add.at(kernel, (np.arange(len(z))[:, None], row), pmf)
    missing = express_cost * (np.maximum(low - after, 0) @ pmf)
    expected = np.tensordot(kernel, value, axes=1) + missing.reshape(-1, *[1] * later)
    cost = regular_cost * np.arange(limit + 1)
    if later == 0:  # the regular order arrives with the next position: z = y + r - D
        ahead = np.stack([expected[r : r + size] + cost[r] for r in range(limit + 1)], axis=-1)
    else:  # it becomes the last of those that arrive later; the first of them arrives
        ahead = np.stack([expected[q : q + size] for q in range(limit + 1)], axis=1) + cost
    regular = np.argmin(ahead, axis=-1)
    best = np.min(ahead, axis=-1)
    total_cost = best + (period + express_cost * y).reshape(-1, *[1] * later)
    reverse = total_cost[::-1]
    lowest = np.minimum.accumulate(reverse, axis=0)[::-1]
    place = np.where(total_cost == lowest, np.arange(size).reshape(-1, *[1] * later), size)
    target = np.minimum.accumulate(place[::-1], axis=0)[::-1]
    new = lowest - (express_cost * y).reshape(-1, *[1] * later)
    express = target - np.arange(size).reshape(-1, *[1] * later)
    return new, express, np.take_along_axis(regular, target, axis=0)
