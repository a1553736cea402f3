"""A plain SASRec, to compare with: nothing but purchases in order, by PyTorch's own layers. Not in the registry."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .base import Histories, Log, Recommender, check
from .protocol import Split, rank


@dataclass
class SASRecParams:
    width: int = 64
    layers: int = 2
    heads: int = 2
    length: int = 100  # last purchases that are read and learned from
    epochs: int = 100  # at most
    batch: int = 32
    rate: float = 1e-3
    look: int = 4  # epochs between two validations
    patience: int = 10  # validations without gain before training stops
    seed: int = 0

    def __post_init__(self):
        check(self, {name: (1e-9, 1e9) for name in vars(self)} | {"seed": (0, 2**31 - 1)})


class SASRec(Recommender):
    """Kang and McAuley 2018 (arXiv:1808.09781) with learned positions and the full softmax over all items in the place
    of one negative (Klenitskiy and Vasilev 2023, arXiv:2309.07602).

    Each user's last training purchase is the validation: it says when to stop, and which `dropouts` to take.
    """

    name = "sasrec"
    Params = SASRecParams
    dropouts = (0.2, 0.35, 0.5)

    def _fit(self, log: Log) -> None:
        histories = log.histories
        last = np.zeros(len(histories.item), bool)
        able = np.diff(histories.start) > 1
        last[histories.start[1:][able] - 1] = True
        shown, item = histories.where(~last), histories.item[last]
        split = Split(log, shown.take(np.flatnonzero(able)), list(item[:, None]))
        tried = [self._train(shown, split, dropout) for dropout in self.dropouts]
        (self.worth, state), self.dropout = max(zip(tried, self.dropouts, strict=True), key=lambda row: row[0][0])
        self.network.load_state_dict(state)

    def _train(self, histories: Histories, split: Split, dropout: float) -> tuple[float, dict]:
        """The best NDCG@10 and the weights that had it."""
        p = self.params
        sequences = [row[-p.length - 1 :] for row in np.split(histories.item, histories.start[1:-1]) if len(row) > 1]
        torch.manual_seed(p.seed)
        rng = np.random.default_rng(p.seed)
        self.network = _Network(len(self.items), p, dropout)
        optimiser = torch.optim.Adam(self.network.parameters(), lr=p.rate)
        best, stale = (-1.0, {}), 0
        for epoch in range(1, p.epochs + 1):
            self.network.train()
            for part in np.array_split(rng.permutation(len(sequences)), -(-len(sequences) // p.batch)):
                rows = _padded([sequences[row] for row in part])
                known, following = self.network(rows[:, :-1]), rows[:, 1:]
                there = following > 0
                loss = nn.functional.cross_entropy(known[there] @ self.network.items, following[there] - 1)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            if epoch % p.look == 0:
                worth = rank(self, split)["NDCG@10"]
                stale = 0 if worth > best[0] else stale + 1
                if not stale:
                    best = worth, {name: value.clone() for name, value in self.network.state_dict().items()}
                if stale == p.patience:
                    break
        return best

    @torch.no_grad()
    def scores(self, histories: Histories) -> torch.Tensor:
        rows = [row[-self.params.length :] for row in np.split(histories.item, histories.start[1:-1])]
        last = torch.tensor([max(len(row), 1) - 1 for row in rows])
        return self.network.eval()(_padded(rows))[torch.arange(len(rows)), last] @ self.network.items

    def _arrays(self):
        return {name: value.numpy() for name, value in self.network.state_dict().items()}

    def _restore(self, arrays):
        self.network = _Network(len(self.items), self.params, 0.0)
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})


class _Network(nn.Module):
    def __init__(self, items: int, p: SASRecParams, dropout: float):
        super().__init__()
        self.item, self.place = nn.Embedding(items + 1, p.width, padding_idx=0), nn.Embedding(p.length, p.width)
        layer = nn.TransformerEncoderLayer(
            p.width, p.heads, 4 * p.width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, p.layers, enable_nested_tensor=False)
        self.norm, self.dropout = nn.LayerNorm(p.width), nn.Dropout(dropout)
        nn.init.normal_(self.item.weight, std=0.02)
        nn.init.normal_(self.place.weight, std=0.02)

    @property
    def items(self) -> torch.Tensor:
        """(width, items)."""
        return self.item.weight[1:].T

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, T, width) after each of rows (B, T) of item numbers + 1; 0 fills up behind a row's end."""
        size = rows.shape[1]
        x = self.dropout(self.item(rows) + self.place.weight[:size])
        mask = nn.Transformer.generate_square_subsequent_mask(size)
        return self.norm(self.encoder(x, mask=mask, is_causal=True))


def _padded(rows: list[np.ndarray]) -> torch.Tensor:
    table = np.zeros((len(rows), max(1, *(len(row) for row in rows))), np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row + 1
    return torch.from_numpy(table)
