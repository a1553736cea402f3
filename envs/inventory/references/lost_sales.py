"""Lost sales with a lead time L: optimal policy and best heuristics for the average cost, by exact computation.

The model is that of Zipkin (2008), Old and new methods for lost-sales inventory systems, Operations Research 56(5).
The state is x = (x_0, ..., x_{L-1}): stock on hand after this period's receipt, then what arrives in 1, ..., L-1
periods. Each period an order q is placed, then demand D comes and the period costs h (x_0 - D)+ + p (D - x_0)+; the
next state is ((x_0 - D)+ + x_1, x_2, ..., x_{L-1}, q). With L = 0 the order arrives at once: the state is the stock
left over, shape (n, 1), and x_0 + q meets the demand. Purchases cost nothing: a unit cost c under the average cost
is the same as p - c in place of p, plus c times the mean demand.

Bounds on the optimal order make the state space finite without an error (Morton 1969, SIAM Review 11(4); Zipkin 2008,
On the structure of lost-sales inventory models, Operations Research 56(4)): with S_n the newsvendor level for the
demand of n periods, q <= S_1 and x_0 + ... + x_{L-1} + q <= S_{L+1}.
"""

import math
from dataclasses import dataclass
from functools import cache, partial
from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ....errors import FieldError
from ...core.pmf import check, require_lead_time, require_positive, total, visits
from .chain import Policy, encode, reachable, transitions
from .newsvendor import critical_level, expected_cost

MAX_LEAD_TIME = 4
MAX_WORK = 2e10  # multiplications a sweep of value iteration: about half a minute in all
MAX_SWEEPS = 20_000
# Each sweep goes only this share of the way: the bounds stay valid, and a periodic chain (deterministic demand, say)
# converges too (Puterman 1994, Markov Decision Processes, section 8.5.4).
STEP = 0.95


@dataclass
class LostSalesSolution:
    """The optimal policy and its average cost: `lower` <= optimal cost <= cost of this policy <= `upper`."""

    cost: float  # money per period: the middle of the bounds
    lower: float
    upper: float
    policy: np.ndarray  # int64, the order at state [x_0, ..., x_{L-1}]
    sweeps: int  # of value iteration

    def act(self, states: np.ndarray) -> np.ndarray:
        """Orders (n,) at integer states (n, max(L, 1))."""
        return look_up(self.policy, states)


def solve(
    pmf: np.ndarray,
    lead_time: int,
    holding_cost: float,
    lost_sale_cost: float,
    tolerance: float = 1e-5,
    max_order: int | None = None,
) -> LostSalesSolution:
    """The optimal policy for the average cost, by value iteration until the bounds are within `tolerance`.

    `pmf` is P(D = k) at index k; `lead_time` 0 to 4 periods; `holding_cost` and `lost_sale_cost` > 0 per unit;
    `max_order`, where given, restricts the problem to orders up to it (from S_1 on it is no restriction).
    Raises FieldError for values out of range and for a state space that is too large, with its size.
    """
    require_positive("tolerance", tolerance)
    model = _Model(pmf, lead_time, holding_cost, lost_sale_cost, max_order)
    values = np.zeros(model.shape)
    for sweep in range(1, MAX_SWEEPS + 1):
        change = model.best(values) - values
        lower, upper = change[model.inside].min(), change[model.inside].max()
        if upper - lower <= tolerance:
            cost = float(lower + upper) / 2
            return LostSalesSolution(cost, float(lower), float(upper), model.policy(values), sweep)
        values = values + STEP * (change - lower)
    raise FieldError("tolerance", tolerance, f"a larger one: {MAX_SWEEPS:,} sweeps do not reach it")


def evaluate(
    pmf: np.ndarray,
    lead_time: int,
    holding_cost: float,
    lost_sale_cost: float,
    policy: Policy,
    tolerance: float = 1e-6,
) -> float:
    """The average cost per period of a stationary policy that starts empty, within `tolerance` / 2.

    `policy` gives integer orders (n,) at integer states (n, max(L, 1)); the other arguments as in `solve`. The chain
    is held on exactly the states that the policy reaches. Raises FieldError for orders that are no integers >= 0, for
    a policy that lets stock grow without limit, and when the average depends on chance (several recurrent classes).
    """
    pmf = _check(pmf, lead_time, holding_cost, lost_sale_cost)
    require_positive("tolerance", tolerance)
    states, orders = reachable(pmf, lead_time, policy)
    stock = states[:, 0] + (orders if lead_time == 0 else 0)
    cost = expected_cost(pmf, stock, holding_cost, lost_sale_cost)
    first, successors, weights = transitions(pmf, lead_time, states, orders)
    index = np.searchsorted(encode(states), encode(successors))
    values = cost
    for _ in range(MAX_SWEEPS):
        change = cost + np.add.reduceat(weights * values[index], first) - values
        if np.ptp(change) <= tolerance:
            return float(change.min() + change.max()) / 2
        values = values + STEP * (change - change[0])
    raise FieldError("policy", policy, "one with a single recurrent class: its average cost does not converge")


def base_stock(pmf: np.ndarray, lead_time: int, holding_cost: float, lost_sale_cost: float) -> tuple[float, int]:
    """The best base-stock policy, q = (S - total)+: its average cost and S.

    By bisection: the cost is convex in S (Janakiraman and Muckstadt 2004, Periodic review inventory control with lost
    sales and fractional lead times), and the best S is at most the newsvendor level of L + 1 periods.
    """
    pmf = _check(pmf, lead_time, holding_cost, lost_sale_cost)

    @cache
    def cost(level):
        return evaluate(pmf, lead_time, holding_cost, lost_sale_cost, partial(order_up_to, level))

    low, high = 0, _bounds(pmf, lead_time, holding_cost, lost_sale_cost)[1]
    while low < high:
        middle = (low + high) // 2
        if cost(middle) <= cost(middle + 1):
            high = middle
        else:
            low = middle + 1
    return cost(low), low


def capped_base_stock(
    pmf: np.ndarray, lead_time: int, holding_cost: float, lost_sale_cost: float
) -> tuple[float, int, int]:
    """The best capped base-stock policy, q = min((S - total)+, cap): its average cost, S and cap.

    By descent over the lattice of (S, cap) from the best base-stock policy, capped at S_1; every candidate is
    evaluated exactly, but no theorem excludes a better pair elsewhere. Never worse than `base_stock`. Xin (2021),
    Understanding the performance of capped base-stock policies in lost-sales inventory models, Operations
    Research 69(1).
    """
    pmf = _check(pmf, lead_time, holding_cost, lost_sale_cost)

    @cache
    def cost(level, cap):
        if level < 0 or cap < 1:
            return math.inf
        policy = partial(order_up_to, level, cap=cap)
        return evaluate(pmf, lead_time, holding_cost, lost_sale_cost, policy)

    uncapped, base_level = base_stock(pmf, lead_time, holding_cost, lost_sale_cost)
    best = (base_level, max(critical_level(pmf, holding_cost, lost_sale_cost), 1))
    while True:
        level, cap = best
        around = [(level + i, cap + j) for i, j in ((0, -1), (1, -1), (0, 1), (-1, 1), (1, 0), (-1, 0))]
        better = min(around, key=lambda pair: cost(*pair))
        if cost(*better) >= cost(*best):
            break
        best = better
    if cost(*best) > uncapped:  # a cap of S changes nothing
        return uncapped, base_level, base_level
    return cost(*best), *best


def myopic(pmf: np.ndarray, lead_time: int, holding_cost: float, lost_sale_cost: float) -> tuple[float, Policy]:
    """The myopic policy, which minimises the expected cost of the period in which the order arrives: its average
    cost and the policy (Morton 1971, The near-myopic nature of the lagged-proportional-cost inventory problem with
    lost sales, Operations Research 19(7); Zipkin 2008)."""
    model = _Model(pmf, lead_time, holding_cost, lost_sale_cost)
    values = expected_cost(model.pmf, np.arange(model.width), holding_cost, lost_sale_cost)
    for _ in range(lead_time - 1):
        values = model.look_ahead(values)
    policy = partial(look_up, model.policy(values))
    return evaluate(pmf, lead_time, holding_cost, lost_sale_cost, policy), policy


def order_up_to(level: int, states: np.ndarray, cap: int | None = None) -> np.ndarray:
    """The base-stock order (level - total)+, at most `cap`, at states (n, max(L, 1))."""
    return np.clip(level - states.sum(axis=1), 0, cap)


def look_up(table: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Orders (n,) from a table over the states; a state outside it, to which the table's policy never returns, is
    moved to the nearest inside."""
    states = np.asarray(states)
    if states.ndim != 2 or states.shape[1] != table.ndim:
        raise FieldError("states", states.shape, f"shape (n, {table.ndim})")
    return table[tuple(np.clip(states.astype(np.int64), 0, np.array(table.shape) - 1).T)]


class _Model:
    """The dynamic program. Arrays over states have axes (x_{L-1}, ..., x_1, x_0), so that the order, which becomes
    the newest pipeline entry, is the first axis of the next state; x_0 is padded to `width` for stock + receipt."""

    def __init__(self, pmf, lead_time, holding_cost, lost_sale_cost, max_order=None):
        self.pmf = _check(pmf, lead_time, holding_cost, lost_sale_cost)
        self.lead_time = lead_time
        max_order, position = _bounds(self.pmf, lead_time, holding_cost, lost_sale_cost, max_order)
        self.orders = max_order + 1
        self.size = position + 1  # of the axis x_0, before the padding
        self.width = self.size + max_order
        self.shape = (self.orders,) * (lead_time - 1) + (self.width,)
        work = self.orders * math.prod(self.shape) * self.size
        if work > MAX_WORK:
            states = f"{math.prod(self.shape):,} states (orders up to {max_order}, {position} units in all)"
            expected = f"less: {states} take {work:.1e} multiplications a sweep, more than {MAX_WORK:.0e}"
            raise FieldError("pmf", len(self.pmf) - 1, expected, f"as the largest demand at lead_time {lead_time}")
        stock = np.arange(self.size)
        self.cost = expected_cost(self.pmf, stock, holding_cost, lost_sale_cost)
        # P(stock left = row | stock = column); a demand of the stock or more leaves nothing.
        demand = stock - stock[:, None]
        self.left = np.where(demand >= 0, np.pad(self.pmf, (0, self.size))[demand], 0.0)
        self.left[0] = np.maximum(1 - self.left[1:].sum(axis=0), 0)
        axes = np.ix_(*(np.arange(n) for n in self.shape))
        self.outside = np.where(sum(axes) > position, np.inf, 0.0)
        self.inside = self.outside == 0

    def best(self, values):
        """min over q of cost now + E values next, by state; 0 outside, where no order is allowed."""
        best = np.zeros(self.shape)
        best[..., : self.size] = self.cost * (self.lead_time > 0) + self._choose(np.min, values)
        return np.where(self.inside, best, 0)

    def policy(self, values):
        """The greedy orders by (x_0, ..., x_{L-1}); ties go to the smaller order."""
        return self._choose(np.argmin, values).T.astype(np.int64)

    def look_ahead(self, values):
        """E values((x_0 - D)+ + x_1, ...) by (..., x_1, x_0)."""
        result = np.zeros((*values.shape[:-1], self.orders, self.width))
        for receipt in range(self.orders):
            result[..., receipt, : self.size] = self._expect(values, receipt)
        return result

    def _expect(self, values, receipt):
        """E values((x_0 - D)+ + receipt, ...) by (..., x_0), as one matrix product."""
        rows = values.reshape(-1, self.width)[:, receipt : receipt + self.size]
        return (rows @ self.left).reshape(*values.shape[:-1], self.size)

    def _choose(self, choose, values):
        """`choose` (min or argmin) over the orders that stay inside, by (x_{L-1}, ..., x_0)."""
        if self.lead_time == 0:
            raised = np.full(self.width, np.inf)  # by x_0 + q
            raised[: self.size] = self.cost + values[: self.size] @ self.left
            return choose(sliding_window_view(raised, self.size), axis=0)
        costs = (
            self._expect(values, receipt) + self.outside[..., receipt : receipt + self.size]
            for receipt in range(self.orders)
        )
        if self.lead_time == 1:  # the receipt is the order
            return choose(np.stack(list(costs)), axis=0)
        return np.stack([choose(cost, axis=0) for cost in costs], axis=-2)


def _check(pmf, lead_time, holding_cost, lost_sale_cost):
    require_lead_time(lead_time)
    if lead_time > MAX_LEAD_TIME:
        raise FieldError("lead_time", lead_time, f"at most {MAX_LEAD_TIME}")
    require_positive("holding_cost", holding_cost)
    require_positive("lost_sale_cost", lost_sale_cost)
    return check(pmf)


def _bounds(pmf, lead_time, holding_cost, lost_sale_cost, max_order: int | None = None) -> tuple[int, int]:
    """The largest order, and the largest total of stock, pipeline and order, under an optimal policy."""
    one_period = critical_level(pmf, holding_cost, lost_sale_cost)
    if max_order is None or max_order >= one_period:
        return one_period, critical_level(total(pmf, lead_time + 1), holding_cost, lost_sale_cost)
    if not isinstance(max_order, Integral) or max_order < 0:
        raise FieldError("max_order", max_order, "an integer >= 0")
    return max_order, _capacitated_position(pmf, lead_time, holding_cost, lost_sale_cost)


def _capacitated_position(pmf, lead_time, holding_cost, lost_sale_cost):
    """A bound on the total when orders are scarce and may be placed ahead of need, beyond the newsvendor level.

    One more unit on top of v is held in each period t >= L in which D_0 + ... + D_t <= v, and saves at most one lost
    sale: v is enough when these periods cost more than that.
    """
    size = 64
    while True:
        held = np.cumsum(visits(pmf, size)) - 1  # periods t >= 0 with D_0 + ... + D_t <= v, expected, by v
        for periods in range(1, lead_time + 1):
            cdf = np.cumsum(total(pmf, periods))
            held -= np.pad(cdf, (0, size), constant_values=1)[:size]
        enough = holding_cost * held > lost_sale_cost
        if enough.any():
            return int(np.argmax(enough))
        size *= 2
