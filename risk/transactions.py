"""Transactions as the models see them: contract, checked columns, and a split by time with labels that come late."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data import Column, Schema, read
from ..data.values import plain, refuse_zone
from .synthetic import DAY, KINDS

ENTITIES = ("customer", "device", "address", "card")
LABEL_DELAY = 7  # days until it is known whether a transaction was fraud

TRANSACTIONS: Schema = (
    Column("timestamp", "timestamp"),
    *(Column(name, "customer") for name in ENTITIES),  # all four point at a person: keyed pseudonyms
    Column("kind", "text"),  # purchase | refund
    Column("category", "text"),  # of the goods
    Column("amount", "number", minimum=0),  # money, of purchase and of refund
    Column("promotion", "bool"),  # a promotion code was used
    Column("declined", "bool"),  # by the payment provider, whose answer comes before the score
)


def read_transactions(source, key: bytes | None = None) -> pd.DataFrame:
    """Read a CSV or Parquet file or a DataFrame under TRANSACTIONS, ids as pseudonyms under `key`, sorted by time.

    Raises:
        ValueError: as `data.read`, and for another kind than purchase and refund.
    """
    table = read(source, TRANSACTIONS, key).sort_values("timestamp", kind="stable", ignore_index=True)
    columns(table)
    return table


def columns(transactions: pd.DataFrame | dict) -> dict[str, np.ndarray]:
    """Check transactions, a frame or a dict of sequences of one length n, and return arrays (n,).

    Added are `time`, in seconds since 1970 (int64), and `refund` (bool). No transaction at all is allowed.

    Raises:
        ValueError: naming the column, the first bad row (from 1), the value and what is expected.
    """
    names = [column.name for column in TRANSACTIONS]
    for name in names:
        if name not in transactions:
            raise ValueError(f"column {name!r}: missing; expected the columns {', '.join(names)}")
    refuse_zone(transactions["timestamp"], "timestamp")
    given = {name: transactions[name] for name in names}
    table = {name: np.asarray(plain(it) if isinstance(it, pd.Series) else it) for name, it in given.items()}
    if len({np.shape(value) for value in table.values()}) > 1 or table["timestamp"].ndim != 1:
        shapes = {name: np.shape(value) for name, value in table.items()}
        raise ValueError(f"columns: shapes {shapes}; expected sequences of one length")
    try:
        stamps = table["timestamp"].astype("datetime64[s]")
    except (TypeError, ValueError) as error:
        raise ValueError(f"column 'timestamp': {error}; expected times") from None
    _refuse(np.isnat(stamps), "timestamp", table, "a time")
    ids = (*ENTITIES, "category")
    for name, absent in zip(ids, pd.isna(np.stack([table[name].astype(object) for name in ids])), strict=True):
        _refuse(absent, name, table, "an id")
    purchase, refund = (np.asarray(table["kind"] == kind) for kind in KINDS)
    _refuse(~(purchase | refund), "kind", table, " or ".join(KINDS))
    try:
        amount = table["amount"].astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column 'amount': {error}; expected numbers >= 0") from None
    _refuse(~((amount >= 0) & (amount <= 1e9)), "amount", table, "a number from 0 to 1e9")
    for name in ("promotion", "declined"):
        if len(stamps) and table[name].dtype != bool:
            raise ValueError(f"column {name!r}: {table[name][0]!r}; expected true or false in every row")
    return table | {"time": stamps.astype(np.int64), "amount": amount, "refund": refund}


def _refuse(bad: np.ndarray, name: str, table: dict, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"column {name!r}, row {row + 1}: {table[name][row]!r}; expected {expected}")


@dataclass(frozen=True)
class Split:
    """Rows by time: labels of `train` and `validation` are known when the first of `test` comes."""

    train: slice
    validation: slice
    test: slice


def split_by_time(
    time: np.ndarray, cut: float = 0.75, warm_up: float = 30, validation: float = 20, delay: float = LABEL_DELAY
) -> Split:
    """Split the rows of transactions at `cut`, a share of their span, the day when a model goes into service.

    The last `delay` days before it have no labels yet and are in no part; the `validation` days before those choose
    when to stop, the calibration and the thresholds; the first `warm_up` days, when no history is there, are not
    trained on.

    Args:
        time: (n,) seconds, not decreasing.

    Raises:
        ValueError: times out of order, or a part without rows.
    """
    time = np.asarray(time)
    if len(time) == 0 or (np.diff(time) < 0).any():
        raise ValueError("time: out of order or empty; expected times that do not decrease")
    service = time[0] + cut * (time[-1] - time[0])
    known = service - delay * DAY
    bounds = (time[0] + warm_up * DAY, known - validation * DAY, known, service, time[-1] + 1)
    first, chosen, last, begin, end = np.searchsorted(time, bounds)
    if not first < chosen < last <= begin < end:
        days = (time[-1] - time[0]) / DAY
        raise ValueError(
            f"cut, warm_up, validation, delay: a part of {days:.1f} days has no rows; expected longer data"
        )
    return Split(slice(first, chosen), slice(chosen, last), slice(begin, end))
