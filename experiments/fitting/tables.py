"""Tables of one's own that `storelab fit` takes by `dataset.path`: purchases, ratings, transactions with labels."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ...data import Column, Schema, read
from ...data.contract import SPLIT, Reading, TableNote
from ...recommendation.base import Log
from ...recommendation.protocol import Split, leave_last_out, split_as_marked, split_by_time
from ...risk.transactions import Labelled, read_labelled

GROUP = Column("group", "text", required=False, nullable=True)  # of the customer: figures are given by it too
PURCHASES: Schema = (
    Column("customer", "customer", nullable=True),
    Column("item", "text"),
    Column("timestamp", "timestamp"),
    GROUP,
    SPLIT,
)
RATINGS: Schema = (
    Column("customer", "customer", nullable=True),
    Column("item", "text"),
    Column("rating", "number"),
    Column("timestamp", "timestamp", required=False),
    GROUP,
    SPLIT,
)
ALIASES = {"user": "customer", "user_id": "customer", "item_id": "item", "time": "timestamp", "date": "timestamp"}
ALIASES |= {"stars": "rating"}


def _read(path: str, schema: Schema, how: Reading) -> pd.DataFrame:
    """The rows of known customers; what was understood is printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableNote)
        table = read(path, schema, aliases=ALIASES, **vars_of(how))
    known = table["customer"].notna()
    notes = table.attrs["notes"] + ([f"{int((~known).sum())} rows without a customer are left out"] * (not known.all()))
    print("\n".join(f"dataset: {note}" for note in notes), end="\n" * bool(notes))
    return table[known].reset_index(drop=True)


def vars_of(how: Reading) -> dict[str, Any]:
    """How a table is read, as keywords of `data.read`."""
    return {"columns": how.columns, "day_first": how.day_first, "encoding": how.encoding}


def purchases(path: str, how: Reading, test_days: int, last_out: bool) -> Split:
    """Purchases to rank: the column `split` says what is the test, else each customer's last or the last days are."""
    frame = _read(path, PURCHASES, how)
    if frame.empty:
        raise ValueError("no row has a customer; expected some")
    first = frame["timestamp"].max().normalize() - pd.Timedelta(days=test_days - 1)
    if "split" in frame:
        split = split_as_marked(frame)
    elif last_out:
        split = leave_last_out(frame, whole=False)
    else:
        split = split_by_time(frame, str(first.date()), test_days)
    if not split.relevant(repeats=False)[1]:
        raise ValueError("no customer buys an item new to them in the test: there is nothing to rank")
    return split


def ratings(path: str, how: Reading) -> dict[str, Any]:
    """Ratings to predict: the column `split` says what is the test, else the last fifth of the days, or of the rows.

    Rows of customers or items that no training row has are left out of the test, and said.
    """
    frame = _read(path, RATINGS, how)
    if "split" in frame:
        test = frame["split"] == "test"
        train = frame["split"] == "train"
    elif "timestamp" in frame:
        first, end = frame["timestamp"].min(), frame["timestamp"].max()
        test = frame["timestamp"] >= first + 0.8 * (end - first)
        train = ~test
    else:
        order = np.random.default_rng(0).permutation(len(frame))
        test = pd.Series(order >= round(0.8 * len(frame)))
        train = ~test
    for name, part in (("train", train), ("test", test)):
        if not part.any():
            raise ValueError(f"split: no row is {name!r}; expected rows of train and of test")
    if "timestamp" not in frame:
        frame["timestamp"] = pd.Timestamp("1970-01-01")
    log = Log.from_frame(frame[train])
    known = frame["item"].isin(log.items) & frame["customer"].isin(log.users)
    if lost := int((test & ~known).sum()):
        print(f"dataset: {lost} of {int(test.sum())} test rows are of customers or items that no training row has")
    rows = frame[test & known]
    if rows.empty:
        raise ValueError("split: no test row is of a customer and an item with training rows; expected some")
    user, item = (
        pd.Index(names).get_indexer(rows[name]) for names, name in ((log.users, "customer"), (log.items, "item"))
    )
    data = {"log": log, "user": user, "item": item, "stars": rows["rating"].to_numpy(float)}
    return data | ({"group": rows["group"].fillna("").to_numpy(object)} if "group" in rows else {})


def transactions(path: str, how: Reading, entities: list[str], unlabelled: bool = False) -> Labelled:
    """Transactions with the label `fraud`: core columns, those of the contract that are there, and the entities.

    `unlabelled`: the label may be empty.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableNote)
        read = read_labelled(path, entities=entities, unlabelled=unlabelled, **vars_of(how))
    print("\n".join(f"dataset: {note}" for note in read.notes), end="\n" * bool(read.notes))
    return read
