"""Fraud from what came before: attention over the last transactions of the customer, the device and the address.

One layer of multi-head attention (Vaswani et al. 2017) from the present transaction to tokens of those before. A token
says how a transaction was and how it relates to the present one (time between them, amounts, whether customer, device,
address, card and category are the same). It also carries the trees' margin, so that a transaction that follows
suspicious ones is seen as such. What the network says is added to the trees' margin of the present one: it starts as
the trees and learns what they miss. On the rows that it is trained on, the margins are of trees grown on other
stretches of time. Several networks side by side, which differ in their first weights and in dropout, are averaged
(Lakshminarayanan et al. 2017, arXiv:1612.01474): attacks are few, and what one network learns of them is noisy.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..device import device_of
from ..errors import FieldError
from ..learning.base import Card, load_folder, save_folder
from ..learning.params import TrainingParams, check_fields
from ..learning.training import Objective, Plan, train
from .features import PLAIN, Groups, Layout, codes_of
from .metrics import average_precision
from .synthetic import DAY
from .tabular import Calibration, Trees, TreesParams
from .transactions import ENTITIES, columns

LISTS = {"customer": 16, "device": 8, "address": 8}  # how many of each are read; those by others alone, but the first
LIST_OF = np.repeat(
    np.arange(len(LISTS) + 1), [1, *LISTS.values()]
)  # (T,) which list a token is of; 0: the present one
_SAME = (*ENTITIES, "category")
CHANNELS = 14 + len(_SAME) + len(LISTS) + 1
FOLDS = 4  # stretches of time
_HELD_OUT = 4  # every fourth honest validation row is evaluated while training
_AT_ONCE = 1024  # rows


@dataclass
class SequenceParams(TrainingParams):
    """The network and its training; `trees` are grown first."""

    members: int = 4  # networks side by side
    width: int = 32  # of tokens
    heads: int = 4
    dropout: float = 0.1
    negatives: int = 12  # honest transactions per fraud in a batch
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    batch_size: int = 416
    patience: int = 8  # as many as there are epochs: the best one is kept, none is saved
    epochs: int = 8  # each as long as it takes to see as many frauds as there are

    def __post_init__(self):
        check_fields(self)
        if self.width % self.heads:
            raise FieldError("width", self.width, f"a multiple of heads, {self.heads}")
        if self.method != "full":
            raise FieldError("method", self.method, "full, there are no weights to go on from")


class _Linear(nn.Module):
    """Linear layers side by side, (1 or K, N, inputs) -> (K, N, outputs), drawn as torch draws one."""

    def __init__(self, members: int, inputs: int, outputs: int):
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


class _Network(nn.Module):
    """K networks that share no weight."""

    def __init__(self, params: SequenceParams, categories: int):
        super().__init__()
        members, width = params.members, params.width
        self.heads, self.drop = params.heads, params.dropout
        self.token = _Linear(members, CHANNELS, width)
        self.category = nn.Parameter(torch.randn(members, categories + 1, width))
        self.mix, self.query = _Linear(members, width, width), _Linear(members, width, width)
        self.key, self.value = _Linear(members, width, width), _Linear(members, width, width)
        self.read = _Linear(members, width, width)
        self.wide, self.narrow = _Linear(members, width, 2 * width), _Linear(members, 2 * width, width)
        self.head, self.last = _Linear(members, width, 2 * width), _Linear(members, 2 * width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, tokens, category, absent, margin) -> torch.Tensor:
        """Margins (K, B): of tokens (B, T, C), categories and absence (B, T), and the trees' margins (B,)."""
        norm = lambda x: nn.functional.layer_norm(x, x.shape[-1:])  # scale and shift are in the layer after it
        drop = lambda x, share=1: nn.functional.dropout(x, share * self.drop, self.training)
        gelu, rows = nn.functional.gelu, absent.shape
        known = self.token(tokens.flatten(0, 1)[None]) + self.category[:, category.flatten()]
        known = norm(self.mix(gelu(known)))
        now = known.unflatten(1, rows)[:, :, 0]  # the present one asks; what the others would ask is nowhere needed
        split = lambda x, *size: x.unflatten(1, size).unflatten(-1, (self.heads, -1)).transpose(2, 3)  # (K, B, H, ., D)
        asked, keys, values = split(self.query(now), len(now[0]), 1), self.key(known), self.value(known)
        share = self.drop if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(
            asked, split(keys, *rows), split(values, *rows), ~absent[:, None, None], share
        )
        now = now + self.read(mixed.flatten(2))
        now = now + self.narrow(drop(gelu(self.wide(norm(now)))))
        return margin + self.last(drop(gelu(self.head(norm(now))), 2))[..., 0]


def _tokens(rows: dict[str, np.ndarray], index: np.ndarray) -> list[torch.Tensor]:
    """Tokens, categories and absence of rows (B, T), the present one first; -1: there is none."""
    now, margin = index[:, :1], rows["margin"]
    gap = (rows["time"][now] - rows["time"][index]).clip(0)
    log, hour = rows["log"], rows["time"] % DAY * (2 * np.pi / DAY)
    # The trees' margins lie about -5; -3 are odds of 1 to 20.
    values = [np.log1p(gap) / 8 - 1, gap < 3600, gap < DAY, gap < 7 * DAY, log[index] - 3.5, log[index] - log[now]]
    values += [(margin[index] + 5) / 3, margin[index] > -3]
    values += [rows[name][index] for name in ("refund", "promotion", "declined")]
    values += [np.sin(hour)[index], np.cos(hour)[index], np.cos(hour[index] - hour[now])]
    values += [rows[name][index] == rows[name][now] for name in _SAME]
    lists = np.broadcast_to(np.eye(len(LISTS) + 1, dtype=np.float32)[LIST_OF], (*index.shape, len(LISTS) + 1))
    tokens = np.concatenate([np.stack([np.asarray(v, np.float32) for v in values], axis=-1), lists], axis=-1)
    absent = index < 0
    return [torch.from_numpy(part) for part in (tokens, np.where(absent, 0, rows["code"][index]), absent)]


class SequenceModel:
    """See the module's docstring."""

    name = "risk-sequence"
    Params = SequenceParams

    def __init__(self, params: SequenceParams | None = None, trees: TreesParams | None = None, layout: Layout = PLAIN):
        self.params = params or SequenceParams()
        self.trees = Trees(trees or TreesParams(seed=self.params.seed), layout)
        self.calibration = Calibration()
        self.categories: list[str] = []  # those of the rows trained on; any other counts as unknown, 0
        self.network: _Network | None = None
        self.history: list[dict] = []

    @property
    def layout(self) -> Layout:
        """Of the features that it takes."""
        return self.trees.layout

    @layout.setter
    def layout(self, layout: Layout) -> None:
        self.trees.layout = layout

    def fit(
        self, transactions: pd.DataFrame, table: np.ndarray, fraud: np.ndarray, training: slice, validation: slice
    ) -> "SequenceModel":
        """Train on the rows `training`, stop and calibrate on the rows `validation`, which follow.

        Args:
            transactions: (n,) rows by time; those after `validation` are not looked at.
            table: (n, F) their features.
            fraud: (n,) labels; those outside both parts are not looked at.

        Raises:
            ValueError: bad transactions, or a part without both classes.
        """
        p, transactions, table = self.params, transactions.iloc[: validation.stop], table[: validation.stop]
        for part in (training, validation):
            if len(np.unique(fraud[part])) != 2:
                raise ValueError(f"fraud: one class in the rows {part}; expected rows with and without")
        self.trees.fit(table[training], fraud[training])
        margin, inside = self.trees.margins(table), np.arange(len(table))[training]
        for part in np.array_split(inside, FOLDS):
            others = np.setdiff1d(inside, part)
            margin[part] = Trees(self.trees.params, self.layout).fit(table[others], fraud[others]).margins(table[part])
        self.categories = sorted(set(transactions["category"].iloc[training]))
        rows, index = self._rows(columns(transactions), margin)
        bad, good = inside[fraud[inside]], inside[~fraud[inside]]
        late = np.arange(validation.start, validation.stop)
        late = late[fraud[late] | (np.arange(len(late)) % _HELD_OUT == 0)]
        frauds = max(1, p.batch_size // (1 + p.negatives))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = _Network(p, len(self.categories))
        device = device_of(p.device)

        def draw(rows_of: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
            return rows_of[torch.randint(len(rows_of), (count,), generator=generator).numpy()]

        def loss(network: nn.Module, step: int, generator: torch.Generator) -> torch.Tensor:
            chosen = np.r_[draw(bad, frauds, generator), draw(good, frauds * p.negatives, generator)]
            batch = [part.to(device) for part in self._batch(rows, index, chosen)]
            target = torch.from_numpy(fraud[chosen].astype(np.float32)).to(device)
            margins = network(*batch)
            return nn.functional.binary_cross_entropy_with_logits(margins, target.expand_as(margins))

        def validate(network: nn.Module) -> float:
            return -average_precision(fraud[late], self._margins(rows, index, late))

        def content():
            return [index, margin, *(fraud[part] for part in (training, validation))]

        self.network.to(device)
        plan = Plan(p.learning_rate, -(-p.epochs * len(bad) // frauds), dropout=True, evaluations=p.epochs)
        self.history, _, file = train(self.network, Objective(loss, validate, content), p, plan)
        if file:
            file.unlink()
        known = np.arange(validation.start, validation.stop)
        self.calibration = Calibration.fit(self._margins(rows, index, known), fraud[known])
        return self

    def _rows(self, table: dict, margin: np.ndarray) -> tuple[dict, np.ndarray]:
        """What tokens are made of, arrays (n,), and the rows (n, T) of each one's tokens."""
        codes = {name: codes_of(table, (name,)) for name in _SAME}
        groups = {name: Groups(codes[name], table["time"]) for name in LISTS}
        lists = [groups[name].last(count) for name, count in LISTS.items()]
        lists = [lists[0], *(np.where(_theirs(codes["customer"], rows), -1, rows) for rows in lists[1:])]
        index = np.concatenate([np.arange(len(margin))[:, None], *lists], axis=1)
        return self._columns(table, margin) | codes, index

    def _columns(self, table: dict, margin: np.ndarray) -> dict[str, np.ndarray]:
        numbers = {name: number for number, name in enumerate(self.categories, start=1)}
        code = np.array([numbers.get(name, 0) for name in table["category"]], np.int64)
        same = {name: table[name] for name in ("time", "refund", "promotion", "declined", *_SAME)}
        return same | {"log": np.log1p(table["amount"]), "margin": margin, "code": code}

    def _batch(self, rows: dict, index: np.ndarray, chosen: np.ndarray) -> list[torch.Tensor]:
        return [*_tokens(rows, index[chosen]), torch.from_numpy(rows["margin"][chosen].astype(np.float32))]

    @torch.inference_mode()
    def _margins(self, rows: dict, index: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        device = next(self.network.parameters()).device
        if self.network.training:  # to say so costs as much as a layer
            self.network.eval()
        parts = [np.empty(0)]
        for start in range(0, len(chosen), _AT_ONCE):
            batch = self._batch(rows, index, chosen[start : start + _AT_ONCE])
            parts.append(self.network(*(part.to(device) for part in batch)).mean(dim=0).double().cpu().numpy())
        return np.concatenate(parts)

    def _check_trained(self) -> None:
        if self.network is None:
            raise ValueError("the model has no weights: call fit")

    def margins(self, transactions: pd.DataFrame, table: np.ndarray, chosen: slice = slice(None)) -> np.ndarray:
        """Margins of the rows `chosen`; those before them are their history. `table` (n, F): all rows' features."""
        self._check_trained()
        rows, index = self._rows(columns(transactions), self.trees.margins(table))
        return self._margins(rows, index, np.arange(len(table))[chosen])

    def predict(self, transactions: pd.DataFrame, table: np.ndarray, chosen: slice = slice(None)) -> np.ndarray:
        """Calibrated probabilities of fraud, as `margins`."""
        return self.calibration(self.margins(transactions, table, chosen))

    def next(self, table: dict, features: np.ndarray, tail: OrderedDict[tuple, deque]) -> float:
        """Probability of one transaction, checked columns (1,) and features (1, F), which is then put into `tail`.

        `tail` has the last transactions by (list, id).
        """
        (own,) = self.tokens_of(table, features)
        items, index = [own], [0]
        for name, most in LISTS.items():
            known = tail.get((name, own[name]), ())
            for item in reversed(known):
                other = name == "customer" or item["customer"] != own["customer"]
                index.append(len(items) if other else -1)
                items += [item] if other else []
            index += [-1] * (most - len(known))
        rows = {name: np.array([item[name] for item in items]) for name in own}
        margin = self._margins(rows, np.array([index]), np.array([0]))
        self.remember(own, tail)
        return float(self.calibration(margin)[0])

    def tokens_of(self, table: dict, features: np.ndarray) -> Iterator[dict]:
        """What is remembered of each transaction, from checked columns (n,) and features (n, F)."""
        columns = self._columns(table, self.trees.margins(features))
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))

    def remember(self, own: dict, tail: OrderedDict[tuple, deque]) -> None:
        """Put what `tokens_of` tells of a transaction into `tail`; the customer, device and address met last stand
        last."""
        for name, most in LISTS.items():
            place = name, own[name]
            tail.setdefault(place, deque(maxlen=most)).append(own)
            tail.move_to_end(place)

    def save(self, folder: str | Path, card: Card) -> None:
        """Write weights and trees as safetensors, `config.json` with their checksum, and the model card."""
        self._check_trained()
        weights = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        config = {"params": asdict(self.params), "calibration": asdict(self.calibration), "categories": self.categories}
        config["trees"] = self.trees.config()
        save_folder(folder, self.name, config, weights | {"trees": self.trees.text()}, card)

    @classmethod
    def load(cls, folder: str | Path) -> "SequenceModel":
        """The model saved in a folder. Raises ValueError when it is damaged or another model's."""
        _, config, arrays, _ = load_folder(folder, cls.name)
        try:
            model = cls(SequenceParams(**config["params"]))
            model.trees = Trees.restore(config["trees"], arrays)
            model.calibration, model.categories = Calibration(**config["calibration"]), list(config["categories"])
            model.network = _Network(model.params, len(model.categories))
            weights = {name: value for name, value in arrays.items() if name.startswith("network.")}
            model.network.load_state_dict(
                {name.removeprefix("network."): torch.from_numpy(value) for name, value in weights.items()}
            )
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{folder} holds no usable model: {error}") from None
        model.network.to(device_of(model.params.device)).eval()
        return model


def _theirs(customer: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where rows (n, k) are of the customer (n,) of the present one, and so in the first list already."""
    return customer[rows] == customer[:, None]
