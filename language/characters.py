"""A convolutional network over characters, trained from scratch: for Chinese, and where no backbone is available.

Kim 2014 (arXiv:1408.5882) on characters: convolutions of several widths, the largest value over the text of each, and a
linear head.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split
from torch import nn

from ..learning.params import check_fields
from .fine_tuned import FineTuned, FineTunedParams
from .network import TextNetwork

_PAD, _UNKNOWN = 0, 1


@dataclass
class CharactersParams(FineTunedParams):
    """The network's size, and how it is trained."""

    width: int = 64  # of a character's vector
    channels: int = 64  # of each convolution
    longest: int = 3  # characters of the widest convolution, 2 or more
    least_texts: int = 2  # that a character is in, else it is unknown
    tokens: int = 120  # characters of a text that are read
    dropout: float = 0.3
    learning_rate: float = 3e-3
    epochs: int = 5
    batch_size: int = 64

    def __post_init__(self):
        absent = {"layers": 0, "frozen_layers": 0}  # it has no layers to choose from
        check_fields(
            self,
            lowest={"most_texts": 0, "longest": 2, "tokens": 8, **absent},
            highest={"longest": 8, "tokens": 10_000, "validation": 0.5, "head_strength": 1e6, **absent},
            choices={"loss": ("cross_entropy",), "method": ("full",), "inference": ("float32",)},
        )


class CharacterNetwork(TextNetwork):
    def __init__(self, tokenizer: Tokenizer, params: CharactersParams, labels: int):
        widths = range(2, params.longest + 1)
        super().__init__(tokenizer, _PAD, params.channels * len(widths), labels, params.dropout)
        self.table = nn.Embedding(tokenizer.get_vocab_size(), params.width, padding_idx=_PAD)
        self.convolutions = nn.ModuleList(nn.Conv1d(params.width, params.channels, w, padding=w) for w in widths)
        nn.init.normal_(self.table.weight, std=0.1)  # of the size of what a convolution starts with

    def embed(self, numbers):
        return self.table(numbers)

    def encode(self, vectors, mask):
        vectors = (vectors * mask[..., None]).transpose(1, 2)
        return torch.cat([convolution(vectors).relu().amax(2) for convolution in self.convolutions], dim=1)


class Characters(FineTuned):
    """`FineTuned`'s training, without a backbone and without a probe."""

    name = "characters"
    Params = CharactersParams

    def _start(self, texts, codes):
        counts = Counter(character for text in texts for character in set(text.lower()))
        kept = sorted(character for character, count in counts.items() if count >= self.params.least_texts)
        tokenizer = Tokenizer(WordLevel({"": _PAD, "\0": _UNKNOWN} | {c: n for n, c in enumerate(kept, 2)}, "\0"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Split(Regex(r"[\s\S]"), "isolated")
        return CharacterNetwork(tokenizer, self.params, len(self.labels))

    def _description(self):
        return {}, np.frombuffer(self.network.tokenizer.to_str().encode(), np.uint8)

    def _rebuilt(self, architecture, tokenizer):
        return CharacterNetwork(Tokenizer.from_str(tokenizer.tobytes().decode()), self.params, len(self.labels))
