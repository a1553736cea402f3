"""Fixed order cost with backorders: the optimal (s, S) policy for the average cost, exactly.

Each period: an order is placed at its start and is available for the demand `lead_time` periods later (with 0, for the
same period's demand); then demand comes, unmet demand is backordered, and holding or backorder cost is charged on the
net inventory at the period's end. An (s, S) policy orders up to S when the inventory position (on hand + on order
- backorders) is s or less. Sources: Zheng and Federgruen (1991), Finding optimal (s, S) policies is about as simple
as evaluating a single policy, Operations Research 39(4); Snyder and Shen (2019), section 4.4.
"""

import math

import numpy as np

from .newsvendor import critical_level, expected_cost
from .pmf import check, require_lead_time, require_positive, total


def solve(
    pmf: np.ndarray, lead_time: int, holding_cost: float, backorder_cost: float, fixed_cost: float
) -> tuple[int, int, float]:
    """The optimal (s, S, cost): levels of the inventory position in units, expected cost per period.

    `pmf` is P(D = k) of one period at index k; `holding_cost` and `backorder_cost` > 0 per unit at the period's end;
    `fixed_cost` >= 0 per order placed. Raises ValueError for values out of range.
    """
    cost = _Costs(pmf, lead_time, holding_cost, backorder_cost, fixed_cost)
    best_S = cost.newsvendor_level
    s = best_S - 1
    while cost.average(s, best_S) > cost.one_period(s):
        s -= 1
    best = cost.average(s, best_S)
    S = best_S + 1
    while cost.one_period(S) <= best:  # beyond, every level costs more than the best policy's average
        if cost.average(s, S) < best:
            best_S = S
            while cost.average(s, S) <= cost.one_period(s + 1):
                s += 1
            best = cost.average(s, S)
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
    if s >= S:
        raise ValueError(f"s: {s!r} is not allowed; use an integer below S = {S!r}")
    return _Costs(pmf, lead_time, holding_cost, backorder_cost, fixed_cost).average(s, S)


class _Costs:
    """One period's cost G(y) at inventory position y, and the average cost c(s, S) as a renewal reward."""

    def __init__(self, pmf, lead_time, holding_cost, backorder_cost, fixed_cost):
        self.pmf = check(pmf)
        require_lead_time(lead_time)
        if not 0 <= fixed_cost < math.inf:
            raise ValueError(f"fixed_cost: {fixed_cost!r} is not allowed; use a finite number of at least 0")
        # What is ordered now meets the demand of lead_time + 1 periods before the next order can help.
        self.lead_time_demand = total(self.pmf, lead_time + 1)
        self.rates = (holding_cost, backorder_cost)
        self.fixed_cost = fixed_cost
        self.newsvendor_level = critical_level(self.lead_time_demand, *self.rates)  # minimises G
        self.visits = np.array([1 / (1 - self.pmf[0])])  # m(j): periods per cycle at position S - j

    def one_period(self, level: int) -> float:
        return float(self._one_period(np.array([level]))[0])

    def _one_period(self, levels: np.ndarray) -> np.ndarray:
        return expected_cost(self.lead_time_demand, levels, *self.rates)

    def average(self, s: int, S: int) -> float:
        """c(s, S) = (K + sum of m(j) G(S - j)) / sum of m(j), over j = 0 .. S - s - 1 (their equation 3)."""
        visits = self._visits(S - s)
        return float((self.fixed_cost + visits @ self._one_period(np.arange(S, s, -1))) / visits.sum())

    def _visits(self, count: int) -> np.ndarray:
        if len(self.visits) < count:
            visits = np.zeros(2 * count)
            visits[: len(self.visits)] = self.visits
            for j in range(len(self.visits), len(visits)):
                reach = min(j, len(self.pmf) - 1)
                visits[j] = visits[0] * (self.pmf[1 : reach + 1] @ visits[j - reach : j][::-1])
            self.visits = visits
        return self.visits[:count]
