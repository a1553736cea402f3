"""What the synthetic store's items and customers are like, the stars that come of it, and who is drawn to what."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(eq=False)
class Satisfaction:
    """What decides ratings: stars are 3.6 + quality + leniency + taste . feature + noise, rounded and cut to 1 .. 5."""

    quality: np.ndarray  # (I,) stars
    feature: np.ndarray  # (I, K)
    taste: np.ndarray  # (C, K)
    leniency: np.ndarray  # (C,) stars
    noise: float = 0.6  # standard deviation, stars


def satisfaction(factors: int, customers: int, catalogue: pd.DataFrame, rng: np.random.Generator) -> Satisfaction:
    """What items and customers are like. Items of a category are alike."""
    items, (names, category) = len(catalogue), np.unique(catalogue["category"], return_inverse=True)
    center = rng.normal(0.0, 0.7, (len(names), factors))
    feature = center[category] + rng.normal(0.0, 0.7, (items, factors))
    taste = rng.normal(0.0, 0.6 / math.sqrt(factors), (customers, factors))
    return Satisfaction(rng.normal(0.0, 0.4, items), feature, taste, rng.normal(0.0, 0.3, customers))


def ratings(
    share: float,
    catalogue: pd.DataFrame,
    customers: pd.DataFrame,
    orders: pd.DataFrame,
    known: Satisfaction,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Stars of a `share` of the pairs of customer and item, of what was bought first."""
    pairs = orders[["customer", "item", "timestamp"]].drop_duplicates(["customer", "item"])
    pairs = pairs[rng.random(len(pairs)) < share].reset_index(drop=True)
    item = pd.Index(catalogue["item"]).get_indexer(pairs["item"])
    user = pd.Index(customers["customer"]).get_indexer(pairs["customer"])
    stars = 3.6 + known.quality[item] + known.leniency[user] + (known.taste[user] * known.feature[item]).sum(axis=1)
    stars = np.clip(np.rint(stars + rng.normal(0.0, known.noise, len(pairs))), 1, 5).astype(int)
    return pairs.assign(rating=stars)


def drawn_to(
    appeal: float, liked: np.ndarray, looking: np.ndarray, taste: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Who of the customers that look at each order's items places the order (orders,): a logit of taste.

    Args:
        appeal: log-odds per star.
        liked: (orders, K) features of the items, summed over the order's lines.
        looking: (orders, L) numbers of customers.
        taste: (customers, K).
        rng: of the choice.
    """
    utility = appeal * (taste[looking] * liked[:, None]).sum(axis=2)
    place = np.argmax(utility + rng.gumbel(size=utility.shape), axis=1)
    return looking[np.arange(len(looking)), place]
