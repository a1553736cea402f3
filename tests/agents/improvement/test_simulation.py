"""Rollout by simulation: what it starts from, what it may know, and that it is better than what it improves on."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from storelab.agents import rules_of
from storelab.agents.improvement.simulation import MOST, Rollout, Simulation, candidates_of, plan, table_of
from storelab.envs import TASKS
from storelab.envs.core.seeds import test_keys as held_out_keys
from storelab.errors import FieldError
from storelab.experiments.studies.fixed_cost_range import average_cost

FIXED = {"demand": {"mean": 5.0}, "fixed_cost": 20.0, "max_order": 30.0, "initial_stock": 10.0}
SMALL_DAY = {"requests": 12.0, "iterations": 12, "cities": 2, "customers": 40, "action": "weights"}


def base_stock(model, level):
    return rules_of(model).Heuristic("base_stock", {"level": [level]}, model)


def test_a_known_optimum_is_found():
    """One period: what is best in many futures is the newsvendor's order."""
    task = TASKS["Newsvendor"]()
    policy = Rollout(Simulation(task.model(), base_stock(task.model(), 40.0), 60_000, 1, 41, 0.0))
    observation = task.model().observation(task.model().initial(1), {"time_left": np.ones((1, 1), np.float32)})
    (best,) = task.reference().levels["level"]
    assert abs(policy(observation, None, 0)[0][0, 0] - best) <= 2


def test_one_step_is_better_than_its_base_policy():
    task = TASKS["FixedCost"](**FIXED)
    model, optimum = task.model(), task.reference().value
    base = rules_of(model).Heuristic("s_S", {"s": [6.0], "Q": [6.0]}, model)
    before = average_cost(model, base) / optimum - 1
    after = average_cost(model, Rollout(Simulation(model, base, 5000, 16, 41, 0.5))) / optimum - 1
    assert before > 0.1
    assert -1e-7 < after < before / 4


def test_the_exact_cost_of_a_policy_is_that_of_the_reference():
    task = TASKS["FixedCost"](**FIXED)
    assert average_cost(task.model(), task.reference().policy) == pytest.approx(task.reference().value, rel=1e-7)


def test_what_is_still_to_come_changes_nothing():
    """Two scenarios are equal up to a period: so are the actions, and no imagined demand is one that is played."""
    task = TASKS["LostSales"](horizon=30)
    model = task.model("test")
    played, other = (model.scenarios(held_out_keys(np.array([seed])))["demand"] for seed in (0, 1))
    other[:, :6] = played[:, :6]
    taken = []
    for demand in (played, other):
        policy, state = Rollout(Simulation(model, base_stock(model, 25.0), 200, 8, 41, 0.5)), model.initial(1)
        for t in range(7):
            action, _ = policy(model.observation(state, {}), None, t)
            taken.append((t, float(action[0, 0])))
            state, _ = model.transition(state, action, {"demand": demand[:, t]})
    assert taken[:7] == taken[7:]
    seen = model.futures(model.observation(model.initial(1), {}), 0, 50, 30)["demand"][0]
    assert not any((row == played[0, :30]).all() for row in seen)
    train = model.scenarios(np.arange(50))["demand"]
    assert not any((row[:30] == other[:30]).all() for row in seen for other in train)


def test_a_decision_does_not_depend_on_the_batch():
    task = TASKS["Pricing"](horizon=6, initial_stock=4.0)
    model = task.model()
    simulation = Simulation(model, rules_of(model).Heuristic("fixed_price", {"price": [2.0]}, model), 300, 6, 41, 0.5)
    observation = np.array([[4, 1.0], [2, 0.5], [1, 0.5], [3, 1 / 6]], np.float32)
    together, _ = simulation(observation, 7)
    alone = np.concatenate([simulation(row[None], 7)[0] for row in observation])
    assert (together == alone).all()
    assert (Rollout(simulation, 7)(observation, None, 3)[0] == together).all()


def test_rounds_halve_the_actions_and_keep_to_the_budget():
    for count, budget in ((2, 100), (9, 1000), (81, 20_000)):
        rounds = plan(count, budget)
        alive = [count, *(kept for kept, _ in rounds)]
        assert alive[-1] == 2
        assert all(-(-a // 2) <= b for a, b in pairwise(alive))
        assert sum(a * m for a, (_, m) in zip(alive, rounds, strict=False)) <= budget


def test_actions_of_every_kind_of_space():
    assert len(table_of(TASKS["FixedCost"]().model(), 41)) == 81
    assert len(table_of(TASKS["LostSales"](action="continuous").model(), 41)) == 13  # whole lots
    assert len(table_of(TASKS["PricingReference"]().model(), 41)) == 41
    assert len(table_of(TASKS["PricingMNL"]().model(), 41)) <= MOST
    weights = TASKS["Dispatch"](**SMALL_DAY).model()
    tried = candidates_of(weights, 41)(np.full((3, 8), 0.5))
    assert (tried == 0.5).all(axis=(0, 2)).any()
    assert tried.max() <= 4
    with pytest.raises(FieldError, match="at most 1024 actions"):
        candidates_of(TASKS["Dispatch"](**SMALL_DAY | {"action": "dispatch"}).model(), 41)


def test_dispatch_days_go_on_from_what_is_open():
    """The futures of a day begin with what has come, and the costs of a whole day imagined are a day's."""
    model = TASKS["Dispatch"](**SMALL_DAY).model()
    scenario, state = model.scenarios(np.arange(3)), model.initial(3)
    send = np.tile(np.eye(8)[0] * 0.4, (3, 1))
    for t in range(3):
        state, _ = model.transition(state, send, {name: block[:, t] for name, block in scenario.items()})
    now = {name: block[:, 3] for name, block in scenario.items()}
    observation = model.observation(state, now)
    futures, (recalled, _) = model.futures(observation, 5, 4, 99), model.recall(observation)
    for name in now:
        assert (futures[name][:, :, 0] == now[name][:, None]).all()
        assert futures[name].shape[:3] == (3, 4, model.horizon - 3)
    first = {name: block[:, 0, 0] for name, block in futures.items()}
    assert (model.transition(recalled, send, first)[1].duration == model.transition(state, send, now)[1].duration).all()
    assert not (futures["customer"][0, 0] == futures["customer"][0, 1]).all()
    base = rules_of(model).Heuristic("linear_prize", {"weights": send[0].tolist()}, model)
    action, _ = Rollout(Simulation(model.sketch(), base, 24, 8, 41, 0.5))(observation, None, 0)
    assert action.shape == (3, 8)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("LostSales", {}),
        ("FixedCost", {}),
        ("Perishable", {}),
        ("Inventory", {"lead_time_pmf": [0.5, 0.3, 0.2], "forecast": "history"}),
        ("Pricing", {"max_changes": 2.0}),
        ("PricingReference", {}),
        ("PricingInventory", {"unmet": "lost", "shelf_life": 3, "waste_cost": 1.0}),
    ],
)
def test_a_state_is_recalled_from_its_observation(name, changes):
    model = TASKS[name](**changes).model()
    scenario, state = model.scenarios(np.arange(4)), model.initial(4)
    model.action_space.seed(0)
    for t in range(min(model.horizon, 8)):
        shock = {name: block[:, t] for name, block in scenario.items()}
        recalled, _ = model.recall(model.observation(state, shock))
        action = np.stack([model.action_space.sample() for _ in range(4)]).reshape(4, -1).astype(np.float32)
        state, flow = model.transition(state, action, shock)
        after, same = model.transition(recalled, action, shock)
        assert (model.reward(model.money(same)) == model.reward(model.money(flow))).all()
        follows = {name: block[:, t + 1] for name, block in scenario.items() if block.shape[1] > t + 1}
        if t + 1 < model.horizon:
            assert (model.observation(after, follows) == model.observation(state, follows)).all()


def test_what_can_not_be_recalled_is_refused():
    model = TASKS["NetworkManagement"]().model()
    now = {name: block[:, 0] for name, block in model.scenarios([0]).items()}
    with pytest.raises(FieldError, match="in_transit"):
        model.recall(model.observation(model.initial(1), now))
    broken = TASKS["Inventory"](disruption_probability=0.1, recovery_probability=0.5).model()
    now = {name: block[:, 0] for name, block in broken.scenarios([0]).items()}
    with pytest.raises(FieldError, match="observation: 'supplier' is not allowed where futures are imagined"):
        broken.recall(broken.observation(replace(broken.initial(1)), now))
