"""What every recommender does: purchases in, a score for every item, lists of the best ones in stock, with reasons."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..data import Column, read
from ..data.images import Pictures
from ..data.values import absent, plain, refuse_zone, stripped
from ..errors import FieldError
from ..learning.base import Card, load_folder, save_folder

_DAY = np.timedelta64(1, "D")
EPOCH = np.datetime64("1970-01-01")


def days_of(times) -> np.ndarray:
    """Timestamps as days since 1970-01-01, float64. Raises ValueError where they have a zone."""
    refuse_zone(times, "timestamp")
    return (np.asarray(times, "datetime64[ns]") - EPOCH) / _DAY


@dataclass
class Histories:
    """The purchases of `U` users, oldest first, concatenated by user: user u's are `start[u] .. start[u + 1] - 1`."""

    item: np.ndarray  # (N,) int64, item numbers in the catalogue
    day: np.ndarray  # (N,) float64, days since 1970-01-01
    start: np.ndarray  # (U + 1,) int64
    now: np.ndarray  # (U,) float64, the day that a recommendation is for
    rating: np.ndarray | None = None  # (N,) float64, stars; NaN = not rated

    def __len__(self) -> int:
        return len(self.now)

    @property
    def user(self) -> np.ndarray:
        """(N,) user numbers."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @classmethod
    def sorted(cls, user, item, day, users: int, now, rating=None) -> "Histories":
        """From rows in any order; `now` is one day or one per user."""
        order = np.lexsort((item, day, user))
        start = np.searchsorted(np.asarray(user)[order], np.arange(users + 1))
        now = np.broadcast_to(np.asarray(now, float), (users,))
        rating = None if rating is None else np.asarray(rating, float)[order]
        return cls(np.asarray(item, np.int64)[order], np.asarray(day, float)[order], start, now, rating)

    @classmethod
    def of(cls, purchases: Sequence[Sequence[tuple[str, object]]], items: list[str], now) -> "Histories":
        """From a list of (item, time) per user. Items that are not in the catalogue are left out.

        Raises ValueError naming the user whose purchases are no such list, or who bought something after `now`.
        """
        number, now = {name: k for k, name in enumerate(items)}, float(days_of(pd.Timestamp(now)))
        rows = []
        for user, bought in enumerate(purchases):
            try:
                own = [(user, number[name], float(days_of(pd.Timestamp(t)))) for name, t in bought if name in number]
            except (TypeError, ValueError) as error:
                raise ValueError(f"histories[{user}] is no list of (item, time): {error}") from None
            if any(not day <= now for _, _, day in own):
                raise ValueError(f"histories[{user}] holds a purchase after now: allowed are times until it")
            rows += own
        user, item, day = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
        return cls.sorted(user.astype(np.int64), item.astype(np.int64), day, len(purchases), now)

    def take(self, users: np.ndarray) -> "Histories":
        """Return the histories of some users (numbers)."""
        counts = np.diff(self.start)[users]
        start = np.r_[0, np.cumsum(counts)]
        rows = np.repeat(self.start[users] - start[:-1], counts) + np.arange(start[-1])
        rating = None if self.rating is None else self.rating[rows]
        return Histories(self.item[rows], self.day[rows], start, self.now[users], rating)

    def where(self, keep: np.ndarray, now=None) -> "Histories":
        """The purchases where `keep` (N,) is true, of the same users."""
        start = np.r_[0, np.cumsum(keep)][self.start]
        now = self.now if now is None else np.broadcast_to(np.asarray(now, float), (len(self),))
        rating = None if self.rating is None else self.rating[keep]
        return Histories(self.item[keep], self.day[keep], start, now, rating)

    def counts(self, items: int) -> sparse.csr_array:
        """(U, items) how often each item was bought."""
        table = sparse.csr_array((np.ones(len(self.item)), (self.user, self.item)), shape=(len(self), items))
        table.sum_duplicates()
        return table

    def bought(self, items: int) -> sparse.csr_array:
        """(U, items) 1 where an item was bought at all."""
        table = self.counts(items)
        table.data[:] = 1.0
        return table


@dataclass
class Log:
    """A catalogue, its customers and what they bought."""

    users: list[str]  # (U,)
    items: list[str]  # (I,)
    histories: Histories
    text: list[str] | None = None  # (I,) descriptions
    images: Pictures | None = None  # of the items

    def __post_init__(self):
        if not self.items:
            raise ValueError("the catalogue is empty: at least one item is needed")
        if not len(self.histories.item):
            raise ValueError("the log holds no purchase: at least one is needed")

    @property
    def end(self) -> float:
        """The day that the log ends before, days since 1970-01-01."""
        return float(np.floor(self.histories.day.max()) + 1)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, text: dict[str, str] | None = None) -> "Log":
        """From a row per purchase: customer, item, timestamp, and rating, if there is one; guests are left out.

        A guest has no customer id, or a word for none (see `data.values.absent`). `text` has descriptions by item.
        Raises ValueError when a column is missing, a row has no item or time, times have a zone, or nothing is left.
        """
        missing = [name for name in ("customer", "item", "timestamp") if name not in frame]
        if missing:
            raise ValueError(f"column {missing[0]!r}: missing; expected customer, item and timestamp")
        frame = frame.assign(**{name: plain(frame[name]) for name in frame.columns}).reset_index(drop=True)
        refuse_zone(frame["timestamp"], "timestamp")
        if frame["timestamp"].dtype == object:  # text: days and months in one order, or refused
            frame = frame.assign(
                timestamp=read(frame[["timestamp"]], (Column("timestamp", "timestamp", nullable=True),))
            )
        frame = frame[~absent(frame["customer"])[0]]
        frame = frame.assign(**{name: stripped(frame[name])[0] for name in ("customer", "item")})
        for name, expected in (("item", "an item"), ("timestamp", "a time")):
            gone = frame.index[frame[name].isna()]
            if len(gone):
                raise ValueError(f"column {name!r}, row {gone[0] + 1}: nothing; expected {expected}")
        user, users = pd.factorize(frame["customer"], sort=True)
        item, items = pd.factorize(frame["item"], sort=True)
        day = days_of(frame["timestamp"])
        rating = frame.get("rating")
        end = np.floor(day.max()) + 1 if len(day) else 0.0
        histories = Histories.sorted(user, item, day, len(users), end, rating)
        described = None if text is None else [text.get(name) or "" for name in items]
        return cls(list(users), list(items), histories, described)


class Recommender(ABC):
    """Scores of all items of the catalogue from users' histories. `U` users, `I` items.

    A user without a history is scored as one who has bought nothing: by what the model knows of the items alone.
    """

    name: str  # the key in `recommendation.RANKERS`
    Params: type  # a dataclass of plain types

    def __init__(self, params=None):
        self.params = params or self.Params()
        self.items: list[str] = []

    def fit(self, log: Log) -> "Recommender":
        self.items = list(log.items)
        self._fit(log)
        return self

    @abstractmethod
    def _fit(self, log: Log) -> None: ...

    @abstractmethod
    def scores(self, histories: Histories) -> torch.Tensor:
        """(U, I) float32, the higher the better."""

    def predict(self, histories: Histories, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """(N,) scores of pairs of a user's number in `histories` and an item's, as the rating models predict stars."""
        return self.scores(histories).numpy()[user, item]

    def recommend(
        self, histories: Histories, k: int, in_stock: np.ndarray | None = None, repeats: bool = False
    ) -> np.ndarray:
        """(U, k) item numbers, best first, -1 where fewer are available: in stock, and not bought before.

        `in_stock` is (I,) or (U, I) bool; `repeats` allows what was bought before. Raises ValueError when k is below
        1, `in_stock` has another shape, or the model was not fitted.
        """
        self._check(histories)
        if k < 1:
            raise FieldError("k", k, "a whole number from 1")
        return top(self.scores(histories), histories, k, in_stock, repeats)

    def explain(self, histories: Histories, user: int, item: int, most: int = 3) -> list[tuple[int, float]]:
        """The items of a user's history that speak most for `item`: numbers, and by how much its score falls
        without them (all purchases of the one item), largest first; falls of nothing are left out.
        """
        self._check(histories)
        own = histories.take(np.array([user]))
        bought = np.unique(own.item)
        without = [own.where(own.item != other) for other in bought]
        if not without:
            return []
        parts = [own, *without]
        batch = Histories(
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.day for part in parts]),
            np.r_[0, np.cumsum([len(part.item) for part in parts])],
            np.concatenate([part.now for part in parts]),
            None if own.rating is None else np.concatenate([part.rating for part in parts]),
        )
        scores = self.scores(batch)[:, item].numpy()
        falls = scores[0] - scores[1:]
        order = np.argsort(-falls, kind="stable")[:most]
        return [(int(bought[k]), float(falls[k])) for k in order if falls[k] > 0]

    def _check(self, histories: Histories) -> None:
        if not self.items:
            raise ValueError("the model has no catalogue: call fit first")
        wrong = histories.item[(histories.item < 0) | (histories.item >= len(self.items))]
        if len(wrong):
            raise FieldError("item", int(wrong[0]), f"a number in the catalogue, 0 .. {len(self.items) - 1}")

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What `fit` learned, but for the catalogue."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `_arrays`."""

    def save(self, folder: str | Path, card: Card) -> None:
        self._check(Histories.of([], self.items, "1970-01-01"))
        save_folder(folder, self.name, {"params": asdict(self.params), "items": self.items}, self._arrays(), card)

    @classmethod
    def load(cls, folder: str | Path) -> "Recommender":
        _, config, arrays, _ = load_folder(folder, cls.name)
        try:
            model = cls(cls.Params(**config["params"]))
            model.items = list(config["items"])
            model._restore(arrays)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{folder} holds no usable {cls.name}: {error}") from None
        return model


def top(scores: torch.Tensor, histories: Histories, k: int, in_stock=None, repeats: bool = False) -> np.ndarray:
    """(U, k) item numbers by falling score; see `Recommender.recommend`. `scores` (U, I) is overwritten."""
    users, items = scores.shape
    if in_stock is not None:
        in_stock = np.asarray(in_stock)
        if in_stock.dtype != bool or in_stock.shape not in ((items,), (users, items)):
            shown = f"{in_stock.dtype} of shape {in_stock.shape}"
            raise ValueError(f"in_stock: {shown} is not allowed, expected bool of shape {(items,)} or {(users, items)}")
        closed = np.where(in_stock, np.float32(0), np.float32(-np.inf))
        scores.add_(torch.from_numpy(closed))  # four times as fast as a masked fill
    if not repeats:
        scores[torch.from_numpy(histories.user), torch.from_numpy(histories.item)] = -torch.inf
    values, columns = scores.topk(min(k, items), dim=1)
    lists = columns.masked_fill(values == -torch.inf, -1).numpy()
    return np.pad(lists, ((0, 0), (0, max(0, k - items))), constant_values=-1)


def check(params, bounds: dict[str, tuple[float, float]]) -> None:
    """Raise ValueError naming the first field outside its bounds (lowest, highest)."""
    for field in fields(params):
        value, (low, high) = getattr(params, field.name), bounds[field.name]
        kinds = (int,) if field.type is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            what = "a whole number" if field.type is int else "a number"
            raise FieldError(field.name, value, f"{what} from {low:g} to {high:g}")
