"""Items that nobody has bought yet, ranked by what they say and look like: `content`.

Factors of items come from purchases (a truncated singular value decomposition). What a description or a picture says of
an item's factors and popularity is learnt on the items that sell (van den Oord, Dieleman and Schrauwen 2013, Deep
content-based music recommendation); pictures learn what descriptions leave over. How much each counts is the weight of
a conditional logit, learnt on known items in the place of new ones (`inherit.fit_cold`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ..data.images import Pictures
from ..errors import FieldError
from ..learning.images import ImageParams, by_content
from ..learning.params import TrainingParams, check_fields
from .base import Histories, Log, Recommender
from .inherit import Logit, fit_cold
from .text import text_features

_TRUST = 10.0  # buyers at which an item counts half as much as one of many


@dataclass
class ContentParams(TrainingParams):
    """The factors, the picture encoder, and how it is trained."""

    factors: int = 12
    horizon: int = 60  # last days, whose purchases of items in the place of new ones say what counts
    encoder: str = ""  # of pictures: hub name or folder; "": from scratch; pixels: statistics of colours
    width: int = 64  # of a token of the encoder from scratch, a multiple of heads
    layers: int = 2
    heads: int = 4
    patch: int = 8  # pixels, height and width of a token
    learning_rate: float = 2e-3
    epochs: int = 100  # at most
    batch_size: int = 32  # pictures
    weight_decay: float = 0.05
    patience: int = 8

    def __post_init__(self):
        check_fields(self, highest={"factors": 1000, "horizon": 10_000})
        self.image_params()

    def image_params(self) -> ImageParams:
        """Return the parameters of the picture encoder."""
        names = ("encoder", "width", "layers", "heads", "patch", *TrainingParams.__dataclass_fields__)
        # No checkpoints: a training takes seconds, and there are several of one shape.
        own = {name: getattr(self, name) for name in names} | {"checkpoints": "", "tensorboard": ""}
        return ImageParams(**own)


class Maps:
    """What content says of items' factors and popularity, learnt from a log."""

    def __init__(self, text: np.ndarray | None, pictures: Pictures | None, params: ContentParams):
        """`text` (I, F) features of descriptions; None where there are none."""
        if text is None and pictures is None:
            raise FieldError("log", "items alone", "items with descriptions (text) or pictures (images), or both")
        self.text, self.pictures, self.params = text, pictures, params

    @property
    def sources(self) -> list[str]:
        """What there is: text, image."""
        both = {"text": self.text is not None, "image": self.pictures is not None}
        return [name for name, there in both.items() if there]

    def learn(self, log: sparse.csr_array) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return items' own factors (I, K), 0 of unsold ones, and (I, K + 1) factors and popularity by each source.

        Args:
            log: (W, I) what customers have bought, 0 or 1.
        """
        buyers = np.asarray(log.sum(axis=0)).ravel()
        own = factors_of(log, buyers, self.params.factors, self.params.seed)
        weights = buyers / (buyers + _TRUST)
        targets = np.column_stack([own, np.log1p(buyers)])
        targets -= np.average(targets, axis=0, weights=weights)
        said = by_content(targets, weights, self.text, self.pictures, self.params.image_params())
        return own, list(said.values())

    def describe(
        self, history: sparse.csr_array, log: sparse.csr_array, candidates: np.ndarray
    ) -> tuple[list[str], np.ndarray]:
        """Return what content says of candidates for customers, as if nobody had bought one: `inherit.Describe`."""
        keep = np.ones(log.shape[1])
        keep[candidates] = 0.0
        own, said = self.learn(sparse.csr_array(log @ sparse.diags_array(keep)))
        return self.names, stacked(users_of(history, own), [part[candidates] for part in said])

    @property
    def names(self) -> list[str]:
        """Of the features: what is to the customer's taste, and what is popular, by each source."""
        return [f"{what} by {source}" for source in self.sources for what in ("taste", "popularity")]


def factors_of(log: sparse.csr_array, buyers: np.ndarray, factors: int, seed: int) -> np.ndarray:
    """Return items' factors (I, K): right singular vectors of the purchases, each item's scaled to length 1 before."""
    scaled = sparse.csr_array(log @ sparse.diags_array(1.0 / np.sqrt(np.maximum(buyers, 1.0))))
    count = min(factors, min(scaled.shape) - 1)
    if count < 1:
        raise FieldError("log", scaled.shape, "two users and two items or more")
    start = np.random.default_rng(seed).standard_normal(min(scaled.shape))
    right = sparse.linalg.svds(scaled, count, v0=start)[2]
    right *= np.sign(right.sum(axis=1, keepdims=True)) + (right.sum(axis=1, keepdims=True) == 0)  # one sign of the two
    return right.T * np.sqrt(len(buyers))


def users_of(history: sparse.csr_array, own: np.ndarray) -> np.ndarray:
    """Return customers' factors (U, K) from what they bought (U, I)."""
    size = np.asarray(history.sum(axis=1)).reshape(-1, 1)
    return history @ own / np.sqrt(np.maximum(size, 1.0))


def stacked(users: np.ndarray, said: Sequence[np.ndarray]) -> np.ndarray:
    """Return the features (U, C, 2 * sources) of customers (U, K) and candidates (C, K + 1) by each source."""
    shape = (len(users), len(said[0]))
    columns = [column for part in said for column in (users @ part[:, :-1].T, np.broadcast_to(part[:, -1], shape))]
    return np.stack(columns, axis=2)


class Content(Recommender):
    """See the module's docstring. Scores of known items are by their content too."""

    name = "content"
    Params = ContentParams

    def _fit(self, log: Log) -> None:
        p = self.params
        text = text_features(log.text, p.seed) if log.text else None
        maps = Maps(text, log.images, p)
        history, size = log.histories, len(log.items)
        cut = log.end - p.horizon
        if not (history.day < cut).any():
            cut = float(np.quantile(history.day, 2 / 3))
        earlier, later = (history.where(keep).bought(size) for keep in (history.day < cut, history.day >= cut))
        whole = history.bought(size)
        sold = np.asarray(whole.sum(axis=0)).ravel() > 0
        self.logit = fit_cold(maps.describe, earlier, later, sold, p.seed)
        own, said = maps.learn(whole)
        self.own, self.said = own.astype(np.float32), np.stack(said).astype(np.float32)

    def scores(self, histories: Histories) -> torch.Tensor:
        users = users_of(histories.bought(len(self.items)), self.own)
        return torch.from_numpy(self.logit.utility(stacked(users, list(self.said))).astype(np.float32))

    def _arrays(self):
        logit = {name: getattr(self.logit, name) for name in ("mean", "deviation", "weight")}
        return {"own": self.own, "said": self.said} | logit

    def _restore(self, arrays):
        self.own, self.said = arrays["own"], arrays["said"]
        if self.said.shape[1:] != (len(self.items), self.own.shape[1] + 1):
            raise ValueError(f"said has shape {self.said.shape}, which does not fit the catalogue")
        names = [f"{what} {number}" for number in range(len(self.said)) for what in ("taste", "popularity")]
        self.logit = Logit(names, *(arrays[name] for name in ("mean", "deviation", "weight")))
