"""The simulator under a solver's policy agrees with the solver."""

import numpy as np
import pytest
from storelab.envs import TASKS
from storelab.evaluation import evaluate


def position_policy(model, rule):
    """Return a policy that orders `rule(position)`, the inventory position being (n, 1) units."""

    def act(observation, state, seed):
        named = model.features(observation)
        on_order = named["pipeline"].sum(axis=1) if "pipeline" in named else 0
        return rule(named["on_hand"] + on_order - named.get("backlog", 0)), state

    return act


def check(task, act, expected, episodes=400, horizon=600, errors=4):
    """Assert that the simulated cost lies within `errors` standard errors of what is expected."""
    horizon = horizon if task.params.continuing else None
    values = evaluate({"policy": act}, task, np.arange(episodes), horizon=horizon)["value"]
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) < errors * error
    assert error < 0.01 * expected  # the test can fail


@pytest.mark.parametrize(
    ("lead", "penalty", "demand"),
    [(1, 4.0, "poisson"), (2, 9.0, "poisson"), (1, 9.0, "geometric"), (4, 9.0, "poisson")],
)
def test_lost_sales_optimum(lead, penalty, demand):
    changes = {"lead_time": lead, "lost_sale_cost": penalty, "demand": {"kind": demand, "mean": 5.0}}
    task = TASKS["LostSales"](**changes, max_order=60.0 if demand == "geometric" else 12.0)
    reference = task.reference()
    check(task, reference.policy, reference.value, episodes=1200)


@pytest.mark.parametrize(("level", "cost"), [(28, 7.2709)])  # Zipkin 2008, recomputed exactly
def test_lost_sales_base_stock(level, cost):
    task = TASKS["LostSales"]()
    check(task, position_policy(task.model(), lambda x: np.maximum(level - x, 0)), cost)


def test_lost_sales_capped_base_stock():
    task = TASKS["LostSales"]()
    check(task, position_policy(task.model(), lambda x: np.clip(29 - x, 0, 5)), 6.9123)


@pytest.mark.parametrize("lead", [0, 2])
def test_fixed_cost_optimum(lead):
    task = TASKS["FixedCost"](lead_time=lead, max_order=120.0)
    reference = task.reference()
    assert reference.levels["s"][0] < reference.levels["S"][0]
    check(task, reference.policy, reference.value)


@pytest.mark.parametrize("changes", [{}, {"purchase_cost": 0.2, "salvage_value": 0.1}])
def test_newsvendor_optimum(changes):
    task = TASKS["Newsvendor"](**changes)
    reference = task.reference()
    check(task, reference.policy, reference.value, episodes=20_000)


@pytest.mark.parametrize(
    "changes",
    [{}, {"issuing": "lifo"}, {"shelf_life": 3, "lead_time": 2}, {"lead_time": 0, "demand": {"kind": "poisson"}}],
)
def test_perishable_optimum(changes):
    task = TASKS["Perishable"](**changes)
    reference = task.reference()
    check(task, reference.policy, reference.value, errors=3)


def test_references_refuse_what_they_do_not_solve():
    with pytest.raises(ValueError, match="fixed_cost"):
        TASKS["LostSales"](fixed_cost=5.0).reference()
    with pytest.raises(ValueError, match="capacity"):
        TASKS["FixedCost"](capacity=50.0).reference()
    for name, value in {"shelf_life": 3, "yield_mean": 0.5, "disruption_probability": 0.1}.items():
        with pytest.raises(ValueError, match=name):
            TASKS["LostSales"](**{name: value}).reference()
    with pytest.raises(ValueError, match="shelf_life: inf"):
        TASKS["Perishable"](shelf_life=np.inf).reference()


def test_training_and_held_out_scenarios_differ():
    task = TASKS["LostSales"]()
    act = position_policy(task.model(), lambda x: np.maximum(28 - x, 0))
    train, test = (evaluate({"p": act}, task, np.arange(20), split=split)["value"] for split in ("train", "test"))
    assert not set(train) & set(test)
