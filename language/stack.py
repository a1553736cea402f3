"""Several classifiers as one: their log-probabilities are added with weights (a logarithmic opinion pool).

An encoder of English says little about Chinese: where the texts are of several languages, each has its own weights.
"""

from dataclasses import asdict, dataclass, field

import numpy as np

from ..errors import FieldError
from . import create
from .base import TextClassifier, log_loss, softmax
from .text import language

_ENOUGH = 30  # held-out texts of a language, for weights of its own
_ABSENT = 0.1  # of the largest weight, below which a member is not asked how familiar a text is


@dataclass
class StackParams:
    """The members: the name of each, with its parameters."""

    members: list = field(default_factory=lambda: [["tfidf", {}], ["embedding", {}]])  # [name, parameters] each
    validation: float = 0.1  # share of the training texts that the members' weights are fitted on
    seed: int = 0

    def __post_init__(self):
        if len(self.members) < 2 or any(name == "stack" for name, _ in self.members):
            raise FieldError("members", self.members, "two or more [name, parameters], no stack")
        if not 0 < self.validation <= 0.5:
            raise FieldError("validation", self.validation, "a number above 0, to 0.5")


class Stack(TextClassifier):
    """Members train on the same rows; weights of 0 or more minimise the log loss of the held-out rest.

    Where the rest has several languages, as `text.language` tells them, each has weights of its own. A member that
    stops its training early does so on the same rest.
    """

    name = "stack"
    Params = StackParams

    def _fit(self, texts, codes, held, held_codes):
        from scipy.optimize import minimize

        self.members = [create(name, **{"seed": self.params.seed, **params}) for name, params in self.params.members]
        for member in self.members:
            member.labels = self.labels
            member._fit(texts, codes, held, held_codes)
        parts, spoken = self._parts(held), np.array([language(text) for text in held])

        def weights(rows: np.ndarray) -> np.ndarray:
            loss = lambda weights: log_loss(np.tensordot(weights, parts[:, rows], 1), held_codes[rows])
            start = np.full(len(parts), 1 / len(parts))
            return minimize(loss, start, bounds=[(0, 20)] * len(parts), method="L-BFGS-B").x

        self.weights = weights(np.arange(len(held)))
        names, counts = np.unique(spoken, return_counts=True)
        names = names[counts >= _ENOUGH] if (counts >= _ENOUGH).sum() > 1 else []
        self.by_language = {str(name): weights(np.flatnonzero(spoken == name)) for name in names}

    def _refit(self, texts, codes):
        for member in self.members:
            member._refit(texts, codes)

    def _parts(self, texts: list[str]) -> np.ndarray:
        """The members' log-probabilities (M, N, C)."""
        return np.stack([np.log(np.maximum(softmax(member._logits(texts)), 1e-12)) for member in self.members])

    def _logits(self, texts):
        return self._joined(self._parts(texts), texts)

    def _joined(self, parts: np.ndarray, texts: list[str]) -> np.ndarray:
        """The members' log-probabilities added, with the weights of each text's language."""
        weights = np.array([self.by_language.get(language(text), self.weights) for text in texts])
        return np.einsum("nm,mnc->nc", weights.reshape(-1, len(parts)), parts)

    def _familiarity(self, texts):
        """The least of its members', but for those that a language's own weights leave out."""
        each = np.stack([member._familiarity(texts) for member in self.members])
        for row, text in enumerate(texts):
            weights = self.by_language.get(language(text), np.ones(len(each)))
            each[weights < _ABSENT * weights.max(), row] = 1.0
        return each.min(0)

    def _reads_all(self):
        return all(member._reads_all() for member in self.members)

    def _state(self):
        own = {name: weights.tolist() for name, weights in self.by_language.items()}
        config, arrays = {"weights": self.weights.tolist(), "by_language": own, "members": []}, {}
        for place, member in enumerate(self.members):
            own, tables = member._state()
            config["members"].append({"params": asdict(member.params), **own})
            arrays |= {f"{place}/{name}": table for name, table in tables.items()}
        return config, arrays

    def _set_state(self, config, arrays):
        self.weights, self.members = np.array(config["weights"]), []
        self.by_language = {name: np.array(weights) for name, weights in config.get("by_language", {}).items()}
        for place, ((name, _), own) in enumerate(zip(self.params.members, config["members"], strict=True)):
            member = create(name, **own["params"])
            member.labels, start = self.labels, f"{place}/"
            member._set_state(own, {key[len(start) :]: table for key, table in arrays.items() if key.startswith(start)})
            self.members.append(member)
