"""Perishables with lost sales: the optimal policy and the best base-stock level for the average cost, exactly.

The model of De Moor, Gijsbrechts and Boute (2022), Reward shaping to improve the performance of deep reinforcement
learning in perishable inventory management, European Journal of Operational Research 301(2); with a lead time of 0,
that of Nahmias (1975), Optimal ordering policies for perishable inventory II, Operations Research 23(4), but with lost
sales. The state is (x_1, ..., x_m, y_1, ..., y_{L-1}): stock by the periods in which it can still be sold, this one
included, then what arrives in 1, ..., L - 1 periods. Each period an order q is placed and paid; demand D takes the
oldest units first (FIFO) or the freshest (LIFO); unmet demand is lost; what is left of x_1 is waste, the rest is held;
everything ages and y_1 (q, with L = 1) arrives as the next x_m. With L = 0 the order is this period's x_m and the state
(x_1, ..., x_{m-1}).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral

import numpy as np

from ....errors import FieldError
from ...core.pmf import check, require_lead_time, require_nonnegative, require_positive, total
from .lost_sales import MAX_SWEEPS, STEP, look_up, order_up_to
from .newsvendor import critical_level, expected_cost

MAX_WORK = 5e9  # multiplications a sweep of value iteration
ISSUING = ("fifo", "lifo")


@dataclass
class PerishableSolution:
    """The optimal policy and its average cost: `lower` <= optimal cost <= cost of this policy <= `upper`."""

    cost: float  # money per period: the middle of the bounds
    lower: float
    upper: float
    policy: np.ndarray  # int64, the order at state [x_1, ..., x_m, y_1, ..., y_{L-1}]
    sweeps: int  # of value iteration

    def act(self, states: np.ndarray) -> np.ndarray:
        """Orders (n,) at integer states (n, m + L - 1), the oldest stock first; states outside are moved inside."""
        return look_up(self.policy, states)


@dataclass
class Perishable:
    """The problem: a demand, its times and its costs.

    Raises FieldError for values out of range.
    """

    pmf: np.ndarray  # P(D = k) at index k
    shelf_life: int  # m >= 1, periods in which a unit can be sold
    lead_time: int  # L >= 0, periods
    holding_cost: float  # >= 0, money per unit left that does not expire
    lost_sale_cost: float  # > the purchase cost, money per unit of demand lost
    waste_cost: float  # >= 0, money per unit that expires; above 0 in sum with the purchase and the holding cost
    purchase_cost: float = 0.0  # >= 0, money per unit ordered
    issuing: str = "fifo"  # fifo | lifo

    def __post_init__(self):
        self.pmf = check(self.pmf)
        require_lead_time(self.lead_time)
        if not isinstance(self.shelf_life, Integral) or self.shelf_life < 1:
            raise FieldError("shelf_life", self.shelf_life, "an integer >= 1")
        if self.shelf_life + self.lead_time == 1:
            expected = "at least 2: nothing is carried over, see newsvendor.solve"
            raise FieldError("shelf_life", 1, expected, "at lead_time 0")
        for name in ("holding_cost", "waste_cost", "purchase_cost"):
            require_nonnegative(name, getattr(self, name))
        require_positive("lost_sale_cost", self.lost_sale_cost)
        if self.lost_sale_cost <= self.purchase_cost:
            raise FieldError(
                "lost_sale_cost", self.lost_sale_cost, f"more than the purchase cost, {self.purchase_cost}"
            )
        if self.issuing not in ISSUING:
            raise FieldError("issuing", self.issuing, f"one of {', '.join(ISSUING)}")

    def largest_order(self, periods: int | None = None) -> int:
        """The critical level of the demand of `periods` (by default m): no larger order is ever needed.

        The last unit of an order of q to be sold is sold only if the demand of its m periods is at least q. Whoever
        leaves it out, and goes on as if it were there, loses one sale at most then; otherwise it is bought, held in
        m - 1 periods and wasted. So q pays only where lost P(D_m >= q) > purchase + (held + waste) P(D_m < q).
        """
        overage = self.purchase_cost + self.waste_cost + (self.shelf_life - 1) * self.holding_cost
        demand = total(self.pmf, periods or self.shelf_life)
        return critical_level(demand, overage, self.lost_sale_cost - self.purchase_cost)


def solve(problem: Perishable, tolerance: float = 1e-5, max_order: int | None = None) -> PerishableSolution:
    """The optimal policy for the average cost, by value iteration until the bounds are within `tolerance`.

    `max_order` is the largest order (by default `problem.largest_order()`: from there on it is no restriction), and the
    largest number of units of one age that the policy's table holds. Raises FieldError for values out of range and for
    a state space that is too large, with its size.
    """
    require_positive("tolerance", tolerance)
    model = _Model(problem, problem.largest_order() if max_order is None else max_order)
    values, lower, upper, sweep = _iterate(model.shape, lambda v: model.costs(v).min(axis=-1), tolerance, ...)
    policy = model.costs(values).argmin(axis=-1).astype(np.int64)
    return PerishableSolution((lower + upper) / 2, lower, upper, policy, sweep)


def evaluate(problem: Perishable, policy: Callable, max_order: int, tolerance: float = 1e-6) -> float:
    """The average cost per period, within `tolerance` / 2, of a policy with orders up to `max_order` that starts empty.

    `policy` gives integer orders (n,) at integer states (n, m + L - 1), the oldest stock first. Raises FieldError for
    orders out of range, and when the average depends on chance (several recurrent classes).
    """
    require_positive("tolerance", tolerance)
    model = _Model(problem, max_order)
    states = np.indices(model.shape).reshape(len(model.shape), -1).T
    orders = np.asarray(policy(states))
    if orders.shape != (len(states),) or not np.isin(orders, np.arange(max_order + 1)).all():
        expected = f"integer orders of shape ({len(states)},) from 0 to {max_order}"
        raise FieldError("policy", orders.tolist(), expected)
    chosen = orders.astype(np.int64).reshape(*model.shape, 1)
    best = lambda values: np.take_along_axis(model.costs(values), chosen, axis=-1)[..., 0]
    _, lower, upper, _ = _iterate(model.shape, best, tolerance, model.reached(chosen))
    return (lower + upper) / 2


def base_stock(problem: Perishable) -> tuple[float, int]:
    """The best base-stock policy, q = (S - total)+ with the total of all stock and orders: its average cost and S.

    Every level up to the critical level of the demand of m + L periods is evaluated exactly.
    """
    highest = problem.largest_order(problem.shelf_life + problem.lead_time)
    costs = [evaluate(problem, partial(order_up_to, level), level) for level in range(highest + 1)]
    level = int(np.argmin(costs))
    return costs[level], level


def _iterate(shape: tuple, best: Callable, tolerance: float, inside):
    """Relative value iteration: the values, the bounds of their last change inside some states, and the sweeps."""
    values = np.zeros(shape)
    for sweep in range(1, MAX_SWEEPS + 1):
        change = best(values) - values
        lower, upper = float(change[inside].min()), float(change[inside].max())
        if upper - lower <= tolerance:
            return values, lower, upper, sweep
        values = values + STEP * (change - lower)
    raise FieldError("tolerance", tolerance, f"a larger one: {MAX_SWEEPS:,} sweeps do not reach it")


class _Model:
    """The dynamic program on the states with up to `max_order` units of each age and of each order."""

    def __init__(self, problem: Perishable, max_order: int):
        if not isinstance(max_order, Integral) or max_order < 0:
            raise FieldError("max_order", max_order, "an integer >= 0")
        life, lead, size = problem.shelf_life, problem.lead_time, max_order + 1
        self.shape = (size,) * (life + lead - 1)
        stocks, aged = size**life, size ** (life - 1)
        work = stocks * aged * size**lead
        if work > MAX_WORK:
            states = f"{size ** (life + lead - 1):,} states (orders up to {max_order})"
            expected = f"less: {states} take {work:.1e} multiplications a sweep, more than {MAX_WORK:.0e}"
            because = f"as the largest demand at shelf_life {life} and lead_time {lead}"
            raise FieldError("pmf", len(problem.pmf) - 1, expected, because)
        shelf = np.indices((size,) * life).reshape(life, -1)  # by age, the oldest first
        on_hand = shelf.sum(axis=0)
        self.cost = expected_cost(problem.pmf, on_hand, 0.0, problem.lost_sale_cost)
        # P(stock by age at the next period's start, without its receipt | stock). Demands of all stock or more are one.
        self.ageing = np.zeros((stocks, aged))
        at_least = np.append(np.cumsum(problem.pmf[::-1])[::-1], 0.0)
        places = size ** np.arange(life - 1)[::-1]
        for demand in range(int(on_hand.max()) + 1):
            rows = np.flatnonzero(on_hand >= demand)
            exactly = problem.pmf[demand] if demand < len(problem.pmf) else 0.0
            weight = np.where(on_hand[rows] > demand, exactly, at_least[min(demand, len(problem.pmf))])
            left = _issue(shelf[:, rows], demand, problem.issuing)
            held = left[1:].sum(axis=0)
            self.cost[rows] += weight * (problem.holding_cost * held + problem.waste_cost * left[0])
            self.ageing[rows, places @ left[1:]] += weight
        self.purchase = problem.purchase_cost * np.arange(size)

    def costs(self, values: np.ndarray) -> np.ndarray:
        """Cost now + E values next by (state, order): the order is the last entry of the next state, or, with L = 0,
        the freshest of this period's stock."""
        ahead = self.ageing @ values.reshape(self.ageing.shape[1], -1)
        return (self.cost[:, None] + ahead).reshape(*self.shape, -1) + self.purchase

    def reached(self, orders: np.ndarray) -> np.ndarray:
        """Whether each state is reached from the empty one under orders (*shape, 1)."""
        reached, possible = np.zeros(self.shape, bool), (self.ageing > 0).astype(float).T
        reached.flat[0] = True
        while True:
            placed = (orders == np.arange(len(self.purchase))) & reached[..., None]
            after = (possible @ placed.reshape(possible.shape[1], -1) > 0).reshape(self.shape) | reached
            if (after == reached).all():
                return reached
            reached = after


def _issue(shelf: np.ndarray, demand: int, issuing: str) -> np.ndarray:
    """What demand leaves of stock by age (m, n), the oldest first."""
    order = shelf if issuing == "fifo" else shelf[::-1]
    before = np.cumsum(order, axis=0) - order  # what is taken first
    left = order - np.clip(demand - before, 0, order)
    return left if issuing == "fifo" else left[::-1]
