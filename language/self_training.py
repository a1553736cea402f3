"""Self-training: texts without a label are trained on by what a model of the labelled ones makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..learning.params import check_fields
from .base import TextClassifier
from .text import clean, has_words


@dataclass
class SelfTraining:
    """Pseudo-labels from one's own confident predictions (Lee 2013, ICML workshop; Yarowsky 1995, ACL)."""

    rounds: int = 2
    share: float = 0.5  # of the unlabelled texts, the surest of each label, that are trained on

    def __post_init__(self):
        check_fields(self, lowest={"share": 0.01}, highest={"rounds": 100})


def self_train(
    model: TextClassifier,
    texts: Sequence[str],
    labels: Sequence,
    unlabelled: Sequence[str],
    held: Sequence[int] = (),
    how: SelfTraining | None = None,
) -> TextClassifier:
    """Train a classifier on texts (N,) with labels (N,), then anew on these and on the unlabelled ones it is surest of.

    Surest is told by rank, for few labels calibrate no probability, and of each label as many are taken as its share
    among the labels allows, or else the most common one would crowd out the others. What calibrates has true labels
    alone: the rows `held` (see `TextClassifier.fit`), or the model's share `validation` of each label; then all rows
    train, where that is cheap.
    """
    how = how or SelfTraining()
    pool = [text for text in dict.fromkeys(clean(unlabelled)) if has_words(text)]
    model.fit(texts, labels, held)
    values = [label.item() if isinstance(label, np.generic) else label for label in labels]
    own = list(held) or _held(values, model.params.validation, model.params.seed)
    for _ in range(how.rounds):
        chosen, guesses = _sure(model, pool, values, how.share)
        if not len(chosen):
            break
        more, made = [*texts, *(pool[row] for row in chosen)], [*values, *guesses]
        model.fit(more, made, own)
        if not held:
            pairs = [(text, label) for text, label in zip(clean(more), made, strict=True) if has_words(text)]
            model._refit([text for text, _ in pairs], np.array([model.labels.index(label) for _, label in pairs]))
    counts = np.array([values.count(label) for label in model.labels], float)
    model.prior = counts / counts.sum()  # of true labels
    return model


def _sure(model: TextClassifier, pool: list[str], values: list, share: float) -> tuple[np.ndarray, list]:
    """Rows of the pool that are taken, and their labels."""
    if not pool:
        return np.empty(0, int), []
    chance = model.predict_proba(pool)
    best, rows = chance.argmax(1), []
    for code, label in enumerate(model.labels):
        own = np.flatnonzero(best == code)
        most = round(share * len(pool) * values.count(label) / len(values))
        rows.append(own[np.argsort(-chance[own, code], kind="stable")][:most])
    taken = np.sort(np.concatenate(rows))
    return taken, [model.labels[code] for code in best[taken]]


def _held(values: list, share: float, seed: int) -> list[int]:
    """A share of the rows of each label, at least one of a label with two or more; none where the share is 0."""
    if not share:
        return []
    rng, rows = np.random.default_rng(seed), []
    for label in sorted(set(values)):
        of = rng.permutation([row for row, value in enumerate(values) if value == label])
        rows += of[: min(len(of) - 1, max(1, round(share * len(of))))].tolist()
    return sorted(rows)
