"""What a visitor of the whole store is worth at most: the inner problem of its bound (see `references`)."""

import numpy as np

from .params import PRIOR_REVIEWS

PRICES, VALUES = 250, 80  # points of the grids of prices and of R
REVIEWS = 8  # numbers of reviews that an item may have had so far
SHARES = (0.0, 0.02, 0.08)  # what a review is charged, of the best item's worth


class Visitors:
    """The largest expected profit of a visitor, on a grid of what else it depends on; between two points lies a chord.

    For a page and prices the profit is linear in what a new customer is worth and in what driving a parcel costs, so
    that the largest one is convex in both: interpolated, first along the one and then along the other, it only rises.
    """

    def __init__(self, model, goods: np.ndarray, delays: np.ndarray, credits: np.ndarray, driving: np.ndarray):
        """Solve the grid.

        Args:
            model: a `Marketplace`.
            goods: money per unit (I,).
            delays: days from order to delivery (T, J), rising along J.
            credits: what a new customer is worth, money, rising (C,).
            driving: what driving a parcel costs at least, money, rising (K,).
        """
        self.credits, self.driving = credits, driving
        self.worth = np.stack([[_values(model, goods, delays, c, d) for d in driving] for c in credits])

    def at(self, day: int, credit: np.ndarray, driving: np.ndarray) -> np.ndarray:
        """Return the largest profit (n, J, S) on a day at credits (n,) and costs of driving (n,), money."""
        places = [_place(self.credits, credit), _place(self.driving, driving)]
        value = 0
        for c, of_credit in places[0]:
            for d, of_driving in places[1]:
                value = value + (of_credit * of_driving)[:, None, None] * self.worth[c, d, day]
        return value


def _place(grid: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two neighbours (n,) of values on a grid, each with its weight (n,); outside, the nearest end."""
    low = np.clip(np.searchsorted(grid, values, side="right") - 1, 0, len(grid) - 2)
    share = np.clip((values - grid[low]) / (grid[low + 1] - grid[low]), 0, 1)
    return [(low, 1 - share), (low + 1, share)]


def _values(model, goods: np.ndarray, delays: np.ndarray, credit: float, driving: float) -> np.ndarray:
    """Return the largest expected profit of a visitor (T, J, S), money.

    On the last days, whose parcels need not go before the season ends, nothing that follows a sale has to be borne.
    Neither has it, perhaps, by who waits for goods: they are one more choice, at the lower weight of a late delivery.
    """
    p, c = model.params, model.catalogue
    price, step = _prices(model)
    utility = c.taste[..., None] - c.sensitivity[:, None, None] * price
    weight = np.exp(utility) * (1 + (c.sensitivity.max() * step[:, None]) ** 2 / 4)  # between two prices of the grid
    values = [_order_values(model, price, goods, credit, driving, last) for last in (False, True)]
    patience = np.exp(-p.delay_effect * p.lead_time)
    ranks = np.arange(1, p.page_size + 1.0) ** -p.position_effect
    horizon, scale = len(delays), np.exp(-p.delay_effect * delays)
    grid = np.linspace(0, max(float(np.max(values)), 1e-9), VALUES)
    worth = np.empty((*delays.shape, p.segments))
    now, later = (np.stack([(weight * (value - r)).max(axis=2) for r in grid]) for value in values)  # (VALUES, S, I)
    levels, ending = _levels(model, horizon), np.arange(horizon) >= horizon - p.promise + 1
    for best, days in ((np.maximum(now, patience * later), ~ending), (later, ending)):
        for level in np.unique(levels[days]):
            same = days & (levels == level)
            worth[same] = _solve(grid, _heights(model, np.maximum(best, 0), ranks, level), scale[same])
    return worth


def _solve(grid: np.ndarray, height: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the R (T, J, S) with R = scale (T, J) x H(R), from above; H is convex, and lies below its chords.

    Args:
        grid: of R (VALUES,).
        height: H on it (VALUES, S), falling.
        scale: of all weights.
    """
    solution = np.empty((*scale.shape, height.shape[1]))
    for s in range(height.shape[1]):
        low, high = np.zeros(scale.shape), np.full(scale.shape, grid[-1])
        for _ in range(30):
            middle = (low + high) / 2
            above = scale * np.interp(middle, grid, height[:, s]) > middle
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        solution[..., s] = high
    return solution


def _heights(model, best: np.ndarray, ranks: np.ndarray, reviews: float) -> np.ndarray:
    """Return the sum H (VALUES, S) over the best page of `best` (VALUES, S, I), raised by ratings, by rank.

    With fidelity `fast` an item with n reviews beside the 5 of 3 stars has m + (3 - m) 5 / (5 + n) stars at the most,
    m being what is read on average in its buyers' reviews. All items together have had `reviews` at the most.
    Lagrange's relaxation of that: each review is charged, and so many are paid back.
    """
    top = lambda values: np.sort(values, axis=2)[..., ::-1][..., : len(ranks)] @ ranks
    effect = model.params.rating_effect * (_highest_ratings(model) - 3)
    if not np.isfinite(reviews):
        return top(best * np.exp(effect))
    edges = np.concatenate([[0.0], np.geomspace(0.25, max(reviews, 0.5), REVIEWS)])
    raised = np.exp(effect[:, None] * edges[1:] / (PRIOR_REVIEWS + edges[1:]))  # (I, REVIEWS) at most, in a cell
    charge = np.concatenate([[0.0], edges[1:-1]])  # reviews in it at least
    heights = []
    for share in SHARES:
        each = share * best.max(axis=2, keepdims=True)
        charged = (best[..., None] * raised - each[..., None] * charge).max(axis=3)
        heights.append(each[..., 0] * reviews + top(charged))
    return np.min(heights, axis=0)


def _levels(model, horizon: int) -> np.ndarray:
    """Return how many reviews all items together can have had by each day (T,), rounded up to a few numbers."""
    p = model.params
    if p.fidelity != "fast" or not p.sentiment:
        return np.full(horizon, np.inf)
    each = max((odds @ np.asarray(p.review_share)).max() for odds in model.odds) * p.fleet_capacity
    days = np.arange(horizon)
    steps = np.unique(np.round(np.geomspace(1, max(horizon, 2), 7)))
    return each * np.where(days > 0, steps[np.searchsorted(steps, np.maximum(days, 1))], 0)


def _highest_ratings(model) -> np.ndarray:
    """Return the highest ratings (I,) that can be shown."""
    p, means = model.params, model.models.reading @ np.arange(1, 6)
    if not p.sentiment:
        return np.full(p.items, 3.0)
    if p.fidelity == "reference":
        return np.full(p.items, max(3.0, means.max()))
    written = [odds * np.asarray(p.review_share) for odds in model.odds]  # by stars, in time and late
    read = [(w @ means) / np.maximum(w.sum(axis=1), 1e-12) for w in written]
    return np.maximum(3.0, np.maximum(*read))


def _prices(model) -> tuple[np.ndarray, np.ndarray]:
    """Return the prices (I, P) that may be set, on a grid, and its steps (I,)."""
    p, cost = model.params, model.cost.astype(float)
    low, high = (cost + x * model.markup for x in (model.controls["price"][1:]))
    if "price" not in p.decides:
        low = high = cost + p.price * model.markup
    elif p.resolution == "item":
        low, high = 0 * cost, 0 * cost + p.max_price
    steps = PRICES if (high > low).any() else 2
    grid = np.linspace(low, high, steps, axis=1)
    return grid, grid[:, 1] - grid[:, 0]


def _order_values(model, price, goods, credit: float, driving: float, last: bool) -> np.ndarray:
    """Return the largest profit of an order at prices (I, P), screened at the best threshold, money (I, P)."""
    p = model.params
    fraud = np.clip(p.fraud_share * price / (model.catalogue.cost.mean() + model.markup), 0, 0.5)
    if not p.screening:
        passes = [(1.0, 1.0)]
    elif "fraud" not in p.decides:
        passes = [tuple(float(x) for x in model._passes(p.fraud))]
    else:
        passes = list(zip(1 - model.models.legitimate, 1 - model.models.fraudulent, strict=True))
    worst = max(fraud.max() * f / max((1 - fraud.max()) * h + fraud.max() * f, 1e-12) for h, f in passes)
    unit = price - goods[:, None] + _after_sale(model, price - goods[:, None], credit, driving, 1 - worst, last)
    together = p.resolution == "store" or "price" not in p.decides  # a column of prices then is one markup
    axis = 0 if together else None
    best = np.full(price.shape, -np.inf)
    for honest, cheats in passes:
        taken = (1 - fraud) * honest + fraud * cheats
        each = unit - fraud * cheats / np.maximum(taken, 1e-12) * (price + p.chargeback_fee)
        if p.fidelity == "fast":  # second choices pass with the first ones, which another item may be
            taken = np.broadcast_to(taken.max(axis=axis, keepdims=True), taken.shape)
        best = np.maximum(best, taken * np.maximum(each, 0) - p.refusal_cost * (1 - taken))
    return best


def _after_sale(model, margin, credit: float, driving: float, honest: float, last: bool) -> np.ndarray:
    """Return what a shipped unit brings after the sale, mostly costs, money (I, P), for margins (I, P)."""
    p, (odds, _) = model.params, model.odds
    unhappy, satisfied = odds[:, :2].sum(axis=1)[:, None], odds[:, 3:].sum(axis=1)[:, None]
    back = p.return_share * (np.maximum(-margin, 0) - honest * unhappy * np.maximum(margin, 0))
    tickets = honest * unhappy * p.ticket_share * model.models.service[:, 2].min() * p.service_cost
    brings = back - p.stop_cost - tickets + p.satisfied_join * satisfied * credit
    return np.maximum(brings, 0) if last else brings - driving
