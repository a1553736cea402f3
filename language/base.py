"""What every text classifier shares: labels, calibrated probabilities, texts without words, folders."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import FieldError
from ..learning.base import Card, load_folder, save_folder
from .text import clean, has_words, spoken

OUTSIDE = frozenset(("other", "oos", "out_of_scope"))  # labels of texts that are of none of the others
PRECISION = 0.92  # of the answers above `threshold`, on the held-out texts, where no other is asked for
_LEARNT = 0.2  # power of the familiarity where texts out of scope were learnt
_TOLD, _SPOKEN = 2000, 0.05  # training texts that are asked for their language; share from which one is known
_PIECES = 128  # that a text is cut into to be explained


@dataclass
class Attribution:
    """What one piece of a text adds to the log-odds of a label."""

    piece: str
    start: int  # characters from the start of the cleaned text
    stop: int
    value: float


def pieces(text: str) -> list[tuple[int, int]]:
    """Start and stop of the text's words, each Han character one; of long texts as many runs of them as `_PIECES`."""
    spans = [match.span() for match in re.finditer(r"[㐀-䶿一-鿿]|[^\W㐀-䶿一-鿿]+", text)]
    run = -(-len(spans) // _PIECES)
    return [(group[0][0], group[-1][1]) for group in (spans[i : i + run] for i in range(0, len(spans), run or 1))]


class TextClassifier(ABC):
    """A text classifier: probabilities of labels for texts.

    `Params` has `validation`, the share of the training rows for calibration and early stopping, and `seed`. A text
    without a letter or digit (empty, emoji, punctuation) has the labels' shares of the training rows as its
    probabilities. So has a text in another language than the training texts, as far as `text.spoken` can tell, unless
    an encoder of the user's own reads it.
    """

    name: ClassVar[str]
    Params: ClassVar[type]

    def __init__(self, params=None):
        self.params = params or self.Params()
        self.labels: list = []
        self.prior = np.empty(0)  # (C,)
        self.languages: list[str] = []  # of the training texts; none: unknown
        self.temperature = 1.0  # Guo et al. 2017, arXiv:1706.04599
        self.threshold = 0.0  # of the probability x familiarity, where some training texts were out of scope

    def fit(
        self, texts: Sequence[str], labels: Sequence, held: Sequence[int] = (), precision: float = PRECISION
    ) -> "TextClassifier":
        """Train on texts (N,) and their labels (N,), str or int, of two or more values. Returns itself.

        `held`: rows that calibrate, in place of the share `validation`, and that are trained on by no model.
        `precision`: share of right answers above `threshold`, on the rows that calibrate.
        """
        texts, codes = clean(texts), self._codes(labels)
        if len(texts) != len(codes):
            raise ValueError(f"labels has {len(codes)} entries: allowed are as many as texts, {len(texts)}")
        self.prior = np.bincount(codes) / len(codes)
        worded = np.array([row for row, text in enumerate(texts) if has_words(text)], dtype=int)
        told = Counter(name for row in worded[:_TOLD] if (name := spoken(texts[row])))
        self.languages = sorted(name for name, count in told.items() if count >= _SPOKEN * told.total())
        if len(np.unique(codes[worded])) < len(self.labels):
            raise ValueError("texts of some label have no words at all: allowed are labels with a text that has one")
        order = np.random.default_rng(self.params.seed).permutation(worded)
        given, share = np.isin(worded, np.asarray(held, int)), round(self.params.validation * len(order))
        own = worded[given] if given.any() else order[:share]
        rest = np.sort(np.setdiff1d(worded, own))
        if len(np.unique(codes[rest])) < len(self.labels):
            raise FieldError("validation", self.params.validation, "a share that leaves each label a training text")
        pick = lambda rows: ([texts[row] for row in rows], codes[rows])
        self._fit(*pick(rest), *pick(own))
        self.temperature, self.threshold = 1.0, 0.0
        if len(own):
            self.temperature = fit_temperature(self._logits(pick(own)[0]), codes[own])
            self.threshold = self._threshold(*pick(own), precision)
        if not given.any():
            self._refit(*pick(worded))
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (N, C) in the order of `labels`; each row sums to 1."""
        texts, worded = self._worded(texts)
        result = np.tile(self.prior, (len(texts), 1))
        if worded:
            result[worded] = softmax(self._logits([texts[row] for row in worded]) / self.temperature)
        return result

    def readable(self, texts: Sequence[str]) -> np.ndarray:
        """False (N,) for a text in a language of which no training texts were: its probabilities say nothing."""
        if not self.languages or self._reads_all():
            return np.ones(len(texts), bool)
        return np.array([spoken(text) in ("", *self.languages) for text in clean(texts)], bool)

    def predict(self, texts: Sequence[str]) -> list:
        """The most probable label of each text (N,)."""
        return [self.labels[code] for code in self.predict_proba(texts).argmax(1)]

    def familiarity(self, texts: Sequence[str]) -> np.ndarray:
        """How like the training texts each text is (N,), from 0 to 1 (as like as they are to each other).

        Probabilities say which of the labels it is, if it is one of them; this says whether it is. Models that cannot
        tell, and texts without words, have 1.
        """
        texts, worded = self._worded(texts)
        result = np.ones(len(texts))
        if worded:
            result[worded] = self._familiarity([texts[row] for row in worded])
        return result

    def decide(self, texts: Sequence[str]) -> tuple[list, list[float]]:
        """The most probable label of each text (N,), and how sure it is of it (N,): 0 of one that is out of scope.

        Sure is the probability times the familiarity; its fifth root, where the probability has learnt from texts that
        are out of scope. Above `threshold` PRECISION of the held-out texts' answers were right; those out of scope have
        no right one.
        """
        probabilities = self.predict_proba(texts)
        best, inside = probabilities.argmax(1), np.array([label not in OUTSIDE for label in self.labels])
        sure = probabilities.max(1, initial=0.0) * inside[best]
        sure = sure * self.familiarity(texts) ** (1.0 if inside.all() else _LEARNT)
        return [self.labels[code] for code in best], sure.tolist()

    def attribute(self, text: str, label) -> list[Attribution]:
        """What each piece of the text adds to the log-odds of `label`, by order of the text; none without words."""
        if label not in self.labels:
            raise FieldError("label", label, f"one of {', '.join(map(repr, self.labels))}")
        (text,) = clean([text])
        return self._attribute(text, self.labels.index(label)) if has_words(text) else []

    def save(self, folder: str | Path, card: Card) -> None:
        """Write the folder that `language.load` reads: JSON, safetensors and the model card."""
        config, arrays = self._state()
        own = {"params": asdict(self.params), "labels": self.labels, "prior": self.prior.tolist()}
        own |= {"temperature": self.temperature, "threshold": self.threshold, "languages": self.languages}
        save_folder(folder, self.name, {**own, **config}, arrays, card)

    @classmethod
    def load(cls, folder: str | Path) -> "TextClassifier":
        """The classifier saved in `folder`. Runs no code from it; raises ValueError when it is damaged."""
        _, config, arrays, _ = load_folder(folder, cls.name)
        try:
            before = {"inference": "float32"} if hasattr(cls.Params, "inference") else {}  # there was no choice once
            model = cls(cls.Params(**before | config["params"]))
            model.labels, model.prior = config["labels"], np.array(config["prior"])
            model.temperature, model.threshold = float(config["temperature"]), float(config.get("threshold", 0.0))
            model.languages = list(config.get("languages", []))
            model._set_state(config, arrays)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder} holds no usable {cls.name}: {error}") from None
        return model

    def _threshold(self, held: list[str], codes: np.ndarray, precision: float) -> float:
        """The confidence from which answers are right on held-out texts; 0 where none is out of scope."""
        if not OUTSIDE & set(self.labels):
            return 0.0
        labels, sure = self.decide(held)
        right = np.array([label == self.labels[code] for label, code in zip(labels, codes, strict=True)])
        answered = np.array(sure) > 0
        return threshold_for(np.array(sure)[answered], right[answered], precision)

    def _worded(self, texts: Sequence[str]) -> tuple[list[str], list[int]]:
        """The texts, cleaned, and the rows that have words, in a language that is known."""
        if not self.labels:
            raise ValueError(f"{self.name} is not fitted: call fit or load one")
        texts = clean(texts)
        readable = self.readable(texts)
        return texts, [row for row, text in enumerate(texts) if has_words(text) and readable[row]]

    def _reads_all(self) -> bool:
        """Whether languages beside those of the training texts may be read."""
        return False

    def _codes(self, labels: Sequence) -> np.ndarray:
        values = [label.item() if isinstance(label, np.generic) else label for label in labels]
        if any(not isinstance(label, str | int) for label in values):
            bad = next(label for label in values if not isinstance(label, str | int))
            raise ValueError(f"labels holds {bad!r}: allowed are str and int")
        self.labels = sorted(set(values))
        if len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)} values: allowed are two or more")
        return np.array([self.labels.index(label) for label in values])

    @abstractmethod
    def _fit(self, texts: list[str], codes: np.ndarray, held: list[str], held_codes: np.ndarray) -> None:
        """Train on cleaned texts with words; `held` may only stop the training."""

    def _refit(self, texts: list[str], codes: np.ndarray) -> None:
        """Once calibrated: train on all rows, where this is cheap."""
        return

    @abstractmethod
    def _logits(self, texts: list[str]) -> np.ndarray:
        """Log-probabilities up to a constant per row (N, C), not yet calibrated."""

    def _familiarity(self, texts: list[str]) -> np.ndarray:
        """`familiarity` (N,) of cleaned texts with words."""
        return np.ones(len(texts))

    def _attribute(self, text: str, code: int) -> list[Attribution]:
        """`attribute` for a cleaned text with words: by how much the log-odds fall without the piece (occlusion)."""
        spans = pieces(text)
        rest = [text[:start] + text[stop:] for start, stop in spans]
        odds = self._odds([text, *rest], code)
        return [
            Attribution(text[slice(*span)], *span, odds[0] - odd) for span, odd in zip(spans, odds[1:], strict=True)
        ]

    def _odds(self, texts: list[str], code: int) -> list[float]:
        """Calibrated log-odds (N,) of one label against all others."""
        logits = self._logits(texts) / self.temperature
        return (logits[:, code] - np.logaddexp.reduce(np.delete(logits, code, 1), axis=1)).tolist()

    @abstractmethod
    def _state(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Plain config and arrays that `_set_state` takes."""

    @abstractmethod
    def _set_state(self, config: dict, arrays: dict[str, np.ndarray]) -> None: ...


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def log_loss(logits: np.ndarray, codes: np.ndarray) -> float:
    """Mean negative log-likelihood of the rows' codes."""
    return float(-np.log(np.maximum(softmax(logits)[np.arange(len(codes)), codes], 1e-12)).mean())


def fit_temperature(logits: np.ndarray, codes: np.ndarray) -> float:
    """The temperature in [0.05, 20] by which logits are to be divided for the least log loss."""
    from scipy.optimize import minimize_scalar

    solution = minimize_scalar(
        lambda log: log_loss(logits / np.exp(log), codes), bounds=np.log([0.05, 20]), method="bounded"
    )
    return float(np.exp(solution.x))


def expected_calibration_error(probabilities: np.ndarray, codes: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence (Naeini et al. 2015)."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == codes
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(right[place == bin].sum() - confidence[place == bin].sum()) for bin in range(bins)]
    return float(sum(gaps) / len(codes))


def logistic(features, codes: np.ndarray, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (C, F) and intercepts (C,) of a multinomial logistic regression; `strength` is sklearn's C."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=strength, max_iter=300, random_state=seed).fit(features, codes)
    if len(fitted.coef_) == 1:  # two classes: their logits differ by this
        return np.concatenate([-fitted.coef_, fitted.coef_]) / 2, np.array([-0.5, 0.5]) * fitted.intercept_
    return fitted.coef_, fitted.intercept_


def threshold_for(confidence: np.ndarray, right: np.ndarray, precision: float) -> float:
    """The least confidence (of those seen) from which up at least `precision` of the answers are right; 1 if none.

    `confidence` (N,), `right` (N,) bool, of validation questions; out-of-scope ones are never right.
    """
    if not 0 < precision <= 1:
        raise FieldError("precision", precision, "a number above 0, to 1")
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)  # equal confidences are answered together
    good = np.flatnonzero((share >= precision) & last)
    return float(confidence[order][good[-1]]) if len(good) else 1.0
