"""The vectors of a frozen encoder: the nearest example, and logistic regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..device import device_of
from ..learning.int8 import to_int8
from ..learning.params import check_fields
from .backbone import OFFLINE, TextEncoder, embed, load_backbone
from .base import TextClassifier, logistic

INFERENCE = "float32"  # by default: docs/cheap_inference.md says why
_SHARPNESS = 20.0  # of a cosine among the logits, before calibration
_KEPT = 50_000  # texts, of which the vectors are kept
_COMPARED, _MEASURED = 10_000, 1000  # training texts that a text is compared with; that are compared with each other
_STEEPNESS = 5  # of the familiarity's fall with the cosine
_VECTORS: dict[tuple, dict[str, np.ndarray]] = {}  # by backbone, device, inference, tokens; then by text
_ENCODERS: dict[tuple, TextEncoder] = {}  # by the first three of these: they are never trained, so one is enough


def encoder_of(backbone: str, device: str = "auto", inference: str = INFERENCE) -> TextEncoder:
    """The frozen encoder, loaded once; `inference` is float32 or int8 (its wide layers are bytes)."""
    key = (backbone, str(device_of(device)), inference)
    if key not in _ENCODERS:
        encoder = load_backbone(backbone, 1).to(key[1]).eval()
        if inference == "int8":
            to_int8(encoder.encoder)
        _ENCODERS[key] = encoder
    return _ENCODERS[key]


def sentence_vectors(
    backbone: str = OFFLINE, tokens: int = 128, device: str = "auto", inference: str = INFERENCE
) -> Callable[[list[str]], np.ndarray]:
    """A function from texts to unit vectors (N, width) of a frozen encoder: what `Retrieval` takes."""
    return lambda texts: embed(encoder_of(backbone, device, inference), texts, tokens)


def forget() -> None:
    """Vectors that are kept are dropped: they are computed anew."""
    _VECTORS.clear()


@dataclass
class EmbeddingParams:
    """Which encoder, and what is done with its vectors."""

    head: str = "logistic"  # logistic (regression), nearest (example)
    backbone: str = OFFLINE  # hub name, or folder, of an encoder with safetensors; or the offline package
    tokens: int = 96  # of a text that are read, special ones included
    strength: float = 10.0  # inverse regularisation of the regression
    validation: float = 0.1  # share of the training texts that calibrates; then all train
    seed: int = 0
    device: str = "auto"  # auto (CUDA where there is one), cpu, cuda, cuda:1, ...
    inference: str = INFERENCE  # of the encoder: float32, int8 (its wide layers are bytes)

    def __post_init__(self):
        choices = {"head": ("logistic", "nearest"), "inference": ("float32", "int8")}
        check_fields(
            self, lowest={"tokens": 8}, highest={"tokens": 512, "validation": 0.5, "strength": 1e6}, choices=choices
        )


class Embedding(TextClassifier):
    """Logistic regression on the vectors, or each label's highest cosine similarity with one of its examples.

    Its familiarity is the highest cosine similarity with a training text, by the median of those among themselves, at
    most 1, to the fifth power. A saved folder names its backbone and holds the vectors, not the encoder.
    """

    name = "embedding"
    Params = EmbeddingParams

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """Unit vectors (N, width); those of the last texts are kept, for a simulation asks for the same ones again."""
        params = self.params
        key = (params.backbone, str(device_of(params.device)), params.inference, params.tokens)
        known = _VECTORS.setdefault(key, {})
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if len(known) + len(new) > _KEPT:
            known.clear()
            new = list(dict.fromkeys(texts))
        if new:
            vectors = embed(encoder_of(params.backbone, params.device, params.inference), new, params.tokens)
            known.update(zip(new, vectors, strict=True))
        return np.stack([known[text] for text in texts])

    def _fit(self, texts, codes, held, held_codes):
        self._learn(self._vectors(texts), codes)

    def _refit(self, texts, codes):
        if self.params.validation:
            self._learn(self._vectors(texts), codes)

    def _learn(self, vectors: np.ndarray, codes: np.ndarray) -> None:
        if self.params.head == "nearest":
            order = np.argsort(codes, kind="stable")
            self.arrays = {"vectors": vectors[order], "codes": codes[order]}
        else:
            coefficients, intercepts = logistic(vectors, codes, self.params.strength, self.params.seed)
            compared = np.random.default_rng(self.params.seed).permutation(len(vectors))[:_COMPARED]
            self.arrays = {"coefficients": coefficients, "intercepts": intercepts, "vectors": vectors[compared]}
        known = self.arrays["vectors"]
        measured = np.random.default_rng(self.params.seed).permutation(len(known))[:_MEASURED]
        cosine = known[measured] @ known.T
        cosine[np.arange(len(measured)), measured] = -1.0  # with itself
        self.arrays["usual"] = np.maximum(np.median(cosine.max(1)), 1e-3)

    def _logits(self, texts):
        vectors = self._vectors(texts)
        if self.params.head == "logistic":
            return vectors @ self.arrays["coefficients"].T + self.arrays["intercepts"]
        first = np.searchsorted(self.arrays["codes"], np.arange(len(self.labels)))
        return _SHARPNESS * np.maximum.reduceat(vectors @ self.arrays["vectors"].T, first, axis=1)

    def _familiarity(self, texts):
        cosine = (self._vectors(texts) @ self.arrays["vectors"].T).max(1)
        return np.clip(cosine / self.arrays["usual"], 0.0, 1.0) ** _STEEPNESS

    def _reads_all(self):
        return self.params.backbone != OFFLINE  # of another encoder its languages are not known

    def _state(self):
        return {}, self.arrays

    def _set_state(self, config, arrays):
        self.arrays = arrays
