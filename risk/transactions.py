"""Transactions as the models see them: contract, checked columns, and a split by time with labels that come late."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..data import Column, Schema, read
from ..data.contract import SPLIT, SPLITS
from ..data.values import plain, refuse_zone
from .synthetic import DAY, KINDS

ENTITIES = ("customer", "device", "address", "card")
LABEL_DELAY = 7  # days until it is known whether a transaction was fraud

CORE = ("timestamp", "customer", "amount")  # what a table has to have; the others are filled in, see `completed`
ALIASES = {"time": "timestamp", "is_fraud": "fraud", "label": "fraud"}
TRANSACTIONS: Schema = (
    Column("timestamp", "timestamp"),
    *(Column(name, "customer") for name in ENTITIES),  # all four point at a person: keyed pseudonyms
    Column("kind", "text"),  # purchase | refund
    Column("category", "text"),  # of the goods
    Column("amount", "number", minimum=0),  # money, of purchase and of refund
    Column("promotion", "bool"),  # a promotion code was used
    Column("declined", "bool"),  # by the payment provider, whose answer comes before the score
)


OPTIONAL: Schema = tuple(  # TRANSACTIONS as a file may have them
    replace(column, required=column.name in CORE, nullable=column.name in ENTITIES[1:]) for column in TRANSACTIONS
)
_FILLED = "the customer's own device, address and card, a purchase, one category, no promotion, not declined"


def read_transactions(source, key: bytes | None = None, **how) -> pd.DataFrame:
    """Read a file or a DataFrame with CORE and what it has of TRANSACTIONS, ids as pseudonyms under `key`, by time.

    What is missing is filled in, see `completed`; `how`: `columns`, `day_first` and `encoding` of `data.read`.

    Raises:
        ValueError: as `data.read`, and for another kind than purchase and refund.
    """
    table = read(source, OPTIONAL, key, aliases=ALIASES, **how).sort_values("timestamp", kind="stable")
    table = completed(table.reset_index(drop=True))
    columns(table)
    return table


def read_labelled(source, key: bytes | None = None, **how) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None, list]:
    """Read transactions, as `read_transactions`, with the column `fraud` (true or false).

    Returns the transactions, the labels (n,), the column `split`, if there is one, and notes on what was understood
    and filled in.
    """
    table = read(source, (*OPTIONAL, Column("fraud", "bool"), SPLIT), key, aliases=ALIASES, **how)
    notes = list(table.attrs["notes"])
    table = table.sort_values("timestamp", kind="stable").reset_index(drop=True)
    lacking = [column.name for column in OPTIONAL if column.name not in table]
    notes += [f"no column {', '.join(lacking)}: taken as {_FILLED}"] if lacking else []
    whole = completed(table)
    columns(whole)
    return whole, table["fraud"].to_numpy(bool), table["split"].to_numpy() if "split" in table else None, notes


def completed(transactions: pd.DataFrame) -> pd.DataFrame:
    """Transactions with all columns of TRANSACTIONS: an entity that is missing, or nothing in a row, is the customer's
    own, the others are a purchase of one category, without promotion, not declined.
    """
    usual = dict.fromkeys(ENTITIES[1:], transactions["customer"])
    usual |= {"kind": "purchase", "category": "any", "promotion": False, "declined": False}
    table = transactions.assign(**{name: value for name, value in usual.items() if name not in transactions})
    for name in ENTITIES[1:]:
        table[name] = table[name].where(table[name].notna(), table["customer"])
    return table[[column.name for column in TRANSACTIONS]]


def split_labelled(table: pd.DataFrame, fraud: np.ndarray, marked: np.ndarray | None) -> "Split":
    """By the table's own split, which has to follow time, else `split_by_time`.

    Without validation rows the last fifth of the training rows validate. Raises ValueError for a part without a fraud.
    """
    if marked is None:
        split = split_by_time(columns(table)["time"])
    else:
        place = np.array([SPLITS.index(value) for value in marked])
        if (np.diff(place) < 0).any():
            row = int(np.argmax(np.diff(place) < 0)) + 1
            raise ValueError(
                f"split: {marked[row]!r} on {table['timestamp'][row]} follows {marked[row - 1]!r}; expected "
                f"{', then '.join(SPLITS)} in time"
            )
        late, test = np.searchsorted(place, [1, 2]).tolist()
        late = late if late < test else round(0.8 * test)
        split = Split(slice(0, late), slice(late, test), slice(test, len(place)))
    for name in SPLITS:
        if not fraud[getattr(split, name)].any() or fraud[getattr(split, name)].all():
            raise ValueError(f"fraud: the {name} rows are all alike; expected frauds and others among them")
    return split


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
