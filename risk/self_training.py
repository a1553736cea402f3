"""Few transactions are looked at: the others have no label. Trees on the labelled ones, and by self-training on all."""

from dataclasses import dataclass

import numpy as np

from ..learning.params import check_fields
from .tabular import Trees


@dataclass
class SelfTraining:
    """Pseudo-labels from the trees' own margins (Lee 2013, ICML workshop; Yarowsky 1995, ACL)."""

    rounds: int = 1
    fraud_share: float = 0.5  # of the frauds that are to be expected among the unlabelled: so many are taken for one
    honest_share: float = 0.9  # of the others: so many are taken for honest

    def __post_init__(self):
        check_fields(self, highest={"rounds": 100})


def self_train(
    trees: Trees, table: np.ndarray, fraud: np.ndarray, unlabelled: np.ndarray, how: SelfTraining | None = None
) -> Trees:
    """Grow the trees on features (n, F) with labels (n,), then anew on these and on the sure ones of the others.

    Of the unlabelled rows (m, F) those with the highest margins are taken for fraud, as many as `fraud_share` of what
    the share of frauds among the labels lets expect, and those with the lowest for honest; the rest stays out.
    """
    how = how or SelfTraining()
    trees.fit(table, fraud)
    expected = fraud.mean() * len(unlabelled)
    bad, good = round(how.fraud_share * expected), round(how.honest_share * (len(unlabelled) - expected))
    for _ in range(how.rounds):
        order = np.argsort(trees.margins(unlabelled), kind="stable")
        chosen = np.r_[order[:good], order[len(order) - bad :]]
        labels = np.r_[np.zeros(good, bool), np.ones(bad, bool)]
        trees.fit(np.concatenate([table, unlabelled[chosen]]), np.concatenate([fraud, labels]))
    return trees
