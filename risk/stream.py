"""The features of transactions as they come, one at a time, in memory that may be bounded and saved."""

import hashlib
import io
import json
import os
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd

from ..learning.base import write_atomic
from .features import LATE, Layout, check_order, plan, reports, row_of, values_of
from .synthetic import DAY
from .transactions import ENTITIES, columns

MOST_TIMES = 10_000  # of one customer, device, address or card in a stream whose memory is bounded
_NEVER = np.iinfo(np.int64).min
_KEPT = LATE[-1] * DAY  # seconds that a known fraud counts


class _Record:
    """What is kept of the transactions that share something: times and cumulative sums over its longest window."""

    __slots__ = ("first", "known", "span", "times", "totals")

    def __init__(self, values: tuple, span: int):
        self.first: int | None = None
        self.span = span  # seconds
        self.times: list[int] = []
        self.known: list[int] = []  # seconds, when frauds were reported, sorted
        self.totals = {value: [0] for value in values}  # one entry more than times: what was before them

    def __len__(self) -> int:
        return len(self.times) + len(self.known)

    def sum(self, value, since: int | None) -> int:
        totals = self.totals[value]
        return totals[-1] - (totals[bisect_right(self.times, since)] if since is not None else 0)

    def since(self, which: str, time: int) -> float:
        """Seconds since the first or the last transaction; NaN without one."""
        then = self.first if which == "first" or self.first is None else self.times[-1]
        return np.nan if then is None else float(time - then)

    def late(self, time: int, wait: int, seconds: int) -> tuple[int, int]:
        """Known frauds, and transactions whose labels fell due, as `Groups.due` has them."""
        frauds = bisect_left(self.known, time) - bisect_right(self.known, time - seconds)
        due = bisect_left(self.times, time - wait) - bisect_right(self.times, time - wait - seconds)
        return frauds, due

    def add(self, time: int, values: dict[str | tuple, int], most: int | None) -> int:
        """Take up a transaction; return by how many the times have become more."""
        before = len(self)
        self.first = time if self.first is None else self.first
        self.times.append(time)
        for value, totals in self.totals.items():
            totals.append(totals[-1] + values[value])
        old = min(bisect_right(self.times, time - self.span), len(self.times) - 1)
        old = max(old, len(self.times) - most) if most else old
        if old > 32:
            del self.times[:old]
            for totals in self.totals.values():
                del totals[:old]
        return len(self) - before

    def report(self, time: int, now: int, most: int | None) -> int:
        """Take up a known fraud; return by how many the times have become more."""
        before = len(self)
        insort(self.known, time)
        del self.known[: bisect_right(self.known, now - _KEPT)]
        del self.known[: -most if most else 0]
        return len(self) - before


class Stream:
    """Features of transactions, one after the other. They equal those of `features` on all of them.

    `most` bounds the memory: that many customers, devices, addresses, cards, categories and pairs of them, and as many
    times of transactions in all. The one not met for longest is forgotten first, and then counts as new. Of a single
    one at most the last `MOST_TIMES` transactions are in the sums over a window.

    Ids are kept only as salted hashes. `keyed` is the fingerprint of the key under which the given ids are pseudonyms
    (`data.privacy.fingerprint`); "" if they are not pseudonyms.
    """

    def __init__(self, most: int | None = None, layout: Layout | None = None):
        self.layout = layout or Layout()
        self.records: OrderedDict[tuple, _Record] = OrderedDict()  # the one met last stands last
        self.time: int | None = None  # seconds, of the last transaction
        self.most, self.times = most, 0  # times in all records
        self.reported: dict[str, None] = {}  # transactions that were told to be frauds, by their own ids, oldest first
        self.salt, self.keyed = os.urandom(16), ""
        made = plan(self.layout)
        summed = {key: [value for k, value, _ in made.sums.values() if k == key] for key in made.keys}
        self._summed = {key: tuple(dict.fromkeys(["one", *summed[key]])) for key in made.keys}
        spans = {key: [s for k, _, s in made.sums.values() if k == key and s] for key in made.keys}
        late = self.layout.wait + _KEPT if self.layout.late else 0
        entity = {(name,) for name in self.layout.entities}
        self._spans = {key: max([*spans[key], late * (key in entity), 0]) for key in made.keys}

    def features(self, transaction: dict) -> np.ndarray:
        """Features (len(layout.names),) float32 of a transaction, as `step` without its columns."""
        return self.step(transaction)[0]

    def step(self, transaction: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Features (len(layout.names),) of a transaction, a dict under TRANSACTIONS, and its checked columns (1,).

        Entities in these columns are hashed. The transaction is remembered.

        Raises:
            ValueError: as `features`; nothing is remembered then.
        """
        made, layout = plan(self.layout), self.layout
        table = columns({name: [value] for name, value in transaction.items()}, layout.entities)
        time = int(table["time"][0])
        if self.time is not None:
            check_order(np.array([self.time, time]))
        ids = {name: self._hashed(table[name][0]) for name in self._columns}
        values = values_of(table)
        records = {key: self._record((key, *(ids[name] for name in key))) for key in made.keys}
        entries = [records[key].sum(value, window and time - window) for key, value, window in made.sums.values()]
        sums = dict(zip(made.sums, np.array(entries)[:, None], strict=True))
        spans = np.array([records[key].since(which, time) for key, which in made.since.values()])
        since = dict(zip(made.since, spans[:, None], strict=True))
        counted = [(name, days) for name in layout.entities for days in LATE] if layout.late else []
        counts = [records[name,].late(time, layout.wait, days * DAY) for name, days in counted]
        late = dict(zip(counted, np.array(counts, np.int64).reshape(-1, 2, 1), strict=True))
        row = row_of(layout, table, values, sums, since, late)[0]
        self._add(time, records, {name: int(value[0]) for name, value in values.items()})
        return row, table | {name: np.array([hashed]) for name, hashed in ids.items() if name != "category"}

    def replay(
        self, transactions: pd.DataFrame, fraud: np.ndarray | None = None, known: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Take up transactions by time as `step` does, but without their features, and report each fraud as it was.

        `fraud` and `known` are those of `features`. Returns the checked columns, ids hashed. Raises ValueError as it.
        """
        made, table = plan(self.layout), columns(transactions, self.layout.entities)
        time = table["time"].tolist()
        check_order(np.array([*([] if self.time is None else [self.time]), *time]))
        told = []
        if fraud is not None and len(time):
            at, bad = reports(table["time"], known, self.layout.wait), np.flatnonzero(np.asarray(fraud, bool))
            told = [(int(at[row]), row) for row in bad[np.argsort(-at[bad], kind="stable")]]
        ids = {name: self._all_hashed(table[name]) for name in self._columns}
        values = {name: part.tolist() for name, part in values_of(table).items()}
        for row, now in enumerate(time):
            while told and told[-1][0] < now:
                at, which = told.pop()
                self._known({name: ids[name][which] for name in self.layout.entities}, at)
            records = {key: self._record((key, *(ids[name][row] for name in key))) for key in made.keys}
            self._add(now, records, {name: part[row] for name, part in values.items()})
        for at, which in reversed(told):
            self._known({name: ids[name][which] for name in self.layout.entities}, at)
        return table | {name: np.array(hashed, np.str_) for name, hashed in ids.items() if name != "category"}

    def _add(self, time: int, records: dict[tuple, _Record], values: dict) -> None:
        values |= {key: int(records[key].first is None) for key in plan(self.layout).pairs}
        for record in records.values():
            self.times += record.add(time, values, MOST_TIMES if self.most else None)
        self.bound()
        self.time = time

    def report(self, transaction: dict, known: np.datetime64 | None = None) -> None:
        """A transaction was a fraud, which is known since `known` (None: now); one of before now counts from now on.

        Its ids are enough: a dict with the customer and what else it has of the layout's entities. It is seen by
        transactions of later seconds alone. One with an id of its own, under `transaction`, counts once, however often
        it is told; without it each report counts. Raises ValueError for a transaction without a customer.
        """
        if not self.layout.late:
            return
        if (who := transaction.get("customer")) is None:
            raise ValueError("column 'customer': missing; expected an id")
        if (number := transaction.get("transaction")) is not None:
            told = self._hashed(number)
            if told in self.reported:
                return
            self.reported[told] = None
            if self.most and len(self.reported) > self.most:
                del self.reported[next(iter(self.reported))]
        now = self.time if self.time is not None else 0
        at = now if known is None else max(now, int(np.datetime64(known, "s").astype(np.int64)))
        self._known({name: self._hashed(transaction.get(name, who)) for name in self.layout.entities}, at)

    def _known(self, ids: dict[str, str], at: int) -> None:
        if not self.layout.late:
            return
        now = self.time if self.time is not None else 0
        for name, hashed in ids.items():
            record = self._record(((name,), hashed))
            self.times += record.report(at, now, MOST_TIMES if self.most else None)
        self.bound()

    def _record(self, place: tuple) -> _Record:
        record = self.records.get(place)
        if record is None:
            record = self.records[place] = _Record(self._summed[place[0]], self._spans[place[0]])
        self.records.move_to_end(place)
        return record

    @property
    def _columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*ENTITIES, *self.layout.entities, "category")))

    def _all_hashed(self, values: np.ndarray) -> list[str]:
        codes, unique = pd.factorize(values)
        hashed = [self._hashed(value) for value in unique]
        return [hashed[code] for code in codes]

    def _hashed(self, value) -> str:
        return hashlib.blake2b(f"{value}".encode("utf-8", "replace"), key=self.salt, digest_size=8).hexdigest()

    def bound(self) -> None:
        """Forget who was not met for longest, while there is more than `most`."""
        while self.most and max(len(self.records), self.times) > self.most:
            self.times -= len(self.records.popitem(last=False)[1])

    def state(self) -> dict[str, np.ndarray]:
        """All that is remembered, as arrays: what `restored` takes."""
        keys, records = plan(self.layout).keys, self.records.values()
        numbers = {key: number for number, key in enumerate(keys)}
        about = {"entities": self.layout.entities, "late": self.layout.late, "delay": self.layout.delay}
        about |= {"time": self.time, "salt": self.salt.hex(), "most": self.most, "keyed": self.keyed}
        flat = lambda lists: np.array([value for part in lists for value in part], np.int64)
        return {
            "about": np.array(json.dumps(about)),
            "key": np.array([numbers[place[0]] for place in self.records], np.int64),
            "ids": np.array(["/".join(place[1:]) for place in self.records] or [""]),
            "first": np.array([_NEVER if record.first is None else record.first for record in records], np.int64),
            "counts": np.array([(len(record.times), len(record.known)) for record in records], np.int64).reshape(-1, 2),
            "times": flat(record.times for record in records),
            "known": flat(record.known for record in records),
            "totals": flat(totals for record in records for totals in record.totals.values()),
            "reported": np.array([*self.reported] or [], np.str_),
        }

    @classmethod
    def restored(cls, state: dict[str, np.ndarray]) -> "Stream":
        """The stream whose `state` this is. Raises ValueError where it is none."""
        try:
            about = json.loads(str(state["about"]))
            layout = Layout(tuple(about["entities"]), about["late"], about["delay"])
            stream, keys = cls(about["most"], layout), plan(layout).keys
            stream.salt, stream.time = bytes.fromhex(about["salt"]), about["time"]
            stream.keyed = about.get("keyed", "")
            stream.reported = dict.fromkeys(map(str, state.get("reported", ())))
            times, known, totals = (state[name].tolist() for name in ("times", "known", "totals"))
            one = two = three = 0
            rows = zip(state["key"], state["ids"], state["first"].tolist(), state["counts"].tolist(), strict=False)
            for number, ids, first, (count, reported) in rows:
                record = stream._record((keys[number], *str(ids).split("/")))
                record.first = None if first == _NEVER else first
                record.times, one = times[one : one + count], one + count
                record.known, two = known[two : two + reported], two + reported
                for value in record.totals:
                    record.totals[value], three = totals[three : three + count + 1], three + count + 1
            if (one, two, three) != (len(times), len(known), len(totals)):
                raise ValueError("its parts do not fit together")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no state of a stream: {error}") from None
        stream.times = len(times) + len(known)
        return stream


def save_state(path: str | Path, state: dict[str, np.ndarray]) -> None:
    """Write a state beside and rename it."""
    file = io.BytesIO()
    np.savez(file, **state)
    write_atomic(Path(path), file.getvalue())
