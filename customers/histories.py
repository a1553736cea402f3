"""Purchases into samples: what a shop knows of a customer on a day, and what came in the 90 days after it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Column, read
from ..errors import FieldError

EVENTS = (
    Column("customer", "customer"),
    Column("timestamp", "timestamp"),
    Column("category", "text"),  # or the item, where there are few
    Column("amount", "number", above=0),  # money
    Column("rating", "number", required=False, nullable=True, minimum=0),  # of the purchase, where it is known
)
TASKS = ("next", "rating", "churn", "spend")
AHEAD = 90.0  # days that are told
LENGTH = 32  # purchases of a customer that are read, the last ones
CHANNELS = 6
FEATURES = (
    *("recency", "count", "tenure", "mean_gap", "last_gap", "gap_spread", "recency_by_gap"),  # days, but the count
    *("mean_amount", "last_amount", "amount_90", "count_90"),
    *("mean_rating", "last_rating", "unhappy", "last_category"),
)


@dataclass
class Samples:
    """Samples, N rows: one per customer and day."""

    customer: np.ndarray  # (N,) ids
    day: np.ndarray  # (N,) days since the first event: everything before is known
    tokens: np.ndarray  # (N, LENGTH, CHANNELS) float32, the latest purchase last
    category: np.ndarray  # (N, LENGTH) int64, 0: no purchase, or a category that training did not have
    absent: np.ndarray  # (N, LENGTH) bool
    table: np.ndarray  # (N, F) float32 `FEATURES`, then the share of each category; NaN: not known
    target: dict[str, np.ndarray]  # (N,) of each of TASKS; NaN: unknown. next: category 1.., churn: 0 or 1

    def __len__(self) -> int:
        return len(self.day)

    def feature(self, name: str) -> np.ndarray:
        """Return one of `FEATURES` (N,)."""
        return self.table[:, FEATURES.index(name)]


def read_events(source: str | Path | pd.DataFrame, columns: dict[str, str] | None = None) -> pd.DataFrame:
    """Read a table of purchases under `EVENTS`; customers become pseudonyms. Rows are by time.

    Raises:
        ValueError: a missing column or a bad row, by name and number.
    """
    table = read(source, EVENTS, columns=columns).sort_values("timestamp", kind="stable").reset_index(drop=True)
    return table if "rating" in table else table.assign(rating=np.nan)


def days_of(events: pd.DataFrame) -> np.ndarray:
    """Return the day (n,) of each event, counted from the first one, with its fraction."""
    since = events["timestamp"] - events["timestamp"].min()
    return since.dt.total_seconds().to_numpy() / 86400


def cuts(days: float, every: float = 30.0) -> dict[str, list[float]]:
    """Return the days on which samples are made: training, then validation, then test, whose 90 days do not overlap.

    Raises:
        FieldError: a history that is too short for a training day.
    """
    test, validation = days - AHEAD, days - 2 * AHEAD
    training = np.arange(validation - AHEAD, AHEAD, -every)[::-1]
    if not len(training):
        raise FieldError("days", round(days, 1), f"a history of more than {4 * AHEAD:g} days")
    return {"train": training.tolist(), "validation": [validation], "test": [test]}


def samples(events: pd.DataFrame, at: list[float], categories: list[str]) -> Samples:
    """Return a row for each day of `at` and each customer who bought before that day.

    Args:
        events: of `read_events` or a generator, by time.
        at: days since the first event.
        categories: known ones, those of the training days; others are 0.
    """
    day, codes = days_of(events), {name: number for number, name in enumerate(categories, start=1)}
    code = events["category"].map(codes).fillna(0).astype(int).to_numpy()
    amount, rating = events["amount"].to_numpy(float), events["rating"].to_numpy(float)
    groups = [(name, np.sort(rows)) for name, rows in events.groupby("customer", sort=True).indices.items()]
    found = [
        (name, cut, rows[:before], rows[before:])
        for cut in at
        for name, rows in groups
        if (before := int(np.searchsorted(day[rows], cut)))
    ]
    if not found:
        raise FieldError("events", len(events), "a customer who has bought before the day")
    made = [_sample(cut, past, later, day, code, amount, rating, len(categories)) for _, cut, past, later in found]
    tokens, category, table, target = (list(column) for column in zip(*made, strict=True))
    category = np.stack(category)
    return Samples(
        customer=np.array([name for name, *_ in found]),
        day=np.array([cut for _, cut, *_ in found]),
        tokens=np.stack(tokens).astype(np.float32),
        category=np.maximum(category, 0),
        absent=category < 0,
        table=np.stack(table).astype(np.float32),
        target={name: np.array([row[name] for row in target]) for name in TASKS},
    )


def _sample(cut, past, later, day, code, amount, rating, count):
    """One customer on one day: tokens, categories (-1: none), features, targets."""
    gaps, ago = np.diff(day[past]), cut - day[past]
    shown = past[-LENGTH:]
    tokens, category = np.zeros((LENGTH, CHANNELS)), np.full(LENGTH, -1)
    before = np.r_[np.nan, gaps][-LENGTH:]
    known = ~np.isnan(rating[shown])
    tokens[-len(shown) :] = np.stack([
        np.log1p(cut - day[shown]) - 3, np.log1p(np.nan_to_num(before)) - 3, np.isnan(before),
        np.log(amount[shown]) - 3.5, known, np.where(known, np.nan_to_num(rating[shown]) - 3.5, 0),
    ], axis=1)  # fmt: skip
    category[-len(shown) :] = code[shown]
    mean_gap = gaps.mean() if len(gaps) else np.nan
    rated, recent = rating[past][~np.isnan(rating[past])], ago < AHEAD
    last_gap, spread = (gaps[-1], gaps.std()) if len(gaps) else (np.nan, np.nan)
    by_gap = ago[-1] / mean_gap if mean_gap > 0 else np.nan
    mean_rating = rated.mean() if len(rated) else np.nan
    features = [ago[-1], len(past), ago[0], mean_gap, last_gap, spread, by_gap]
    features += [amount[past].mean(), amount[past[-1]], amount[past][recent].sum(), recent.sum()]
    features += [mean_rating, rating[past[-1]], (rated <= 2).sum(), code[past[-1]]]
    shares = np.bincount(code[past], minlength=count + 1)[1:] / len(past)
    soon = later[day[later] < cut + AHEAD]
    rated_next = soon[~np.isnan(rating[soon])]
    target = {
        "next": float(code[soon[0]]) if len(soon) and code[soon[0]] else np.nan,
        "rating": rating[rated_next[0]] if len(rated_next) else np.nan,
        "churn": float(not len(soon)),
        "spend": float(amount[soon].sum()),
    }
    return tokens, category, np.r_[features, shares], target
