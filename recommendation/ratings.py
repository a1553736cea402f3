"""Ratings in stars: matrix factorisation, an MLP and the Transformer with a rating head, all from users' histories."""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..device import device_of
from ..errors import FieldError
from ..learning.adaptation import RATES, add_adapters, has_adapters
from ..learning.base import Card, load_folder, save_folder
from ..learning.params import TrainingParams, check_fields
from ..learning.training import Objective, Plan, shuffled, train
from .base import Histories, Log, check
from .baskets import Baskets
from .network import BasketEncoder


class RatingModel(ABC):
    """Stars that a user would give an item, from the stars that the user gave before.

    `fit` raises ValueError when the log has no rating.
    """

    name: str  # the key in `recommendation.RATING_MODELS`
    Params: type  # a dataclass of plain types

    def __init__(self, params=None):
        self.params = params or self.Params()

    def fit(self, log: Log) -> "RatingModel":
        stars = log.histories.rating
        if stars is None or np.isnan(stars).all():
            raise ValueError("column 'rating': missing or empty; expected stars")
        self.mean = float(np.nanmean(stars))
        self.items = list(log.items)
        self._fit(log)
        return self

    @abstractmethod
    def _fit(self, log: Log) -> None: ...

    @abstractmethod
    def predict(self, histories: Histories, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """(N,) stars, not clipped, for pairs of a user's number in `histories` and an item's."""

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What `fit` learned, but for the catalogue and the mean."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `_arrays`."""

    def save(self, folder: str | Path, card: Card) -> None:
        config = {"params": asdict(self.params), "items": self.items, "mean": self.mean}
        save_folder(folder, self.name, config, self._arrays(), card)

    @classmethod
    def load(cls, folder: str | Path) -> "RatingModel":
        """The model saved in `folder`. Runs no code from it; raises ValueError when it is damaged."""
        _, config, arrays, _ = load_folder(folder, cls.name)
        try:
            model = cls(cls.Params(**config["params"]))
            model.items, model.mean = list(config["items"]), float(config["mean"])
            model._restore(arrays)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{folder} holds no usable {cls.name}: {error}") from None
        return model


@dataclass
class RatingMFParams:
    factors: int = 8
    penalty: float = 8.0  # lambda, on the squares of factors and biases
    sweeps: int = 15
    seed: int = 0

    def __post_init__(self):
        bounds = {"factors": (1, 1000), "penalty": (1e-6, 1e9), "sweeps": (1, 10_000), "seed": (0, 2**31 - 1)}
        check(self, bounds)


class RatingMF(RatingModel):
    """min sum (r - mean - b_u - b_i - p_u q_i)^2 + lambda (b_u^2 + b_i^2 + |p_u|^2 + |q_i|^2) over the rated cells:
    the Frobenius norm on what was observed (Koren, Bell and Volinsky 2009, doi:10.1109/MC.2009.263), solved by turns.
    """

    name = "rating_mf"
    Params = RatingMFParams

    def _fit(self, log: Log) -> None:
        p, histories = self.params, log.histories
        rated = ~np.isnan(histories.rating)
        user, item, stars = histories.user[rated], histories.item[rated], histories.rating[rated] - self.mean
        rng = np.random.default_rng(p.seed)
        self.factors = rng.normal(0, 0.1, (len(log.items), p.factors))
        self.bias = np.zeros(len(log.items))
        for _ in range(p.sweeps):
            users = _solve(user, self.factors[item], stars - self.bias[item], len(log.users), p.penalty)
            items = _solve(item, users[user, 1:], stars - users[user, 0], len(log.items), p.penalty)
            self.bias, self.factors = items[:, 0], items[:, 1:]

    def predict(self, histories, user, item):
        p = self.params
        rating = np.full(len(histories.item), np.nan) if histories.rating is None else histories.rating
        rated = ~np.isnan(rating)
        known = histories.item[rated]
        stars = rating[rated] - self.mean - self.bias[known]
        users = _solve(histories.user[rated], self.factors[known], stars, len(histories), p.penalty)
        return self.mean + self.bias[item] + users[user, 0] + (users[user, 1:] * self.factors[item]).sum(axis=1)

    def _arrays(self):
        return {"bias": self.bias, "factors": self.factors}

    def _restore(self, arrays):
        self.bias, self.factors = arrays["bias"], arrays["factors"]


def _solve(row: np.ndarray, known: np.ndarray, stars: np.ndarray, rows: int, penalty: float) -> np.ndarray:
    """(rows, 1 + factors) bias and factors of each row, the ridge regression of its stars on `known`; 0 without any."""
    order = np.argsort(row, kind="stable")
    bounds = np.searchsorted(row[order], np.arange(rows + 1))
    known = np.column_stack([np.ones(len(known)), known])[order]
    solution = np.zeros((rows, known.shape[1]))
    for number in np.flatnonzero(np.diff(bounds)):
        x, y = known[bounds[number] : bounds[number + 1]], stars[order[bounds[number] : bounds[number + 1]]]
        solution[number] = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return solution


@dataclass
class NeuralRatingParams(TrainingParams):
    d_model: int = 32  # width, a multiple of heads
    layers: int = 1  # of the Transformer
    heads: int = 2  # of the Transformer
    dropout: float = 0.2
    length: int = 64  # last days with a purchase that are read
    validation: int = 90  # last days of the log that decide when to stop
    learning_rate: float = 5e-3
    epochs: int = 20
    batch_size: int = 16  # users
    weight_decay: float = 0.1

    def __post_init__(self):
        check_fields(self, highest={"length": 1000})
        if self.d_model % self.heads:
            raise FieldError("d_model", self.d_model, f"a multiple of heads ({self.heads})")


class TransformerNetwork(BasketEncoder):
    """The encoder, and a rating head: stars above the mean are biases and a product of user and item."""

    def __init__(self, items: int, params: NeuralRatingParams):
        super().__init__(items, params.d_model, params.layers, params.heads, params.dropout, None)
        self.generous = nn.Linear(params.d_model, 1)

    def known(self, baskets: Baskets) -> torch.Tensor:
        """(P, features) of the user at each position."""
        return self(baskets, self.item.weight)

    def stars(self, known: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """(N,) above the mean, from users' features (N, features) and item numbers (N,)."""
        product = (known * self.item(item)).sum(dim=1) / math.sqrt(self.width)
        return self.generous(known)[:, 0] + self.bias[item] + product


class MLPNetwork(nn.Module):
    """Hidden layers over the item's embedding and the mean of the rated items' (He et al. 2017, arXiv:1708.05031, with
    a history in the place of a user's own embedding, so that a new user needs no training)."""

    def __init__(self, items: int, params: NeuralRatingParams):
        super().__init__()
        width = params.d_model
        self.item, self.rated, self.bias = (
            nn.Embedding(items, width),
            nn.Embedding(items, width),
            nn.Embedding(items, 1),
        )
        layers = [nn.Linear(2 * width + 2, width), nn.ReLU(), nn.Dropout(params.dropout), nn.Linear(width, width)]
        self.hidden, self.head = nn.Sequential(*layers, nn.ReLU()), nn.Linear(width, 1)
        for table in (self.item, self.rated):
            nn.init.normal_(table.weight, std=0.1)
        nn.init.zeros_(self.bias.weight)

    def known(self, baskets: Baskets) -> torch.Tensor:
        position, item = baskets.read
        there = ~baskets.rating.isnan()
        position, item, stars = position[there], item[there], baskets.rating[there]
        ones = torch.ones_like(stars)
        rows = torch.cat([self.rated(item) * stars[:, None], stars[:, None], ones[:, None]], dim=1)
        sums = rows.new_zeros(len(baskets.day), rows.shape[1]).index_add(0, position, rows).cumsum(dim=0)
        before = torch.cat([torch.zeros_like(sums[:1]), sums])[baskets.start[:-1]]
        sums = sums - before.repeat_interleave(baskets.start.diff(), dim=0)
        count = sums[:, -1:]
        # The more stars are known, the less the mean is drawn to that of all.
        return torch.cat([sums[:, :-1] / (count + 3), count.log1p()], dim=1)

    def stars(self, known: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(torch.cat([known, self.item(item)], dim=1)))[:, 0] + self.bias(item)[:, 0]


class NeuralRating(RatingModel):
    """Trained on each rating from what was known before its day, stopped by the last days' squared error."""

    Params = NeuralRatingParams
    Network: type

    def _fit(self, log: Log) -> None:
        p = self.params
        self.device = device_of(p.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = self.Network(len(log.items), p).to(self.device)
        baskets = Baskets.of(log.histories, p.length, 0.0, self.mean)
        users = np.flatnonzero(np.diff(log.histories.start))
        pick = shuffled(len(users), p.batch_size, p.seed)
        last = log.end - p.validation

        def errors(network: nn.Module, batch: Baskets, late: bool) -> torch.Tensor:
            position, item = batch.read
            rows = ~batch.rating.isnan() & ((batch.day[position] >= last) == late)
            stars = network.stars(network.known(batch)[position[rows] - 1], item[rows])
            return (stars - batch.rating[rows]).square()

        def loss(network: nn.Module, step: int, generator: torch.Generator) -> torch.Tensor:
            batch = baskets.take(users[np.sort(pick(step).numpy())]).tensors(self.device)
            squares = errors(network, batch, late=False)
            return squares.sum() / max(1, len(squares))

        def validation(network: nn.Module) -> float:
            squares = errors(network, baskets.take(users).tensors(self.device), late=True)
            return float(squares.mean()) if len(squares) else 0.0

        steps = p.epochs * -(-len(users) // p.batch_size)
        histories = log.histories
        content = lambda: (histories.item, histories.day, histories.start, histories.rating)
        plan = Plan(p.learning_rate * RATES[p.method], steps, p.method, dropout=True, evaluations=p.epochs)
        self.history, _, file = train(self.network, Objective(loss, validation, content), p, plan)
        if file:
            file.unlink(missing_ok=True)

    @torch.no_grad()
    def predict(self, histories, user, item):
        if not len(user):
            return np.zeros(0)
        batch = Baskets.of(histories, self.params.length, 0.0, self.mean).tensors(self.device)
        known = self.network.eval().known(batch)[batch.start[1:] - 1]
        numbers = torch.as_tensor(item, device=self.device)
        return self.mean + self.network.stars(known[torch.as_tensor(user)], numbers).cpu().numpy()

    def _arrays(self):
        return {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}

    def _restore(self, arrays):
        self.device = device_of(self.params.device)
        self.network = self.Network(len(self.items), self.params)
        if has_adapters(arrays):
            add_adapters(self.network, self.params.rank, self.params.adapter_dropout)
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        self.network.to(self.device)


class RatingMLP(NeuralRating):
    """See `MLPNetwork`."""

    name = "rating_mlp"
    Network = MLPNetwork


class RatingTransformer(NeuralRating):
    """See `TransformerNetwork`."""

    name = "rating_transformer"
    Network = TransformerNetwork
