"""After an order in the whole store: delivery, stars, reviews, tickets, returns, and customers won and lost.

Pure functions of arrays (n, I), unless said. A `Thin` takes parts of units: their means, or whole units.
"""

from dataclasses import dataclass

import numpy as np

from ..core import counts
from ..core.contract import Array
from .params import MarketplaceParams, StoreModels

CUTS = np.array([-1.5, -0.5, 0.5, 1.5])  # logits between stars 1|2 ... 4|5 (proportional odds, McCullagh 1980)
SMOOTHING = 0.1  # weight of the last day in the store's own averages
STREAMS = 18  # of uniforms that a day takes beside promise: 2 in `deliver`, 16 in `after_sale`


def added(arrays) -> Array:
    """Return the sum of arrays of one shape."""
    return sum(arrays)


def star_odds(satisfaction: np.ndarray) -> np.ndarray:
    """Return the probabilities (I, 5) of 1 .. 5 stars at logits of satisfaction (I,), by proportional odds."""
    below = 1 / (1 + np.exp(satisfaction[:, None] - CUTS))
    return np.diff(np.concatenate([0 * below[:, :1], below, 0 * below[:, :1] + 1], axis=1), axis=1)


class Thin:
    """Takes parts of units: their means, or whole units by the day's uniforms, one block of them after another."""

    def __init__(self, uniform: np.ndarray | None, items: int):
        """Take `uniform` (n, k I) in [0, 1), or None for means."""
        self.uniform, self.items, self.used = uniform, items, 0

    def __call__(self, units, share):
        """Return the part `share` of units (n, I): binomial counts, where they are counted."""
        if self.uniform is None:
            return units * share
        start = self.used * self.items
        self.used += 1
        return binomial(units, share, self.uniform[:, start : start + self.items])


def binomial(units: np.ndarray, share: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return binomial counts of whole `units`, each with probability `share`: the inverse transform of `uniform`."""
    units, share, uniform = np.broadcast_arrays(units, np.clip(share, 0.0, 1.0), uniform)
    units = units.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        large = (share < 1) & (units * np.log1p(-share) < counts.SMALLEST_LOG)
    if large.any():
        taken = np.zeros(units.shape)
        taken[large] = counts.binomial(units[large], share[large], uniform[large])
        taken[~large] = binomial(units[~large], share[~large], uniform[~large])
        return taken
    taken, sure = np.zeros(units.shape), share >= 1
    odds = np.where(sure, 0, share / np.where(sure, 1, 1 - share))
    mass = np.where(sure, 0, (1 - np.where(sure, 0, share)) ** units)
    rest = np.where(sure, -1.0, uniform - mass)
    for k in range(1, int(units.max(initial=0)) + 1):
        more = (rest >= 0) & (k <= units)
        if not more.any():
            break
        taken += more
        mass = mass * odds * (units - k + 1) / k
        rest = rest - mass
    return np.where(sure, units, taken)


def deliver(p: MarketplaceParams, parcels: tuple, zones: np.ndarray, capacity: np.ndarray, thin: Thin):
    """Send a day's parcels.

    What would be late tomorrow must go, up to the fleet's capacity; of the rest, the parcels in the visited zones go.
    A tour costs `tour_cost` (x sqrt(N) + (1 - x) sqrt(u)) for the share x of zones visited, N parcels waiting and u
    that must go: in visited zones all are served, elsewhere those alone (Beardwood, Halton and Hammersley 1959).

    Args:
        p: the parameters.
        parcels: units by days since the order, promise + 2 arrays (n, I).
        zones: share of the zones visited (n, 1).
        capacity: parcels that the fleet carries (n, 1).
        thin: takes parts.

    Returns:
        Units sent by days (a list), units left by days (promise + 1 arrays), money for driving (n, 1).
    """
    free, must = parcels[: p.promise - 1], parcels[p.promise - 1 :]
    urgent = added(must).sum(axis=1, keepdims=True)
    waiting = sum((units.sum(axis=1, keepdims=True) for units in free), 0 * urgent)
    go = np.minimum(1, capacity / np.maximum(urgent, 1e-9))
    share = np.minimum(zones, np.maximum(capacity - urgent, 0) / np.maximum(waiting, 1e-9))
    sent = [thin(units, share) for units in free] + [thin(units, go) for units in must]
    left = [units - gone for units, gone in zip(parcels, sent, strict=True)]
    tour = share * np.sqrt(urgent * go + waiting) + (1 - share) * np.sqrt(urgent * go)
    driving = p.stop_cost * added(sent).sum(axis=1, keepdims=True) + p.tour_cost * tour
    return sent, (*left[: p.promise], left[p.promise] + left[p.promise + 1]), driving


@dataclass(slots=True)
class After:
    """What follows from deliveries. Arrays (n, I), units or numbers of buyers."""

    late: np.ndarray
    satisfied: np.ndarray  # 4 or 5 stars
    unhappy: np.ndarray  # 1 or 2 stars, and not helped by the service
    reviews: np.ndarray
    stars: np.ndarray  # sum of the stars that the sentiment model reads in them
    tickets: np.ndarray
    to_person: np.ndarray  # tickets that a person answers
    returns: np.ndarray


def after_sale(p: MarketplaceParams, models: StoreModels, odds, sent: list, honest, thin: Thin) -> After:
    """Return what follows from deliveries.

    Args:
        p: the parameters.
        models: of the store.
        odds: of stars (I, 5) for units in time, and for late ones.
        sent: units delivered by days since the order.
        honest: share of buyers (n, I) who are no fraudsters: the others write nothing and return nothing.
        thin: takes parts.
    """
    in_time, late = added(sent[: p.promise]), added(sent[p.promise :])
    stars, unhappy_late = np.zeros((*in_time.shape, 5)), np.zeros(in_time.shape)
    for units, chance, is_late in zip((in_time, late), odds, (False, True), strict=True):
        rest, left = thin(units, honest), np.ones(p.items)
        for star in range(4):
            part = thin(rest, chance[:, star] / np.maximum(left, 1e-12))
            stars[..., star] += part
            unhappy_late = unhappy_late + part * (is_late and star < 2)
            rest, left = rest - part, left - chance[:, star]
        stars[..., 4] += rest
    unhappy = stars[..., :2].sum(axis=-1)
    written = [thin(stars[..., k], share) for k, share in enumerate(p.review_share)]
    means = models.reading @ np.arange(1, 6)  # what is read in a review of 1 .. 5 stars
    on_lateness, on_goods = p.ticket_share * unhappy_late, p.ticket_share * (unhappy - unhappy_late)
    right, _, person = np.moveaxis(np.stack([on_lateness, on_goods], axis=-1) @ models.service, -1, 0)
    return After(
        late=late,
        satisfied=stars[..., 3:].sum(axis=-1),
        unhappy=unhappy - right - person,
        reviews=added(written),
        stars=added(units * mean for units, mean in zip(written, means, strict=True)),
        tickets=on_lateness + on_goods,
        to_person=person,
        returns=thin(unhappy, p.return_share),
    )


def loyalty(p: MarketplaceParams, customers, buyers, after: After, won) -> tuple[np.ndarray, np.ndarray]:
    """Return the customers (n, S) after a day, and which share (n, S) of the others joined, letters aside.

    What buyers felt is shared out by `buyers` (n, 2 S), the orders of the last days: of customers, then of others.
    `won` (n, S) are those whom letters brought back.
    """
    share = buyers / np.maximum(buyers.sum(axis=1, keepdims=True), 1e-9)
    joining = p.satisfied_join * after.satisfied.sum(axis=1, keepdims=True) * share[:, p.segments :]
    leaving = p.unhappy_leave * after.unhappy.sum(axis=1, keepdims=True) * share[:, : p.segments]
    people = p.population / p.segments
    others = np.maximum(people - customers - won, 1e-9)
    return np.clip(customers + joining - leaving + won, 0, people), joining / others


def smoothed_delivery(days: np.ndarray, sent: list) -> np.ndarray:
    """Return the smoothed `days` (n, 1) from order to delivery, after units sent by days since the order."""
    total = sum(units.sum(axis=1) for units in sent)
    took = sum(day * units.sum(axis=1) for day, units in enumerate(sent)) / np.maximum(total, 1e-9)
    smoothed = days[:, 0] + SMOOTHING * np.where(total > 0, 1 + took - days[:, 0], 0)
    return smoothed[:, None]
