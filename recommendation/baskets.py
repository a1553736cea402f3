"""Histories as sequences of baskets, each a set of items, laid flat for the network: what it reads and what it learns.

A user's positions are a start, then the last `length` days with a purchase. From each position the network looks at the
next one's day (`now`); the last position looks at the day that a recommendation is for.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from .base import Histories


@dataclass
class Baskets:
    """`P` positions of `U` users; pairs (position, item) are in the order of the positions."""

    start: np.ndarray  # (U + 1,) first position of each user
    day: np.ndarray  # (P,) of the basket; of the start: NaN
    now: np.ndarray  # (P,) day that is looked at
    read: np.ndarray  # (2, N) pairs: the items of each basket
    rating: np.ndarray  # (N,) stars minus the mean, NaN = not rated, of the pairs read
    first: np.ndarray  # (2, M) pairs: items bought for the first time; those before the last `length` at the start
    target: np.ndarray  # (2, K) pairs: items that are bought for the first time soon after `now`

    @classmethod
    def of(cls, histories: Histories, length: int, horizon: float, mean_rating: float = 0.0) -> "Baskets":
        """`horizon`: days after `now` whose new items are targets."""
        user, day = histories.user, np.floor(histories.day)
        new_basket = np.r_[True, (np.diff(user) != 0) | (np.diff(day) != 0)][: len(user)]
        basket = np.cumsum(new_basket) - 1
        owner, basket_day = user[new_basket], day[new_basket]
        counts = np.bincount(owner, minlength=len(histories))
        kept = np.minimum(counts, length)
        start = np.r_[0, np.cumsum(kept + 1)]
        # A basket's position; below its user's start + 1: too old, read no more.
        ends = np.cumsum(counts)
        place = start[:-1][owner] + kept[owner] - (ends[owner] - 1 - np.arange(len(owner)))
        old = place <= start[:-1][owner]
        place = np.maximum(place, start[:-1][owner])
        days = np.full(start[-1], np.nan)
        days[place[~old]] = basket_day[~old]
        now = np.r_[days[1:], np.nan]
        now[start[1:] - 1] = histories.now
        position = place[basket]
        _, first = np.unique(user * (histories.item.max(initial=0) + 1) + histories.item, return_index=True)
        _, once = np.unique(basket * (histories.item.max(initial=0) + 1) + histories.item, return_index=True)
        read = once[~old[basket[once]]]
        stars = np.full(len(user), np.nan) if histories.rating is None else histories.rating - mean_rating
        first = first[np.argsort(position[first], kind="stable")]
        pairs = np.stack([position, histories.item])
        target = _targets(pairs[:, first[~old[basket[first]]]], start, days, horizon)
        return cls(start, days, now, pairs[:, read], stars[read], pairs[:, first], target)

    def take(self, users: np.ndarray) -> "Baskets":
        """Return the baskets of some users (numbers)."""
        counts = np.diff(self.start)[users]
        start = np.r_[0, np.cumsum(counts)]
        shift = start[:-1] - self.start[users]
        positions = _ranges(self.start[users], counts)

        def pairs(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            bounds = np.searchsorted(whole[0], [self.start[users], self.start[users + 1]])
            rows = _ranges(bounds[0], bounds[1] - bounds[0])
            moved = whole[:, rows].copy()
            moved[0] += np.repeat(shift, bounds[1] - bounds[0])
            return moved, rows

        read, rows = pairs(self.read)
        first, target = pairs(self.first)[0], pairs(self.target)[0]
        return Baskets(start, self.day[positions], self.now[positions], read, self.rating[rows], first, target)

    def with_items(self, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> "Baskets":
        """The same with other items: `change` takes users (numbers) and items, and gives the items in their place."""
        parts = (self.read, self.first, self.target)
        position, item = np.concatenate(parts, axis=1)
        item = change(np.searchsorted(self.start, position, side="right") - 1, item)
        items = np.split(item, np.cumsum([part.shape[1] for part in parts])[:-1])
        read, first, target = (np.stack([part[0], new]) for part, new in zip(parts, items, strict=True))
        return replace(self, read=read, first=first, target=target)

    def tensors(self, device: torch.device) -> "Baskets":
        """The same as tensors."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        kinds = {"day": np.float32, "now": np.float32, "rating": np.float32}
        # Days as float32 are whole numbers below 2^24: exact.
        arrays = {name: np.ascontiguousarray(v, kinds.get(name, np.int64)) for name, v in values.items()}
        return Baskets(**{name: torch.from_numpy(array).to(device) for name, array in arrays.items()})


def _targets(first: np.ndarray, start: np.ndarray, day: np.ndarray, horizon: float) -> np.ndarray:
    """Pairs (position, item): each new item of a basket, for every earlier position that looks at a day near enough."""
    starts = np.zeros(len(day), bool)
    starts[start[:-1]] = True
    parts, source, here = [], first[0] - 1, np.arange(first.shape[1])
    while len(here):
        near = day[first[0][here]] - day[source + 1] < horizon
        here, source = here[near], source[near]
        parts.append(np.stack([source, first[1][here]]))
        more = ~starts[source]
        here, source = here[more], source[more] - 1
    pairs = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.int64)
    return pairs[:, np.argsort(pairs[0], kind="stable")]


def _ranges(low: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The whole numbers low .. low + counts - 1 of each pair, concatenated."""
    offsets = np.r_[0, np.cumsum(counts)]
    return np.repeat(low - offsets[:-1], counts) + np.arange(offsets[-1])
