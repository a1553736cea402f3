"""Baselines: popularity, a customer's own purchases, and linear item-to-item models (cosine neighbours, EASE)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg, sparse

from .base import Histories, Log, Recommender, check
from .baskets import Baskets

WINDOWS = (7, 30)  # days whose sales are the trend
_COLUMNS = 128  # of a slice


@dataclass
class PopularityParams:
    days: float = 0.0  # of the log's end that count; 0 = all

    def __post_init__(self):
        check(self, {"days": (0, 1e6)})


class Popularity(Recommender):
    """How many customers bought an item, all time or in the last days of the log."""

    name = "popularity"
    Params = PopularityParams

    def _fit(self, log: Log) -> None:
        recent = log.histories.day >= (log.end - self.params.days if self.params.days else -np.inf)
        self.buyers = np.asarray(log.histories.where(recent).bought(len(self.items)).sum(axis=0), np.float32)

    def scores(self, histories: Histories) -> torch.Tensor:
        return torch.from_numpy(self.buyers).repeat(len(histories), 1)

    def _arrays(self):
        return {"buyers": self.buyers}

    def _restore(self, arrays):
        self.buyers = arrays["buyers"]


class OwnFrequency(Popularity):
    """How often the customer bought an item before; among those never bought, the more popular one."""

    name = "own_frequency"

    def scores(self, histories: Histories) -> torch.Tensor:
        share = self.buyers / (self.buyers.max() + 1)  # below one purchase
        own = histories.counts(len(self.items)).astype(np.float32).toarray()
        return torch.from_numpy(own).add_(torch.from_numpy(share))


class ItemToItem(Recommender):
    """Scores are the sum of the rows of a table (I, I) that a user's items pick."""

    rows: "RowSums"

    def scores(self, histories: Histories) -> torch.Tensor:
        return self.rows.of(histories)

    def _arrays(self):
        return {"table": self.rows.table.numpy()}

    def _restore(self, arrays):
        self.rows = RowSums(torch.from_numpy(arrays["table"]))


class RowSums:
    """Sums of rows of a table (I, columns), which lies in slices of a few columns: all rows of one fit the cache."""

    def __init__(self, table: torch.Tensor):
        self.slices = [part.contiguous() for part in table.split(_COLUMNS, dim=1)]

    @property
    def table(self) -> torch.Tensor:
        return torch.cat(self.slices, dim=1)

    def of(self, histories: Histories) -> torch.Tensor:
        """(U, columns) over each user's items, each counted once."""
        bought = histories.bought(len(self.slices[0]))
        item, start = (torch.from_numpy(array.astype(np.int64)) for array in (bought.indices, bought.indptr))
        return torch.cat(list(self._sums(item, start[:-1])), dim=1)

    def add_to(self, scores: torch.Tensor, weight: torch.Tensor, item: torch.Tensor, starts: torch.Tensor) -> None:
        """Adds to `scores` (U, columns) `weight` (U, 1) x the sums over `item` (N,), from each of `starts` (U,) on."""
        for part, sums in zip(scores.split(_COLUMNS, dim=1), self._sums(item, starts), strict=True):
            part.addcmul_(weight, sums)

    def _sums(self, item: torch.Tensor, starts: torch.Tensor) -> Iterator[torch.Tensor]:
        for part in self.slices:
            yield torch.nn.functional.embedding_bag(item, part, starts, mode="sum")


@dataclass
class ItemKNNParams:
    neighbours: int = 200  # most similar items kept per item
    shrinkage: float = 10.0  # added to the denominator: few buyers, less similarity

    def __post_init__(self):
        check(self, {"neighbours": (1, 1_000_000), "shrinkage": (0, 1e6)})


class ItemKNN(ItemToItem):
    """Cosine similarity of the items' buyers (Sarwar et al. 2001, doi:10.1145/371920.372071), with shrinkage."""

    name = "item_knn"
    Params = ItemKNNParams

    def _fit(self, log: Log) -> None:
        gram = gram_matrix(log)
        norm = np.sqrt(np.diag(gram))
        cosine = gram / (np.outer(norm, norm) + self.params.shrinkage)
        np.fill_diagonal(cosine, 0.0)
        dropped = len(cosine) - self.params.neighbours
        if dropped > 0:  # of what a history item speaks for, by column: the neighbours of the item that is scored
            far = np.argpartition(cosine, dropped, axis=0)[:dropped]
            np.put_along_axis(cosine, far, 0.0, axis=0)
        self.rows = RowSums(torch.from_numpy(cosine.astype(np.float32)))


@dataclass
class EASEParams:
    penalty: float = 300.0  # lambda, on the squares of the weights
    trend: float = 0.0  # weight of the items' growth, added to the scores

    def __post_init__(self):
        check(self, {"penalty": (1e-3, 1e9), "trend": (0, 1e3)})


class EASE(ItemToItem):
    """Ridge regression of every item on all others (Steck 2019, arXiv:1905.03375, eq. 8): B = I - P diag(1 / P).

    An item's growth is log(1 + n) of its purchases in the log's last 7 days, plus that of the last 30, less that of its
    buyers of all time.
    """

    name = "ease"
    Params = EASEParams

    def _fit(self, log: Log) -> None:
        inverse = inverse_gram(log, self.params.penalty)
        table = -inverse / np.diag(inverse)
        np.fill_diagonal(table, 0.0)
        self.rows = RowSums(torch.from_numpy(table.astype(np.float32)))
        buyers = torch.from_numpy(np.asarray(log.histories.bought(len(self.items)).sum(axis=0))).float()
        sold = torch.stack(Trend(log).at(torch.tensor([log.end])))[:, 0]
        self.growth = self.params.trend * (sold.sum(dim=0) - buyers.log1p())

    def scores(self, histories: Histories) -> torch.Tensor:
        return super().scores(histories).add_(self.growth)

    def _arrays(self):
        return super()._arrays() | {"growth": self.growth.numpy()}

    def _restore(self, arrays):
        super()._restore(arrays)
        self.growth = torch.from_numpy(arrays["growth"])


def gram_matrix(log: Log) -> np.ndarray:
    """(I, I) how many customers bought both items."""
    bought = sparse.csc_array(log.histories.bought(len(log.items)))
    return (bought.T @ bought).toarray()


def inverse_gram(log: Log, penalty: float) -> np.ndarray:
    """(I, I) inverse of gram + penalty x identity."""
    gram = gram_matrix(log)
    gram[np.diag_indices_from(gram)] += penalty
    return linalg.inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")


class Trend:
    """How many purchases of each item the days before a day saw, log(1 + count), for each of the windows."""

    def __init__(self, log: Log):
        self.first = int(np.floor(log.histories.day.min()))
        days = int(log.end) - self.first
        sold = torch.zeros(days + 1, len(log.items))
        day = torch.from_numpy(np.floor(log.histories.day).astype(np.int64) - self.first + 1)
        sold.index_put_((day, torch.from_numpy(log.histories.item)), torch.ones(len(day)), accumulate=True)
        self.sold = sold.cumsum(dim=0)  # row d: before day first + d

    def at(self, now: torch.Tensor) -> list[torch.Tensor]:
        """(P, I) for each window, for days (P,)."""
        row = (now.cpu().long() - self.first).clamp(0, len(self.sold) - 1)
        return [(self.sold[row] - self.sold[(row - window).clamp(min=0)]).log1p().to(now.device) for window in WINDOWS]


def running(batch: Baskets, table: torch.Tensor) -> torch.Tensor:
    """(P, columns) sums of the table's rows over the items bought up to each position."""
    position, item = batch.first
    starts, counts = batch.start[:-1], batch.start.diff()
    offsets = torch.searchsorted(position, torch.arange(len(batch.day), device=item.device))
    sums = torch.nn.functional.embedding_bag(item, table, offsets, mode="sum").cumsum(dim=0)
    before = torch.cat([torch.zeros_like(sums[:1]), sums])[starts]
    return sums - before.repeat_interleave(counts, dim=0)


def bought(batch: Baskets, items: int) -> torch.Tensor:
    """(P, items) bool: bought by the user up to each position."""
    position, item = batch.first
    first = torch.zeros(len(batch.day), items, dtype=torch.uint8, device=item.device)
    first[position, item] = 1
    for start, stop in batch.start.unfold(0, 2, 1).tolist():
        first[start:stop] = first[start:stop].cumsum(dim=0)  # 0 or 1, as an item is new once
    return first.bool()


def ease_table(inverse: torch.Tensor) -> torch.Tensor:
    table = -inverse / inverse.diagonal()
    return table.fill_diagonal_(0.0)


def leave_out(batch: Baskets, inverse: torch.Tensor) -> torch.Tensor:
    """(P, I) EASE's scores of the items not bought yet, as fitted without the user.

    With x all that the user buys, the gram matrix without them is G - x x', and its inverse by Sherman and Morrison
    P + P x x' P / (1 - x' P x).
    """
    counts = batch.start.diff()
    user = torch.arange(len(counts), device=inverse.device).repeat_interleave(counts)
    so_far = running(batch, inverse)  # P x_p
    whole = so_far[batch.start[1:] - 1]  # P x
    position, item = batch.first
    owner = user[position]
    left = 1.0 - whole.new_zeros(len(counts)).index_add(0, owner, whole[owner, item])  # 1 - x' P x
    # x' P x_p, for each position: over all that the user ever buys
    members = torch.zeros_like(whole)
    members[owner, item] = 1.0
    shared = torch.linalg.vecdot(members[user], so_far)
    top = so_far + whole[user] * (shared / left[user])[:, None]
    return -top / (inverse.diagonal() + whole.square() / left[:, None])[user]
