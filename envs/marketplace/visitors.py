"""What a visitor of the whole store is worth at most: the inner problem of its bound (see `references`)."""

from itertools import product

import numpy as np

from .fulfilment import SMOOTHING
from .params import PRIOR_REVIEWS
from .shopping import passes

PRICES, VALUES = 250, 80  # points of the grids of prices and of R
COLUMNS = 4  # every so many prices, where all segments share one
SINGLE, GROUPS = 8, 8  # first days that are taken one by one, and groups of the later ones
SEGMENTS = 4  # up to which a page that all of them share is looked for


class Visitors:
    """The largest expected profit of a visitor, on a grid of what else it depends on; between two points lies a chord.

    For a page and prices the profit is linear in what a new customer is worth and in what driving a parcel costs, so
    that the largest one is convex in both: interpolated, first along the one and then along the other, it only rises.
    A group of days is taken for its last one, with the shortest delivery and the most reviews.
    """

    def __init__(
        self, model, goods: np.ndarray, credits: np.ndarray, costs: np.ndarray, last: float, uneven: np.ndarray
    ):
        """Solve the grid.

        Args:
            model: a `Marketplace`.
            goods: money per unit (I,).
            credits: what a new customer is worth, money, rising (C,).
            costs: what driving a parcel costs at least, by day (n, T), money; nothing on the last days.
            last: the most visits of a customer on the last days, on which parcels need not go.
            uneven: how many times as many visitors one segment can have as another, by day (T,), not falling.
        """
        p, ending = model.params, max(model.horizon - model.params.promise + 1, 0)
        days = np.arange(model.horizon)
        later = np.geomspace(SINGLE, max(model.horizon - 1, SINGLE), GROUPS).round().astype(int)
        ends = np.unique(np.append(np.concatenate([np.arange(SINGLE), later]), max(ending - 1, 0)))
        ends = np.append(ends[ends < ending], model.horizon - 1)
        self.group, self.credits = np.searchsorted(ends, days), credits
        usual = costs[:, :ending] if ending else np.zeros((1, 1))
        self.driving = np.array([usual.min(), usual.max() + 1e-9])
        inner = _Inner(model, goods, self.driving[0])
        if ending < model.horizon:  # on the last days a customer is worth no more than what is left of them
            most = inner.solve(model.horizon - 1, np.inf, credits[-1], 0.0, True).max()
            inner.late = min(credits[-1], (0 if p.continuing else p.customer_value) + last * most)
        points = [(credit, driving) for credit in credits for driving in self.driving]
        worth = [[inner.solve(end, float(uneven[end]), *point, end >= ending) for end in ends] for point in points]
        self.worth = np.reshape(worth, (len(credits), len(self.driving), len(ends), p.segments))

    def at(self, day: int, credit: np.ndarray, driving: np.ndarray) -> np.ndarray:
        """Return the largest profit (n, S) on a day at credits (n,) and costs of driving (n,), money."""
        places = _place(self.credits, credit), _place(self.driving, driving)
        value = np.zeros(())
        for c, of_credit in places[0]:
            for d, of_driving in places[1]:
                value = value + (of_credit * of_driving)[:, None] * self.worth[c, d, self.group[day]]
        return value


def _place(grid: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two neighbours (n,) of values on a grid, each with its weight (n,); outside, the nearest end."""
    low = np.clip(np.searchsorted(grid, values, side="right") - 1, 0, len(grid) - 2)
    share = np.clip((values - grid[low]) / (grid[low + 1] - grid[low]), 0, 1)
    return [(low, 1 - share), (low + 1, share)]


class _Inner:
    """The inner problem of one day, with units worth `goods` (I,) money."""

    def __init__(self, model, goods: np.ndarray, cheapest: float):
        """Take `cheapest`, what driving a parcel costs at least before the last days, money."""
        p, c = model.params, model.catalogue
        self.model, self.goods, self.cheapest, self.late = model, goods, cheapest, 0.0
        self._known: dict = {}
        self.price, step = _prices(model)
        utility = c.taste[..., None] - c.sensitivity[:, None, None] * self.price
        between = c.sensitivity.max() * step[:, None]  # two prices of the grid
        self.weight = np.exp(utility) * (1 + between**2 / 4)
        self.columns = np.unique(np.append(np.arange(0, self.price.shape[1], COLUMNS), self.price.shape[1] - 1))
        self.coarse = np.exp(utility[..., self.columns]) * (1 + (COLUMNS * between) ** 2 / 2)
        self.wider = np.exp(COLUMNS * between)  # weights may be as many times as high, half-way to the next column
        self.ranks = np.arange(1, p.page_size + 1.0) ** -p.position_effect
        self.shared = p.ranking == "popularity" and p.resolution == "store" and 1 < p.segments <= SEGMENTS

    def solve(self, day: int, uneven: float, credit: float, driving: float, last: bool) -> np.ndarray:
        """Return the largest expected profit of a visitor (S,), money.

        On the last days, whose parcels need not go before the season ends, nothing that follows a sale has to be borne.
        Neither has it by who waits for goods until then. To wait is one more choice, at the lower weight of a late
        delivery.

        Args:
            day: of the season.
            uneven: how many times as many visitors one segment can have as another.
            credit: what a new customer is worth, money.
            driving: what driving a parcel costs at least, money.
            last: whether it is one of the last days.
        """
        p, model = self.model.params, self.model
        offers, grid, best = self._offers(credit, driving, last)
        factor = np.exp(-p.delay_effect * (1 + (p.promise - 1) * (1 - SMOOTHING) ** day)) * _raised(model, day)
        alone = _solve(grid, _top(best * factor, self.ranks))
        if not self.shared or not np.isfinite(uneven):
            return alone
        offers, weight = [(part, value[:, self.columns]) for part, value in offers], self.coarse * factor[:, None]
        return alone * _common(weight, weight * self.wider, offers, self.ranks, uneven, alone)

    def _offers(self, credit: float, driving: float, last: bool) -> tuple[list, np.ndarray, np.ndarray]:
        """Return factors of the weights, each with the values of orders (I, P); a grid of R; and the best of all offers
        on it, h (VALUES, S, I)."""
        if (credit, driving, last) in self._known:
            return self._known[credit, driving, last]
        p, worth = self.model.params, lambda *of: _order_values(self.model, self.price, self.goods, *of)
        offers = [(1.0, worth(credit, driving, last))]
        if not last:
            patience = np.exp(-p.delay_effect * p.lead_time)
            offers += [(patience, worth(credit, self.cheapest, False)), (patience, worth(self.late, 0.0, True))]
        grid = np.linspace(0, max(*(float(value.max()) for _, value in offers), 1e-9), VALUES)
        each = [[part * (self.weight * (value - r)).max(axis=2) for r in grid] for part, value in offers]
        self._known[credit, driving, last] = offers, grid, np.max(each, axis=0)
        return self._known[credit, driving, last]


def _top(values: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the sum over the best page of items' values (..., I), none below 0, at the weights of the ranks (K,)."""
    return np.maximum(np.sort(values, axis=-1)[..., ::-1][..., : len(ranks)], 0) @ ranks


def _solve(grid: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return the R (S,) with R = H(R), from above; H is convex, and lies below its chords.

    Args:
        grid: of R (VALUES,).
        height: H on it (VALUES, S), falling.
    """
    low, high = np.zeros(height.shape[1]), np.full(height.shape[1], grid[-1])
    for _ in range(40):
        middle = (low + high) / 2
        above = np.array([np.interp(r, grid, h) > r for r, h in zip(middle, height.T, strict=True)])
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def _common(weight, highest, offers: list[tuple], ranks: np.ndarray, uneven: float, alone: np.ndarray) -> float:
    """Return which share at the most of what visitors are worth with a page and a markup of each segment's own they are
    worth with common ones.

    Visitors of segment s come l_s times; a page and a markup bring them N_s / D_s each, N_s and D_s - 1 being sums of
    the items' weights, N_s times their values. For any R_s, N_s / D_s = R_s + (N_s - R_s D_s) / D_s, and 1 / D_s lies
    between 1 / (1 + the largest sum) and 1: the sum over segments is at most its largest where each 1 / D_s is at one
    of its two ends, and there it is a sum over items, whose best page is found by sorting. R_s are near the best page.
    The largest sum is convex and homogeneous in l: so it is enough to look at the ends of their ratios' range.

    Args:
        weight: of the items (S, I, P), raised for the prices between two.
        highest: the highest weights (S, I, P) that there are up to half-way to the next price.
        offers: factors of all weights, each with the values of orders (I, P): now, or served later.
        ranks: weights of the ranks (K,).
        uneven: the largest ratio of two segments' visitors.
        alone: what visitors are worth with their own page and markup (S,), money.
    """
    weight = np.moveaxis(weight, 2, 0)  # (P, S, I)
    parts = np.array([part for part, _ in offers])
    values = np.array([value.T for _, value in offers])  # (offers, P, I)
    rays = np.array([ray for ray in product((1.0, uneven), repeat=len(alone)) if min(ray) == 1.0])[:, None]  # (L, 1, S)
    apart = rays[:, 0] @ alone
    if not (apart > 0).all():
        return 1.0
    near = _near(weight, parts, values, ranks, rays, alone)  # (L, P, S)
    gains = parts[:, None, None, None, None] * weight * (values[:, None, :, None] - near[..., None])  # (o, L, P, S, I)
    least, most = 1 / (1 + _top(np.moveaxis(highest, 2, 0), ranks)), np.full(near.shape[:2], -np.inf)
    for pick in product((False, True), repeat=len(alone)):
        times = rays * np.where(pick, 1.0, least)
        page = np.max([np.einsum("lps,lpsi->lpi", times, gain) for gain in gains], axis=0)
        most = np.maximum(most, _top(page, ranks) - (times * near).sum(axis=2))
    together = ((near * rays).sum(axis=2) + most).max(axis=1)
    return min(float((together / apart).max()), 1.0)


def _near(weight, parts, values, ranks, rays, alone) -> np.ndarray:
    """Return what a good common page is worth to visitors of each segment, by ray and markup (L, P, S), money."""
    shape = (len(rays), *weight.shape[:2])
    worth, scale = np.broadcast_to(0.95 * alone, shape), np.full(shape, 0.5)
    for _ in range(6):
        times = rays * scale
        cost = np.einsum("lps,psi->lpi", times * worth, weight)
        gains = parts[:, None, None, None] * (np.einsum("lps,psi->lpi", times, weight) * values[:, None] - cost)
        page = np.argsort(-gains.max(axis=0), axis=2)[..., : len(ranks)]  # (L, P, K)
        offer = np.take_along_axis(gains.argmax(axis=0), page, axis=2)
        column = np.arange(len(weight))[:, None]
        shown = weight[column[..., None], np.arange(shape[2]), page[..., None]] * (parts[offer] * ranks)[..., None]
        scale = 1 / (1 + shown.sum(axis=2))
        worth = np.maximum((shown * values[offer, column, page][..., None]).sum(axis=2) * scale, 0)
    return worth


def _raised(model, day: int) -> np.ndarray:
    """Return by what ratings multiply the weights (I,) at the most on a day.

    With fidelity `fast` an item with n reviews beside the 5 of 3 stars has m + (3 - m) 5 / (5 + n) stars at the most, m
    being what is read on average in its buyers' reviews; and n is at most the parcels that the fleet can have carried
    so far, times the share who write. With `reference` reviews are chance, and any of them may be the best.
    """
    p, means = model.params, model.models.reading @ np.arange(1, 6)
    if not p.sentiment:
        return np.ones(p.items)
    if p.fidelity == "reference":
        return np.full(p.items, np.exp(p.rating_effect * max(means.max() - 3, 0)))
    written = [odds * np.asarray(p.review_share) for odds in model.odds]  # by stars, in time and late
    read = np.maximum(*((part @ means) / np.maximum(part.sum(axis=1), 1e-12) for part in written))
    reviews = day * p.fleet_capacity * max(part.sum(axis=1).max() for part in written)
    return np.exp(p.rating_effect * np.maximum(read - 3, 0) * reviews / (PRIOR_REVIEWS + reviews))


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
        shares = [(1.0, 1.0)]
    elif "fraud" not in p.decides:
        shares = [tuple(float(x) for x in passes(model.models, p.fraud))]
    else:
        shares = list(zip(1 - model.models.legitimate, 1 - model.models.fraudulent, strict=True))
    worst = max(fraud.max() * f / max((1 - fraud.max()) * h + fraud.max() * f, 1e-12) for h, f in shares)
    unit = price - goods[:, None] + _after_sale(model, price - goods[:, None], credit, driving, 1 - worst, last)
    together = p.resolution == "store" or "price" not in p.decides  # a column of prices then is one markup
    axis = 0 if together else None
    best = np.full(price.shape, -np.inf)
    for honest, cheats in shares:
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
