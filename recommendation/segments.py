"""What a store shows to a segment of its customers: a recommender's scores, averaged over them."""

import numpy as np
import pandas as pd

from . import create
from .base import Histories, Log, Recommender
from .metrics import ranking_metrics
from .protocol import Split, rank

COLUMNS = ("customer", "segment", "item", "day")  # of a purchase: any id, then whole numbers from 0
_HELD_OUT = 0.2  # share of the days, the last ones, that the ranking is measured on
_K = 10


class SegmentHistory:
    """The purchases of customers, each of one segment, in a catalogue of `items` items."""

    def __init__(self, history: pd.DataFrame, items: int = 0, segments: int = 0):
        """`items` and `segments` are 0 where the history holds all of them.

        Raises ValueError for a missing column, numbers that are not whole or too large, no purchase of a segment, or a
        customer of two segments. Purchases without a customer are left out.
        """
        missing = [name for name in COLUMNS if name not in history]
        if missing:
            raise ValueError(f"column {missing[0]!r}: missing; expected {', '.join(COLUMNS)}")
        history = history[history["customer"].notna()]
        if history.empty:
            raise ValueError("history has 0 rows with a customer: allowed are one or more")
        for name, count in (("segment", segments), ("item", items), ("day", 0)):
            value = history[name].to_numpy()
            if not np.all((value >= 0) & (value == np.floor(value))) or (count and value.max() >= count):
                allowed = f"0 to {count - 1}" if count else "0"
                raise ValueError(
                    f"column {name!r}: {value.min()} to {value.max()}; expected whole numbers from {allowed}"
                )
        user, names = pd.factorize(history["customer"], sort=True)
        self.segment = history.groupby(user)["segment"].max().to_numpy(int)  # (U,)
        if (history["segment"].to_numpy() != self.segment[user]).any():
            name = names[user[(history["segment"].to_numpy() != self.segment[user]).argmax()]]
            raise ValueError(f"customer {name!r} has two segments: allowed is one")
        self.segments = segments or int(self.segment.max()) + 1
        empty = np.setdiff1d(np.arange(self.segments), self.segment)
        if len(empty):
            raise ValueError(f"segment {empty[0]} has no customer in the history: allowed are segments with one")
        items, item, day = items or int(history["item"].max()) + 1, history["item"], history["day"]
        histories = Histories.sorted(user, item, day, len(names), float(day.max()) + 1)
        self.log = Log([str(name) for name in names], [str(number) for number in range(items)], histories)

    def mean(self, scores: np.ndarray) -> np.ndarray:
        """(segments + 1, items) means of scores (U, items) over the customers of each segment, last over all.

        Each row is shifted and scaled to mean 0 and standard deviation 1.
        """
        rows = [scores[self.segment == segment].mean(0) for segment in range(self.segments)]
        table = np.stack([*rows, scores.mean(0)]).astype(float)
        spread = table.std(1, keepdims=True)
        return (table - table.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def relevance_of(
    history: pd.DataFrame, items: int = 0, segments: int = 0, model: str = "ials", seed: int = 0
) -> tuple[np.ndarray, Recommender, dict[str, float]]:
    """A table (segments + 1, items), the recommender behind it, and NDCG@10 on the history's last fifth of days.

    The measured model saw the days before alone; the table's is then fitted on all. Repeats count. Ranked by: what most
    customers bought (`popularity`), the segment's customers bought (`purchases of the segment`), the recommender's
    mean over the segment (`segment`, what the store shows) and its scores of each customer (`customer`).
    """
    data = SegmentHistory(history, items, segments)
    params = {"seed": seed} if model in ("ials", "frobenius_mf", "transformer") else {}
    params |= {"progress": False} if model == "transformer" else {}
    measured = _measure(data, create(model, **params))
    fitted = create(model, **params).fit(data.log)
    return data.mean(fitted.scores(data.log.histories).numpy()), fitted, measured


def _measure(data: SegmentHistory, model: Recommender) -> dict[str, float]:
    whole = data.log.histories
    cut = np.ceil(whole.day.min() + (1 - _HELD_OUT) * (whole.day.max() + 1 - whole.day.min()))
    before = whole.where(whole.day < cut, now=cut)
    later = whole.where(whole.day >= cut)
    bought = [np.unique(items) for items in np.split(later.item, later.start[1:-1])]
    split = Split(Log(data.log.users, data.log.items, before), before, bought)
    count = len(data.log.items)
    buys = before.counts(count).toarray()
    users = np.array([user for user, items in enumerate(bought) if len(items)], int)

    def ndcg(table: np.ndarray) -> float:
        lists = np.argsort(-table[data.segment[users]], axis=1, kind="stable")[:, :_K]
        return ranking_metrics(lists, [bought[user] for user in users], buys.sum(0))[f"NDCG@{_K}"]

    model.fit(split.log)
    everyone = np.repeat((buys > 0).sum(0)[None].astype(float), data.segments, axis=0)
    return {
        "popularity": ndcg(everyone),
        "purchases of the segment": ndcg(data.mean(buys)),
        "segment": ndcg(data.mean(model.scores(before).numpy())),
        "customer": rank(model, split, _K, repeats=True)[f"NDCG@{_K}"],
    }
