"""The order of least expected cost under a belief: candidates are played on paths of demand and lead times.

One step of policy improvement by simulation (rollout; Bertsekas 2019, chapter 2): each candidate is ordered now, what
follows is ordered by a base-stock rule, and the candidate of the best mean profit over the window is taken. All
candidates meet the same paths.
"""

import copy
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .demand import DemandBelief, Luck, Prior
from .supply import LONGEST, LOST, SupplyBelief

ROWS = 48  # games played side by side: their arrays stay in the cache


@dataclass
class Search:
    """How an order is looked for; chosen on training draws (`experiments.studies.games`)."""

    paths: int = 128
    window: int = 5  # periods played beyond the longest likely lead time
    candidates: int = 9  # of each of two rounds
    reach: float = 3.0  # the largest candidate of the first round, in shares of the rule's order or of mean demand
    # Base stock, in expected demand until an order arrives: centre + slope x normal quantile of p / (p + h).
    centre: tuple[float, float, float] = (1.0, -0.1, -1.2)  # at lead time 0; per period of it; per share of orders lost
    slope: tuple[float, float, float] = (0.3, -0.025, 1.2)
    least: float = 0.3  # of the centre


class Belief:
    """What is believed of n games: demand and supply, and the orders that follow from it."""

    def __init__(
        self, history, periods, promised, horizon: int, prior: Prior | None = None, search: Search | None = None
    ):
        """Begin with histories (n, k), units, of periods (k,), and promised lead times (n,), periods."""
        self.demand = DemandBelief(history, periods, horizon, prior)
        self.supply, self.search, self.period = SupplyBelief(promised), search or Search(), 0

    def copy(self) -> "Belief":
        """Return a belief that goes on apart from this one: who acts twice on one state gets the same answer."""
        return copy.deepcopy(self)

    def update(self, order, arrived, demand) -> None:
        """Take what a period brought: (n,) units each."""
        self.period += 1
        self.supply.update(order, arrived)
        self.demand.update(demand, float(self.period))

    def order(self, on_hand: np.ndarray, profit: np.ndarray, holding: np.ndarray) -> np.ndarray:
        """Return the units to order now (n,), at stocks (n,), at money (n,) per unit sold and per unit left."""
        s, supply = self.search, self.supply
        likely = np.where(supply.counts[:, :LOST] < 1, 0, np.arange(LOST)).max(axis=1)
        window = int(likely.max()) + s.window
        luck = Luck(s.paths, LONGEST + s.window, self.period)
        paths = self.demand.paths(self.period + 1, window, luck)
        old, new = supply.outcomes(luck.lead[:, :LONGEST]), supply.fresh(luck.lead[:, LONGEST : LONGEST + window])
        level = _levels(paths.mean(axis=1), supply, profit, holding, s)
        chance, orders = supply.eventually(), np.zeros(len(on_hand))
        for longest in np.unique(likely):
            rows, end = np.flatnonzero(likely == longest), int(longest) + s.window
            for k in np.split(rows, range(ROWS, len(rows), ROWS)):
                parts = paths[k, :, :end], supply.waiting[k], old[k], new[k, :, :end], chance[k], level[k, :end]
                orders[k] = _Game(*parts, on_hand[k]).best(profit[k], holding[k], s)
        return orders


def _levels(mean: np.ndarray, supply: SupplyBelief, profit, holding, s: Search) -> np.ndarray:
    """Return the base stocks (n, W) of the rule, from mean demands (n, W)."""
    chances = supply.chances
    arriving = chances[:, :LOST] / chances[:, :LOST].sum(axis=1, keepdims=True)
    n, window = mean.shape
    ahead = np.concatenate([mean, np.repeat(mean[:, -1:], LONGEST + 1, axis=1)], axis=1).cumsum(axis=1)
    ahead = np.concatenate([np.zeros((n, 1)), ahead], axis=1)
    need = sum(
        arriving[:, lead, None] * (ahead[:, lead + 1 : lead + 1 + window] - ahead[:, :window]) for lead in range(LOST)
    )
    lead, lost = arriving @ np.arange(LOST), chances[:, LOST]
    z = np.array([NormalDist().inv_cdf(float(share)) for share in profit / (profit + holding)])
    centre, slope = (at + per * lead + of * lost for at, per, of in (s.centre, s.slope))
    return (np.maximum(centre, s.least) + z * np.maximum(slope, 0))[:, None] * need


class _Game:
    """The window of some games: what comes whatever is ordered, and what follows an order."""

    def __init__(self, demand, waiting, old, new, chance, level, on_hand):
        f = np.float32
        n, paths, window = demand.shape
        self.demand, self.level, self.on_hand, self.window = (
            demand.astype(f),
            level.astype(f),
            on_hand.astype(f),
            window,
        )
        chance = np.concatenate([chance, np.zeros((n, window))], axis=1).astype(f)
        self.arriving, self.counted = np.zeros((window, n, 1, paths), f), np.zeros((window, n, 1, paths), f)
        for age in range(1, LONGEST + 1):  # orders that wait already
            units = waiting[:, age].astype(f)
            if not units.any():
                continue
            for h in range(window):
                lead = old[:, :, age - 1]
                self.arriving[h, :, 0] += units[:, None] * (lead == age + h)
                self.counted[h, :, 0] += units[:, None] * (lead > age + h) * chance[:, age + h, None]
        lag = [[new[:, None, :, j] - (h - j) for j in range(h + 1)] for h in range(window)]  # until order j comes in
        self.comes = [[(left == 0).astype(f) for left in row] for row in lag]
        self.counts = [
            [(left >= 0).astype(f) * chance[:, h - j, None, None] for j, left in enumerate(row[:-1])]
            for h, row in enumerate(lag)
        ]
        self.first = np.maximum(self.level[:, 0] - self.on_hand - (waiting * chance[:, : LONGEST + 1]).sum(axis=1), 0)

    def best(self, profit, holding, s: Search) -> np.ndarray:
        """Return the best orders (n,): two rounds of candidates, the second around the best of the first."""
        n = len(self.on_hand)
        top = s.reach * np.maximum(self.first, self.demand.mean(axis=(1, 2)))
        share = np.linspace(0, 1, s.candidates, dtype=np.float32)
        low, high = np.zeros(n, np.float32), top.astype(np.float32)
        units = low[:, None]
        for _ in range(2):
            units = low[:, None] + (high - low)[:, None] * share
            value = self.value(units, profit, holding)
            best, step = value.argmax(axis=1), (high - low) / (s.candidates - 1)
            centre = np.take_along_axis(units, best[:, None], axis=1)[:, 0]
            low, high = np.maximum(centre - step, 0), centre + step
        return _peak(units, value, best)

    def value(self, units, profit, holding) -> np.ndarray:
        """Return the mean profit (n, Q) over the window of orders (n, Q) now."""
        stock = np.repeat(np.repeat(self.on_hand[:, None, None], units.shape[1], 1), self.demand.shape[1], 2)
        total, orders = np.zeros_like(stock), []
        p, h_ = profit.astype(np.float32)[:, None, None], holding.astype(np.float32)[:, None, None]
        for h in range(self.window):
            if h == 0:
                orders.append(np.broadcast_to(units[:, :, None].astype(np.float32), stock.shape))
            else:
                position = stock + self.counted[h]
                for order, counts in zip(orders, self.counts[h], strict=True):
                    position += order * counts
                orders.append(np.maximum(self.level[:, h, None, None] - position, 0))
            stock = stock + self.arriving[h]
            for order, comes in zip(orders, self.comes[h], strict=True):
                stock += order * comes
            sold = np.minimum(stock, self.demand[:, None, :, h])
            stock -= sold
            total += p * sold - h_ * stock
        return total.mean(axis=2)


def _peak(units: np.ndarray, value: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return where a parabola through the best candidate (n,) of (n, Q) and its neighbours has its peak."""
    middle = np.clip(best, 1, units.shape[1] - 2)
    rows = np.arange(len(units))
    left, here, right = (value[rows, middle + k].astype(float) for k in (-1, 0, 1))
    bend = left - 2 * here + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1), 0.0)
    step = units[rows, 1] - units[rows, 0]
    return np.maximum(
        np.where(best == middle, units[rows, middle] + np.clip(shift, -1, 1) * step, units[rows, best]), 0
    )
