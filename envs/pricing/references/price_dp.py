"""Pricing one item over a season on any grid of prices and any demand distribution, by backward induction.

The finite-horizon dynamic program of Talluri and van Ryzin 2004, The Theory and Practice of Revenue Management,
section 5.2, with a price set for each period. The last price is part of the state where it matters: with markdowns,
or with a cost or a limit of changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ....errors import FieldError
from ...core.pmf import require_positive

MAX_CELLS = 200_000_000  # of the value table: 1.6 GB


@dataclass
class Solution:
    """The optimum and its policy, on tables over (period, changes left, last price, stock).

    Where no price is remembered, the axes of changes left and of the last price have length 1.
    """

    value: float  # money per episode, from the full stock
    values: np.ndarray  # (T + 1, C, m, n + 1) money to go
    choices: np.ndarray  # (T, C, m, n + 1) index of the best price
    first: np.ndarray  # (n + 1,) index of the first price, which is free

    def act(self, period: int, stock: np.ndarray, last: np.ndarray | None = None, left: np.ndarray | None = None):
        """Return the best price's index (k,) at stocks (k,), last prices' indices (k,) and changes left (k,)."""
        stock = np.asarray(stock, dtype=int)
        if period == 0:
            return self.first[stock]
        count, prices = self.choices.shape[1:3]
        price = 0 if last is None or prices == 1 else np.asarray(last, dtype=int)
        changes = 0 if left is None else np.minimum(np.asarray(left, dtype=float), count - 1).astype(int)
        return self.choices[period, changes, price, stock]


def solve(
    prices: ArrayLike,
    pmfs: Sequence[np.ndarray],
    stock: int,
    horizon: int,
    purchase_cost: float = 0.0,
    holding_cost: float = 0.0,
    salvage_value: float = 0.0,
    price_change_cost: float = 0.0,
    markdown: bool = False,
    max_changes: float = np.inf,
) -> Solution:
    """The optimal prices and their expected profit.

    Args:
        prices: (m,) money, rising.
        pmfs: of each price, P(D = k) at index k, of one period's demand.
        stock: units at the start.
        horizon: periods.
        purchase_cost: money per unit sold.
        holding_cost: money per unit on hand at the end of a period.
        salvage_value: money per unit left at the end.
        price_change_cost: money per change; the first price is free.
        markdown: prices only fall.
        max_changes: of the price.

    Raises:
        FieldError: pmfs that are none, another number of them than prices, a table too large.
    """
    grid, take = _check(prices, pmfs, stock, horizon)
    m, units = len(grid), np.arange(stock + 1)
    remembers = markdown or price_change_cost > 0 or np.isfinite(max_changes)
    # One more layer stands for "more changes than there are periods".
    layers = int(min(max_changes, horizon)) + 1 if np.isfinite(max_changes) else 1
    if (horizon + 1) * layers * (m if remembers else 1) * (stock + 1) > MAX_CELLS:
        raise FieldError("stock", stock, f"a table of at most {MAX_CELLS:,} cells", "here")
    sold = np.array([chain @ units for chain in take])  # expected units left (m, n + 1)
    sold = units - sold
    now = (grid[:, None] - purchase_cost) * sold - holding_cost * (units - sold)
    shape = (layers, m if remembers else 1, stock + 1)
    values = np.empty((horizon + 1, *shape))
    choices = np.zeros((horizon, *shape), dtype=np.int32)
    values[horizon] = salvage_value * units
    allowed = np.ones((m, m), bool) if not markdown else np.tri(m, dtype=bool)  # [last, next]
    for t in reversed(range(horizon)):
        if not remembers:
            to_go = now + np.einsum("jxy,y->jx", take, values[t + 1, 0, 0])
            choices[t, 0, 0], values[t, 0, 0] = to_go.argmax(axis=0), to_go.max(axis=0)
            continue
        kept = now + np.einsum("jxy,cjy->cjx", take, values[t + 1])  # (layers, next price, stock), without a change
        for c in range(layers):
            spent = kept[c - 1] if layers > 1 and c else kept[c]
            change = np.full((m, m, stock + 1), -np.inf)  # [last, next, stock]
            if (layers == 1 and not np.isfinite(max_changes)) or c:
                change[allowed] = (spent - price_change_cost)[np.nonzero(allowed)[1]]
            change[np.arange(m), np.arange(m)] = kept[c]
            choices[t, c], values[t, c] = change.argmax(axis=1), change.max(axis=1)
    if remembers:  # the first price is set freely: the value of each as if it were the last one, unchanged
        free = now + np.einsum("jxy,jy->jx", take, values[1, -1])
        first, value = free.argmax(axis=0), float(free[:, stock].max())
    else:
        first, value = choices[0, 0, 0], float(values[0, 0, 0, stock])
    return Solution(value, values, choices, first)


def fixed_values(prices, pmfs, stock: int, horizon: int, **money) -> np.ndarray:
    """The expected profit (m,) of each price held for the whole season; `money` as in `solve` (costs and salvage)."""
    return np.array(
        [solve([p], [q], stock, horizon, **money).value for p, q in zip(prices, pmfs, strict=True)], dtype=float
    )


def _check(prices, pmfs, stock, horizon) -> tuple[np.ndarray, np.ndarray]:
    """Return the prices, and for each the transition matrix of the stock (m, n + 1, n + 1)."""
    prices = np.asarray(prices, dtype=float)
    if prices.ndim != 1 or len(prices) != len(pmfs) or not len(prices):
        raise FieldError("pmfs", len(pmfs), f"one for each of {prices.size} prices", "as their number")
    if not np.isfinite(prices).all() or (np.diff(prices) <= 0).any():
        raise FieldError("prices", prices.tolist(), "finite numbers, rising")
    for name, number in (("stock", stock), ("horizon", horizon)):
        require_positive(name, number)
        if number != int(number):
            raise FieldError(name, number, "an integer >= 1")
    stock = int(stock)
    take = np.zeros((len(prices), stock + 1, stock + 1))
    for j, p in enumerate(pmfs):
        p = np.asarray(p, dtype=float)
        if p.ndim != 1 or not len(p) or not np.isfinite(p).all() or p.min() < 0 or abs(p.sum() - 1) > 1e-9:
            raise FieldError(f"pmfs[{j}]", p.tolist(), "probabilities that sum to 1")
        at_least = np.cumsum(p[::-1])[::-1]
        for x in range(stock + 1):
            reach = min(x, len(p))
            take[j, x, x - np.arange(reach)] = p[:reach]
            if x < len(p):
                take[j, x, 0] = at_least[x]
    return prices, take
