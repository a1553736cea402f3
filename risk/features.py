"""Behavioural features of transactions: velocity, amount against history, reuse of devices, addresses and cards.

Each is a formula on sums over earlier transactions that share something with this one. Sums are of whole numbers
(cents, 1e-4 of a logarithm), so a batch, which subtracts cumulative sums, and a stream, which adds them one by one,
agree to the last bit. Nothing here sees a label.
"""

from bisect import bisect_right
from collections import OrderedDict

import numpy as np
import pandas as pd

from .synthetic import DAY
from .transactions import ENTITIES, columns

HOUR = 3600  # seconds
LONGEST = 30 * DAY  # of all windows, seconds
MOST_TIMES = 10_000  # of one customer, device, address or card in a stream whose memory is bounded
_LOG = 1e4  # units of logarithms

_CUSTOMER, _DEVICE, _ADDRESS, _CARD, _CATEGORY = (("customer",), ("device",), ("address",), ("card",), ("category",))
_OWN_DEVICE, _OWN_ADDRESS, _OWN_CARD = (("customer", name) for name in ENTITIES[1:])
_DEVICE_CARD, _OWN_CATEGORY = ("device", "card"), ("customer", "category")
_PAIRS = (_OWN_DEVICE, _OWN_ADDRESS, _OWN_CARD, _DEVICE_CARD)  # the first time of a pair is a value to sum

# Name -> (what earlier transactions share, what is summed, seconds back; None: ever).
SUMS = {
    "own": (_CUSTOMER, "one", None),
    "own, hour": (_CUSTOMER, "one", HOUR),
    "own, day": (_CUSTOMER, "one", DAY),
    "own, week": (_CUSTOMER, "one", 7 * DAY),
    "own, month": (_CUSTOMER, "one", LONGEST),
    "own log": (_CUSTOMER, "log", None),
    "own log squared": (_CUSTOMER, "log squared", None),
    "own cents": (_CUSTOMER, "cents", None),
    "own cents, day": (_CUSTOMER, "cents", DAY),
    "own cents, month": (_CUSTOMER, "cents", LONGEST),
    "own refunded, month": (_CUSTOMER, "refunded cents", LONGEST),
    "own refunds": (_CUSTOMER, "refund", None),
    "own promotions": (_CUSTOMER, "promotion", None),
    "own declined, day": (_CUSTOMER, "declined", DAY),
    "own devices": (_CUSTOMER, _OWN_DEVICE, None),
    "own addresses": (_CUSTOMER, _OWN_ADDRESS, None),
    "own cards": (_CUSTOMER, _OWN_CARD, None),
    "own cards, day": (_CUSTOMER, _OWN_CARD, DAY),
    "own in category": (_OWN_CATEGORY, "one", None),
    "own on device": (_OWN_DEVICE, "one", None),
    "own at address": (_OWN_ADDRESS, "one", None),
    "own with card": (_OWN_CARD, "one", None),
    "category": (_CATEGORY, "one", None),
    "category log": (_CATEGORY, "log", None),
    "device, hour": (_DEVICE, "one", HOUR),
    "device, day": (_DEVICE, "one", DAY),
    "device customers": (_DEVICE, _OWN_DEVICE, None),
    "device customers, week": (_DEVICE, _OWN_DEVICE, 7 * DAY),
    "device cards": (_DEVICE, _DEVICE_CARD, None),
    "device declined, day": (_DEVICE, "declined", DAY),
    "device promotions, month": (_DEVICE, "promotion", LONGEST),
    "device refunds, month": (_DEVICE, "refund", LONGEST),
    "address, day": (_ADDRESS, "one", DAY),
    "address, month": (_ADDRESS, "one", LONGEST),
    "address customers": (_ADDRESS, _OWN_ADDRESS, None),
    "address customers, month": (_ADDRESS, _OWN_ADDRESS, LONGEST),
    "address promotions, month": (_ADDRESS, "promotion", LONGEST),
    "address refunds, month": (_ADDRESS, "refund", LONGEST),
    "card, day": (_CARD, "one", DAY),
    "card customers": (_CARD, _OWN_CARD, None),
    "card declined, week": (_CARD, "declined", 7 * DAY),
}
# Name -> (what is shared, since its first or last transaction): seconds, NaN without one.
SINCE = {
    "own first": (_CUSTOMER, "first"),
    "own last": (_CUSTOMER, "last"),
    "own first on device": (_OWN_DEVICE, "first"),
    "own first at address": (_OWN_ADDRESS, "first"),
    "own first with card": (_OWN_CARD, "first"),
    "device first": (_DEVICE, "first"),
    "device last": (_DEVICE, "last"),
    "address first": (_ADDRESS, "first"),
    "address last": (_ADDRESS, "last"),
    "card last": (_CARD, "last"),
}
_KEYS = tuple(dict.fromkeys([*_PAIRS, *(key for key, *_ in SUMS.values()), *(key for key, _ in SINCE.values())]))
_PLAIN = {  # features that are sums as they are
    **{f"{name}: transactions": name for name in ("own", "own, hour", "own, day", "own, week")},
    **{f"{name}: transactions": name for name in ("device, hour", "device, day", "address, day", "address, month")},
    **{f"{name}: transactions": name for name in ("own on device", "own at address", "own with card", "card, day")},
    **{name: name for name in ("own declined, day", "own devices", "own addresses", "own cards", "own cards, day")},
    **{name: name for name in ("device customers", "device customers, week", "device cards", "device declined, day")},
    **{name: name for name in ("address customers", "address customers, month", "card customers")},
    **{name: name for name in SUMS if name.endswith((" promotions, month", " refunds, month"))},
    "card declined, week": "card declined, week",
}


def _values(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is summed, whole numbers (n,), the first times of pairs aside."""
    cents = np.round(100 * table["amount"]).astype(np.int64)
    log = np.round(_LOG * np.log1p(table["amount"])).astype(np.int64)
    flags = {name: table[name].astype(np.int64) for name in ("refund", "promotion", "declined")}
    amounts = {"cents": cents, "refunded cents": cents * flags["refund"], "log": log, "log squared": log * log}
    return {"one": np.ones(len(cents), np.int64), **amounts, **flags}


def _formulas(table: dict, values: dict, sums: dict, since: dict) -> dict[str, np.ndarray]:
    """The features by name, from sums over and times since earlier transactions."""
    with np.errstate(divide="ignore", invalid="ignore"):
        own, log = sums["own"], values["log"] / _LOG
        mean = sums["own log"] / own / _LOG
        spread = np.sqrt(np.maximum(sums["own log squared"] / own / _LOG**2 - mean**2, 0.0))
        return {
            "log amount": log,
            **{name: values[name] for name in ("refund", "promotion", "declined")},
            "hour of day": table["time"] % DAY // HOUR,
            "log amount less category's mean": log - sums["category log"] / sums["category"] / _LOG,
            "log amount less own mean": log - mean,
            "log amount less own mean, by spread": (log - mean) / (spread + 0.3),
            "amount of a day by own mean": (sums["own cents, day"] + values["cents"]) * own / sums["own cents"],
            "own refunded share, month": sums["own refunded, month"] / sums["own cents, month"],
            "own refunds, share": sums["own refunds"] / own,
            "own promotions, share": sums["own promotions"] / own,
            "own in category, share": sums["own in category"] / own,
            **{name: sums[source] for name, source in _PLAIN.items()},
            **{f"{name}: days since": seconds / DAY for name, seconds in since.items()},
        }


def _matrix(features: dict[str, np.ndarray]) -> np.ndarray:
    table = np.stack(list(features.values()), axis=1).astype(np.float32)
    return np.where(np.isinf(table), np.float32(np.nan), table)


class Groups:
    """Rows in order of time, grouped by what they share."""

    def __init__(self, codes: np.ndarray, time: np.ndarray):
        self.order = np.argsort(codes, kind="stable")
        code = codes[self.order]
        self.place = np.arange(len(code))
        begins = np.r_[True, code[1:] != code[:-1]]
        self.start = np.maximum.accumulate(np.where(begins, self.place, 0))
        self.time = time[self.order] - (time[0] if len(time) else 0)
        self.span = int(self.time.max(initial=0)) + 2
        self.key = code * self.span + self.time  # group by group, in order of time
        self.base = code * self.span

    def back(self, seconds: int | None) -> np.ndarray:
        """Place of the first transaction of the group within a number of seconds."""
        if seconds is None:
            return self.start
        return np.searchsorted(self.key, self.base + np.maximum(self.time - seconds, -1), side="right")

    def unsorted(self, values: np.ndarray) -> np.ndarray:
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def before(self, values: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Sums over the group's earlier rows from place `first` on."""
        total = np.r_[0, np.cumsum(values[self.order])]
        return self.unsorted(total[self.place] - total[first])

    def since(self, which: str) -> np.ndarray:
        other = self.start if which == "first" else np.maximum(self.place - 1, 0)
        gap = np.where(self.place > self.start, self.time - self.time[other], np.nan)
        return self.unsorted(gap)

    def last(self, count: int) -> np.ndarray:
        """Row numbers (n, count) of the group's rows before each, the last one first; -1: there is none."""
        place = self.place[:, None] - 1 - np.arange(count)
        inside = place >= self.start[:, None]
        rows = np.full(place.shape, -1)
        rows[self.order] = np.where(inside, self.order[np.where(inside, place, 0)], -1)
        return rows


def codes_of(table: dict[str, np.ndarray], key: tuple[str, ...]) -> np.ndarray:
    """Whole numbers (n,) that are equal where all columns of the key are."""
    codes = np.zeros(len(table["time"]), np.int64)
    for name in key:
        code, unique = pd.factorize(table[name])
        codes = pd.factorize(codes * max(1, len(unique)) + code)[0].astype(np.int64)
    return codes


def check_order(time: np.ndarray) -> None:
    """Raise a ValueError that names the first row whose time (n,) is before the row above."""
    if (np.diff(time) < 0).any():
        row = int(np.argmax(np.diff(time) < 0)) + 2
        stamp = np.datetime64(int(time[row - 1]), "s")
        raise ValueError(f"column 'timestamp', row {row}: {stamp} is before the row above; expected rows by time")


def features(transactions: pd.DataFrame | dict) -> np.ndarray:
    """Features (n, len(FEATURES)) float32 of each transaction, from the rows above it alone; NaN: no history.

    Rows of one second count as in the order given. A customer, device, address or card not met before has counts of 0.

    Raises:
        ValueError: as `columns`; rows out of order of time.
    """
    table = columns(transactions)
    check_order(table["time"])
    values = _values(table)
    groups = {key: Groups(codes_of(table, key), table["time"]) for key in _KEYS}
    values |= {key: (groups[key].before(values["one"], groups[key].start) == 0).astype(np.int64) for key in _PAIRS}
    places = {(key, window): groups[key].back(window) for key, _, window in SUMS.values()}
    sums = {name: groups[key].before(values[value], places[key, window]) for name, (key, value, window) in SUMS.items()}
    return _matrix(_formulas(table, values, sums, {name: groups[key].since(to) for name, (key, to) in SINCE.items()}))


class _Record:
    """What is kept of the transactions that share something: times and cumulative sums over its longest window."""

    __slots__ = ("first", "span", "times", "totals")

    def __init__(self, values: tuple, span: int):
        self.first: int | None = None
        self.span = span  # seconds
        self.times: list[int] = []
        self.totals = {value: [0] for value in values}  # one entry more than times: what was before them

    def sum(self, value, since: int | None) -> int:
        totals = self.totals[value]
        return totals[-1] - (totals[bisect_right(self.times, since)] if since is not None else 0)

    def add(self, time: int, values: dict, most: int | None) -> int:
        """Take up a transaction; return by how many the times have become more."""
        before = len(self.times)
        self.first = time if self.first is None else self.first
        self.times.append(time)
        for value, totals in self.totals.items():
            totals.append(totals[-1] + int(values[value][0]))
        old = min(bisect_right(self.times, time - self.span), len(self.times) - 1)
        old = max(old, len(self.times) - most) if most else old
        if old > 32:
            del self.times[:old]
            for totals in self.totals.values():
                del totals[:old]
        return len(self.times) - before


_SUMMED = {key: tuple(dict.fromkeys(value for k, value, _ in SUMS.values() if k == key)) or ("one",) for key in _KEYS}
_SUMMED |= {key: tuple(dict.fromkeys(("one", *_SUMMED[key]))) for key in _PAIRS}


_SPANS = {key: max([seconds for k, _, seconds in SUMS.values() if k == key and seconds] or [0]) for key in _KEYS}


class Stream:
    """The features of one transaction after the other, equal to those of `features` on all of them.

    With `most`, what is remembered is bounded: that many customers, devices, addresses, cards, categories and pairs of
    them, and as many times as that in all. The one not met for longest is forgotten first, and is then as never met;
    of one alone at most the last `MOST_TIMES` transactions are in the sums over a window.
    """

    def __init__(self, most: int | None = None):
        self.records: OrderedDict[tuple, _Record] = OrderedDict()  # the one met last stands last
        self.time: int | None = None  # seconds, of the last transaction
        self.most, self.times = most, 0  # times in all records

    def features(self, transaction: dict) -> np.ndarray:
        """Features (len(FEATURES),) float32 of a transaction, as `step` without its columns."""
        return self.step(transaction)[0]

    def step(self, transaction: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Features (len(FEATURES),) of a transaction, a dict under TRANSACTIONS, and its checked columns (1,).

        It is remembered.

        Raises:
            ValueError: as `features`; nothing is remembered then.
        """
        table = columns({name: [value] for name, value in transaction.items()})
        time = int(table["time"][0])
        if self.time is not None:
            check_order(np.array([self.time, time]))
        values, records = _values(table), {}
        for key in _KEYS:
            place = (key, *(table[name][0] for name in key))
            records[key] = self.records.setdefault(place, _Record(_SUMMED[key], _SPANS[key]))
            self.records.move_to_end(place)
        values |= {key: np.array([records[key].first is None], np.int64) for key in _PAIRS}
        sums = {
            name: np.array([records[key].sum(value, None if window is None else time - window)])
            for name, (key, value, window) in SUMS.items()
        }
        since = {}
        for name, (key, which) in SINCE.items():
            record = records[key]
            then = record.first if which == "first" or record.first is None else record.times[-1]
            since[name] = np.array([np.nan if then is None else float(time - then)])
        row = _matrix(_formulas(table, values, sums, since))[0]
        for record in records.values():
            self.times += record.add(time, values, MOST_TIMES if self.most else None)
        while self.most and max(len(self.records), self.times) > self.most:
            self.times -= len(self.records.popitem(last=False)[1].times)
        self.time = time
        return row, table


def _names() -> tuple[str, ...]:
    table = {"time": np.zeros(1, np.int64), "amount": np.zeros(1)}
    table |= dict.fromkeys(("refund", "promotion", "declined"), np.zeros(1, bool))
    zero = np.zeros(1)
    return tuple(_formulas(table, _values(table), dict.fromkeys(SUMS, zero), dict.fromkeys(SINCE, zero)))


FEATURES = _names()
