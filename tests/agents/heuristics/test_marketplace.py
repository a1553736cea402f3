"""Rules of the whole store: what they need, that tuning helps on held-out seasons, and what learners see."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import storelab
from storelab.agents import rules_of
from storelab.agents.heuristics import marketplace
from storelab.agents.heuristics.marketplace import (
    HEURISTICS,
    LOSS,
    Heuristic,
    cost_threshold,
    search,
    search_box,
    textbook,
    tune,
    unpack,
)
from storelab.envs import TASKS
from storelab.envs.core.rollout import rollout
from storelab.evaluation import evaluate

SMALL = dict(items=6, page_size=4, horizon=21, population=600.0, fleet_capacity=12.0)


@pytest.mark.parametrize("resolution", ["store", "item"])
@pytest.mark.parametrize("decides", [["price"], ["restock", "price", "fraud"]])
def test_rules_act_for_what_the_agent_decides(resolution, decides):
    task = TASKS["Marketplace"](**SMALL, resolution=resolution, decides=decides, forecast="oracle")
    model = task.model()
    assert rules_of(model) is marketplace
    now = {name: block[:, 0] for name, block in model.scenarios([1, 2]).items()}
    observation = model.observation(model.initial(2), now)
    for kind in marketplace.available(model):
        rule = Heuristic(kind, textbook(model), model)
        action, _ = rule(observation, None, 3)
        assert action.shape == (2, len(model.action_low))
        assert ((action >= model.action_low) & (action <= model.action_high)).all()


def test_items_and_store_agree():
    """The heuristics' numbers for the store, and what they mean for each item, make the same season."""
    runs = []
    for resolution in ("store", "item"):
        task = TASKS["Marketplace"](**SMALL, resolution=resolution)
        rule = Heuristic("textbook", textbook(task.model()), task.model())
        runs.append(evaluate({"rule": rule}, replace(task, hindsight=None), np.arange(8))["value"].to_numpy())
    assert np.allclose(*runs, rtol=1e-3)


@pytest.fixture
def short(monkeypatch):
    """A search that is not begun again."""
    pytest.importorskip("cma")
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.RESTARTS", 1)
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.GENERATIONS", 40)


def test_tuning_helps_on_held_out_seasons(short):
    task = TASKS["Marketplace"](**SMALL)
    rules = {kind: tune(kind, task, np.arange(12)) for kind in HEURISTICS}
    value = evaluate(rules, task, np.arange(100)).groupby("policy")["value"].mean()
    assert value["composite"] > 1.02 * value["textbook"] > 0
    assert value["textbook"] > value["random"]
    assert tune("composite", task, np.arange(12)).params == rules["composite"].params
    with pytest.raises(ValueError, match="kind: 'best'"):
        tune("best", task, [0])


def test_the_fraud_threshold_weighs_its_costs():
    dear, cheap = (cost_threshold(TASKS["Marketplace"](chargeback_fee=fee).model()) for fee in (500.0, 0.0))
    assert 0 < dear < 0.9 < cheap


def test_a_learner_starts_at_the_heuristics():
    views = pytest.importorskip("storelab.agents.core.views")
    for resolution in ("store", "item"):
        model = TASKS["Marketplace"](**SMALL, resolution=resolution).model()
        view, observation = views.MarketView(model), np.zeros((1, model.observation_space.shape[0]), np.float32)
        centre = view.act(np.zeros((1, len(model.action_low))), observation)[0]
        assert centre[-2:].tolist() == pytest.approx([model.params.fraud, model.params.marketing])
        assert centre[0] == pytest.approx(
            1.0 if resolution == "store" else model.restock_levels(model.expected[None], 1.0)[0, 0]
        )
        ends = [view.act(np.full((1, len(centre)), end), observation)[0] for end in (-9.0, 9.0)]
        assert np.allclose(ends, [model.action_low, model.action_high])


@pytest.mark.parametrize("resolution", ["store", "item"])
@pytest.mark.parametrize("decides", [["price"], ["restock", "price", "recommendation", "marketing"]])
def test_a_residual_of_0_is_the_rule_and_one_of_1_costs_little(resolution, decides):
    """An action moves a parameter of the rule, in steps that this store's profit sets."""
    residual = pytest.importorskip("storelab.agents.core.residual")
    task = TASKS["Marketplace"](**SMALL, resolution=resolution, decides=decides)
    model, seeds = task.model(), np.arange(12)
    rule = Heuristic("composite", unpack(model, search_box(model)[2]), model)
    start = residual.StartRule.of(rule, model, seeds)
    assert "composite" in residual.starts(model)
    assert np.shape(start.spread) == model.action_low.shape
    more, scenario = residual.Residual(model, start), model.scenarios(seeds)
    acts = [lambda o, s, k, x=x: (more(np.full((len(o), len(model.action_low)), x), o), s) for x in (0.0, 1.0)]
    runs = [rollout(model, act, scenario)["reward"].sum(axis=1) for act in (rule, *acts)]
    assert (runs[0] == runs[1]).all()
    assert not (runs[0] == runs[2]).any()
    one = np.zeros((1, len(model.action_low)))
    one[0, -1] = 1.0
    for sign in (-1, 1):
        act = lambda o, s, k, x=sign * one: (more(np.repeat(x, len(o), axis=0), o), s)
        lost = runs[0].mean() - rollout(model, act, scenario)["reward"].sum(axis=1).mean()
        assert lost <= 2 * LOSS * abs(runs[0].mean())  # twice: no step is below a 512th of what is searched
    if resolution == "item":  # a price of one item moves alone
        start = decides.index("price") * model.params.items
        one = np.zeros((1, len(model.action_low)))
        one[0, start + 1] = 1.0
        observation = np.zeros((1, model.observation_space.shape[0]), np.float32)
        moved = more(one, observation) - more(0 * one, observation)
        assert np.flatnonzero(moved).tolist() == [start + 1]


def test_a_checkpoint_keeps_the_rule_and_refuses_one_of_another_store(tmp_path):
    residual = pytest.importorskip("storelab.agents.core.residual")
    model = TASKS["Marketplace"](**SMALL).model()
    rule = Heuristic("composite", unpack(model, search_box(model)[2]), model)
    start = residual.StartRule.of(rule, model, np.arange(4))
    (tmp_path / "policy.json").write_text(json.dumps({"rule": residual.plain(start)}))
    assert residual.StartRule.kept(tmp_path, model) == start
    with pytest.raises(ValueError, match=r"rule\.params"):
        residual.StartRule.kept(tmp_path, TASKS["Marketplace"](**SMALL, decides=["price"]).model())
    with pytest.raises(ValueError, match=r"rule.spread: .* 14 finite numbers|rule.spread: .*expected 1\d finite"):
        residual.StartRule.kept(tmp_path, TASKS["Marketplace"](**SMALL, resolution="item").model())


def test_an_untrained_learner_is_the_rule_it_starts_from():
    sb3 = pytest.importorskip("storelab.agents.sb3")
    residual = pytest.importorskip("storelab.agents.core.residual")
    task = TASKS["Marketplace"](**SMALL)
    model = task.model()
    rule = Heuristic("composite", unpack(model, search_box(model)[2]), model)
    params = sb3.SB3Params(total_steps=84, num_envs=2, per_item=False, hyper={"n_steps": 21, "batch_size": 21})
    learner = sb3.SB3Learner(task, params, rule=residual.StartRule.of(rule, model, np.arange(4)))
    scenario = model.scenarios(np.arange(6))
    before = rollout(model, learner.policy(), scenario)["reward"]
    assert (before == rollout(model, rule, scenario)["reward"]).all()
    learner.learn(progress=False)
    assert (before != rollout(model, learner.policy(), scenario)["reward"]).any()
    seen = learner.view.observe(model.observation(model.initial(3), {k: v[:3, 0] for k, v in scenario.items()}))
    assert seen.shape == (3, *learner.view.observation_space.shape)
    assert np.abs(seen).max() <= 2  # scaled by the store's own stock, fleet and demand


def test_a_search_ends_when_two_in_a_row_bring_nothing(monkeypatch):
    """Each begins at the best so far; the best is kept, whatever the later ones come to."""
    task = TASKS["Marketplace"](**SMALL)
    low, high, _ = search_box(task.model())
    begun = []

    class Search:
        result = SimpleNamespace(stds=np.full(len(low), 0.1))

        def __init__(self, start, spread, **options):
            begun.append(start)

        def ask(self):
            return [begun[-1] + 0.001 * len(begun)]

        def tell(self, asked, costs):
            pass

        def stop(self):
            return True

    earned = iter([10.0, 12.0, 11.0, 12.0001])
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.strategy", Search)
    monkeypatch.setattr("storelab.agents.heuristics.marketplace.profits", lambda *args: np.array([next(earned)]))
    values = search(task.model(), np.arange(2))
    assert len(begun) == 4
    assert np.isclose(begun[2][0], begun[1][0] + 0.002)  # the second was the best
    assert np.allclose(begun[3], begun[2])
    assert np.allclose(values, low + (begun[3] + 0.004) * (high - low))  # a little better still, which ends it


def test_nothing_is_restocked_on_the_closing_days():
    task = TASKS["Marketplace"](**SMALL)
    model = task.model()
    rule = Heuristic("textbook", textbook(model) | {"closing": [5.0]}, model)
    seen = []

    def watched(observation, policy_state, seed):
        action, policy_state = rule(observation, policy_state, seed)
        seen.append(action[:, 0])
        return action, policy_state

    rollout(model, watched, model.scenarios(np.arange(3)))
    restock, lowest = np.stack(seen), model.controls["restock"][1]
    assert (restock[:-5] > lowest).all()
    assert (restock[-5:] == lowest).all()


def test_the_page_runs(short, capsys):
    page = (Path(storelab.__file__).parent / "docs" / "marketplace.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) == 3
    for code in blocks:
        exec(code, {})
    told = capsys.readouterr().out
    assert "day 1:" in told
    assert told.rindex("composite") < told.rindex("textbook")  # the best one first
