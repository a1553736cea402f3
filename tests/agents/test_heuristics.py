import json

import numpy as np
import pytest
from storelab.agents import HEURISTICS, Heuristic, available, tune
from storelab.agents.heuristics import position
from storelab.envs import TASKS, Days, HistoryDemand, Inventory, InventoryParams, Task, rollout
from storelab.envs.batch import admit
from storelab.evaluation import evaluate

SEEDS = 10**9 + np.arange(64)


def test_tuned_base_stock_is_the_known_one():
    """Zipkin 2008, recomputed exactly: Poisson(5), L=4, p=9 has the best base-stock level 28."""
    assert tune("base_stock", TASKS["LostSales"](), SEEDS).params["level"] == [28.0]


def test_tuned_capped_base_stock_is_as_good_as_the_known_one():
    task = TASKS["LostSales"]()
    tuned = tune("capped_base_stock", task, SEEDS)
    known = Heuristic("capped_base_stock", {"level": [29.0], "cap": [5.0]}, task.model())
    episodes = evaluate({"tuned": tuned, "known": known}, task, np.arange(256), horizon=400)
    values = episodes.groupby("policy")["value"].mean()
    assert values["tuned"] <= 1.005 * values["known"]


def test_tuned_s_S_comes_near_the_optimum():
    task = TASKS["FixedCost"]()
    value = evaluate({"tuned": tune("s_S", task, SEEDS)}, task, np.arange(256), horizon=400)["value"].mean()
    assert value <= 1.01 * task.reference().value


def test_myopic_is_zipkins():
    task = TASKS["LostSales"]()
    values = evaluate({"myopic": tune("myopic", task, SEEDS)}, task, np.arange(512), horizon=600)["value"]
    assert abs(values.mean() - 7.1991) < 4 * values.std() / np.sqrt(512)


def test_items_are_tuned_on_their_own():
    """Two items tuned together get what each gets alone."""
    means, costs = [2.0, 8.0], [4.0, 19.0]
    both = TASKS["Inventory"](items=2, lead_time=2, demand={"mean": means}, lost_sale_cost=costs, horizon=150)
    together = tune("base_stock", both, np.arange(100)).params["level"]
    for i in range(2):
        one = TASKS["Inventory"](lead_time=2, demand={"mean": means[i]}, lost_sale_cost=costs[i], horizon=150)
        (alone,) = tune("base_stock", one, np.arange(100)).params["level"]
        assert abs(alone - together[i]) <= 1


def forecast_task(action="continuous") -> Task:
    demand = np.random.default_rng(0).poisson(5.0, (200, 2)).astype(float)
    spread = np.array([0.7, 1.0, 1.6])
    days = Days(forecast=20.0 * spread[None, None] * np.ones((200, 2, 1)))
    params = InventoryParams(
        items=2, lead_time=3, lost_sale_cost=9.0, horizon=40, forecast="model", quantiles=[0.1, 0.5, 0.9],
        action=action, max_order=40.0,
    )  # fmt: skip
    source = HistoryDemand(demand, days)
    return Task("Forecast", params, train=source, test=source)


def test_newsvendor_interpolates_the_forecast():
    model = forecast_task().model()
    observation = model.observe(model.initial(1), {k: v[:, 0] for k, v in model.scenarios([0]).items()})
    for fractile, level in ((0.1, 14), (0.5, 20), (0.7, 26), (0.9, 32), (0.99, 32)):
        action, _ = Heuristic("newsvendor", {"fractile": [fractile] * 2}, model)(observation, None, 0)
        assert np.allclose(action, level)


@pytest.mark.parametrize("action", ["continuous", "multi_discrete", "base_stock"])
@pytest.mark.parametrize("kind", sorted({*HEURISTICS} - {"random"}))  # its stock outgrows the order-up-to levels' bound
def test_the_action_mode_changes_nothing(kind, action):
    tuned = tune(kind, forecast_task(), np.arange(4))
    model, plain = forecast_task(action).model(), forecast_task().model()
    scenario = model.scenarios([1, 2])
    runs = [rollout(m, Heuristic(kind, tuned.params, m), scenario, trace=True) for m in (model, plain)]
    assert np.array_equal(runs[0]["flow.ordered"], runs[1]["flow.ordered"])
    assert runs[0]["clipped_actions"].sum() == 0


def test_parameters_survive_json():
    tuned = tune("s_S", TASKS["FixedCost"](), np.arange(8))
    again = Heuristic(tuned.kind, json.loads(json.dumps(tuned.params)), tuned.model)
    observation = np.array([[3.0, 0.0], [30.0, 2.0]], np.float32)
    assert np.array_equal(tuned(observation, None, 0)[0], again(observation, None, 0)[0])


def test_position_counts_all():
    model = Inventory(InventoryParams(items=2, lead_time=3, backorder_share=1.0))
    state = model.initial(1)
    scenario = model.scenarios([0])
    for t in range(9):
        now = {k: v[:, t] for k, v in scenario.items()}
        assert np.array_equal(position(model.features(model.observe(state, now))), model.position(state))
        state, _ = model.transition(state, admit(model, [[4, 7]], 1)[0], now)


def test_random_repeats_and_differs():
    model = TASKS["LostSales"]().model()
    act = Heuristic("random", {}, model)
    observation = np.zeros((5, model.observation_space.shape[0]), np.float32)
    assert np.array_equal(act(observation, None, 3)[0], act(observation, None, 3)[0])
    assert not np.array_equal(act(observation, None, 3)[0], act(observation, None, 4)[0])


def test_what_cannot_be_tuned_is_refused():
    assert "newsvendor" not in available(TASKS["LostSales"]().model())
    with pytest.raises(ValueError, match="kind: 'newsvendor' is not allowed for this task, expected one of base_stock"):
        tune("newsvendor", TASKS["LostSales"](), [0])
    with pytest.raises(ValueError, match="kind: 'oracle'"):
        tune("oracle", TASKS["LostSales"](), [0])
