"""Heuristics of every environment: one form, found by the model; heuristics as data are tuned and kept as JSON."""

import json

import numpy as np
import pytest
from storelab import agents, plugins
from storelab.agents.core.rules import DeclaredRules, _Box, rules_of
from storelab.agents.heuristics import inventory, supply_chain
from storelab.envs import TASKS, Inventory, Rule
from storelab.envs.registry import environments
from storelab.errors import FieldError

SEEDS = 10**9 + np.arange(4)


def whole_target(model, named, seed, level, share):
    """Order up to `level`, whatever `share` is."""
    order = np.maximum(level - model.seen_position(named), 0)
    return model.action_of(named, order)


def boxes(model, scenario):
    return {"level": (0, 60, 16), "share": (np.zeros(2), np.ones(2), 0.25)}


RULES = {
    "whole_target": Rule(whole_target, boxes),
    "nothing": Rule(lambda model, named, seed: np.zeros((len(named["on_hand"]), 1))),
    "never": Rule(whole_target, boxes, fits=lambda model: False),
}


@pytest.mark.parametrize("name", environments())
def test_the_heuristics_of_every_environment_have_one_form(name):
    task = TASKS[environments()[name].picture]()
    model = task.model()
    rules = rules_of(model)
    assert set(rules.available(model)) <= set(rules.HEURISTICS)
    if "random" in rules.HEURISTICS:
        act = rules.tune("random", task, SEEDS)
        assert (act.kind, act.params) == ("random", {})
        again = rules.Heuristic(act.kind, act.params, model)
        seen = np.zeros((3, *model.observation_space.shape), np.float32)
        if name != "dispatch":  # an empty observation has no requests
            assert np.array_equal(act(seen, None, 1)[0], again(seen, None, 1)[0])
            assert np.shape(act(seen, None, 1)[0]) == (3, len(model.action_low))
    with pytest.raises(FieldError, match=r"kind: 'oracle' is not allowed.*, expected one of ") as refused:
        agents.tune("oracle", task, SEEDS)
    assert all(kind in refused.value.expected for kind in rules.available(model))


def test_the_right_rules_are_found():
    class Mine(Inventory):
        pass

    assert rules_of(Mine(TASKS["LostSales"]().params)) is inventory
    task = TASKS["Serial"]()
    assert rules_of(task.model()) is supply_chain
    tuned = agents.tune("base_stock", task, SEEDS)
    assert isinstance(tuned, supply_chain.Heuristic)
    assert len(tuned.params["level"]) == 3


def test_a_model_of_no_environment_has_none():
    class Inventory:  # the name alone does not make it one
        pass

    with pytest.raises(FieldError, match=r"model: 'Inventory' is not allowed, expected a model of one of .*inventory"):
        rules_of(Inventory())


def test_heuristics_as_data_are_tuned_and_kept():
    """The whole level is the one that the inventory's own tuner comes to."""
    task = TASKS["LostSales"](action="base_stock")
    rules, model = DeclaredRules(RULES), task.model()
    assert rules.available(model) == ["whole_target", "nothing"]
    tuned = rules.tune("whole_target", task, SEEDS)
    assert tuned.params["level"] == inventory.tune("base_stock", task, SEEDS).params["level"]
    assert len(tuned.params["share"]) == 2
    again = rules.Heuristic(tuned.kind, json.loads(json.dumps(tuned.params)), model)
    seen = np.zeros((3, *model.observation_space.shape), np.float32)
    assert np.array_equal(tuned(seen, None, 0)[0], again(seen, None, 0)[0])
    assert rules.tune("nothing", task, SEEDS).params == {}
    for kind in ("never", "oracle"):
        with pytest.raises(
            FieldError, match=f"kind: '{kind}' is not allowed for this task, expected one of whole_target, nothing"
        ):
            rules.tune(kind, task, SEEDS)
    with pytest.raises(FieldError, match="kind: 'oracle'"):
        rules.Heuristic("oracle", {}, model)


def test_the_tuned_parameters_are_best_in_their_box():
    """A concave profit in many numbers, more than all neighbours are tried of, whole ones among them."""
    peak = np.array([3.0, 7.0, 1.5, 0.2, 0.9, 40.0])
    box = _Box(
        {
            "whole": (np.array([0, 0]), np.array([9, 9]), 4),
            "share": (np.zeros(3), 2 * np.ones(3), 0.5),
            "level": (0.0, 50.0, 10.0),
        }
    )
    best = box.search(lambda candidates: -((candidates[:, :, 0] - peak) ** 2).sum(axis=1, keepdims=True))
    assert best[:2, 0].tolist() == [3, 7]
    assert np.allclose(best[:, 0], peak, atol=50 / 256)


def test_a_box_upside_down_is_refused():
    rules = DeclaredRules({"wrong": Rule(whole_target, lambda model, scenario: {"level": (9.0, 1.0, 1.0)})})
    with pytest.raises(FieldError, match=r"rules.level: \(9.0, 1.0, 1.0\)"):
        rules.tune("wrong", TASKS["LostSales"](horizon=8), SEEDS)


def add(monkeypatch, **rules):
    """Have plug-ins that add heuristics for the inventory, one each."""
    found = {name: plugins.Plugin(rules={"inventory": place}) for name, place in rules.items()}
    monkeypatch.setattr("storelab.agents.core.rules.plugins", lambda: found)


def test_plug_ins_add_heuristics_to_an_environment(monkeypatch):
    add(monkeypatch, mine=f"{__name__}:RULES")
    monkeypatch.setattr(
        "storelab.agents.core.rules.load", lambda name, package="": inventory if "heuristics" in name else RULES
    )
    task = TASKS["LostSales"](action="base_stock", horizon=150)
    model = task.model()
    rules = rules_of(model)
    assert {"base_stock", "whole_target", "never"} <= set(rules.HEURISTICS)
    assert agents.available(model) == [*inventory.available(model), "whole_target", "nothing"]
    assert agents.tune("whole_target", task, SEEDS).kind == "whole_target"
    assert isinstance(rules.Heuristic("base_stock", {"level": [20.0]}, model), inventory.Heuristic)
    with pytest.raises(FieldError, match=r"kind: 'oracle' is not allowed, expected one of base_stock, .*nothing"):
        agents.tune("oracle", task, SEEDS)
    add(monkeypatch, mine="mine:RULES", yours="yours:RULES")
    with pytest.raises(FieldError, match="rules: 'whole_target' is not allowed, expected a name that is not taken"):
        rules_of(model)
