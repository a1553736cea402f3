"""The teacher: its network is better than the rule that it begins at, goes on exactly, and loads."""

import json

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.errors import FieldError

pytest.importorskip("torch")
from storelab.agents.core.residual import StartRule
from storelab.agents.improvement import ImprovementParams, Learner, check, load_policy
from storelab.experiments.studies.fixed_cost_range import average_cost, problem

FIXED = {"demand": {"mean": 3.0}, "fixed_cost": 10.0, "max_order": 12.0, "initial_stock": 6.0, "horizon": 60}
PARAMS = {"states": 300, "simulations": 150, "periods": 12, "epochs": 300, "net_arch": [32]}
RULE = StartRule("s_S", {"s": [3.0], "Q": [2.0]}, [])


def test_it_learns_and_goes_on_exactly(tmp_path):
    task = TASKS["FixedCost"](**FIXED)
    whole, part, rest = (Learner(task, ImprovementParams(**PARAMS), seed=3, rule=RULE) for _ in range(3))
    before = average_cost(task.model(), whole.policy()) / task.reference().value - 1
    whole.learn(progress=False)
    part.learn(total_steps=1, progress=False)
    part.save(tmp_path)
    rest.load(tmp_path)
    assert rest.steps == 1
    rest.learn(progress=False)
    for mine, theirs in zip(rest.taught.network.parameters(), whole.taught.network.parameters(), strict=True):
        assert (mine == theirs).all()
    whole.save(tmp_path)
    observation = np.stack([np.arange(12), np.zeros(12)], axis=1).astype(np.float32)
    assert (load_policy(tmp_path, task)(observation, None, 0)[0] == whole.policy()(observation, None, 0)[0]).all()
    after = average_cost(task.model(), whole.policy()) / task.reference().value - 1
    assert after < before / 2
    other = Learner(task, ImprovementParams(**PARAMS | {"states": 301}), seed=3, rule=RULE)
    with pytest.raises(FieldError, match="states: 301"):
        other.load(tmp_path)
    kept = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps(kept | {"rule": {"kind": "none", "params": {}, "spread": []}}))
    with pytest.raises(FieldError, match="kind: 'none'"):
        load_policy(tmp_path, task)


def test_a_policy_that_simulates_is_kept_as_its_rule(tmp_path):
    task = TASKS["FixedCost"](**FIXED)
    params = ImprovementParams(**PARAMS | {"act": "simulation", "total_steps": 1})
    learner = Learner(task, params, rule=RULE)
    learner.learn(progress=False)
    assert learner.taught is None
    learner.save(tmp_path)
    observation = np.array([[2.0, 0.0], [9.0, 0.0]], np.float32)
    loaded = load_policy(tmp_path, task)(observation, None, 0)[0]
    assert (loaded == learner.policy()(observation, None, 5)[0]).all()
    assert loaded[0, 0] > 2  # more than the rule's small lot


def test_it_begins_at_the_best_heuristic_where_none_is_given():
    task = TASKS["Pricing"](horizon=4, initial_stock=3.0)
    learner = Learner(task, ImprovementParams(**PARAMS | {"act": "simulation"}))
    assert learner.rule.kind in ("simulated_dp", "resolved_fluid", "fixed_price", "markdown", "fluid", "thompson")


@pytest.mark.parametrize(
    ("name", "changes", "act", "message"),
    [
        ("DualSourcing", {}, "network", "in_transit"),
        ("Dispatch", {"action": "weights"}, "network", "act: 'network' is not allowed, expected simulation"),
        ("Dispatch", {"action": "dispatch"}, "simulation", "at most 1024 actions"),
        ("Inventory", {"items": 4, "action": "multi_discrete"}, "simulation", "at most 1024 actions"),
    ],
)
def test_what_does_not_fit_is_refused(name, changes, act, message):
    with pytest.raises(FieldError, match=message):
        check(TASKS[name](**changes).model(), ImprovementParams(act=act))


def test_problems_are_drawn_by_seed():
    assert problem(0, 0) == {}
    assert problem(0, 3) == problem(0, 3) != problem(1, 3)
    for number in range(1, 30):
        changes = problem(0, number)
        assert 2 <= changes["demand.mean"] <= 40
        assert changes["max_order"] >= 3 * changes["demand.mean"]
