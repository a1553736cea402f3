"""Pre-train a small encoder on a shop's own texts, labelled or not: `python -m storelab.language.pretrain FILE FOLDER`.

Masked language modelling (Devlin et al. 2019, arXiv:1810.04805): of 15 % of the tokens, four fifths are hidden and one
tenth is replaced, and the network says what they were. What comes out is a BERT of two layers with a vocabulary of the
texts' own, in a folder that `model.backbone` takes (`storelab fit model=fine_tuned model.backbone=FOLDER`).
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..learning.params import StepsParams, check_fields
from ..learning.training import Objective, Plan, train
from .fine_tuned import by_length
from .text import clean, has_words

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PAD, _MASK = SPECIAL.index("[PAD]"), SPECIAL.index("[MASK]")
_HIDDEN, _REPLACED = 0.8, 0.1  # of the chosen tokens


@dataclass
class PretrainParams(StepsParams):
    """The encoder, and how it is trained."""

    vocabulary: int = 4000  # letters, letters within words, and words, at most
    width: int = 96  # of a token, a multiple of heads
    layers: int = 2
    heads: int = 4
    tokens: int = 96  # of a text that are read, special ones included
    masked: float = 0.15  # share of the tokens that are to be said
    batch_size: int = 64  # texts
    learning_rate: float = 2e-3
    weight_decay: float = 0.01

    def __post_init__(self):
        check_fields(self, lowest={"tokens": 8, "vocabulary": 50}, highest={"tokens": 512})


def pretrain(texts: Sequence[str], folder: str | Path, params: PretrainParams | None = None) -> list[dict]:
    """Write the encoder of the texts into `folder`; a row per evaluation, with the training loss.

    Raises ValueError where no text has words.
    """
    from transformers import BertConfig, BertForMaskedLM, BertModel

    p = params or PretrainParams()
    texts = [text for text in clean(texts) if has_words(text)]
    if not texts:
        raise ValueError("texts: none has words; expected some that do")
    fast = _tokenizer(texts, p)
    tokens = [encoding.ids for encoding in fast.backend_tokenizer.encode_batch(texts)]
    tokens = [row[: p.tokens - 1] + row[-1:] if len(row) > p.tokens else row for row in tokens]
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=p.width,
        num_hidden_layers=p.layers,
        num_attention_heads=p.heads,
        intermediate_size=4 * p.width,
        max_position_embeddings=max(p.tokens, 128),
        pad_token_id=_PAD,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p.seed)
        network = BertForMaskedLM(config)
    rows = by_length(np.array([len(row) for row in tokens]), p.batch_size, p.seed)

    def loss(network: nn.Module, step: int, generator: torch.Generator) -> torch.Tensor:
        batch = [torch.tensor(tokens[row]) for row in rows(step)]
        numbers = nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=_PAD)
        return masked_loss(network, numbers, p.masked, generator)

    plan = Plan(p.learning_rate, p.steps, dropout=True, evaluations=10)
    history, _, file = train(network, Objective(loss, None, lambda: texts), p, plan)
    if file:
        file.unlink(missing_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p.seed)
        encoder = BertModel(config)  # with a pooler, which nothing reads: a loader asks for it
    encoder.load_state_dict(network.bert.state_dict(), strict=False)
    encoder.save_pretrained(folder)
    fast.save_pretrained(folder)
    return history


def masked_loss(network: nn.Module, numbers: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """The cross-entropy of a share of the tokens (B, T), chosen anew, which are hidden, replaced or left."""
    chosen = (torch.rand(numbers.shape, generator=generator) < share) & (numbers >= len(SPECIAL))
    chosen[0, 1] |= not chosen.any()  # one at least
    how = torch.rand(numbers.shape, generator=generator)
    other = torch.randint(len(SPECIAL), network.config.vocab_size, numbers.shape, generator=generator)
    shown = torch.where(chosen & (how < _HIDDEN), _MASK, numbers)
    shown = torch.where(chosen & (how >= 1 - _REPLACED), other, shown)
    hidden = network.bert(shown, attention_mask=(numbers != _PAD).long()).last_hidden_state
    return nn.functional.cross_entropy(network.cls(hidden[chosen]), numbers[chosen])


def _tokenizer(texts: Sequence[str], params: PretrainParams):
    """The texts' most common words, in lower case, and letters, of which others are made; each Han character is one."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    cut, plain = BertPreTokenizer(), BertNormalizer(lowercase=True)
    counts = Counter(word for text in texts for word, _ in cut.pre_tokenize_str(plain.normalize_str(text)))
    common = sorted(counts, key=lambda word: (-counts[word], word))  # a trained vocabulary differs from run to run
    first, inner = ({part for word in common for part in of(word)} for of in (lambda w: w[:1], lambda w: w[1:]))
    letters = [*sorted(first - set(common)), *sorted(f"##{letter}" for letter in inner)]
    pieces = list(dict.fromkeys([*SPECIAL, *letters[: params.vocabulary // 2], *common]))[: params.vocabulary]
    words = Tokenizer(WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = plain, cut
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=words, mask_token="[MASK]", **names)


def main() -> None:
    from .tables import read

    parser = argparse.ArgumentParser(description="Pre-train a small encoder on a shop's own texts.")
    parser.add_argument(
        "file", help="CSV, Excel or Parquet file with a column text; rows of the split test are left out"
    )
    parser.add_argument("folder", help="where the encoder goes")
    parser.add_argument("--steps", type=int, default=PretrainParams.steps)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    table = read(args.file, unlabelled=True)
    texts = table["text"][table["split"] != "test"] if "split" in table else table["text"]
    texts = [*texts, *table.attrs["unlabelled"]]
    history = pretrain(texts, args.folder, PretrainParams(steps=args.steps, seed=args.seed))
    print(f"{len(texts)} texts, loss {history[-1]['train_loss']:.3f}: {args.folder}")


if __name__ == "__main__":
    main()
