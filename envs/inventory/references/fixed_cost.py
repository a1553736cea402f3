"""Fixed order cost with backorders: the optimal (s, S) policy for the average cost, exactly.

Each period: an order is placed at its start and is available for the demand `lead_time` periods later (with 0, for the
same period's demand); then demand comes, unmet demand is backordered, and holding or backorder cost is charged on the
net inventory at the period's end. An (s, S) policy orders up to S when the inventory position (on hand + on order
- backorders) is s or less. Sources: Zheng and Federgruen (1991), Finding optimal (s, S) policies is about as simple
as evaluating a single policy, Operations Research 39(4); Snyder and Shen (2019), section 4.4.
"""

from numbers import Integral

import numpy as np

from ....errors import FieldError
from ...core.pmf import check, require_lead_time, require_nonnegative, require_positive, total, visits
from .newsvendor import critical_level, expected_cost


def solve(
    pmf: np.ndarray, lead_time: int, holding_cost: float, backorder_cost: float, fixed_cost: float
) -> tuple[int, int, float]:
    """The optimal (s, S, cost): levels of the inventory position in units, expected cost per period.

    `pmf` is P(D = k) of one period at index k; `holding_cost` and `backorder_cost` > 0 per unit at the period's end;
    `fixed_cost` >= 0 per order placed. Raises FieldError for values out of range.
    """
    costs = _Costs(pmf, lead_time, holding_cost, backorder_cost, fixed_cost)
    best_S = costs.newsvendor_level
    s = costs.first_reorder_level(best_S)
    best = costs.average(s, best_S)
    S = best_S + 1
    while costs.one_period(S) <= best:  # beyond, one period costs more than the best policy's average
        if costs.average(s, S) < best:
            best_S = S
            while s + 1 < S and costs.average(s, S) <= costs.one_period(s + 1):
                s += 1
            best = costs.average(s, S)
        S += 1
    return s, best_S, best


def evaluate(
    s: int,
    S: int,
    pmf: np.ndarray,
    lead_time: int,
    holding_cost: float,
    backorder_cost: float,
    fixed_cost: float,
) -> float:
    """The expected cost per period of the (s, S) policy, s < S; the rest as in `solve`."""
    if not isinstance(S, Integral):
        raise FieldError("S", S, "an integer")
    if not isinstance(s, Integral) or s >= S:
        raise FieldError("s", s, f"an integer < S, {S}")
    return _Costs(pmf, lead_time, holding_cost, backorder_cost, fixed_cost).average(s, S)


class _Costs:
    """One period's cost G(y) at inventory position y, and the average cost c(s, S) as a renewal reward."""

    def __init__(self, pmf, lead_time, holding_cost, backorder_cost, fixed_cost):
        self.pmf = check(pmf)
        require_lead_time(lead_time)
        require_positive("holding_cost", holding_cost)
        require_positive("backorder_cost", backorder_cost)
        require_nonnegative("fixed_cost", fixed_cost)
        # What is ordered now meets the demand of lead_time + 1 periods before the next order can help.
        self.lead_time_demand = total(self.pmf, lead_time + 1)
        self.rates = (holding_cost, backorder_cost)
        self.fixed_cost = fixed_cost
        self.newsvendor_level = critical_level(self.lead_time_demand, *self.rates)  # minimises G
        self.visits = visits(self.pmf, 64)  # m(j): periods per cycle at position S - j

    def one_period(self, levels):
        """G(y) = h E(y - D)+ + b E(D - y)+ with D the demand of lead_time + 1 periods."""
        return expected_cost(self.lead_time_demand, np.asarray(levels), *self.rates)

    def first_reorder_level(self, S: int) -> int:
        """The largest s with c(s, S) <= G(s)."""
        count = 64
        while True:
            levels = S - 1 - np.arange(count)
            low_enough = self._averages(S, count) <= self.one_period(levels)
            if low_enough.any():
                return int(levels[np.argmax(low_enough)])
            count *= 2

    def average(self, s: int, S: int) -> float:
        return float(self._averages(S, S - s)[-1])

    def _averages(self, S, count):
        """c(s, S) = (K + sum of m(j) G(S - j)) / sum of m(j), j = 0 .. S - s - 1 (their equation 3), for s = S - 1,
        ..., S - count."""
        while len(self.visits) < count:
            self.visits = visits(self.pmf, 2 * len(self.visits))
        periods = self.visits[:count]
        spent = periods * self.one_period(S - np.arange(count))
        return (self.fixed_cost + np.cumsum(spent)) / np.cumsum(periods)
