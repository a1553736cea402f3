"""The optimal price and order of one item, by backward induction over all prices of a grid and all whole orders.

One period at net stock x (on hand less backlog): an order q raises it to y = x + q at once, a price p is set, demand
D(p) comes, and the profit is

    p E[sold] - fixed_cost 1(q > 0) - purchase_cost q - E[holding, backorder or lost-sale, and waste cost]

plus the value of the state that is left. Backorders without fixed cost: a base-stock list-price policy is optimal
(Federgruen and Heching 1999, Operations Research 47(3)). With a fixed cost: an (s, S, p) policy for additive noise, and
an (s, S, A, p) policy in general (Chen and Simchi-Levi 2004, Operations Research 52(6)); lost sales: Chen, Ray and Song
2006, Naval Research Logistics 53(2). Nothing of this is presupposed here: the induction holds without any structure.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from ...errors import FieldError
from ..core.contract import Reference
from .params import PricingInventoryParams

MAX_CELLS = 20_000_000  # of a table over states and demands, or states and orders: 160 MB each
FINE = 241  # prices by which a continuous price is approximated, and every fourth one of them for the tolerance


@dataclass
class Tables:
    """What may happen from each state. X states before the order, Y after it, Q orders, K demands (0, 1, ...)."""

    after: np.ndarray  # (X, Q) state after each order
    following: np.ndarray  # (Y, K) state before the next order
    cost: np.ndarray  # (Y, K) money: holding, backorder or lost-sale, and waste cost of the period
    paid: np.ndarray  # (Y, K) units that customers pay
    final: np.ndarray  # (X,) money, once the season has ended
    start: int  # the first state


@dataclass
class Solution:
    """The optimum, and its policy as tables over (period, state)."""

    value: float  # money per season
    prices: np.ndarray  # (m,) money
    order: np.ndarray  # (T, X) units
    choice: np.ndarray  # (T, X) index of the price, once that is ordered
    levels: dict[str, list[float]]  # see `solve`
    params: PricingInventoryParams
    lowest: int  # net stock of the first state, where nothing perishes

    def act(self, named: dict) -> tuple[np.ndarray, np.ndarray]:
        """Return the prices' indices and the orders, each (n,) int, at features (n, ...) of the model's `layout`."""
        horizon, state = self.params.horizon, self._state(named)
        period = np.minimum(np.rint((1 - named["time_left"][:, 0]) * horizon).astype(int), horizon - 1)
        return self.choice[period, state], self.order[period, state]

    def _state(self, named: dict) -> np.ndarray:
        """Return the states (n,); the nearest one where chance has gone beyond the tables."""
        states, p = self.order.shape[1], self.params
        waiting = named["backlog"][:, 0].astype(int) if "backlog" in named else 0
        if not p.perishes:
            return np.clip(named["on_hand"][:, 0].astype(int) - waiting - self.lowest, 0, states - 1)
        size = _layer_size(p)
        shelf = np.minimum(named.get("shelf", np.zeros((1, 0))).astype(int), size - 1)
        place = size ** np.arange(p.layers)[::-1]
        return np.where(waiting > 0, np.minimum(size**p.layers + waiting - 1, states - 1), shelf @ place)


def solve(params: PricingInventoryParams, prices=None) -> Solution:
    """Return the optimal prices and orders; `prices` (m,) stands for another grid than the parameters' own.

    The solution's `levels` (T,) are `order_up_to` and `list_price`, the units that an order without limit raises the
    net stock to, and the price there; where nothing perishes also `reorder`, the highest net stock with an order (one
    unit below the lowest where there is none). With a shelf life they are those at an empty shelf.

    Raises:
        FieldError: too many states.
    """
    prices = np.asarray(params.prices if prices is None else prices, dtype=float)
    pmfs = [params.demand.pmf(price) for price in prices.tolist()]
    chance = np.zeros((len(prices), max(map(len, pmfs))))
    for row, pmf in zip(chance, pmfs, strict=True):
        row[: len(pmf)] = pmf
    lowest, tables = (_shelf_tables if params.perishes else _level_tables)(params, chance.shape[1])
    now = tables.paid @ chance.T * prices - tables.cost @ chance.T  # (Y, m)
    units = np.arange(tables.after.shape[1])
    spent = params.purchase_cost * units + params.fixed_cost * (units > 0)
    shape = (params.horizon, len(tables.after))
    order, choice = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    levels: list[dict[str, float]] = []
    values, rows = tables.final, np.arange(shape[1])
    for t in reversed(range(params.horizon)):
        profit = now + values[tables.following] @ chance.T
        best, price = profit.max(axis=1), profit.argmax(axis=1)
        whole = best[tables.after] - spent
        order[t], values = whole.argmax(axis=1), whole.max(axis=1)
        choice[t] = price[tables.after[rows, order[t]]]
        levels.insert(0, _levels(params, lowest, best, prices[price], order[t]))
    by_name = {name: [level[name] for level in levels] for name in levels[0]}
    return Solution(float(values[tables.start]), prices, order, choice, by_name, params, lowest)


def reference(model) -> Reference:
    """Return the optimum of a `PricingInventory`, with the policy that plays it and its levels.

    A continuous price is solved on a fine grid; the tolerance is the difference to every fourth of its prices.

    Raises:
        FieldError: too many states.
    """
    p, source = model.params, "Federgruen and Heching 1999, Operations Research 47(3)"
    if p.fixed_cost:
        source = "Chen and Simchi-Levi 2004, Operations Research 52(6)"
    prices = np.linspace(p.prices[0], p.prices[-1], FINE) if p.action == "continuous" else np.asarray(p.prices)
    solution = solve(p, prices)
    coarse = solve(p, prices[::4]) if p.action == "continuous" else solution

    def policy(observation, policy_state, seed):
        choice, order = solution.act(model.features(observation))
        price = prices[choice] if p.action == "continuous" else choice
        return np.stack([price, order], axis=1).astype(float), policy_state

    return Reference(
        name="optimal price and order",
        value=solution.value,
        criterion="finite horizon",
        kind="exact",
        tolerance=solution.value - coarse.value + 1e-9 * (1 + abs(solution.value)),
        source=f"{source}; backward induction",
        policy=policy,
        unit="profit per episode",
        levels=solution.levels,
    )


def _levels(params, lowest: int, best: np.ndarray, price: np.ndarray, order: np.ndarray) -> dict[str, float]:
    """Return the levels of one period, see `solve`, of the values and prices (Y,) and the orders (X,)."""
    if params.perishes:
        level = int(order[0])
        return {"order_up_to": float(level), "list_price": float(price[level])}
    place = int(np.argmax(best - params.purchase_cost * np.arange(len(best))))
    ordering = np.flatnonzero(order > 0)
    reorder = lowest + (ordering[-1] if len(ordering) else -1)
    return {"order_up_to": float(lowest + place), "reorder": float(reorder), "list_price": float(price[place])}


def _level_tables(params: PricingInventoryParams, demands: int) -> tuple[int, Tables]:
    """Return the lowest net stock and the tables of goods that keep: a state is a net stock.

    The states are all that an episode can reach; what would lie beyond is cut, which no episode meets.
    """
    p, backorder = params, params.unmet == "backorder"
    lowest = -p.horizon * (demands - 1) if backorder else 0
    highest = int(p.initial_stock + p.horizon * p.max_order)
    states, orders = highest - lowest + 1, int(p.max_order) + 1
    _check_size(params, (states + orders) * demands, states * orders)
    level = np.arange(lowest, highest + orders)[:, None]
    demand = np.arange(demands)
    left = level - demand
    short = np.maximum(-left, 0)
    cost = p.holding_cost * np.maximum(left, 0)
    cost = cost + (p.backorder_cost if backorder else p.lost_sale_cost) * short
    following = np.clip(left, lowest, highest) - lowest
    paid = np.broadcast_to(demand, left.shape) if backorder else demand - short
    net = np.arange(lowest, highest + 1)
    final = p.salvage_value * np.maximum(net, 0) - p.purchase_cost * np.maximum(-net, 0)
    after = np.arange(states)[:, None] + np.arange(orders)
    return lowest, Tables(after, following, cost, paid, final, int(p.initial_stock) - lowest)


def _shelf_tables(params: PricingInventoryParams, demands: int) -> tuple[int, Tables]:
    """Return the tables of goods that expire: a state is the units left of each age, the oldest first, or a backlog.

    There is no stock where customers wait, for they come first: so the backlogs stand behind the shelves, by size.
    After the order, the shelves (with the fresh units as one more layer) stand first and the backlogs behind them.
    """
    p, backorder = params, params.unmet == "backorder"
    size, orders = _layer_size(p), int(p.max_order) + 1
    shelves, waits = size**p.layers, p.horizon * (demands - 1) if backorder else 0
    states = shelves + waits
    _check_size(params, (shelves * orders + waits) * demands, states * orders)
    old = np.array(list(product(range(size), repeat=p.layers)), dtype=np.int32).reshape(shelves, p.layers)
    layers = np.concatenate([old.repeat(orders, axis=0), np.tile(np.arange(orders), shelves)[:, None]], axis=1)
    total, demand = layers.sum(axis=1), np.arange(demands)
    place = size ** np.arange(p.layers)[::-1]
    following = np.empty((len(layers) + waits, demands), np.int32)
    cost, paid = np.empty(following.shape), np.empty(following.shape)
    before = layers.cumsum(axis=1) - layers  # what is sold first
    for d in range(demands):
        left = layers - np.clip(d - before, 0, layers)
        short = np.maximum(d - total, 0)
        stay = left[:, 1:] @ place
        following[: len(layers), d] = np.where(short > 0, shelves + short - 1, stay) if backorder else stay
        held = p.holding_cost * left[:, 1:].sum(axis=1) + p.waste_cost * left[:, 0]
        cost[: len(layers), d] = held + (p.backorder_cost if backorder else p.lost_sale_cost) * short
        paid[: len(layers), d] = d if backorder else d - short
    waiting = np.arange(1, waits + 1)[:, None] + demand
    following[len(layers) :] = shelves + np.minimum(waiting, max(waits, 1)) - 1
    cost[len(layers) :], paid[len(layers) :] = p.backorder_cost * waiting, demand
    fresh = np.arange(orders) - np.arange(1, waits + 1)[:, None]  # of an order, once those who wait have theirs
    after = np.concatenate([np.arange(len(layers)).reshape(shelves, orders),
                            np.where(fresh >= 0, fresh, len(layers) - fresh - 1)])  # fmt: skip
    final = np.concatenate([p.salvage_value * old.sum(axis=1), -p.purchase_cost * np.arange(1.0, waits + 1)])
    start = int(p.initial_stock) if p.layers else 0  # in the freshest layer
    return 0, Tables(after, following, cost, paid, final, start)


def _layer_size(params: PricingInventoryParams) -> int:
    """Return how many numbers of units a layer of the shelf can hold."""
    return int(max(params.max_order, params.initial_stock)) + 1


def _check_size(params: PricingInventoryParams, *cells: int) -> None:
    if max(cells) > MAX_CELLS:
        name = "shelf_life" if params.layers > 1 else "max_order"
        because = f"with max_order {params.max_order} and horizon {params.horizon}" if params.layers > 1 else ""
        expected = (
            f"fewer states: an exact reference has at most {MAX_CELLS:,} cells, not 10^{len(str(max(cells))) - 1}"
        )
        raise FieldError(name, getattr(params, name), expected, because)
