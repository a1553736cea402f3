"""How recommenders are measured: splits by time, leave-last-out, and Online Retail's month of new items."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import Column, complete_journey, online_retail, read
from ..data.files import read_parquet
from ..data.values import absent, refuse_zone
from .base import Histories, Log, Recommender, days_of
from .metrics import ranking_metrics

DESCRIPTIONS = "online_retail_raw_descriptions.parquet"
LEAST_BUYERS, LEAST_ITEMS = 5, 5  # of an item, of a customer, in the training days


@dataclass
class Split:
    """A log to train on, and what some of its users bought afterwards."""

    log: Log
    histories: Histories  # of the users that are ranked, as the log ends
    bought: list[np.ndarray]  # item numbers that each of them bought afterwards, at least one
    group: np.ndarray | None = None  # of each of them, "" where it is not known; None: of nobody
    ranked: np.ndarray | None = None  # (I,) bool: the items that are ranked; None: all
    users: np.ndarray | None = None  # their numbers in the log

    def relevant(self, repeats: bool) -> tuple[Histories, list[np.ndarray]]:
        """The users with anything to find; without `repeats` what is in the history does not count."""
        users, wanted = self._wanted(repeats)
        return self.histories.take(users), [wanted[user] for user in users]

    def groups_of(self, repeats: bool) -> np.ndarray:
        """The group of each user of `relevant`; "" where it is not known."""
        users, _ = self._wanted(repeats)
        return np.full(len(users), "", object) if self.group is None else self.group[users]

    def _wanted(self, repeats: bool) -> tuple[np.ndarray, list[np.ndarray]]:
        pairs = zip(self.bought, np.split(self.histories.item, self.histories.start[1:-1]), strict=True)
        wanted = [bought if repeats else np.setdiff1d(bought, before) for bought, before in pairs]
        return np.array([user for user, items in enumerate(wanted) if len(items)], int), wanted


def split_by_time(frame: pd.DataFrame, day: str, days: int, text: dict[str, str] | None = None) -> Split:
    """Train before `day`, test on the `days` from it. `frame` has customer, item and timestamp.

    Kept are items with at least 5 buyers and customers with at least 5 items in the training days (counted once, not
    in turns). Raises ValueError when nothing is left to train or to test on.
    """
    first = pd.Timestamp(day)
    refuse_zone(frame["timestamp"], "timestamp")
    frame = frame[~absent(frame["customer"])[0]]
    log = _log(frame[frame["timestamp"] < first], text)
    log.histories.now = np.full(len(log.users), float(days_of(first)))
    later = frame[(frame["timestamp"] >= first) & (frame["timestamp"] < first + pd.Timedelta(days=days))]
    return _split(log, later)


def split_as_marked(frame: pd.DataFrame, text: dict[str, str] | None = None) -> Split:
    """Train on the rows whose column `split` says train, test on those of test; otherwise as `split_by_time`."""
    frame = frame[~absent(frame["customer"])[0]]
    return _split(_log(frame[frame["split"] == "train"], text), frame[frame["split"] == "test"])


def _log(past: pd.DataFrame, text: dict[str, str] | None) -> Log:
    """The log of items with enough buyers and customers with enough items."""
    pairs = past[["customer", "item"]].drop_duplicates()
    buyers, bought = pairs["item"].value_counts(), pairs["customer"].value_counts()
    items, customers = buyers.index[buyers >= LEAST_BUYERS], bought.index[bought >= LEAST_ITEMS]
    past = past[past["item"].isin(items) & past["customer"].isin(customers)]
    if past.empty:
        raise ValueError(
            f"no customer with {LEAST_ITEMS} items has bought one with {LEAST_BUYERS} buyers: too few rows"
        )
    return Log.from_frame(past, text)


def leave_last_out(frame: pd.DataFrame, text: dict[str, str] | None = None, whole: bool = True) -> Split:
    """Train on all but what each customer bought last, which is tested on. All items and customers are kept.

    Last is all at the customer's last time, of customers with two times or more; not `whole`: the last row alone (of
    rows at one time the last one of the frame), which is the protocol of papers on sequences.
    """
    refuse_zone(frame["timestamp"], "timestamp")
    frame = frame[~absent(frame["customer"])[0]].sort_values("timestamp", kind="stable")
    customer, time = frame["customer"], frame["timestamp"]
    if whole:
        last = (time == time.groupby(customer).transform("max")) & (time.groupby(customer).transform("nunique") > 1)
    else:
        last = ~frame.duplicated("customer", keep="last") & frame.duplicated("customer", keep="first")
    if not last.any():
        raise ValueError("no customer has a purchase before the last one: there is nothing to test on")
    return _split(Log.from_frame(frame[~last], text), frame[last])


def _split(log: Log, later: pd.DataFrame) -> Split:
    later = later[later["item"].isin(log.items) & later["customer"].isin(log.users)]
    if later.empty:
        raise ValueError("no known customer buys a known item in the test days: there is nothing to test on")
    user, item = pd.Index(log.users).get_indexer(later["customer"]), pd.Index(log.items).get_indexer(later["item"])
    groups = pd.Series(item).groupby(user).unique()
    users, own = groups.index.to_numpy(), None
    if "group" in later:
        known = later.dropna(subset="group").drop_duplicates("customer", keep="last").set_index("customer")["group"]
        own = known.reindex(np.asarray(log.users, object)[users]).fillna("").to_numpy(object)
    return Split(log, log.histories.take(users), list(groups), own, None, users)


def online_retail_frame(folder: str | Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Sales of known customers from a folder with Online Retail's raw file; descriptions by item, if there are any."""
    folder = Path(folder)
    sales, _ = online_retail.load(folder)
    path, text = folder / DESCRIPTIONS, {}
    if path.is_file():
        table = read_parquet(path)
        text = dict(zip(table["StockCode"].astype(str).str.upper(), table["Description"].astype(str), strict=True))
    return sales[sales["customer"].notna()], text


def complete_journey_frame(folder: str | Path) -> pd.DataFrame:
    """Purchases (customer, item, timestamp) of product types from a folder with Complete Journey's two files."""
    folder = Path(folder)
    products = read(complete_journey.find(folder, (complete_journey.PRODUCTS_FILE,)), complete_journey.PRODUCTS)
    schema = (Column("household_id", "customer"), Column("product_id", "text"), complete_journey.LINES[-1])
    lines = read(complete_journey.find(folder, complete_journey.TRANSACTIONS_FILES), schema)
    lines = lines.merge(products.dropna(subset="product_type"), on="product_id")
    lines = lines[~lines["department"].isin(complete_journey.NOT_GOODS)]
    names = {"household_id": "customer", "product_type": "item", "transaction_timestamp": "timestamp"}
    return lines.rename(columns=names)[list(names.values())]


def rank(model: Recommender, split: Split, k: int = 10, repeats: bool = False) -> dict[str, float]:
    """`ranking_metrics` of a fitted model on a split."""
    histories, wanted = split.relevant(repeats)
    lists = lists_of(model, histories, k, repeats, split.ranked)
    buyers = np.asarray(split.log.histories.bought(len(split.log.items)).sum(axis=0))
    return ranking_metrics(lists, wanted, buyers)


def lists_of(
    model: Recommender, histories: Histories, k: int = 10, repeats: bool = False, ranked: np.ndarray | None = None
) -> np.ndarray:
    """Lists (U, k) of item numbers, of those `ranked` (I,) if given, for all users of histories."""
    parts = [model.recommend(histories.take(users), k, ranked, repeats) for users in _batches(len(histories))]
    return np.concatenate(parts)


def cold(split: Split, share: float, seed: int) -> Split:
    """The split with a share of its items hidden from the training, which alone are ranked.

    Raises:
        ValueError: nobody bought one of them in the test.
    """
    hidden = np.random.default_rng(seed).random(len(split.log.items)) < share
    log, histories = split.log.histories, split.histories
    log = replace(split.log, histories=log.where(~hidden[log.item]))
    before = np.split(histories.item, histories.start[1:-1])
    fresh = [np.setdiff1d(new[hidden[new]], old) for new, old in zip(split.bought, before, strict=True)]
    keep = np.array([user for user, items in enumerate(fresh) if len(items)], int)
    if not len(keep):
        raise ValueError("no customer buys one of the hidden items in the test: there is nothing to rank")
    shown = histories.take(keep)
    group, users = (None if part is None else part[keep] for part in (split.group, split.users))
    return Split(log, shown.where(~hidden[shown.item]), [fresh[user] for user in keep], group, hidden, users)


def _batches(users: int, size: int = 1024) -> list[np.ndarray]:
    return [np.arange(low, min(low + size, users)) for low in range(0, users, size)]


def ndcg_after(model: Recommender, log: Log, whole: Log) -> float:
    """NDCG@10 of new items that the users of `whole`, the same log with more days, buy after the last day of `log`."""
    later = whole.histories.where(whole.histories.day >= log.end)
    bought = [np.unique(items) for items in np.split(later.item, later.start[1:-1])]
    split = Split(log, log.histories, bought)
    return rank(model, split)["NDCG@10"] if split.relevant(repeats=False)[1] else 0.0
