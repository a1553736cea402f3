"""Rules of dispatching on generated days."""

import numpy as np
import pytest
from storelab.agents import rules_of
from storelab.agents.heuristics import dispatch
from storelab.agents.heuristics.dispatch import Consensus, Heuristic, available, costs, learn_prizes, tune
from storelab.envs import TASKS, Dispatch
from storelab.envs.core.seeds import PURPOSES
from storelab.envs.dispatch.references import hindsight

pytest.importorskip("numba")
FAST = {"requests": 40.0, "iterations": 40, "customers": 60, "cities": 2}


def mean_cost(task, rule):
    model = task.model()
    return costs(model, rule, model.scenarios(np.arange(8))).mean()


def test_the_module_is_the_models():
    assert rules_of(TASKS["Dispatch"](**FAST).model()) is dispatch


@pytest.mark.parametrize("action", ["prize", "weights"])
def test_a_tuned_prize_beats_greedy_lazy_and_random(action):
    task = TASKS["Dispatch"](action=action, **FAST)
    found = {kind: mean_cost(task, tune(kind, task, np.arange(8))) for kind in available(task.model())[:5]}
    assert found["fixed_prize"] < min(found["greedy"], found["lazy"], found["random"])
    assert found["prize_by_epoch"] <= found["fixed_prize"]  # on the days it was tuned on


def test_levels_mean_the_same_in_both_modes():
    found = []
    for action in ("prize", "weights"):
        task = TASKS["Dispatch"](action=action, **FAST)
        found.append([mean_cost(task, Heuristic("fixed_prize", {"level": [x]}, task.model())) for x in (0.2, 0.6)])
        found[-1] += [mean_cost(task, Heuristic(kind, {}, task.model())) for kind in ("greedy", "lazy")]
    assert np.allclose(*found, rtol=1e-3)  # weights are float32, which may move a prize by a second


def test_learned_prizes_are_repeatable_and_better_than_their_start():
    pytest.importorskip("cma")
    task = TASKS["Dispatch"](action="weights", **FAST)
    short, again = (learn_prizes(task, generations=2, days=2, seed=1) for _ in range(2))
    assert short.params == again.params
    learned = learn_prizes(task, generations=7, days=4, seed=1)
    start = Heuristic("linear_prize", {"weights": [0.4, *[0.0] * 7]}, task.model())
    model = task.model()
    fresh = model.scenarios(10_000_000 + np.arange(40))
    assert costs(model, learned, fresh).mean() < costs(model, start, fresh).mean()


def test_rules_per_request():
    task = TASKS["Dispatch"](action="dispatch", **FAST)
    assert available(task.model()) == ["greedy", "lazy", "random"]
    other = TASKS["Dispatch"](action="prize", **FAST)
    for kind in ("greedy", "lazy"):
        assert mean_cost(task, tune(kind, task, [0])) == mean_cost(other, tune(kind, other, [0]))
    assert mean_cost(task, tune("random", task, [0])) != mean_cost(task, tune("greedy", task, [0]))


@pytest.mark.parametrize("depots", [1, 2])
def test_consensus_and_hindsight(depots):
    pytest.importorskip("pyvrp")
    task = TASKS["Dispatch"](action="dispatch", depots=depots, **(FAST | {"requests": 25.0}))
    model, seeds = task.model(), np.arange(4)
    scenario = model.scenarios(seeds)
    act = Consensus(model, samples=3, iterations=5)
    found = {"consensus": costs(model, act, scenario)}
    assert (found["consensus"] == costs(model, act, scenario)).all()
    for name, choice in (("lazy", 0.0), ("greedy", 1.0)):

        def same(observation, policy_state, seed, choice=choice):
            return np.full((len(observation), model.slots), choice), policy_state

        found[name] = costs(model, same, scenario)
    assert found["consensus"].mean() < found["lazy"].mean()

    state, flows = model.initial(len(seeds)), []
    for t in range(model.horizon):
        shock = {name: block[:, t] for name, block in scenario.items()}
        state, flow = model.transition(state, np.ones((len(seeds), model.slots)), shock)
        flows.append(flow)
    for row in range(len(seeds)):
        best, routes = hindsight(model, scenario, row, flows, iterations=30)
        assert best <= found["greedy"][row]
        assert sorted(np.concatenate(routes)) == np.flatnonzero(scenario["customer"][row, : model.horizon]).tolist()


def test_hindsight_has_no_limited_fleet():
    model = TASKS["Dispatch"](vehicles=2, **FAST).model()
    with pytest.raises(ValueError, match="vehicles: 2 is not allowed in hindsight, expected inf"):
        hindsight(model, model.scenarios([0]), 0, [], 10)


def test_unknown_kinds_are_refused():
    task = TASKS["Dispatch"](**FAST)
    with pytest.raises(
        ValueError, match="kind: 'linear_prize' is not allowed for this task, expected one of greedy, lazy"
    ):
        tune("linear_prize", task, np.arange(2))
    with pytest.raises(ValueError, match="action: 'prize' is not allowed for linear prizes"):
        learn_prizes(task, 1, 1)
    with pytest.raises(ValueError, match="seed: 2000 is not allowed, expected an integer >= 0 and <= 1999"):
        learn_prizes(task, 1, 1, seed=2000)
    with pytest.raises(ValueError, match="generations: 101 is not allowed with 10000 days in each"):
        learn_prizes(task, 101, 10_000)


def test_runs_learn_prizes_on_days_of_their_own(monkeypatch):
    """Neither another seed's days nor those of any other purpose."""
    pytest.importorskip("cma")
    asked = []
    scenarios = Dispatch.scenarios
    monkeypatch.setattr(Dispatch, "scenarios", lambda self, seeds: asked.append(seeds) or scenarios(self, seeds))
    for seed in (0, 1999):
        learn_prizes(TASKS["Dispatch"](action="weights", **FAST), generations=2, days=2, seed=seed)
    start, size = PURPOSES["prizes"]
    assert len(set(np.concatenate(asked))) == 8
    assert start <= np.min(asked) <= np.max(asked) < start + size
