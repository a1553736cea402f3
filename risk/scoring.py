"""Scores as transactions come, one at a time."""

from collections import OrderedDict, deque

import numpy as np
import pandas as pd

from .features import Stream
from .tabular import Trees


class Scorer:
    """The probabilities of a model, transaction by transaction: equal to those of one batch with all of them.

    It keeps 30 days of sums and, for the sequence model, the last transactions of each customer, device and address.
    One who was never met before is scored as what he is: a first transaction.
    """

    def __init__(self, model, history: pd.DataFrame | None = None, most: int | None = None):
        """`model` is a trained Trees or SequenceModel; `history`, transactions by time that came before.

        `most` bounds what is remembered, as `Stream` says.
        """
        self.model, self.stream = model, Stream(most)
        self.tail: OrderedDict[tuple[str, str], deque] = OrderedDict()  # the one met last stands last
        for transaction in [] if history is None else history.to_dict("records"):
            self._next(transaction, scored=False)

    def score(self, transaction: dict) -> float:
        """The probability that a transaction, a dict under TRANSACTIONS, is a fraud; it is then part of the history.

        Raises:
            ValueError: a column that is missing or holds a bad value, a time before the last transaction's. Nothing is
                remembered then.
        """
        return self._next(transaction, scored=True)

    def _next(self, transaction: dict, scored: bool) -> float:
        features, table = self.stream.step(transaction)
        features = features[None]
        if isinstance(self.model, Trees):
            return float(self.model.predict(features)[0]) if scored else np.nan
        probability = self.model.next(table, features, self.tail, scored)
        while self.stream.most and len(self.tail) > self.stream.most:
            self.tail.popitem(last=False)
        return probability
