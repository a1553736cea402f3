"""A language model as a policy: what it is asked, what counts, who decides where it does not, and that nothing is asked
twice."""

import json
from dataclasses import replace

import numpy as np
import pytest
from storelab.agents import tune
from storelab.agents.llm import LLMParams, LLMPolicy, check
from storelab.agents.llm.replies import in_text, of_endpoint
from storelab.agents.llm.transcripts import Transcripts
from storelab.envs import TASKS
from storelab.envs.core.seeds import purpose_seeds
from storelab.errors import FieldError, Unavailable
from storelab.evaluation import evaluate, summarise


def lost_sales(horizon=12):
    return replace(TASKS["LostSales"](horizon=horizon), warmup=2)


def params(server, **changes):
    return LLMParams(**{"model": "scripted", "base_url": server.url, "backoff": 0.01, "attempts": 3} | changes)


def played(policy, task, seeds=3):
    episodes = evaluate({"llm": policy}, task, np.arange(seeds))
    return episodes[episodes["policy"] == "llm"].reset_index(drop=True)


@pytest.fixture(scope="module")
def rule():
    return tune("base_stock", lost_sales(), purpose_seeds("tuning", 4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LostSales", "SupplyChain", "Marketplace"])
def test_it_plays_episodes_on_the_scenarios_of_evaluate(server, name, tmp_path):
    task = TASKS[name](horizon=60 if name == "LostSales" else 56)
    episodes = played(LLMPolicy(task, params(server, price_in=1.0, price_out=4.0), tmp_path), task, 2)
    assert (episodes["questions"] == task.params.horizon).all()
    assert (episodes[["refused", "unusable", "fallback", "forced", "unset"]] == 0).all(axis=None)
    asked = [len(json.dumps(question)) // 4 for question in server.questions]
    assert episodes["tokens"].sum() >= sum(asked)
    assert (episodes["spend"] > episodes["tokens"] / 1e6).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test-000000.jsonl", "test-000001.jsonl"]
    before = len(server.questions)
    again = played(LLMPolicy(task, params(server, price_in=1.0, price_out=4.0), tmp_path), task, 2)
    assert len(server.questions) == before
    assert again.equals(episodes)


def test_an_identical_question_is_asked_once(server):
    task = lost_sales()
    played(LLMPolicy(task, params(server)), task, 4)
    said = [json.dumps(question) for question in server.questions]
    assert len(said) == len(set(said)) < 4 * 12


def test_its_orders_are_those_that_it_said(server, stand_in):
    server.answer = lambda question: stand_in.script(question, given={"set_order": {"value": 7}})
    task = lost_sales()
    fixed = lambda observation, state, seed: (np.full((len(observation), 1), 7.0), state)
    episodes = evaluate({"llm": LLMPolicy(task, params(server)), "fixed": fixed}, task, np.arange(3))
    values = episodes.pivot(index="seed", columns="policy", values="value")
    assert values["llm"].equals(values["fixed"])


def test_the_key_is_sent_and_never_written(server, tmp_path, stand_in):
    def parrot(question):
        body = json.loads(stand_in.completion(question, stand_in.script(question)))
        body["choices"][0]["message"]["content"] = f"your key is {server.keys[-1]}"
        return json.dumps(body).encode()

    server.answer = parrot
    task = lost_sales()
    played(LLMPolicy(task, params(server), tmp_path), task, 1)
    assert set(server.keys) == {"Bearer sk-very-secret"}
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "your key is Bearer (key)" in text
    assert "sk-very-secret" not in text + json.dumps(server.questions)


def test_a_key_goes_over_no_open_line(server):
    with pytest.raises(FieldError, match=r"base_url: 'http://example.org/v1' is not allowed with a key"):
        played(LLMPolicy(lost_sales(), params(server, base_url="http://example.org/v1")), lost_sales(), 1)


def test_it_waits_for_an_endpoint_that_is_busy_and_ends_where_it_is_refused(server, stand_in, monkeypatch):
    states = iter([429, 503])
    server.answer = lambda question: next(states, None) or stand_in.script(question)
    assert played(LLMPolicy(lost_sales(), params(server)), lost_sales(), 1)["fallback"].sum() == 0
    server.answer = lambda question: 500
    with pytest.raises(Unavailable, match=r"does not answer after 3 attempts .state 500.; the same command"):
        played(LLMPolicy(lost_sales(), params(server)), lost_sales(), 1)
    server.answer = lambda question: 401
    with pytest.raises(Unavailable, match="refuses the question with 401"):
        played(LLMPolicy(lost_sales(), params(server)), lost_sales(), 1)


NO_USE = {
    "text": json.dumps({"choices": [{"message": {"content": "I would order more."}}]}).encode(),
    "no JSON": b"<html>",
    "no choices": b'{"choices": []}',
    "a list": b"[[[[",
    "null": b'{"choices": [{"message": {"tool_calls": [null]}}]}',
}


@pytest.mark.parametrize("how", NO_USE)
def test_replies_of_no_use_are_counted_and_the_rule_decides(server, rule, how):
    server.answer = lambda question: NO_USE[how]
    task = lost_sales()
    episodes = evaluate({"llm": LLMPolicy(task, params(server, retries=1), rule=rule), "rule": rule}, task, [0, 1])
    values = episodes.pivot(index="seed", columns="policy", values="value")
    assert values["llm"].equals(values["rule"])
    mine = episodes[episodes["policy"] == "llm"]
    assert (mine["fallback"] == 12).all()
    assert (mine["unusable"] == 24).all()


def test_without_a_rule_what_stands_holds(server):
    server.answer = lambda question: NO_USE["text"]
    policy = LLMPolicy(lost_sales(), params(server, fallback="hold", retries=0))
    nothing = lambda observation, state, seed: (np.zeros((len(observation), 1)), state)
    episodes = evaluate({"llm": policy, "nothing": nothing}, lost_sales(), [0])
    assert episodes["value"].nunique() == 1


def test_a_budget_of_questions_and_of_tokens(server, rule):
    task = lost_sales()
    few = played(LLMPolicy(task, params(server, questions=5), rule=rule), task)
    assert (few["questions"] == 5).all()
    assert (few["fallback"] == 7).all()
    cheap = played(LLMPolicy(task, params(server, tokens=6000), rule=rule), task)
    assert (cheap["questions"] < 6).all()
    assert (cheap["fallback"] + cheap["questions"] == 12).all()


def test_hostile_calls_are_refused_and_counted(server, stand_in):
    bad = [("rm", {}), ("set_order", {"value": "NaN"}), ("set_order", {"value": 1e9}), ("note", {"text": "x" * 10_000})]
    calls = [{"name": name, "arguments": arguments} for name, arguments in bad]
    server.answer = lambda question: [*calls, *stand_in.script(question)]
    episodes = played(LLMPolicy(lost_sales(), params(server)), lost_sales(), 2)
    assert (episodes["refused"] == 4 * 12).all()
    server.answer = lambda question: [{"name": "read_notes", "arguments": {}}] * 3
    episodes = played(LLMPolicy(lost_sales(), params(server, rounds=4)), lost_sales(), 1)
    assert (episodes["forced"] == 12).all()
    assert (episodes["questions"] == 48).all()


def test_a_rule_advises_and_holds_where_it_is_not_changed(server, rule, stand_in):
    task, end = lost_sales(), [{"name": "end_period", "arguments": {}}]
    server.answer = lambda question: end
    policies = {"llm": LLMPolicy(task, params(server, mode="advised"), rule=rule), "rule": rule}
    episodes = evaluate(policies, task, np.arange(3))
    values = episodes.pivot(index="seed", columns="policy", values="value")
    assert values["llm"].equals(values["rule"])
    assert "A tuned rule would decide: order: " in server.questions[0]["messages"][1]["content"]


def test_a_rule_corrects_what_is_far_from_it(server, rule):
    task = lost_sales()
    most = lambda question: [{"name": "set_order", "arguments": {"value": 12}}, {"name": "end_period", "arguments": {}}]
    server.answer = most
    policy = LLMPolicy(task, params(server, deviation=0.25), rule=rule)
    observation = np.array([[30.0, 0, 0, 0], [0.0, 0, 0, 0]], np.float32)
    ruled, _ = rule(observation, None, 0)
    actions, _ = policy(observation, None, 0)
    assert actions[:, 0] == pytest.approx(np.minimum(12, ruled[:, 0] + 3))
    assert policy.tally()["corrected"].tolist() == (ruled[:, 0] + 3 < 12).tolist()


def test_it_sets_the_parameters_of_a_rule(server, rule):
    task, end = lost_sales(), {"name": "end_period", "arguments": {}}
    server.answer = lambda question: [end]
    policy = LLMPolicy(task, params(server, mode="parameters", every=4), rule=rule)
    episodes = evaluate({"llm": policy, "rule": rule}, task, [0, 1])
    assert episodes.groupby("seed")["value"].nunique().eq(1).all()
    assert len(server.questions) == len({json.dumps(q) for q in server.questions}) <= 6
    (name, (level,)), *_ = rule.params.items()
    server.answer = lambda question: [{"name": f"set_{name}", "arguments": {"value": level - 3}}, end]
    lower = type(rule)(rule.kind, {**rule.params, name: [level - 3]}, rule.model)
    policy = LLMPolicy(task, params(server, mode="parameters", every=4), rule=rule)
    episodes = evaluate({"llm": policy, "lower": lower}, task, [0, 1])
    assert episodes.groupby("seed")["value"].nunique().eq(1).all()


def test_the_conversation_forgets_and_the_notebook_does_not(server):
    note = {"name": "note", "arguments": {"text": "order 5", "replace": True}}
    server.answer = lambda question: [note, {"name": "end_period", "arguments": {}}]
    played(LLMPolicy(lost_sales(), params(server, memory=2)), lost_sales(), 1)
    last = server.questions[-1]["messages"]
    assert [turn["role"] for turn in last].count("user") == 3
    assert last[-1]["content"].endswith("Your notebook:\norder 5")


def test_a_torn_line_is_asked_again_and_the_rest_is_not(server, tmp_path):
    task = lost_sales()
    first = played(LLMPolicy(task, params(server), tmp_path), task, 1)
    path = tmp_path / "test-000000.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
    before = len(server.questions)
    assert played(LLMPolicy(task, params(server), tmp_path), task, 1).equals(first)
    assert len(server.questions) == before + 1
    kept = [json.loads(line)["question"] for line in path.read_bytes().splitlines()]
    assert kept == [json.loads(line)["question"] for line in lines]
    assert len(Transcripts(tmp_path)._answers) == len(lines)


def test_calls_in_a_text_are_read():
    text = 'So: <tool_call>{"name": "set_order", "arguments": {"value": 3}}</tool_call>\n{"x": {"name": "end_period"}}'
    assert [(call.name, json.loads(call.arguments)) for call in in_text(text)] == [("set_order", {"value": 3})]
    assert in_text("{" * 5000) == []
    assert of_endpoint({"choices": [{"message": {"content": text}}]}, 0.0).calls[0].name == "set_order"


def test_the_table_has_what_it_took(server):
    task = lost_sales()
    nothing = lambda observation, state, seed: (np.zeros((len(observation), 1)), state)
    episodes = evaluate({"llm": LLMPolicy(task, params(server)), "nothing": nothing}, task, [0, 1])
    table = summarise(episodes, task.objective)
    assert table.loc["llm", "questions"] == 12
    assert np.isnan(table.loc["nothing", "tokens"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mode": "boss"}, "mode"),
        ({"base_url": "ftp://here"}, "base_url"),
        ({"base_url": "https://me:hush@here/v1"}, "base_url"),
        ({"key_variable": "sk-very secret"}, "key_variable"),
        ({"every": 0}, "every"),
        ({"deviation": -1}, "deviation"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_parameters_are_checked(changes, field):
    with pytest.raises(FieldError) as error:
        LLMParams(**changes)
    assert error.value.field == field
    assert "hush" not in str(error.value)


def test_a_model_and_a_rule_that_are_there_are_needed():
    model = lost_sales().model()
    with pytest.raises(FieldError, match="model: '' is not allowed"):
        check(model, LLMParams())
    with pytest.raises(FieldError, match="rule: 'fortune' is not allowed"):
        check(model, LLMParams(model="x", rule="fortune"))
    with pytest.raises(FieldError, match="mode: 'advised' is not allowed"):
        LLMPolicy(lost_sales(), LLMParams(model="x", mode="advised"))
