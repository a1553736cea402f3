"""Rules of the whole store: what they need, that tuning helps on held-out seasons, and what learners see."""

import re
from pathlib import Path

import numpy as np
import pytest
import storelab
from storelab.agents import rules_of
from storelab.agents.heuristics import marketplace
from storelab.agents.heuristics.marketplace import HEURISTICS, Heuristic, cost_threshold, textbook, tune
from storelab.envs import TASKS
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
        runs.append(evaluate({"rule": rule}, task, np.arange(8))["value"].to_numpy())
    assert np.allclose(*runs, rtol=1e-3)


def test_tuning_helps_on_held_out_seasons():
    pytest.importorskip("cma")
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


def test_the_page_runs(capsys):
    pytest.importorskip("cma")
    page = (Path(storelab.__file__).parent / "docs" / "marketplace.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) == 3
    for code in blocks:
        exec(code, {})
    told = capsys.readouterr().out
    assert "day 1:" in told
    assert told.rindex("composite") < told.rindex("textbook")  # the best one first
