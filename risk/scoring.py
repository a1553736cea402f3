"""Scores as transactions come, one at a time."""

from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pandas as pd

from ..learning.base import Card
from ..reading import read_arrays
from .features import features
from .stream import Stream, save_state
from .tabular import Trees

STATE = "stream.npz"  # beside a model: what its scorer remembers
REMEMBERED = 500_000  # of `Stream`, where a server scores: 0.6 GB, some 50,000 customers


class Scorer:
    """Probabilities of fraud, transaction by transaction. They equal those of one batch with all transactions.

    The scorer keeps 30 days of sums, known frauds and, for the sequence model, the last transactions of each customer,
    device and address. A new customer, device or address is scored as a first transaction.
    """

    def __init__(self, model, history: pd.DataFrame | None = None, most: int | None = None):
        """`model` is a trained Trees or SequenceModel; `history`, transactions by time that came before.

        A history may have the columns `fraud` and `known_at`: its frauds are reported as they became known, which may
        be after its end. `most` bounds what is remembered, as `Stream` says.
        """
        self.model, self.stream = model, Stream(most, model.layout)
        self.tail: OrderedDict[tuple[str, str], deque] = OrderedDict()  # the one met last stands last
        if history is not None:
            self._replay(history)

    def score(self, transaction: dict) -> float:
        """The probability that a transaction, a dict under TRANSACTIONS, is a fraud; it is then part of the history.

        What it lacks beyond the core columns is filled in as by `completed`.

        Raises:
            ValueError: a core column that is missing, a bad value, a time before the last transaction's. Nothing is
                remembered then.
        """
        row, table = self.stream.step(transaction)
        if isinstance(self.model, Trees):
            return float(self.model.predict(row[None])[0])
        probability = self.model.next(table, row[None], self.tail)
        self._bound()
        return probability

    def report(self, transaction: dict, known: np.datetime64 | None = None) -> None:
        """A transaction was a fraud, as `Stream.report` says."""
        self.stream.report(transaction, known)

    def _replay(self, history: pd.DataFrame) -> None:
        """Take up what came before, with each report once it came."""
        fraud, known = (history[name].to_numpy() if name in history else None for name in ("fraud", "known_at"))
        table = self.stream.replay(history, fraud, known)
        if isinstance(self.model, Trees):
            return
        fraud = np.zeros(len(history), bool) if fraud is None else fraud
        for own in self.model.tokens_of(table, features(history, self.model.layout, fraud, known)):
            self.model.remember(own, self.tail)
            self._bound()

    def _bound(self) -> None:
        while self.stream.most and len(self.tail) > self.stream.most:
            self.tail.popitem(last=False)

    def save(self, folder: str | Path, card: Card) -> None:
        """Save the model and, beside it, what is remembered: ids as salted hashes alone."""
        self.model.save(folder, card)
        self.save_state(folder)

    def save_state(self, folder: str | Path) -> None:
        """Write what is remembered into the model's folder."""
        save_state(Path(folder) / STATE, self.stream.state() | _packed(self.tail))

    @classmethod
    def restored(cls, model, folder: str | Path, most: int | None = None) -> "Scorer":
        """A scorer of a model that goes on from the state in its folder, if there is one.

        Raises ValueError where the state is damaged or of another model.
        """
        scorer, path = cls(model, most=most), Path(folder) / STATE
        if not path.is_file():
            return scorer
        arrays = read_arrays(path)
        stream = Stream.restored(arrays)
        if stream.layout != model.layout:
            raise ValueError(f"{path}: of the features {stream.layout}; expected {model.layout}")
        stream.most = most
        stream.bound()
        scorer.stream, scorer.tail = stream, _unpacked(arrays)
        return scorer


def _packed(tail: OrderedDict) -> dict[str, np.ndarray]:
    """The last transactions of each as arrays: columns of the transactions, and which of them each list has."""
    items = {id(item): item for known in tail.values() for item in known}
    rows = {place: row for row, place in enumerate(items)}
    names = next(iter(items.values()), {})
    arrays = {f"tail.{name}": np.array([item[name] for item in items.values()]) for name in names}
    arrays["tail"] = np.array(["/".join(map(str, place)) for place in tail] or [], dtype=np.str_)
    arrays["tail sizes"] = np.array([(len(known), known.maxlen) for known in tail.values()], np.int64).reshape(-1, 2)
    return arrays | {"tail rows": np.array([rows[id(item)] for known in tail.values() for item in known], np.int64)}


def _unpacked(arrays: dict[str, np.ndarray]) -> OrderedDict:
    columns = {name.removeprefix("tail."): values for name, values in arrays.items() if name.startswith("tail.")}
    count = len(next(iter(columns.values()), ()))
    items = [{name: values[row] for name, values in columns.items()} for row in range(count)]
    tail, place = OrderedDict(), 0
    for name, (size, most) in zip(arrays["tail"], arrays["tail sizes"].tolist(), strict=True):
        kind, _, who = str(name).partition("/")
        rows = arrays["tail rows"][place : place + size]
        tail[kind, np.str_(who)], place = deque((items[row] for row in rows), most), place + size
    return tail
