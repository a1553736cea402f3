"""Passages worded by a generative model: tiny ones of our own making, with weights that are random or known."""

import json

import pytest
import torch
from storelab.experiments.serving.models import AnswerBody, load_language
from storelab.language import create
from storelab.language.answers import read_answers
from storelab.language.retrieval import Retrieval
from storelab.language.service import Dialogue, Service
from storelab.language.writer import SERVICE, Writer, grounded
from storelab.learning.base import Card
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

PASSAGE = "Gift cards: Gift cards are good for three years and can be spent in several orders. They cannot be paid out."
QUESTION = "how long are gift cards good for"


def tokenizer(folder):
    words = sorted({word for text in (PASSAGE, QUESTION, "yes 5 two") for word in text.split()})
    known = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(["<unk>", "</s>", *words])}, unk_token="<unk>")
    )
    known.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=known, unk_token="<unk>", eos_token="</s>", pad_token="</s>")
    made.save_pretrained(folder)
    return made


def speaker(folder, words: str):
    """A GPT-2 without layers: at each place it says the next of `words` after the prompt, whatever was before."""
    made = tokenizer(folder)
    sizes = {"vocab_size": len(made), "n_positions": 128, "n_embd": 128, "n_layer": 0, "n_head": 1}
    model = GPT2LMHeadModel(GPT2Config(**sizes, tie_word_embeddings=False, eos_token_id=1, bos_token_id=1))
    asked = Writer.prompt(QUESTION, PASSAGE)
    start = len(made(asked)["input_ids"])
    with torch.no_grad():
        model.transformer.wte.weight.zero_()
        model.transformer.wpe.weight.copy_(torch.eye(128))
        model.lm_head.weight.zero_()
        for place, token in enumerate([*made(words)["input_ids"], 1]):
            model.lm_head.weight[token, start - 1 + place] = 1.0
    model.save_pretrained(folder)
    return str(folder)


class Sure:
    """Every message is about gift cards."""

    labels, threshold = ["Gift cards"], 0.0

    def decide(self, texts):
        return ["Gift cards"] * len(texts), [0.9] * len(texts)


def reply(writer):
    answers = read_answers()
    service = Service(Sure(), answers, Retrieval(answers.passages), lambda intent, slots: None, writer=writer)
    (answer,), _ = service.reply([Dialogue()], [QUESTION])
    return answer, service.topics["Gift cards"]


def test_a_grounded_wording_is_given_and_marked(tmp_path):
    answer, passage = reply(Writer(speaker(tmp_path, "Gift cards are good for three years")))
    assert answer.text == "Gift cards are good for three years (Worded by a language model from our help pages.)"
    assert (answer.action, answer.source) == ("passage", passage)


def test_a_writer_is_given_no_personal_data():
    heard = []

    answers = read_answers()
    listen = lambda question, passage: heard.append(question)
    service = Service(Sure(), answers, Retrieval(answers.passages), lambda intent, slots: None, writer=listen)
    service.reply([Dialogue()], ["I am ann@shop.com, how long are gift cards good for"])
    assert heard == ["I am [email], how long are gift cards good for"]


@pytest.mark.parametrize("by", ["option", "configuration"])
def test_the_server_words_passages(tmp_path, by):
    """With a tiny checkpoint, by `--writer` or by what `storelab fit dataset.writer=NAME` leaves beside the model."""
    short = create("tfidf", unit="character_in_word", longest=3, least_texts=1, validation=0.0, strength=100.0)
    short.fit(*read_answers().examples()).save(tmp_path / "intents", Card("made up", "none", {}, "a test", "all"))
    name = speaker(tmp_path / "writer", "Gift cards are good for three years")
    if by == "configuration":
        (tmp_path / "intents" / SERVICE).write_text(json.dumps({"writer": name}))
    served = load_language(tmp_path / "intents", name if by == "option" else "")
    assert served.about["writer"] == "writer"
    (turn,) = served.answer(served.read(AnswerBody(messages=[{"text": QUESTION}])))["turns"]
    assert turn["text"] == "Gift cards are good for three years (Worded by a language model from our help pages.)"
    assert turn["source"] == PASSAGE
    (tmp_path / "intents" / SERVICE).write_text('{"writer": 3}')
    with pytest.raises(ValueError, match=r"service\.json"):
        load_language(tmp_path / "intents")


@pytest.mark.parametrize("words", ["Gift cards are good for 5 years", "They can be paid out.", "yes yes"])
def test_what_the_passage_does_not_say_is_not_said(tmp_path, words):
    answer, passage = reply(Writer(speaker(tmp_path, words)))
    assert (answer.text, answer.source) == (passage, "")


def test_random_models_are_quoted_over(tmp_path):
    torch.manual_seed(0)
    made = tokenizer(tmp_path)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(made), **sizes, decoder_start_token_id=1, pad_token_id=1, eos_token_id=1)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    answer, passage = reply(Writer(str(tmp_path), tokens=8))
    assert answer.text == passage


def test_what_is_no_safe_model_is_refused(tmp_path):
    folder = speaker(tmp_path, "yes")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"writer: .* expected a hub name or a folder of a generative model"):
        Writer(folder)
    with pytest.raises(ValueError, match="tokens: 0 is not allowed"):
        Writer(folder, tokens=0)


@pytest.mark.parametrize(
    ("text", "passage", "right"),
    [
        ("Three years.", PASSAGE, True),
        ("They cannot be paid out.", PASSAGE, True),
        ("You can pay them out.", PASSAGE, False),
        ("Ten years.", PASSAGE, False),
        ("", PASSAGE, False),
        ("礼品卡三年内有效。", "礼品卡:礼品卡三年内有效,可分多次使用,不能兑换现金。", True),
        ("积分一年后失效。", "积分:每消费一元积一分。积分一年后失效。", True),
        ("积分一年后不失效。", "积分:每消费一元积一分。积分一年后失效。", False),
    ],
)
def test_grounded(text, passage, right):
    assert grounded(text, passage) == right
