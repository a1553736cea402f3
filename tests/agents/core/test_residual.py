"""Residual actions: 0 is the tuned rule, in every mode of orders; and learners start there and are kept so."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.agents import tune
from storelab.agents.core.residual import Residual, StartRule, starts
from storelab.agents.core.rules import own_rules
from storelab.envs import TASKS
from storelab.envs.core.rollout import rollout
from storelab.envs.core.seeds import purpose_seeds
from storelab.envs.registry import environment_of
from storelab.errors import FieldError

SEEDS = purpose_seeds("tuning", 8)
STORE = {"items": 2, "price": [3.0, 9.0], "purchase_cost": [1.0, 2.0], "demand": {"mean": [3.0, 11.0]}}
SEASON = {"horizon": 12, "continuing": False, "max_order": [20, 60], "lead_time": [1, 3]}
VARIANTS = {
    "levels": ("Inventory", STORE | SEASON | {"action": "base_stock"}),
    "orders": ("Inventory", STORE | SEASON | {"lot_size": 0.0}),
    "forecasts": ("Inventory", STORE | SEASON | {"action": "base_stock", "forecast": "oracle"}),
    "perishables": ("Inventory", STORE | SEASON | {"shelf_life": 4, "waste_cost": 1.0, "max_order": 60}),
    "two sources": ("DualSourcing", {"horizon": 60}),
    "network": ("Serial", {"horizon": 60, "action": "base_stock"}),
    "network's orders": ("BeerGame", {"horizon": 20}),
}


def start_of(task, kind: str) -> StartRule:
    return StartRule.of(tune(kind, task, SEEDS), task.model(), SEEDS)


def _always(residual: Residual, actions: np.ndarray):
    return lambda observation, policy_state, seed: (residual(actions, observation), None)


@pytest.mark.parametrize("name", VARIANTS)
def test_an_action_of_0_is_the_rule_and_more_orders_more(name):
    task = TASKS[VARIANTS[name][0]](**VARIANTS[name][1])
    model = task.model()
    assert starts(model)
    for kind in starts(model)[:2]:
        start = start_of(task, kind)
        residual, zero = Residual(model, start), np.zeros((4, len(model.action_low)))
        own = own_rules(environment_of(model)).Heuristic(kind, start.params, model)  # myopic may be a table besides
        acts = {"rule": own} | {str(more): _always(residual, zero + more) for more in (0, 1)}
        runs = {label: rollout(model, act, model.scenarios(np.arange(4))) for label, act in acts.items()}
        assert np.array_equal(runs["0"]["reward"], runs["rule"]["reward"]), kind
        assert runs["1"]["on_hand"].sum() > runs["0"]["on_hand"].sum()


@given(mean=st.floats(2, 200), wide=st.floats(1.5, 10), lead=st.integers(0, 3), price=st.floats(2, 20))
@settings(max_examples=15, deadline=None)
def test_a_residual_knows_nothing_of_how_wide_actions_are(mean, wide, lead, price):
    """What an action of 1 orders more follows the demand, not the largest order."""
    p = {"demand": {"mean": mean}, "lead_time": lead, "price": price, "purchase_cost": 1.0, "horizon": 50}
    models = [TASKS["Inventory"](**p, max_order=mean * width, lot_size=0.0).model() for width in (wide, 20 * wide)]
    spreads = [
        StartRule.of(Residual(m, StartRule("base_stock", {"level": [1.0]}, [1.0])).rule, m, SEEDS) for m in models
    ]
    assert spreads[0].spread == spreads[1].spread
    assert spreads[0].spread[0] == pytest.approx(np.sqrt(mean * (lead + 1)), rel=0.3)


@pytest.mark.parametrize("name", ["levels", "orders", "forecasts"])
def test_tensors_are_as_arrays_are(name):
    torch = pytest.importorskip("torch")
    task = TASKS[VARIANTS[name][0]](**VARIANTS[name][1])
    model = task.model()
    for kind in (
        "base_stock",
        "capped_base_stock",
        *(["newsvendor", "lost_sales_newsvendor", "shrunk_newsvendor"] if name == "forecasts" else []),
    ):
        residual = Residual(model, start_of(task, kind))
        residual.to_torch("cpu")
        scenario, rng = model.scenarios(np.arange(3)), np.random.default_rng(0)

        def act(observation, policy_state, seed, residual=residual, rng=rng):
            actions = rng.normal(0, 0.5, (3, 2))
            arrays, named = residual(0 * actions, observation), model.features(observation)
            order, width = map(np.array, residual.tensors(torch.as_tensor(np.array(observation))))
            told = np.minimum(order, model.per_order())
            if model.params.action == "base_stock":  # a level below the position is no order either way
                position = model.seen_position(named)
                arrays, told = np.maximum(arrays, position), told + position
            np.testing.assert_allclose(told, arrays, rtol=1e-5, atol=1e-4)
            ordered = order > 0  # of what is no order, the rule may be far from one
            more = residual(actions, observation) - residual(0 * actions, observation)
            inside = ordered & (told + actions * width > 0.1) & (told < model.action_high - 5 * width)
            np.testing.assert_allclose(more[inside], (actions * width)[inside], rtol=1e-4, atol=1e-3)
            return arrays, policy_state

        rollout(model, act, scenario)


@pytest.mark.parametrize("learner", ["sb3", "pathwise"])
def test_a_learner_starts_at_the_rule_and_its_checkpoint_keeps_it(learner, tmp_path):
    module = pytest.importorskip(f"storelab.agents.{learner}")
    task = TASKS["Inventory"](**VARIANTS["forecasts"][1])
    model, kind = task.model(), "newsvendor"
    rule = start_of(task, kind)
    small = {"total_steps": 32 if learner == "sb3" else 2, "num_envs": 4, "net_arch": [4], "device": "cpu"}
    params = module.Params(**small, **({"hyper": {"n_steps": 8, "batch_size": 16}} if learner == "sb3" else {}))
    assert kind in module.starts(model, params)
    made = module.Learner(task, params, 0, rule=rule)
    scenario = model.scenarios(np.arange(4))
    expected = rollout(model, tune(kind, task, SEEDS), scenario)["ordered"]
    np.testing.assert_allclose(rollout(model, made.policy(), scenario)["ordered"], expected, atol=1)
    made.learn(progress=False)
    made.save(tmp_path)
    again = module.Learner(task, params, 0, rule=rule)
    again.load(tmp_path)
    loaded = module.load_policy(tmp_path, task)
    runs = [rollout(model, policy, scenario)["reward"] for policy in (made.policy(), again.policy(), loaded)]
    assert np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[0], runs[2])
    with pytest.raises(FieldError, match="rule"):
        module.Learner(task, params, 0).load(tmp_path)
    for bad in ({"kind": "s_S"}, {"params": {"level": [1.0, 2.0]}}, {"spread": [1.0, float("nan")]}, {"spread": "ab"}):
        spoilt = json.loads((tmp_path / "policy.json").read_text())
        (tmp_path / "policy.json").write_text(json.dumps(spoilt | {"rule": spoilt["rule"] | bad}))
        with pytest.raises(FieldError, match=next(iter(bad)) if bad != {"params": 0} else "rule"):
            module.load_policy(tmp_path, task)
        (tmp_path / "policy.json").write_text(json.dumps(spoilt))
