"""Lost sales with a lead time L: optimal policy and best heuristics for the average cost, by exact computation.

The model is that of Zipkin (2008), Old and new methods for lost-sales inventory systems, Operations Research 56(5).
The state is x = (x_0, ..., x_{L-1}): stock on hand after this period's receipt, then what arrives in 1, ..., L-1
periods. Each period an order q is placed, then demand D comes and the period costs h (x_0 - D)+ + p (D - x_0)+; the
next state is ((x_0 - D)+ + x_1, x_2, ..., x_{L-1}, q). With L = 0 the order arrives at once: the state is the stock
left over, shape (n, 1), and x_0 + q meets the demand. Purchases cost nothing: a unit cost c under the average cost
is the same as p - c for p, plus c times the mean demand.

Bounds on the optimal order make the state space finite without an error (Morton 1969, SIAM Review 11(4); Zipkin 2008,
On the structure of lost-sales inventory models, Operations Research 56(4)): with S_n the newsvendor level for the
demand of n periods, q <= S_1 and x_0 + ... + x_{L-1} + q <= S_{L+1}.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .newsvendor import critical_level, expected_cost
from .pmf import check, require_lead_time, require_positive, total

Policy = Callable[[np.ndarray], np.ndarray]  # integer states (n, max(L, 1)) -> integer orders (n,)

MAX_LEAD_TIME = 4
MAX_PAIRS = 50_000_000  # state-order pairs of value iteration, and transitions of a policy's chain
MAX_SWEEPS = 100_000
# Each sweep moves only this share of the way: keeps the bounds valid and makes a periodic chain (deterministic
# demand, say) converge too (Puterman 1994, section 8.5.4).
STEP = 0.95


@dataclass
class LostSalesSolution:
    """The optimal policy and its average cost, `lower` <= optimal cost <= cost of this policy <= `upper`."""

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
    `max_order`, where given, restricts the problem to orders up to it (of S_1 or more it is no restriction).
    Raises ValueError for values out of range and for a state space that is too large, with its size.
    """
    model = _Model(pmf, lead_time, holding_cost, lost_sale_cost, max_order)
    require_positive("tolerance", tolerance)
    values = np.zeros(model.shape)
    for sweep in range(1, MAX_SWEEPS + 1):
        change = model.best(values) - values
        lower, upper = change[model.inside].min(), change[model.inside].max()
        if upper - lower <= tolerance:
            cost = float(lower + upper) / 2
            return LostSalesSolution(cost, float(lower), float(upper), model.table(values), sweep)
        values = np.where(model.inside, values + STEP * (change - lower), 0)
    raise ValueError(f"tolerance: {tolerance!r} is not reached in {MAX_SWEEPS:,} sweeps; use a larger one")


def evaluate(
    pmf: np.ndarray,
    lead_time: int,
    holding_cost: float,
    lost_sale_cost: float,
    policy: Policy,
    tolerance: float = 1e-6,
) -> float:
    """The average cost per period of a stationary policy, started empty, within `tolerance` / 2.

    Exact on the states that the policy reaches. Raises ValueError for orders that are no integers >= 0, for too many
    reachable states (a policy that lets stock grow without limit), and for a policy whose average cost depends on
    chance (several recurrent classes).
    """
    pmf = _check(pmf, lead_time, holding_cost, lost_sale_cost)
    require_positive("tolerance", tolerance)
    states, orders = _reachable(pmf, lead_time, policy)
    stock = states[:, 0] + (orders if lead_time == 0 else 0)
    cost = expected_cost(pmf, stock, holding_cost, lost_sale_cost)
    first, successors, weights = _transitions(pmf, stock, states, orders, lead_time)
    index = np.searchsorted(_keys(states), _keys(successors))
    values = cost
    for _ in range(MAX_SWEEPS):
        change = cost + np.add.reduceat(weights * values[index], first) - values
        lower, upper = change.min(), change.max()
        if upper - lower <= tolerance:
            return float(lower + upper) / 2
        values = values + STEP * (change - change[0])
    raise ValueError("policy: not allowed; its average cost did not converge (several recurrent classes)")


def base_stock(
    pmf: np.ndarray, lead_time: int, holding_cost: float, lost_sale_cost: float
) -> tuple[float, int]:
    """The best base-stock policy, q = (S - total)+: its average cost and S.

    Bisection, for the cost is convex in S (Janakiraman and Muckstadt 2004, Periodic review inventory control with
    lost sales and fractional lead times); S is at most the newsvendor level of L + 1 periods.
    """
    _, _, high = _bounds(pmf, lead_time, holding_cost, lost_sale_cost)
    cost = _cached(lambda S: evaluate(pmf, lead_time, holding_cost, lost_sale_cost, partial(order_up_to, S)))
    low = 0
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

    Xin (2021), Understanding the performance of capped base-stock policies in lost-sales inventory models,
    Operations Research 69(1).
    """

    @cache
    def cost(S, cap):
        return evaluate(pmf, lead_time, holding_cost, lost_sale_cost, partial(order_up_to, S, cap=cap))

    raise NotImplementedError


def myopic(
    pmf: np.ndarray, lead_time: int, holding_cost: float, lost_sale_cost: float
) -> tuple[float, Policy]:
    """The myopic policy, which minimises the expected cost of the period in which the order arrives: its average
    cost and the policy (Morton 1971, The near-myopic nature of the lagged-proportional-cost inventory problem with
    lost sales, Operations Research 19(7); Zipkin 2008)."""
    model = _Model(pmf, lead_time, holding_cost, lost_sale_cost)
    values = expected_cost(model.pmf, np.arange(model.width), holding_cost, lost_sale_cost)
    for _ in range(lead_time - 1):
        values = model.expect(values)
    policy = partial(look_up, model.table(values))
    return evaluate(pmf, lead_time, holding_cost, lost_sale_cost, policy), policy


def order_up_to(level: int, states: np.ndarray, cap: int | None = None) -> np.ndarray:
    """The base-stock order (level - total)+, at most `cap`, at states (n, max(L, 1))."""
    return np.clip(level - states.sum(axis=1), 0, cap)


def look_up(policy: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Orders (n,) from a table over the states; a state outside it, which the table's policy never returns to, is
    moved to the table's nearest (the orders there are too many only while that passes)."""
    states = np.asarray(states)
    if states.ndim != 2 or states.shape[1] != policy.ndim:
        raise ValueError(f"states: shape {states.shape} is not allowed; use (n, {policy.ndim})")
    inside = np.clip(np.rint(states).astype(np.int64), 0, np.array(policy.shape) - 1)
    return policy[tuple(inside.T)]


class _Model:
    """The bounded dynamic program. Arrays over states have axes (x_{L-1}, ..., x_1, x_0), so that the order, which
    becomes the newest pipeline entry, is a leading axis; x_0 is padded to `width` for stock + receipt."""

    def __init__(self, pmf, lead_time, holding_cost, lost_sale_cost, max_order=None):
        self.pmf = _check(pmf, lead_time, holding_cost, lost_sale_cost)
        self.lead_time = lead_time
        self.max_order, self.max_position = _bounds(self.pmf, lead_time, holding_cost, lost_sale_cost, max_order)
        self.width = self.max_position + self.max_order + 1
        self.shape = (self.max_order + 1,) * (lead_time - 1) + (self.width,)
        pairs = (self.max_order + 1) * math.prod(self.shape)
        if pairs > MAX_PAIRS:
            raise ValueError(
                f"pmf: not allowed at lead_time {lead_time}; value iteration would need {pairs:,} pairs of state and "
                f"order (orders up to {self.max_order}, positions up to {self.max_position}), at most {MAX_PAIRS:,}"
            )
        stock = np.arange(self.max_position + 1)
        self.cost = np.zeros(self.width)
        self.cost[: len(stock)] = expected_cost(self.pmf, stock, holding_cost, lost_sale_cost)
        # P(stock left = column | stock = row): row - column is the demand, all larger demands leave nothing.
        demand = stock[:, None] - stock
        self.left = np.where(demand >= 0, np.pad(self.pmf, (0, len(stock)))[demand], 0.0)
        self.left[:, 0] = 1 - self.left[:, 1:].sum(axis=1)
        axes = np.ix_(*(np.arange(n) for n in (self.max_order + 1, *self.shape)))
        self.forbidden = np.where(sum(axes) > self.max_position, np.inf, 0.0)  # by (order, *state)
        self.inside = self.forbidden[0] == 0

    def expect(self, values):
        """E values((x_0 - D)+ + x_1, ...) by (..., x_1, x_0): one matrix product for each receipt x_1."""
        rows = values.reshape(-1, self.width)
        n = self.max_position + 1
        result = np.zeros((len(rows), self.max_order + 1, self.width))
        for receipt in range(self.max_order + 1):
            result[:, receipt, :n] = rows[:, receipt : receipt + n] @ self.left.T
        return result.reshape(*values.shape[:-1], self.max_order + 1, self.width)

    def best(self, values):
        return self._costs(values).min(axis=0)

    def table(self, values):
        """The greedy policy's orders by (x_0, ..., x_{L-1}); ties go to the smaller order."""
        orders = self._costs(values).argmin(axis=0)[..., : self.max_position + 1]
        return np.ascontiguousarray(orders.T).astype(np.int64)

    def _costs(self, values):
        """Cost now plus expected value next, by (order, *state); infinite where the order is not allowed."""
        if self.lead_time == 0:
            n = self.max_position + 1
            raised = np.zeros(self.width + self.max_order)
            raised[:n] = self.cost[:n] + self.left @ values[:n]
            return sliding_window_view(raised, self.width) + self.forbidden
        return self.expect(values) + (self.cost + self.forbidden)


def _check(pmf, lead_time, holding_cost, lost_sale_cost):
    require_lead_time(lead_time)
    if lead_time > MAX_LEAD_TIME:
        raise ValueError(f"lead_time: {lead_time!r} is not allowed; use at most {MAX_LEAD_TIME}")
    require_positive("holding_cost", holding_cost)
    require_positive("lost_sale_cost", lost_sale_cost)
    return check(pmf)


def _bounds(pmf, lead_time, holding_cost, lost_sale_cost, max_order):
    """The largest order and the largest position (total + order) of an optimal policy."""
    one_period = critical_level(pmf, holding_cost, lost_sale_cost)
    if max_order is None or max_order >= one_period:
        return one_period, critical_level(total(pmf, lead_time + 1), holding_cost, lost_sale_cost)
    if max_order != int(max_order) or max_order < 0:
        raise ValueError(f"max_order: {max_order!r} is not allowed; use an integer of at least 0")
    # Scarce orders are placed ahead of need, beyond the newsvendor level. A unit ordered at position v is held in
    # each period t >= L with D_0 + ... + D_t <= v, and saves one lost sale at most.
    demand = total(pmf, lead_time + 1)
    held = np.zeros(1)
    while True:
        n = max(len(held), len(demand))
        ...


def _reachable(pmf, lead_time, policy):
    """The states that the policy reaches from the empty one, in the order of their keys, and its orders there."""
    keys = frontier = np.zeros(1, dtype=np.int64)
    width = max(lead_time, 1)
    while len(frontier):
        states = _decode(frontier, width)
        _, successors, _ = _transitions(pmf, lead_time, states, _orders(policy, states))
        frontier = np.setdiff1d(_encode(successors), keys)
        keys = np.union1d(keys, frontier)
        if len(keys) > MAX_PAIRS:
            raise ValueError("")
    states = _decode(keys, width)
    return states, _orders(policy, states)


def _orders(policy, states):
    orders = np.asarray(policy(states))
    if orders.shape != (len(states),) or not (orders == np.rint(orders)).all() or orders.min() < 0:
        raise ValueError(f"policy: orders {orders!r} are not allowed; use {len(states)} integers of at least 0")
    return orders.astype(np.int64)


def _transitions(pmf, lead_time, states, orders):
    """Each state's successors, one per demand that can occur: where each state's begin, the states, P."""
    stock = states[:, 0] + (orders if lead_time == 0 else 0)
    count = np.minimum(stock, len(pmf) - 1) + 1  # demands 0 .. stock; the last stands for all larger ones
    if count.sum() > MAX_PAIRS:
        raise ValueError("")
    row = np.repeat(np.arange(len(states)), count)
    demand = np.arange(len(row)) - (np.cumsum(count) - count)[row]
    at_least = np.cumsum(pmf[::-1])[::-1]
    weight = np.where(demand == stock[row], at_least[demand], pmf[demand])
    row, demand, weight = (array[weight > 0] for array in (row, demand, weight))
    left = stock[row] - demand
    if lead_time == 0:
        successors = left[:, None]
    else:
        pipeline = np.column_stack([states[:, 1:], orders])[row]
        pipeline[:, 0] += left
        successors = pipeline
    return np.searchsorted(row, np.arange(len(states))), successors, weight
