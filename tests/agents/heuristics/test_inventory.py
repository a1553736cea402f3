import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.agents.heuristics.inventory import DemandStatistics, Heuristic, _parts, available, item_profit, tune
from storelab.agents.heuristics.paths import order_on_paths
from storelab.envs import TASKS, Days, HistoryDemand, Inventory, InventoryParams, Task
from storelab.envs.core import pmf
from storelab.envs.core.batch import admit
from storelab.envs.core.rollout import rollout
from storelab.envs.inventory.references import lost_sales, perishable
from storelab.evaluation import evaluate, scenario_keys

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
    ahead = spread[None, None] * np.ones((200, 2, 1))
    days = Days(forecast=20.0 * ahead, arrival=5.0 * ahead)
    params = InventoryParams(
        items=2, lead_time=3, lost_sale_cost=9.0, horizon=40, forecast="model", quantiles=[0.1, 0.5, 0.9],
        action=action, max_order=40.0,
    )  # fmt: skip
    source = HistoryDemand(demand, days)
    return Task("Forecast", params, Inventory, train=source, test=source)


def test_newsvendor_interpolates_the_forecast():
    model = forecast_task().model()
    observation = model.observation(model.initial(1), {k: v[:, 0] for k, v in model.scenarios([0]).items()})
    for fractile, level in ((0.1, 14), (0.5, 20), (0.7, 26), (0.9, 32), (0.99, 32)):
        action, _ = Heuristic("newsvendor", {"fractile": [fractile] * 2}, model)(observation, None, 0)
        assert np.allclose(action, level)


PATHS = 10  # of demand: their sorted values are the quantiles at LEVELS
LEVELS = [round(0.05 + 0.1 * k, 2) for k in range(PATHS)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 4), st.integers(1, 3), st.integers(0, PATHS - 1), st.booleans())
def test_lost_sales_newsvendor_is_the_order_on_paths_that_rise_and_fall_together(seed, lead, items, place, together):
    """And never orders less than that on any others."""
    rng = np.random.default_rng(seed)
    paths = rng.poisson(rng.uniform(0, 9), (items, PATHS, lead + 1)).astype(float)
    on_hand = rng.integers(0, 30, items).astype(float)
    pipeline = np.zeros((max(lead - 1, 0), items)) if together else rng.integers(0, 9, (max(lead - 1, 0), items)) * 1.0
    paths = np.sort(paths, axis=1) if together else paths
    params = InventoryParams(
        items=items, lead_time=lead, horizon=5, forecast="model", quantiles=LEVELS, max_order=999.0
    )  # fmt: skip
    tables = [np.sort(units, axis=1)[None].repeat(40, axis=0) for units in (paths.sum(axis=2), paths[..., -1])]
    source = HistoryDemand(np.ones((40, items)), Days(forecast=tables[0], arrival=tables[1]))
    model, fractile = Inventory(params, source), np.full(items, LEVELS[place])
    named = {"on_hand": on_hand[None], "forecast": tables[0][:1], "arrival": tables[1][:1]}
    named |= {"pipeline": pipeline[None]} if lead > 1 else {}
    rule = {"fractile": fractile, "multiplier": np.ones(items), "cap": fractile}
    order = Heuristic("lost_sales_newsvendor", rule, model).act(named)[0]
    rolled = order_on_paths(paths, on_hand, pipeline, LEVELS[place])
    assert np.allclose(order, rolled) if together else (order >= rolled - 1e-6).all()
    uncapped = Heuristic("lost_sales_newsvendor", rule | {"cap": np.ones(items)}, model).act(named)
    assert np.allclose(uncapped, Heuristic("newsvendor", {"fractile": fractile}, model).act(named))


def test_demand_classes_are_tuned_together():
    rng, size = np.random.default_rng(0), (400, 24)
    asked = rng.random(size) < np.where(np.arange(24) % 4 < 2, 1.0, 0.3)
    units = np.where(np.arange(24) % 2, np.ceil(rng.lognormal(1, 1.5, size)), rng.poisson(20, size)) * asked
    days = Days(forecast=np.full((400, 24, 3), [20.0, 60.0, 150.0]), arrival=np.full((400, 24, 3), [2.0, 20.0, 60.0]))
    params = InventoryParams(
        items=24, lead_time=2, lost_sale_cost=9.0, horizon=20, forecast="model", quantiles=[0.1, 0.5, 0.9],
        max_order=400.0,
    )  # fmt: skip
    task = Task("Forecast", params, Inventory, train=HistoryDemand(units, days))
    model = task.model()
    classes = DemandStatistics(model, model.scenarios(SEEDS[:8])).classes()
    assert (classes == np.arange(24) % 4).all()
    tuned = tune("lost_sales_newsvendor", task, SEEDS[:8])
    for values in tuned.params.values():
        assert all(len({values[i] for i in range(k, 24, 4)}) == 1 for k in range(4))
    one = Heuristic("lost_sales_newsvendor", {"fractile": [0.9], "multiplier": [1.0], "cap": [1.0]}, model)
    earned = [rollout(model, act, model.scenarios(SEEDS[:8]))["reward"].sum() for act in (tuned, one)]
    assert earned[0] > earned[1]


@pytest.mark.parametrize("action", ["continuous", "multi_discrete", "base_stock"])
@pytest.mark.parametrize("kind", sorted({*available(forecast_task().model())} - {"random"}))  # its stock knows no bound
def test_the_action_mode_changes_nothing(kind, action):
    tuned = tune(kind, forecast_task(), np.arange(4))
    model, plain = forecast_task(action).model(), forecast_task().model()
    scenario = model.scenarios([1, 2])
    runs = [rollout(m, Heuristic(kind, tuned.params, m), scenario, trace=True) for m in (model, plain)]
    assert np.array_equal(runs[0]["flow.ordered"], runs[1]["flow.ordered"])
    assert runs[0]["clipped_actions"].sum() == 0


def test_projected_inventory_level_beats_every_capped_base_stock():
    """Poisson(5), L=4, p=9: optimum 6.8359, the best capped base-stock policy 6.9123 (Zipkin 2008, recomputed)."""
    tuned = tune("projected_inventory_level", TASKS["LostSales"](), SEEDS)
    policy = lambda states: tuned(states.astype(np.float32), None, 0)[0][:, 0].astype(int)
    assert 6.8359 <= lost_sales.evaluate(pmf.poisson(5), 4, 1, 9, policy) < 6.9123


def test_the_projection_is_the_expected_stock_at_arrival():
    """Against the exact expectation, two items of different lead times."""
    model = Inventory(InventoryParams(items=2, lead_time=[1, 3], max_order=50.0, demand={"mean": [3.0, 5.0]}))
    observation = np.array([[4, 9, 0, 2, 0, 6]], np.float32)  # on hand, then two periods of the pipeline
    orders = Heuristic("projected_inventory_level", {"level": [20.0, 20.0]}, model)(observation, None, 0)[0][0]
    for item, (mean, stock, due) in enumerate([(3.0, 4, []), (5.0, 9, [2, 6])]):
        demand = pmf.poisson(mean)
        left = np.eye(80)[stock]  # P(stock = k)
        for receipt in [*due, 0]:
            after = np.zeros(80)
            for k, probability in enumerate(left):
                served = np.maximum(k - np.arange(len(demand)), 0)
                np.add.at(after, served, probability * demand)
            left = np.roll(after, receipt)
        assert abs(20 - left @ np.arange(80) - orders[item]) < 0.15


def test_expected_waste_by_hand():
    """Lead time 2, three periods of life, mean demand 2. Shelf 5, 1, 0 and 4 due: 3 expire, then 4 - 1 are held, 0."""
    changes = {"lead_time": 2, "shelf_life": 3, "initial_stock": 0.0}
    for issuing, waste in (("fifo", 3), ("lifo", 4)):  # lifo: 1 and 1 of the 5 are sold, 4 expire; then 2 of the 4
        model = Inventory(InventoryParams(**changes, issuing=issuing))
        act = Heuristic("ewa", {"level": [12.0], "mean": [2.0]}, model)
        observation = np.array([[6, 4, 5, 1, 0]], np.float32)
        assert model.layout == {"on_hand": (1,), "pipeline": (1, 1), "shelf": (3, 1)}
        assert act(observation, None, 0)[0].item() == 12 - 10 + waste
        low = Heuristic("bsp_low_ew", {"S1": [8.0], "S2": [12.0], "b": [20.0], "mean": [2.0]}, model)
        assert low(observation, None, 0)[0].item() == 8 - (8 - 12 + 20) / 20 * 10 + waste


def test_bsp_low_ew_halves_the_gap_of_base_stock():
    tuned = tune("bsp_low_ew", TASKS["Perishable"](issuing="lifo"), SEEDS[:16])
    assert set(tuned.params) == {"S1", "S2", "b", "mean"}

    def policy(states):  # (oldest, freshest), and the observation tells their sum first
        observation = np.column_stack([states.sum(axis=1), states]).astype(np.float32)
        return tuned(observation, None, 0)[0][:, 0].astype(int)

    problem = perishable.Perishable(pmf.gamma(4.0, 2.0), 2, 1, 1.0, 5.0, 7.0, 3.0, "lifo")
    optimum, cost = perishable.solve(problem).cost, perishable.evaluate(problem, policy, 10)
    assert optimum - 1e-5 <= cost <= (optimum + perishable.base_stock(problem)[0]) / 2


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
        assert np.array_equal(model.seen_position(model.features(model.observation(state, now))), model.position(state))
        state, _ = model.transition(state, admit(model, [[4, 7]], 1)[0], now)


def test_random_repeats_and_differs():
    model = TASKS["LostSales"]().model()
    act = Heuristic("random", {}, model)
    observation = np.zeros((5, model.observation_space.shape[0]), np.float32)
    assert np.array_equal(act(observation, None, 3)[0], act(observation, None, 3)[0])
    assert not np.array_equal(act(observation, None, 3)[0], act(observation, None, 4)[0])


def test_what_cannot_be_tuned_is_refused():
    assert {"newsvendor", "ewa"}.isdisjoint(available(TASKS["LostSales"]().model()))
    assert "projected_inventory_level" not in available(TASKS["Perishable"]().model())
    with pytest.raises(ValueError, match="kind: 'newsvendor' is not allowed for this task, expected one of base_stock"):
        tune("newsvendor", TASKS["LostSales"](), [0])
    with pytest.raises(ValueError, match="kind: 'oracle'"):
        tune("oracle", TASKS["LostSales"](), [0])


def shifting_task(noise: float) -> Task:
    """Demand whose level wanders over 480 days, and forecasts of it that are off by a factor for a while."""
    rng = np.random.default_rng(3)
    waves = np.sin(np.arange(483)[:, None] / 50 + np.arange(8))
    level = 20 * np.exp(0.7 * waves)
    units = rng.poisson(level).astype(float)
    total = sum(level[k : k + 480] for k in range(3))
    wrong = np.exp(noise * rng.normal(size=(60, 8))).repeat(8, axis=0)
    spread = np.array([0.7, 1.0, 1.3])
    days = Days(forecast=(total * wrong)[..., None] * spread, arrival=(level[:480] * wrong)[..., None] * spread)
    params = InventoryParams(
        items=8, lead_time=2, price=3.0, purchase_cost=1.0, salvage_value=1.0, holding_cost=0.05, horizon=28,
        continuing=False, forecast="model", quantiles=[0.1, 0.5, 0.9], max_order=400.0,
    )  # fmt: skip
    known = {name: table[:360] for name, table in days.tables(480).items()}
    later = {name: table[360:] for name, table in days.tables(480).items()}
    return Task(
        "Shifting", params, Inventory, train=HistoryDemand(units[:360], Days(**known)),
        test=HistoryDemand(units[360:480], Days(**later)),
    )  # fmt: skip


def test_a_level_and_a_forecast_are_weighted_by_what_they_earn_on_other_days():
    """Forecasts that are right replace the level, ones that are noise leave it as it is."""
    weights, earned = {}, {}
    for noise in (0.0, 0.4, 3.0):
        task = shifting_task(noise)
        rules = {kind: tune(kind, task, SEEDS[:16]) for kind in ("base_stock", "shrunk_newsvendor")}
        weights[noise] = np.mean(rules["shrunk_newsvendor"].params["weight"])
        model = task.model("test")
        scenario = model.scenarios(scenario_keys(np.arange(40), "test"))
        earned[noise] = [
            item_profit(task, model, rollout(model, act, scenario, trace=True)).sum() for act in rules.values()
        ]
    assert weights[0.0] >= weights[0.4] >= weights[3.0]
    assert weights[0.0] == 1
    assert weights[3.0] <= 0.25
    assert earned[0.0][1] > 1.02 * earned[0.0][0]
    assert earned[3.0][1] > 0.97 * earned[3.0][0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_a_shrunk_newsvendor_lies_between_base_stock_and_the_newsvendor(seed, weight):
    task = shifting_task(0.4)
    model, rng = task.model(), np.random.default_rng(seed)
    named = {k: v[:, 0] for k, v in model.scenarios([seed]).items() if k in ("forecast", "arrival")}
    named |= {"on_hand": rng.integers(0, 90, (1, 8)) * 1.0, "pipeline": rng.integers(0, 30, (1, 1, 8)) * 1.0}
    level = {"level": rng.uniform(0, 200, 8)}
    ahead = {"fractile": np.full(8, 0.7), "multiplier": np.full(8, 1.4), "cap": np.full(8, 1.0)}
    orders = lambda kind, values: Heuristic(kind, values, model).act(named)
    mixed = [orders("shrunk_newsvendor", level | ahead | {"weight": np.full(8, w)}) for w in (0, weight, 1)]
    assert np.allclose(mixed[0], orders("base_stock", level))
    assert np.allclose(mixed[2], orders("lost_sales_newsvendor", ahead))
    assert (np.minimum(mixed[0], mixed[2]) - 1e-9 <= mixed[1]).all()
    assert (mixed[1] <= np.maximum(mixed[0], mixed[2]) + 1e-9).all()


@pytest.mark.parametrize("days", [60, 110, 360])
def test_parts_to_judge_on_share_no_day_with_those_tuned_on(days):
    task = shifting_task(0.0)
    numbered = np.arange(days)[:, None].repeat(8, axis=1)  # a day is known by its demand
    task = replace(task, train=HistoryDemand(numbered, Days(**{k: v[:days] for k, v in task.train.tables.items()})))
    model = task.model("train")
    pairs = list(_parts(task, model, SEEDS[:16]))
    assert len(pairs) == {60: 1, 110: 2, 360: 4}[days]
    for others, part in pairs:
        assert bool(np.intersect1d(others["demand"], part["demand"]).size) == (days == 60)
