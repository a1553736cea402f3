"""Rules of supply chains: they act as they say in both action modes, and tuning comes near what is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.agents import rules_of
from storelab.agents.heuristics.supply_chain import HEURISTICS, RULES, Heuristic, available, tune
from storelab.envs import TASKS, SupplyChain
from storelab.envs.core.batch import admit, pack
from storelab.envs.core.rollout import rollout
from storelab.evaluation import evaluate

from ...envs.supply_chain.test_model import problems, random_policy

SEEDS = 10**9 + np.arange(16)


def mean_value(act, task, episodes=64, **changes) -> tuple[float, float]:
    values = evaluate({"act": act}, task, np.arange(episodes), **changes).query("policy == 'act'")["value"]
    return values.mean(), values.std() / np.sqrt(len(values))


def test_the_rules_of_a_network_are_these():
    assert rules_of(TASKS["Serial"]().model()).HEURISTICS is HEURISTICS


def test_tuned_levels_come_near_clark_and_scarf():
    task = TASKS["Serial"](horizon=100)
    for kind in ("echelon_base_stock", "shang_song"):
        value, error = mean_value(tune(kind, task, SEEDS), task, horizon=400)
        assert value < 1.02 * task.reference().value + 3 * error


def test_tailored_base_surge_lies_between_the_optimum_and_one_source():
    task = TASKS["DualSourcing"](horizon=120)
    value, error = mean_value(tune("tailored_base_surge", task, SEEDS), task, horizon=300)
    optimum = task.reference().value
    assert optimum - 3 * error < value < 9.6826 + 3 * error  # the regular source alone (a newsvendor)


def test_dual_index_orders_up_to_two_levels_and_its_cap_holds():
    """Four units in stock, one on order: the fast source raises what is there at once, the slow one all of it."""
    model = TASKS["DualSourcing"]().model()
    state = model.initial(1)
    state.on_hand[:] = 4
    state = replace(state, pipeline=(np.array([[[0.0], [1.0]]]),), in_transit=np.array([[[0.0], [1.0]]]))
    seen = model.observation(state, {})
    for kind, params, orders in (
        ("dual_index", {"level": [6.0, 12.0]}, [2, 5]),  # 12 less 4 in stock, 1 on order, 2 ordered fast
        ("capped_dual_index", {"level": [6.0, 12.0], "cap": [0.0, 3.0]}, [2, 3]),
        ("dual_index", {"level": [3.0, 4.0]}, [0, 0]),
    ):
        assert Heuristic(kind, params, model)(seen, None, 0)[0].tolist() == [orders]


def test_capped_dual_index_comes_near_the_optimum():
    task, seeds = TASKS["DualSourcing"](horizon=150), 10**9 + np.arange(48)
    policies = {kind: tune(kind, task, seeds) for kind in ("capped_dual_index", "dual_index")}
    policies |= {"optimum": task.reference().policy}
    values = evaluate(policies, task, np.arange(128)).pivot(index="seed", columns="policy", values="value")
    behind = values.sub(values["optimum"], axis=0).mean() / values["optimum"].mean()
    assert behind["capped_dual_index"] < 0.01 < behind["dual_index"] + 0.01 < 0.03


def test_the_stochastic_program_comes_near_the_bound():
    task = TASKS["InvManagement"](horizon=12)
    program = tune("stochastic_program", task, SEEDS)
    values = evaluate({"program": program}, task, np.arange(2)).pivot(index="seed", columns="policy", values="value")
    assert (values["program"] <= values["hindsight bound"] + 1e-3).all()
    assert (values["program"] >= 0.95 * values["hindsight bound"]).all()


@pytest.mark.parametrize("task", ["BeerGame", "NetworkManagement", "DualSourcing", "OneWarehouse"])
def test_the_action_mode_changes_nothing(task):
    model, levels = TASKS[task](horizon=25).model(), TASKS[task](horizon=25, action="base_stock").model()
    scenario = model.scenarios([1, 2])
    # Levels high enough that no backlog makes a position negative: a level of 0 is then no "order nothing".
    level = 1.4 * np.array(tune("newsvendor", TASKS[task](horizon=25), SEEDS).params["level"])
    params = {"level": level, "s": 0.8 * level, "Q": 0.1 * level + 2, "quantity": 0.05 * level, "cap": 0.2 * level}
    for kind in available(model):
        if kind != "random":  # whose stock outgrows the levels' bound
            names = {name: params[name] for name in RULES[kind][1]}
            runs = [rollout(m, Heuristic(kind, names, m), scenario, trace=True) for m in (model, levels)]
            assert np.array_equal(runs[0]["flow.ordered"], runs[1]["flow.ordered"]), kind


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=25)
def test_the_state_is_seen(params, seed):
    model = SupplyChain(params)
    scenario, act, state = model.scenarios([seed]), random_policy(model), model.initial(1)
    for t in range(model.horizon):
        now = {name: block[:, t] for name, block in scenario.items()}
        observation = model.observation(state, now)
        seen, true = pack(model.seen_state(model.features(observation))), pack(state)
        for name, values in true.items():
            assert np.allclose(seen[name].reshape(values.shape), values, rtol=1e-4, atol=1e-2), name
        state, _ = model.transition(state, admit(model, act(observation, None, t)[0], 1)[0], now)


def test_parameters_survive_json_and_seeds_repeat():
    task = TASKS["OneWarehouse"](horizon=30)
    model = task.model()
    tuned = tune("newsvendor", task, SEEDS)
    again = Heuristic(tuned.kind, json.loads(json.dumps(tuned.params)), model)
    observation = np.abs(np.random.default_rng(0).normal(9, 5, (3, model.observation_space.shape[0])))
    assert np.array_equal(tuned(observation, None, 0)[0], again(observation, None, 0)[0])
    random = Heuristic("random", {}, model)
    assert np.array_equal(random(observation, None, 3)[0], random(observation, None, 3)[0])


def test_what_does_not_fit_is_refused():
    assert not {"tailored_base_surge", "dual_index", "capped_dual_index"} & set(available(TASKS["Serial"]().model()))
    assert "shang_song" not in available(TASKS["OneWarehouse"]().model())
    with pytest.raises(ValueError, match="kind: 'oracle'"):
        tune("oracle", TASKS["Serial"](), SEEDS)
    with pytest.raises(ValueError, match="kind: 'shang_song' is not allowed for this task"):
        tune("shang_song", TASKS["BeerGame"](), SEEDS)
