"""Synthetic customers: they join, buy, rate, and leave for good.

Purchases and departures follow the BG/NBD model (Fader, Hardie and Lee 2005, "Counting your customers the easy way",
Marketing Science 24(2)): while a customer stays, the days between purchases are exponential with a rate of their own,
and after each purchase they leave with a probability of their own. Two things are added: a bad experience makes leaving
more likely, and what is bought next depends on what was bought last.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import FieldError
from ..learning.params import check_whole


@dataclass
class CustomerParams:
    """Parameters of a made-up population."""

    customers: int = 4000
    days: int = 730
    categories: int = 12
    mean_gap: float = 30.0  # days between a staying customer's purchases, on average over customers
    gap_shape: float = 1.2  # of the gamma distribution of purchase rates: the smaller, the more customers differ
    leave: float = 0.05  # mean probability of leaving after a purchase, before experiences
    unhappy_leave: float = 0.30  # added to it after a rating of 1 or 2
    follow: float = 0.5  # share of purchases that follow on the last category, not from taste
    reviewed: float = 0.4  # share of purchases whose rating is known
    mean_amount: float = 40.0  # money per purchase
    seed: int = 0

    def __post_init__(self):
        check_whole(self, customers=1, days=1, categories=2, seed=0)
        for name in ("mean_gap", "gap_shape", "mean_amount"):
            if not 0 < getattr(self, name) < np.inf:
                raise FieldError(name, getattr(self, name), "a number above 0")
        for name in ("leave", "unhappy_leave", "follow", "reviewed"):
            if not 0 <= getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "a number from 0 to below 1")


@dataclass
class Customers:
    """A made-up population: its purchases, and its true state, which no shop sees."""

    events: pd.DataFrame  # the columns of `histories.EVENTS`, by time
    rate: np.ndarray  # (C,) purchases per day while a customer stays
    amount: np.ndarray  # (C,) mean money per purchase
    left: np.ndarray  # (C,) the day on which a customer left; inf: still there at the end
    first: float  # day of the first event

    def staying(self, day: float) -> np.ndarray:
        """Return which customers (C,) have not left by a day."""
        return self.left > day


def generate(params: CustomerParams | None = None) -> Customers:
    """Draw a population. The same parameters give the same one."""
    p = params or CustomerParams()
    rng = np.random.default_rng([p.seed, 0xC057])
    rate = np.maximum(rng.gamma(p.gap_shape, 1 / (p.gap_shape * p.mean_gap), p.customers), 1 / (20 * p.mean_gap))
    amount = p.mean_amount * np.exp(rng.normal(-0.18, 0.6, p.customers))
    leaves = rng.beta(1.0, max(1.0, 1 / p.leave - 1), p.customers) if p.leave else np.zeros(p.customers)
    taste = rng.dirichlet(np.full(p.categories, 0.4), p.customers).cumsum(axis=1)
    pull = rng.dirichlet(np.full(p.categories, 0.2), p.categories).cumsum(axis=1)  # from the last category to the next
    quality = rng.normal(3.9, 0.5, p.categories)
    joined = rng.uniform(0, 0.8 * p.days, p.customers)
    left, rows = np.full(p.customers, np.inf), []
    for customer in range(p.customers):
        day, last = joined[customer], -1
        while day < p.days:
            follows, where = last >= 0 and rng.random() < p.follow, rng.random()
            last = int(np.searchsorted(pull[last] if follows else taste[customer], where))
            last = min(last, p.categories - 1)
            rating = float(np.clip(np.round(rng.normal(quality[last], 1.0)), 1, 5))
            known = rating if rng.random() < p.reviewed else np.nan
            rows.append((customer, day, last, amount[customer] * np.exp(rng.normal(-0.08, 0.4)), known))
            if rng.random() < min(0.95, leaves[customer] + p.unhappy_leave * (rating <= 2)):
                left[customer] = day
                break
            day += rng.exponential(1 / rate[customer])
    table = pd.DataFrame(rows, columns=["customer", "day", "category", "amount", "rating"]).sort_values("day")
    events = pd.DataFrame({
        "customer": [f"C{number:05d}" for number in table["customer"]],
        "timestamp": pd.Timestamp("2023-01-01") + pd.to_timedelta((table["day"] * 86400).astype(int), unit="s"),
        "category": [f"K{number:02d}" for number in table["category"]],
        "amount": table["amount"].round(2).clip(lower=0.01).to_numpy(),
        "rating": table["rating"].to_numpy(),
    })  # fmt: skip
    return Customers(events.reset_index(drop=True), rate, amount, left, float(table["day"].min()))
