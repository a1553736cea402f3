"""What text networks share: tokens, batches of texts of about one length, a linear head on one vector per text."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

_BATCH_TOKENS = 2048  # of a forward pass without gradients, padding included


class TextNetwork(nn.Module, ABC):
    """A tokeniser, vectors of its tokens, one vector per text, and a head."""

    def __init__(self, tokenizer: Tokenizer, pad: int, width: int, labels: int, dropout: float):
        super().__init__()
        self.tokenizer, self.pad_number, self.width = tokenizer, pad, width
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, labels))

    @abstractmethod
    def embed(self, numbers: torch.Tensor) -> torch.Tensor:
        """Vectors (B, T, E) of token numbers (B, T)."""

    @abstractmethod
    def encode(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One vector per text (B, width) from those of its tokens and a mask (B, T) of 0 and 1."""

    @property
    def device(self) -> torch.device:
        return self.head[1].weight.device

    def tokens(self, texts: list[str], limit: int) -> list[list[int]]:
        """Token numbers of each text, the first `limit` of them, special ones included."""
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(limit)
        return [encoding.ids or [self.pad_number] for encoding in self.tokenizer.encode_batch(texts)]

    def pad(self, tokens: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers and mask (B, longest) of a batch."""
        longest = max(map(len, tokens))
        numbers = torch.tensor([row + [self.pad_number] * (longest - len(row)) for row in tokens])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
        return numbers.to(self.device), mask.to(self.device)

    def features(self, tokens: list[list[int]]) -> torch.Tensor:
        """Vectors (B, width)."""
        numbers, mask = self.pad(tokens)
        return self.encode(self.embed(numbers), mask)

    def forward(self, tokens: list[list[int]]) -> torch.Tensor:
        """Logits (B, labels)."""
        return self.head(self.features(tokens))

    @torch.no_grad()
    def run(self, tokens: list[list[int]], what: str) -> np.ndarray:
        """`features` or `forward` of all rows (N, ...) float32, in batches of rows of about one length."""
        training = self.training
        self.eval()
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        parts, place = [], 0
        while place < len(order):
            stop = place + 1
            while stop < len(order) and (stop + 1 - place) * len(tokens[order[stop]]) <= _BATCH_TOKENS:
                stop += 1
            parts.append(getattr(self, what)([tokens[row] for row in order[place:stop]]).float().cpu().numpy())
            place = stop
        self.train(training)
        rows = np.concatenate(parts)
        result = np.empty_like(rows)
        result[order] = rows
        return result
