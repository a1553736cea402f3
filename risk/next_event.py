"""What a customer is expected to do next: a network pre-trained on all transactions, none of them labelled.

A GRU (Cho et al. 2014, arXiv:1406.1078) reads a customer's transactions in order and says the next one: category,
amount, time until it, kind, promotion, declined, and whether device, address and card are new to the customer. How much
each of these surprises it (negative log-likelihood) is a feature that no label is needed for, beside the features of
`risk.features`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..learning.params import StepsParams
from ..learning.training import Objective, Plan, train
from .features import codes_of
from .transactions import ENTITIES, columns

FLAGS = ("refund", "promotion", "declined", *(f"new {name}" for name in ENTITIES[1:]))
SURPRISES = ("category", "amount", "time", *FLAGS)
_AT_ONCE = 4096  # transactions of a batch, padding included
_LONGEST = 64  # transactions of a customer that are read at once


@dataclass
class NextEventParams(StepsParams):
    """The network and its training."""

    width: int = 32
    steps: int = 400
    batch_size: int = 64  # customers
    learning_rate: float = 5e-3


class _Network(nn.Module):
    def __init__(self, width: int, categories: int):
        super().__init__()
        self.category = nn.Embedding(categories + 1, 8)
        self.cell = nn.GRU(8 + 2 + len(FLAGS), width, batch_first=True)
        self.said = nn.Linear(width, categories + 1 + 4 + len(FLAGS))

    def forward(self, category: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Surprise (B, T, len(SURPRISES)) of each event, from those before it; the first one from nothing."""
        hidden, _ = self.cell(torch.cat([self.category(category), values], dim=-1))
        said = self.said(nn.functional.pad(hidden, (0, 0, 1, 0))[:, :-1])
        kinds = self.category.num_embeddings
        parts = [nn.functional.cross_entropy(said[..., :kinds].transpose(1, 2), category, reduction="none")]
        for place in range(2):  # amount and time: normal, of logarithms
            mean, log = said[..., kinds + 2 * place], said[..., kinds + 2 * place + 1].clamp(-4, 4)
            parts.append(0.5 * ((values[..., place] - mean) / log.exp()) ** 2 + log)
        flags = nn.functional.binary_cross_entropy_with_logits(
            said[..., kinds + 4 :], values[..., 2:], reduction="none"
        )
        return torch.cat([torch.stack(parts, dim=-1), flags], dim=-1)


class NextEvent:
    """See the module's docstring."""

    def __init__(self, params: NextEventParams | None = None):
        self.params = params or NextEventParams()
        self.categories: list[str] = []
        self.network: _Network | None = None

    def fit(self, transactions: pd.DataFrame) -> "NextEvent":
        """Pre-train on transactions by time; no label is asked for."""
        p = self.params
        self.categories = sorted(set(transactions["category"]))
        category, values, pieces = self._events(transactions)
        long = [piece for piece in pieces if len(piece) > 1] or pieces
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(p.seed)
            self.network = _Network(p.width, len(self.categories))

        def loss(network: nn.Module, step: int, generator: torch.Generator) -> torch.Tensor:
            pick = torch.randint(len(long), (p.batch_size,), generator=generator).tolist()
            rows, there = _padded([long[k] for k in pick])
            return network(category[rows], values[rows])[there].sum(dim=-1).mean()

        plan = Plan(p.learning_rate, p.steps, evaluations=10)
        self.history, _, file = train(self.network, Objective(loss, None, lambda: [values.numpy()]), p, plan)
        if file:
            file.unlink(missing_ok=True)
        return self

    @torch.inference_mode()
    def surprise(self, transactions: pd.DataFrame) -> np.ndarray:
        """Surprise (n, len(SURPRISES)) float32 of each transaction, in nats, from those of the customer before it."""
        if self.network is None:
            raise ValueError("the network has no weights: call fit")
        category, values, pieces = self._events(transactions)
        result = np.zeros((len(transactions), len(SURPRISES)), np.float32)
        order, start = sorted(pieces, key=len), 0
        self.network.eval()
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(order[stop]) <= _AT_ONCE:
                stop += 1
            rows, there = _padded(order[start:stop])
            result[rows[there].numpy()] = self.network(category[rows], values[rows])[there].numpy()
            start = stop
        return result

    def _events(self, transactions: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
        """Categories (n,), values (n, 2 + len(FLAGS)), and the rows of each customer, in pieces of `_LONGEST`."""
        table = columns(transactions)
        numbers = {name: number for number, name in enumerate(self.categories, start=1)}
        category = np.array([numbers.get(name, 0) for name in table["category"]], np.int64)
        customer = codes_of(table, ("customer",))
        order = np.argsort(customer, kind="stable")
        begins = np.flatnonzero(np.diff(customer[order], prepend=-1))
        pieces, gap = [], np.zeros(len(order))
        for rows in np.split(order, begins[1:]):
            gap[rows[1:]] = np.diff(table["time"][rows])
            pieces += [rows[k : k + _LONGEST] for k in range(0, len(rows), _LONGEST)]
        flags = [table[name] for name in FLAGS[:3]]
        for name in ENTITIES[1:]:
            flags.append(~pd.DataFrame({"c": customer, "e": table[name]}).duplicated().to_numpy())
        numbers_of = [np.log1p(table["amount"]) - 3.5, (np.log1p(gap) - 10) / 3]
        values = np.stack([*numbers_of, *flags], axis=1).astype(np.float32)
        return torch.from_numpy(category), torch.from_numpy(values), pieces


def _padded(pieces: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (B, T) of pieces, the first one's standing where there is none, and where there is one."""
    longest = max(map(len, pieces))
    rows = np.stack([np.pad(piece, (0, longest - len(piece)), constant_values=piece[0]) for piece in pieces])
    there = np.arange(longest) < np.array([len(piece) for piece in pieces])[:, None]
    return torch.from_numpy(rows), torch.from_numpy(there)
