"""Behavioural features of transactions: velocity, amount against history, reuse of devices, addresses and cards.

Each is a formula on sums over earlier transactions that share something with this one. Sums are of whole numbers
(cents, 1e-4 of a logarithm), so a batch, which subtracts cumulative sums, and a stream, which adds them one by one,
agree to the last bit. What is known of frauds comes late: counts see a fraud from the second after its report came.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from ..errors import FieldError
from .synthetic import DAY
from .transactions import ENTITIES, LABEL_DELAY, check_entities, columns

HOUR = 3600  # seconds
LONGEST = 30 * DAY  # of all windows, seconds
LATE = (1, 7, 30)  # days over which known frauds are counted
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


def _place_sums(name: str) -> tuple[dict, dict]:
    """SUMS and SINCE of an entity that is none of ENTITIES."""
    place, own = (name,), ("customer", name)
    sums = {
        f"{name}, {word}": (place, "one", span) for word, span in (("day", DAY), ("week", 7 * DAY), ("month", LONGEST))
    }
    sums |= {f"{name}": (place, "one", None), f"{name} log": (place, "log", None), f"own at {name}": (own, "one", None)}
    sums |= {f"{name} declined, day": (place, "declined", DAY), f"{name} customers, month": (place, own, LONGEST)}
    return sums, {f"{name} first": (place, "first"), f"{name} last": (place, "last")}


@dataclass(frozen=True)
class Layout:
    """The features of a model: of which columns of ids, and with or without known frauds."""

    entities: tuple[str, ...] = ENTITIES  # the customer first; those beyond ENTITIES are named by the user
    late: bool = False  # whether known frauds are counted, of each entity
    delay: float = LABEL_DELAY  # days after which a transaction that nobody reported counts as none

    def __post_init__(self):
        object.__setattr__(self, "entities", check_entities(self.entities))
        if type(self.late) is not bool:
            raise FieldError("late", self.late, "true or false")
        if isinstance(self.delay, bool) or not isinstance(self.delay, int | float) or not 0 <= self.delay <= 3650:
            raise FieldError("delay", self.delay, "days from 0 to 3650")

    @property
    def wait(self) -> int:
        """The delay in seconds."""
        return round(self.delay * DAY)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return plan(self).names


@dataclass(frozen=True)
class Plan:
    """What a layout's features are computed from."""

    sums: dict[str, tuple]  # as SUMS
    since: dict[str, tuple]  # as SINCE
    pairs: tuple[tuple[str, ...], ...]
    keys: tuple[tuple[str, ...], ...]  # all that transactions share
    places: tuple[str, ...]  # entities beyond ENTITIES
    names: tuple[str, ...]


@lru_cache(maxsize=64)
def plan(layout: Layout) -> Plan:
    """The sums of a layout: those of SUMS whose columns it has, and those of its further entities."""
    sums, since, places = dict(SUMS), dict(SINCE), tuple(n for n in layout.entities if n not in ENTITIES)
    for name in places:
        more, times = _place_sums(name)
        sums, since = sums | more, since | times
    there = {*layout.entities, "category"}
    has = lambda columns: isinstance(columns, str) or there.issuperset(columns)
    sums = {name: entry for name, entry in sums.items() if has(entry[0]) and has(entry[1])}
    since = {name: entry for name, entry in since.items() if has(entry[0])}
    pairs = (*_PAIRS, *(("customer", name) for name in places))
    pairs = tuple(pair for pair in pairs if has(pair))
    late = tuple((name,) for name in layout.entities) if layout.late else ()
    keys = (*pairs, *(key for key, *_ in sums.values()), *(key for key, _ in since.values()), *late)
    made = Plan(sums, since, pairs, tuple(dict.fromkeys(keys)), places, ())
    table = {"time": np.zeros(1, np.int64), "amount": np.zeros(1)}
    table |= dict.fromkeys(("refund", "promotion", "declined"), np.zeros(1, bool))
    zero, counts = np.zeros(1), {(name, days): (np.zeros(1), np.zeros(1)) for (name,) in late for days in LATE}
    names = _formulas(made, table, values_of(table), dict.fromkeys(sums, zero), dict.fromkeys(since, zero), counts)
    return Plan(sums, since, pairs, made.keys, places, tuple(names))


def values_of(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is summed, whole numbers (n,), the first times of pairs aside."""
    cents = np.round(100 * table["amount"]).astype(np.int64)
    log = np.round(_LOG * np.log1p(table["amount"])).astype(np.int64)
    flags = {name: table[name].astype(np.int64) for name in ("refund", "promotion", "declined")}
    amounts = {"cents": cents, "refunded cents": cents * flags["refund"], "log": log, "log squared": log * log}
    return {"one": np.ones(len(cents), np.int64), **amounts, **flags}


def _formulas(made: Plan, table: dict, values: dict, sums: dict, since: dict, late: dict) -> dict[str, np.ndarray]:
    """The features by name, from sums over and times since earlier transactions, and counts of known frauds."""
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
            **{name: sums[source] for name, source in _PLAIN.items() if source in sums},
            **{f"{name}: days since": seconds / DAY for name, seconds in since.items() if name in SINCE},
            **{name: value for place in made.places for name, value in _of_place(place, log, sums, since).items()},
            **{name: value for key, counts in late.items() for name, value in _of_late(*key, *counts).items()},
        }


def _of_place(name: str, log: np.ndarray, sums: dict, since: dict) -> dict[str, np.ndarray]:
    """The features of an entity beyond ENTITIES."""
    counted = (f"{name}, day", f"{name}, week", f"{name}, month", f"own at {name}")
    return {
        **{f"{sum}: transactions": sums[sum] for sum in counted},
        **{sum: sums[sum] for sum in (f"{name} declined, day", f"{name} customers, month")},
        f"log amount less {name}'s mean": log - sums[f"{name} log"] / sums[name] / _LOG,
        **{f"{name} {end}: days since": since[f"{name} {end}"] / DAY for end in ("first", "last")},
    }


def _of_late(name: str, days: int, frauds: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """Known frauds of an entity, and their share of the transactions whose labels came, or fell due, in these days."""
    whose = "own" if name == "customer" else name
    share = frauds / np.maximum(frauds, others)
    return {f"{whose} known frauds, {days} days": frauds, f"{whose} known fraud rate, {days} days": share}


def row_of(layout: Layout, table: dict, values: dict, sums: dict, since: dict, late: dict) -> np.ndarray:
    """Features (n, F) float32 from their parts, see `_formulas`."""
    return _matrix(_formulas(plan(layout), table, values, sums, since, late))


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

    def due(self, wait: int, seconds: int) -> np.ndarray:
        """How many of the group's transactions are older than `wait` and were not so `seconds` ago."""
        until = np.searchsorted(self.key, self.base + np.maximum(self.time - wait, 0), side="left")
        return self.unsorted(until - self.back(wait + seconds))

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


def reports(time: np.ndarray, known: np.ndarray | None, wait: int) -> np.ndarray:
    """Seconds (n,) at which it becomes known whether those at `time` (n,) are frauds: `known`, else after `wait`.

    Raises:
        ValueError: a label that is known before its transaction.
    """
    if known is None:
        return time + wait
    stamps = np.asarray(known).astype("datetime64[s]")
    found = np.where(np.isnat(stamps), time + wait, stamps.astype(np.int64))
    if (found < time).any():
        row = int(np.argmax(found < time))
        raise ValueError(f"column 'known_at', row {row + 1}: {stamps[row]}; expected a time after the transaction's")
    return found


def _counts(codes: np.ndarray, time: np.ndarray, fraud: np.ndarray, known: np.ndarray) -> dict[int, np.ndarray]:
    """Per number of days the frauds (n,) of the group that became known within them, before this second."""
    now, bad = time - time[0], np.flatnonzero(fraud)
    span = int(now[-1]) + 2
    key = np.sort(codes[bad] * span + np.minimum(known[bad] - time[0], span - 1))
    until = np.searchsorted(key, codes * span + now)
    first = {days: np.maximum(now - days * DAY + 1, 0) for days in LATE}
    return {days: until - np.searchsorted(key, codes * span + since) for days, since in first.items()}


def features(
    transactions: pd.DataFrame | dict,
    layout: Layout | None = None,
    fraud: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Return features (n, len(layout.names)) float32 of each transaction, from the rows above it; NaN: no history.

    Rows of one second count in the order given. A new customer, device, address or card has counts of 0. If the layout
    counts known frauds, `fraud` (n,) says which rows are frauds and `known` (n,) datetime64 when that was
    reported (None or NaT: the layout's delay after the transaction). A row sees what was reported before its second,
    in whatever order the rows of one second are.

    Raises:
        ValueError: as `columns`; rows out of order of time; no labels where the layout needs some; a report that comes
            before its transaction.
    """
    layout = layout or PLAIN
    made, table = plan(layout), columns(transactions, layout.entities)
    time = table["time"]
    check_order(time)
    values = values_of(table)
    codes = {key: codes_of(table, key) for key in made.keys}
    groups = {key: Groups(codes[key], time) for key in made.keys}
    values |= {key: (groups[key].before(values["one"], groups[key].start) == 0).astype(np.int64) for key in made.pairs}
    places = {(key, window): groups[key].back(window) for key, _, window in made.sums.values()}
    sums = {
        name: groups[key].before(values[value], places[key, window]) for name, (key, value, window) in made.sums.items()
    }
    since, late = {name: groups[key].since(to) for name, (key, to) in made.since.items()}, {}
    if layout.late:
        if fraud is None or np.shape(fraud) != time.shape:
            raise FieldError("fraud", np.shape(fraud), f"labels {time.shape}: the layout counts known frauds")
        report = reports(time, known, layout.wait)
        for name in layout.entities if len(time) else ():
            counts = _counts(codes[name,], time, np.asarray(fraud, bool), report)
            late |= {(name, days): (counts[days], groups[name,].due(layout.wait, days * DAY)) for days in LATE}
    if not len(time):
        return np.empty((0, len(layout.names)), np.float32)
    return row_of(layout, table, values, sums, since, late)


PLAIN = Layout()
STORE = Layout((*ENTITIES, "merchant"), late=True)  # all that the synthetic store has
FEATURES = PLAIN.names
