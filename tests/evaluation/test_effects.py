"""What a decision causes: the same scenarios with it changed, in its bounds, from its period on."""

import numpy as np
import pytest
from storelab.agents import tune
from storelab.envs import TASKS
from storelab.envs.core.rollout import rollout
from storelab.errors import FieldError
from storelab.evaluation import scenario_keys
from storelab.evaluation.effects import Changed, decision_effect, decisions

STORE = TASKS["Marketplace"](items=4, page_size=3, horizon=10, population=200.0)


@pytest.fixture(scope="module")
def rule():
    return tune("textbook", STORE, np.arange(2))


def test_a_budget_costs_what_is_added(rule):
    before, after = decision_effect(rule, STORE, np.arange(4), "marketing", 5.0)
    assert np.allclose(after["marketing_cost"] - before["marketing_cost"], 5.0 * 10)
    assert (after["demand"] > before["demand"]).all()
    one, other = decision_effect(rule, STORE, np.arange(4), "marketing", 5.0, period=3)
    assert np.allclose(other["marketing_cost"] - one["marketing_cost"], 5.0)
    assert one.equals(before)


def test_what_was_before_the_period_stays(rule):
    model = STORE.model("test")
    scenario = model.scenarios(scenario_keys(np.arange(3), "test"))
    first = rollout(model, rule, scenario)["reward"]
    second = rollout(model, Changed(rule, model, "price", 0.5, period=4), scenario)["reward"]
    assert np.array_equal(first[:, :4], second[:, :4])
    assert (first[:, 4:] != second[:, 4:]).any(axis=0).all()


def test_decisions_have_names_and_bounds(rule):
    model = STORE.model("test")
    assert list(decisions(model)) == list(model.params.decides)
    act = Changed(rule, model, "fraud", 7.0)
    action, _ = act(np.zeros((2, sum(np.prod(shape) for shape in model.layout.values())), np.float32), None, 0)
    assert (action[:, decisions(model)["fraud"]] == 1.0).all()
    assert decisions(TASKS["LostSales"]().model()) == {"action": slice(0, 1)}


def test_whole_numbers_stay_whole():
    task = TASKS["LostSales"](horizon=80)
    rule, model = tune("base_stock", task, np.arange(2)), task.model("test")
    before, after = decision_effect(rule, task, np.arange(3), "action", 1)
    assert (after["on_hand"] > before["on_hand"]).all()
    with pytest.raises(FieldError, match="change"):
        Changed(rule, model, "action", 0.5)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (("prices", 1.0), "effect"),
        (("price", 0.0), "change"),
        (("price", np.nan), "change"),
        (("price", 1.0, 10), "period"),
    ],
)
def test_bad_changes_are_named(rule, bad, word):
    with pytest.raises(FieldError, match=word):
        Changed(rule, STORE.model("test"), *bad)
