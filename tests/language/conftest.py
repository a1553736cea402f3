"""A tiny encoder of our own making, saved as the hub saves them, and made-up reviews."""

import os

import pytest
from storelab.language import create
from storelab.language.answers import read_answers
from storelab.language.synthetic import synthetic_reviews

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a backbone's name that is no folder is not asked for on the network


@pytest.fixture(scope="session")
def backbone(tmp_path_factory) -> str:
    """A BERT of 2 layers x 32 with random weights and a WordPiece tokeniser of single letters and a few words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {word for text in synthetic_reviews(200)["text"] for word in text.replace(",", " ").split()}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *sorted(words)]
    tokenizer = Tokenizer(WordPiece({name: n for n, name in enumerate(dict.fromkeys(names))}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    ends = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder = tmp_path_factory.mktemp("backbone")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def english():
    """Return 300 training and 100 test reviews."""
    return synthetic_reviews(300, seed=1), synthetic_reviews(100, seed=2)


@pytest.fixture(scope="session")
def sentiment(english):
    return create("tfidf").fit(english[0]["text"].tolist(), english[0]["positive"].tolist())


@pytest.fixture(scope="session")
def answers():
    return read_answers()
