"""Fraud by rules, as a shop writes them down: points for what is unusual. What learned models have to beat."""

import numpy as np

from .features import FEATURES

# Points, feature, and the value above which a transaction gets them: chosen on synthetic stores of the seeds 10 to 12.
RULES = (
    (1, "log amount less own mean, by spread", 2.5),  # amount against history
    (1, "amount of a day by own mean", 8.0),
    (1, "own, hour: transactions", 1),  # velocity
    (1, "own, hour: transactions", 2),
    (1, "own declined, day", 0),
    (2, "own declined, day", 1),
    (1, "own cards, day", 0),
    (3, "own cards, day", 1),
    (1, "device, hour: transactions", 1),
    (2, "device customers, week", 0),  # one thing, several people
    (2, "device customers, week", 1),
    (1, "device declined, day", 1),
    (1, "address customers, month", 7),
    (1, "own promotions, share", 0.75),
)
_PLACES = [FEATURES.index(name) for _, name, _ in RULES]
_POINTS, _LIMITS = (np.array([rule[k] for rule in RULES], float) for k in (0, 2))


def suspicion(table: np.ndarray) -> np.ndarray:
    """Share (n,) of the points that transactions with features (n, F) get, 0 to 1; no probability.

    What is not known (NaN: of a first transaction) gets none.
    """
    return (np.asarray(table)[:, _PLACES] > _LIMITS) @ _POINTS / _POINTS.sum()
