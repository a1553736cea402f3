"""Several classifiers as one: their log-probabilities are added with weights (a logarithmic opinion pool)."""

from dataclasses import asdict, dataclass, field

import numpy as np

from ..errors import FieldError
from . import create
from .base import TextClassifier, log_loss, softmax


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

    A member that stops its training early does so on the same rest.
    """

    name = "stack"
    Params = StackParams

    def _fit(self, texts, codes, held, held_codes):
        from scipy.optimize import minimize

        self.members = [create(name, **{"seed": self.params.seed, **params}) for name, params in self.params.members]
        for member in self.members:
            member.labels = self.labels
            member._fit(texts, codes, held, held_codes)
        parts = self._parts(held)
        loss = lambda weights: log_loss(np.tensordot(weights, parts, 1), held_codes)
        start = np.full(len(parts), 1 / len(parts))
        self.weights = minimize(loss, start, bounds=[(0, 20)] * len(parts), method="L-BFGS-B").x

    def _refit(self, texts, codes):
        for member in self.members:
            member._refit(texts, codes)

    def _parts(self, texts: list[str]) -> np.ndarray:
        """The members' log-probabilities (M, N, C)."""
        return np.stack([np.log(np.maximum(softmax(member._logits(texts)), 1e-12)) for member in self.members])

    def _logits(self, texts):
        return self._joined(self._parts(texts))

    def _joined(self, parts: np.ndarray) -> np.ndarray:
        return np.tensordot(self.weights, parts, 1)

    def _familiarity(self, texts):
        return np.min([member._familiarity(texts) for member in self.members], axis=0)

    def _state(self):
        config, arrays = {"weights": self.weights.tolist(), "members": []}, {}
        for place, member in enumerate(self.members):
            own, tables = member._state()
            config["members"].append({"params": asdict(member.params), **own})
            arrays |= {f"{place}/{name}": table for name, table in tables.items()}
        return config, arrays

    def _set_state(self, config, arrays):
        self.weights, self.members = np.array(config["weights"]), []
        for place, ((name, _), own) in enumerate(zip(self.params.members, config["members"], strict=True)):
            member = create(name, **own["params"])
            member.labels, start = self.labels, f"{place}/"
            member._set_state(own, {key[len(start) :]: table for key, table in arrays.items() if key.startswith(start)})
            self.members.append(member)
