"""Made-up purchases whose order tells: what is bought next depends on what was bought last."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .base import check

TASTE = 40.0  # how alike tastes are: the concentration of a Dirichlet distribution over the genres


@dataclass
class SequenceParams:
    """As many users, items and events as MovieLens-100k has."""

    users: int = 943
    items: int = 1682
    mean: float = 106.0  # events per user; log-normal, 20 to 700
    genres: int = 18
    stay: float = 0.5  # chance that an event is of the genre of the last one
    follow: float = 0.3  # chance that it is one that follows the last one, where the genre stays
    followers: int = 20  # items that are likely after each one
    ties: float = 0.5  # chance that it has the same second as the last one
    seed: int = 0

    def __post_init__(self):
        bounds = {"users": (1, 1_000_000), "items": (20, 1_000_000), "mean": (20, 700), "genres": (1, 1000)}
        bounds |= {"followers": (1, 1000)}
        bounds |= dict.fromkeys(("stay", "follow", "ties"), (0, 1)) | {"seed": (0, 2**31 - 1)}
        check(self, bounds)


def ordered(params: SequenceParams | None = None) -> pd.DataFrame:
    """A row per event: customer, item, timestamp. A user has an item once, as a film is rated once.

    Genres have items of falling popularity, which rises and falls over the two hundred days of the log. A user goes
    through genres by own taste; within one, the next item is one of a few that follow the last one, where these are new
    to the user, or a popular one. The few are another few in the second half of the log, for half of the items.
    """
    p = params or SequenceParams()
    rng = np.random.default_rng(p.seed)
    genre = rng.integers(p.genres, size=p.items)
    rank = rng.permutation(p.items) / p.items
    popular = np.exp(-4 * rank**0.5 - 4 * rank)
    peak = rng.uniform(0, 200, p.items)
    followers = np.stack([_followers(genre, popular, p.followers, rng) for _ in range(2)])  # (2, items, followers)
    same = rng.random(p.items) < 0.5
    followers[1, same] = followers[0, same]
    members = [np.flatnonzero(genre == g) for g in range(p.genres)]
    share = np.array([popular[own].sum() for own in members])
    weights = np.exp(rng.normal(0, 1, p.users))
    counts = np.clip(p.mean * weights / weights.mean(), 20, min(700, p.items // 2)).astype(int)
    rows = []
    for user in range(p.users):
        taste = rng.dirichlet(TASTE * share / share.sum())
        day = rng.uniform(0, 200)
        weight = popular * (1.0 + np.exp(-0.5 * ((day - peak) / 60) ** 2))
        half, second, last, now = int(day > 100), int(86_400 * day), -1, -1
        for _ in range(counts[user]):
            stays = last >= 0 and rng.random() < p.stay
            now = now if stays else _drawn(taste, rng)
            near = followers[half, last] if stays and rng.random() < p.follow else members[now]
            near = near if weight[near].any() else np.arange(p.items)
            last = near[_drawn(weight[near] ** (0.5 if len(near) == p.followers else 1.0), rng)]
            now, weight[last] = genre[last], 0.0
            if rng.random() >= p.ties:
                second += int(rng.exponential(60 if rng.random() < 0.97 else 3 * 86_400)) + 1
            rows.append((f"i{last}", f"u{user}", second))
    table = pd.DataFrame(rows, columns=["item", "customer", "timestamp"])
    table["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(table["timestamp"], unit="s")
    return table.sample(frac=1, random_state=p.seed, ignore_index=True)  # the order of rows says nothing


def _drawn(weight: np.ndarray, rng: np.random.Generator) -> int:
    """A place, by weight."""
    total = np.cumsum(weight)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))


def _followers(genre: np.ndarray, popular: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(items, count) items that follow each one, of its genre and mostly popular ones."""
    found = np.empty((len(genre), count), int)
    for item in range(len(genre)):
        own = np.flatnonzero(genre == genre[item])
        weight = popular[own] ** 0.5
        found[item] = rng.choice(own, count, p=weight / weight.sum(), replace=len(own) < count)
    return found
