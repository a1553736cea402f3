"""Transactions as the models see them: contract, checked columns, and a split by time with labels that come late."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..data import Column, Schema, read
from ..data.contract import SPLIT, SPLITS
from ..data.values import plain, refuse_zone
from ..errors import FieldError
from .synthetic import DAY, KINDS

ENTITIES = ("customer", "device", "address", "card")
PLACES = ("merchant", "terminal")  # entities beside these: where was paid
LABEL_DELAY = 7  # days until it is known whether a transaction was fraud

CORE = ("timestamp", "customer", "amount")  # what a table has to have; the others are filled in, see `completed`
ALIASES = {"time": "timestamp", "tx_datetime": "timestamp", "tx_amount": "amount"}
ALIASES |= dict.fromkeys(("is_fraud", "label", "tx_fraud"), "fraud") | {"label_time": "known_at"}
ALIASES |= {f"{name}_id": name for name in (*ENTITIES, *PLACES)}
TRANSACTIONS: Schema = (
    Column("timestamp", "timestamp"),
    *(Column(name, "customer") for name in ENTITIES),  # all four point at a person: keyed pseudonyms
    Column("kind", "text"),  # purchase | refund
    Column("category", "text"),  # of the goods
    Column("amount", "number", minimum=0),  # money, of purchase and of refund
    Column("promotion", "bool"),  # a promotion code was used
    Column("declined", "bool"),  # by the payment provider, whose answer comes before the score
)
NAMES = tuple(column.name for column in TRANSACTIONS)
LABELS: Schema = (
    Column("fraud", "bool"),
    Column("known_at", "timestamp", required=False, nullable=True),  # when the label came; nothing: after the delay
    Column("group", "text", required=False, nullable=True),  # of customers, to measure by: no feature
    SPLIT,
)

OPTIONAL: Schema = tuple(  # TRANSACTIONS as a file may have them
    replace(column, required=column.name in CORE, nullable=column.name in ENTITIES[1:]) for column in TRANSACTIONS
)
_FILLED = "the customer's own device, address and card, a purchase, one category, no promotion, not declined"


@dataclass
class Labelled:
    """Transactions by time with what became known of them."""

    transactions: pd.DataFrame
    entities: tuple[str, ...]  # columns that the table has itself, the customer first
    fraud: np.ndarray  # (n,) bool
    known: np.ndarray | None  # (n,) datetime64, when each label came; NaT: after the usual delay
    marked: np.ndarray | None  # (n,) the column `split`
    groups: pd.DataFrame  # customer and a group of customers that errors are measured by
    notes: list[str]  # what was understood and filled in
    labelled: np.ndarray | None = None  # (n,) bool, whether it is known what a row is; None: of all


def check_entities(entities: Sequence[str]) -> tuple[str, ...]:
    """Names of entity columns, the customer first. Raises ValueError for what can't be one."""
    names = tuple(dict.fromkeys(("customer", *entities)))
    taken = {*NAMES, *(column.name for column in LABELS), "time", "refund", "transaction"} - {*ENTITIES}
    for name in names:
        if not isinstance(name, str) or not name.strip() or name in taken:
            raise FieldError("entities", name, f"names of id columns, none of {', '.join(sorted(taken))}")
    return names


def read_transactions(source, key: bytes | None = None, entities: Sequence[str] = (), **how) -> pd.DataFrame:
    """Read transactions from a file or a DataFrame, sorted by time, with ids as pseudonyms under `key`.

    The columns of CORE are required, others of TRANSACTIONS are read if present, and `completed` fills in what is
    missing. `entities` names further columns of ids. `how` has `columns`, `day_first` and `encoding` of `data.read`.

    Raises:
        ValueError: as `data.read`, and for another kind than purchase and refund.
    """
    return _read(source, (), key, entities, how)[0]


def read_labelled(
    source, key: bytes | None = None, entities: Sequence[str] = (), unlabelled: bool = False, **how
) -> Labelled:
    """Read transactions, as `read_transactions`, with the column `fraud` (true or false; nothing, where `unlabelled`).

    Columns that may be there: `known_at`, when the label came, `group` of the customer, and `split`.
    """
    labels = tuple(replace(c, nullable=c.nullable or (unlabelled and c.name == "fraud")) for c in LABELS)
    whole, table, own, notes = _read(source, labels, key, entities, how)
    told = table["fraud"].notna().to_numpy()
    table["fraud"] = table["fraud"].where(told, False).astype(bool)
    found = {name: table[name].to_numpy() if name in table else None for name in ("known_at", "split")}
    people = pd.DataFrame({"customer": table["customer"], "group": table.get("group", "")})
    people = people[people["group"].notna()].drop_duplicates("customer", keep="last")
    labelled = None if told.all() else told
    return Labelled(
        whole, own, table["fraud"].to_numpy(bool), found["known_at"], found["split"], people, notes, labelled
    )


def _read(source, more: Schema, key: bytes | None, entities: Sequence[str], how: dict) -> tuple:
    """Whole transactions by time, the table as it was read, its entities, notes."""
    asked = check_entities(entities)
    schema = tuple(replace(column, required=column.required or column.name in asked) for column in OPTIONAL)
    others = dict.fromkeys((*PLACES, *(name for name in asked if name not in ENTITIES)))
    places = (Column(name, "customer", required=name in asked, nullable=True) for name in others)
    named = {str(name).casefold() for name in (*asked, *(how.get("columns") or {}).values())}
    aliases = {alias: name for alias, name in ALIASES.items() if alias not in named}  # a column is read once
    table = read(source, (*schema, *places, *more), key, aliases=aliases, **how)
    notes = list(table.attrs["notes"])
    table = table.sort_values("timestamp", kind="stable").reset_index(drop=True)
    own = tuple(name for name in (*ENTITIES, *others) if name in table)
    whole = completed(table, own)
    columns(whole, own)
    lacking = [name for name in NAMES if name not in table]
    notes += [f"no column {', '.join(lacking)}: taken as {_FILLED}"] if lacking else []
    return whole, table, own, notes


def completed(transactions: pd.DataFrame, entities: Sequence[str] = ()) -> pd.DataFrame:
    """Transactions with all columns of TRANSACTIONS and of `entities`: an entity that is missing, or nothing in a row,
    is the customer's own, the others are a purchase of one category, without promotion, not declined.
    """
    names = tuple(dict.fromkeys((*NAMES, *entities)))
    table = transactions.assign(**_filled(transactions, len(transactions), names))
    for name in names:
        if name not in NAMES or name in ENTITIES[1:]:
            table[name] = table[name].where(table[name].notna(), table["customer"])
    return table[list(names)]


def _filled(transactions, count: int, names: Sequence[str]) -> dict:
    """What stands for the columns that are not there."""
    usual = {"kind": ["purchase"] * count, "category": ["any"] * count}
    usual |= dict.fromkeys(("promotion", "declined"), np.zeros(count, bool))
    return {name: usual.get(name, transactions["customer"]) for name in names if name not in transactions}


def split_labelled(read: Labelled, delay: float = LABEL_DELAY) -> tuple["Split", np.ndarray]:
    """By the table's own split, which has to follow time, else `split_by_time` with labels `delay` days late.

    Without validation rows the last fifth of the training rows validate. Returns the split and the labels to train on:
    a fraud that was reported, by `known_at`, only after the test began is none yet.

    Raises:
        ValueError: a part without a fraud.
    """
    table, marked, fraud = read.transactions, read.marked, read.fraud
    if marked is None:
        split = split_by_time(columns(table)["time"], delay=delay)
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
    if read.known is not None:
        late = read.known >= table["timestamp"].to_numpy()[split.test.start]
        fraud = fraud & ~(late & (np.arange(len(fraud)) < split.test.start))
    told = np.ones(len(fraud), bool) if read.labelled is None else read.labelled
    for name in SPLITS:
        of = fraud[getattr(split, name)][told[getattr(split, name)]]
        if not of.any() or of.all():
            raise ValueError(f"fraud: the {name} rows are all alike; expected frauds and others among them")
    return split, fraud


def columns(transactions: pd.DataFrame | dict, entities: Sequence[str] = ENTITIES) -> dict[str, np.ndarray]:
    """Check transactions, a frame or a dict of sequences of one length n, and return arrays (n,).

    Columns are those of TRANSACTIONS and `entities`; what is missing but for CORE is filled in as in `completed`.
    Added are `time`, in seconds since 1970 (int64), and `refund` (bool). No transaction at all is allowed.

    Raises:
        ValueError: naming the column, the first bad row (from 1), the value and what is expected.
    """
    for name in CORE:
        if name not in transactions:
            raise ValueError(f"column {name!r}: missing; expected the columns {', '.join(CORE)}")
    names = tuple(dict.fromkeys((*NAMES, *entities)))
    filled = _filled(transactions, len(transactions["timestamp"]), names)
    refuse_zone(transactions["timestamp"], "timestamp")
    given = {name: filled[name] if name in filled else transactions[name] for name in names}
    table = {name: np.asarray(plain(it) if isinstance(it, pd.Series) else it) for name, it in given.items()}
    if len({np.shape(value) for value in table.values()}) > 1 or table["timestamp"].ndim != 1:
        shapes = {name: np.shape(value) for name, value in table.items()}
        raise ValueError(f"columns: shapes {shapes}; expected sequences of one length")
    try:
        stamps = table["timestamp"].astype("datetime64[s]")
    except (TypeError, ValueError) as error:
        raise ValueError(f"column 'timestamp': {error}; expected times") from None
    _refuse(np.isnat(stamps), "timestamp", table, "a time")
    ids = tuple(dict.fromkeys((*ENTITIES, *entities, "category")))
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
    """A split by time: the labels of `train` and `validation` are known when the first row of `test` comes."""

    train: slice
    validation: slice
    test: slice


def split_by_time(
    time: np.ndarray, cut: float = 0.75, warm_up: float = 30, validation: float = 20, delay: float = LABEL_DELAY
) -> Split:
    """Split the rows of transactions at `cut`, a share of their time span: the day on which a model goes into service.

    The last `delay` days before it have no labels yet and are in no part. The `validation` days before those are for
    early stopping, calibration and thresholds. The first `warm_up` days, which have no history, are not trained on.

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
