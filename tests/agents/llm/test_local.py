"""A tiny causal model with random weights plays: padded batches, a bounded context, no code of its own."""

import json
from dataclasses import replace

import numpy as np
import pytest
from storelab.agents import tune
from storelab.agents.llm import LLMParams, LLMPolicy
from storelab.agents.llm.local import Local
from storelab.envs import TASKS
from storelab.envs.core.seeds import purpose_seeds
from storelab.errors import FieldError
from storelab.evaluation import evaluate

pytest.importorskip("tokenizers")
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

END = '{"name": "end_period", "arguments": {}}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2 of one layer over bytes, with random weights."""
    place = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: n for n, letter in enumerate(["</s>", *alphabet])}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    fast.save_pretrained(place)
    torch.manual_seed(0)
    sizes = {"vocab_size": len(vocabulary), "n_positions": 256, "n_embd": 16, "n_layer": 1, "n_head": 2}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, eos_token_id=0, bos_token_id=0)).save_pretrained(
        place
    )
    return str(place)


def test_a_random_model_plays_and_the_rule_decides(folder, tmp_path):
    task = replace(TASKS["LostSales"](horizon=3), warmup=0)
    rule = tune("base_stock", task, purpose_seeds("tuning", 2))
    params = LLMParams(model=folder, answer_tokens=8, retries=0, concurrency=2)
    policy = LLMPolicy(task, params, tmp_path, rule)
    episodes = evaluate({"llm": policy, "rule": rule}, task, np.arange(3))
    assert episodes.groupby("seed")["value"].nunique().eq(1).all()
    mine = episodes[episodes["policy"] == "llm"]
    assert (mine["fallback"] == 3).all()
    assert (mine["tokens"] > 3 * 200).all()
    again = evaluate({"llm": LLMPolicy(task, params, tmp_path, rule), "rule": rule}, task, np.arange(3))
    assert again.equals(episodes)


def test_what_it_says_is_done(folder, monkeypatch):
    """Its words are put into its mouth: the batch, the padding and the prompt are as they are."""
    task, said = replace(TASKS["LostSales"](horizon=2), warmup=0), []
    order = '{"name": "set_order", "arguments": {"value": 4}}\n' + END

    def decode(self, row, **options):
        said.append(len(row))
        return order

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "decode", decode)
    policy = LLMPolicy(task, LLMParams(model=folder, answer_tokens=4))
    actions, _ = policy(np.array([[20, 0, 0, 0], [19, 0, 0, 0]], np.float32), None, 0)
    assert actions.tolist() == [[4], [4]]
    assert said == [4, 4]


def test_a_batch_answers_as_one_alone(folder):
    local = Local(LLMParams(model=folder, answer_tokens=12, concurrency=3))
    questions = [[{"role": "user", "content": "order " * n}] for n in (1, 9, 30)]
    together = dict(local.ask(questions, []))
    for k, question in enumerate(questions):
        ((_, alone),) = local.ask([question], [])
        assert (alone.text, alone.prompt_tokens) == (together[k].text, together[k].prompt_tokens)


def test_a_chat_template_gets_the_tools(folder):
    local = Local(LLMParams(model=folder, answer_tokens=4))
    local.tokenizer.chat_template = "{{ tools | length }} tools; {{ messages[-1].content }}"
    assert local._prompt([{"role": "user", "content": "hello"}], [{"type": "function"}] * 2) == "2 tools; hello"


def test_what_is_no_safe_model_is_refused(folder, tmp_path):
    with pytest.raises(FieldError, match=r"model: .* expected a folder or hub name of a causal model in safetensors"):
        Local(LLMParams(model=str(tmp_path)))
    weights = transformers.GPT2LMHeadModel.from_pretrained(folder).state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((type(tmp_path)(folder) / name).read_text())
    with pytest.raises(FieldError, match="safetensors"):
        Local(LLMParams(model=str(tmp_path)))
    config = json.loads((tmp_path / "config.json").read_text()) | {"auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(FieldError, match="model"):
        Local(LLMParams(model=str(tmp_path)))
    with pytest.raises(FieldError, match="answer_tokens: 256 is not allowed"):
        Local(LLMParams(model=folder, answer_tokens=256))
