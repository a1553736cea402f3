"""A row per item: the same store, seen item by item."""

import numpy as np
import pytest
from scipy import stats
from storelab.envs import TASKS
from storelab.experiments.tasks.stores import synthetic_store_task

pytest.importorskip("stable_baselines3")
import torch
from storelab.agents.core.vec_env import StoreVecEnv
from storelab.agents.core.views import SPAN, ItemView, NetworkView, StoreView, view_of
from storelab.agents.sb3 import SB3Learner, SB3Params, load_policy
from storelab.evaluation import evaluate

STORE = {"lead_time": [1, 3, 2], "purchase_cost": [1.0, 2.0, 3.0], "price": [2.0, 3.0, 9.0], "max_order": [9, 20, 30]}
SEASON = {"continuing": False, "salvage_value": [0.5, 1.0, 2.0], "horizon": 12}
VARIANTS = [
    {"items": 3, "horizon": 12, **STORE},
    {"items": 3, **STORE, **SEASON},
    {"items": 3, "capacity": 60.0, "backorder_share": 0.5, "backorder_cost": 1.0, **STORE, **SEASON},
    {"items": 3, "action": "multi_discrete", "forecast": "oracle", **STORE, **SEASON},
    {"items": 3, "action": "base_stock", "forecast": "oracle", **STORE, **SEASON},
    {"items": 3, "forecast": "history", "history_days": 4, **STORE, **SEASON},
]


def batches(changes):
    """The same model as a store and item by item, both reset on the same scenarios."""
    model = TASKS["Inventory"](**changes).model()
    view = ItemView(model)
    store, items = StoreVecEnv(model, 4), StoreVecEnv(model, 4, view)
    for env in (store, items):
        env.seed(7)
    return model, view, store, items, store.reset(), items.reset()


@pytest.mark.parametrize("changes", VARIANTS)
def test_tensors_are_seen_as_arrays_are(changes):
    model, view, store, _, whole, _ = batches(changes)
    tensors = ItemView(model)
    tensors.to_torch("cpu")
    for _ in range(5):
        whole = store.step(np.asarray([store.action_space.sample() for _ in range(4)]))[0]
        rows = tensors.observe(torch.as_tensor(whole))
        assert np.allclose(rows.numpy(), view.observe(whole), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_items_are_the_stores(changes):
    """The same actions give the same store; the items' rewards, in money, add up to the store's."""
    model, view, store, items, whole, rows = batches(changes)
    rng, units = np.random.default_rng(0), np.asarray(changes["max_order"], float)
    margin = np.asarray(changes["price"]) - changes["purchase_cost"]
    worth = units * (margin + model.params.holding_cost + model.params.backorder_cost)
    for _ in range(30):
        assert np.array_equal(rows, view.observe(whole))
        assert rows.shape == (12, *items.observation_space.shape)
        assert np.allclose(rows[:, 1].reshape(4, 3), whole[:, :3] / units)
        if view.action_space.shape == ():
            actions = rng.integers(0, view.action_space.n, 12)
        else:
            actions = rng.uniform(-1.2 * SPAN, 1.2 * SPAN, (12, 1))
        rows, rewards, dones, infos = items.step(actions)
        whole, expected, ended, told = store.step(view.act(actions, whole))
        assert np.allclose((rewards.reshape(4, 3) * worth).sum(axis=1), expected, rtol=1e-4, atol=1e-3)
        assert np.array_equal(dones, np.repeat(ended, 3))
        for i in np.flatnonzero(ended):
            last = view.observe(told[i]["terminal_observation"][None])
            assert np.array_equal(np.stack([infos[3 * i + k]["terminal_observation"] for k in range(3)]), last)
            assert infos[3 * i]["episode"] == told[i]["episode"]
            assert "episode" not in infos[3 * i + 1]


def test_levels_lie_between_the_forecasts():
    """0 is the newsvendor's quantile at the critical ratio; from it, the learner reaches all places between them."""
    changes = {"items": 3, "action": "base_stock", "forecast": "oracle", "quantiles": [0.1, 0.5, 0.7, 0.9], **STORE}
    model, view, _, _, whole, _ = batches(changes)
    forecast = model.features(whole)["forecast"]
    margin = np.asarray(STORE["price"]) - STORE["purchase_cost"]
    ratio = (margin + model.params.lost_sale_cost) / (margin + model.params.lost_sale_cost + model.params.holding_cost)
    places = np.interp(ratio, model.params.quantiles, np.arange(1, 5) / 5)
    np.testing.assert_allclose(ratio, [0.5, 0.5, 6 / 7])
    for place in range(4):
        actions = np.tile(((place + 1) / 5 - places) * SPAN, 4)[:, None]
        expected = np.minimum(forecast[..., place], model.action_high)
        np.testing.assert_allclose(view.act(actions, whole), expected, rtol=1e-6)
    newsvendor = [[np.interp(r, model.params.quantiles, row[k]) for k, r in enumerate(ratio)] for row in forecast]
    np.testing.assert_allclose(view.act(np.zeros((12, 1)), whole), np.minimum(newsvendor, model.action_high), rtol=1e-6)
    np.testing.assert_allclose(view.act(np.full((12, 1), -SPAN), whole), forecast[..., 0] / 2)
    top = forecast[..., -1] + np.array([9, 20, 30]) / 4
    np.testing.assert_allclose(view.act(np.full((12, 1), SPAN), whole), np.minimum(top, model.action_high))


def test_levels_lie_around_the_base_stock_level():
    """0 is the critical fractile of Poisson demand over the lead time and a period more, 1 is its deviation more."""
    p = {"items": 2, "action": "base_stock", "lead_time": [0, 3], "lost_sale_cost": [1.0, 19.0], "holding_cost": 1.0}
    model = TASKS["Inventory"](**p, demand={"mean": [25.0, 4.0]}, max_order=100, horizon=400).model()
    view = ItemView(model)
    levels = [view.act(np.full((2, 1), a), None)[0] for a in (0.0, 1.0, -SPAN, 40 * SPAN)]
    assert np.array_equal(levels[0], [stats.poisson.ppf(0.5, 25), stats.poisson.ppf(0.95, 16)])
    np.testing.assert_allclose(levels[1] - levels[0], [5, 4], rtol=0.03)
    assert (levels[2] >= 0).all()
    np.testing.assert_allclose(levels[3] - levels[0], [20, 16], rtol=0.03)


def test_actions_cover_the_space():
    model = TASKS["Inventory"](**VARIANTS[1]).model()
    view = ItemView(model)
    assert np.array_equal(view.act(np.full((3, 1), -SPAN), None), [[0, 0, 0]])
    assert np.array_equal(view.act(np.full((3, 1), SPAN), None), [model.action_high])
    assert np.array_equal(view.act(np.full((3, 1), 9 * SPAN), None), [model.action_high])
    discrete = ItemView(TASKS["Inventory"](**VARIANTS[3]).model())
    assert np.array_equal(discrete.act(np.full(3, discrete.action_space.n - 1), None), [[9, 20, 30]])


@pytest.mark.parametrize("per_item", [True, False])
def test_a_stores_learner_resumes_bit_equal_and_is_kept(per_item, tmp_path):
    task = TASKS["Inventory"](**VARIANTS[1])
    params = SB3Params(
        total_steps=768, num_envs=4, per_item=per_item, net_arch=[8], device="cpu", threads=1,
        hyper={"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    )  # fmt: skip
    straight, resumed = SB3Learner(task, params, 1), SB3Learner(task, params, 1)
    straight.learn(lambda steps: straight.save(tmp_path) if steps == 384 else None, 192, progress=False)
    resumed.load(tmp_path)
    resumed.learn(progress=False)
    resumed.save(tmp_path)
    policies = {"straight": straight.policy(), "resumed": resumed.policy(), "loaded": load_policy(tmp_path, task)}
    values = evaluate(policies, task, np.arange(8)).pivot(index="seed", columns="policy", values="value")
    assert (values["straight"] == values["resumed"]).all()
    assert (values["straight"] == values["loaded"]).all()


def test_dqn_learns_many_items_lot_by_lot():
    task = TASKS["Inventory"](**VARIANTS[3])
    hyper = {"buffer_size": 500, "learning_starts": 24, "batch_size": 16}
    params = SB3Params(algorithm="DQN", total_steps=96, num_envs=2, net_arch=[8], device="cpu", hyper=hyper)
    learner = SB3Learner(task, params)
    learner.learn(progress=False)
    assert np.isfinite(evaluate({"DQN": learner.policy()}, task, np.arange(4))["value"]).all()


@pytest.mark.slow
def test_it_learns_a_store():
    """On a store's training days PPO ends near the tuned base-stock policy, far from where it began."""
    from storelab.agents import tune

    task = synthetic_store_task(data={"items": 4, "days": 400})
    params = SB3Params(
        total_steps=400_000, num_envs=16, learning_rate=1e-3, gamma=1.0, device="cpu",
        hyper={"n_steps": 56, "batch_size": 1024, "n_epochs": 8, "ent_coef": 0.001},
    )  # fmt: skip
    learner = SB3Learner(task, params)
    policies = {kind: tune(kind, task, 10**9 + np.arange(32)) for kind in ("base_stock", "random")}
    learner.learn(progress=False)
    policies["PPO"] = learner.policy()
    value = evaluate(policies, task, np.arange(64), split="train").groupby("policy")["value"].mean()
    assert value["PPO"] > value["base_stock"] - 0.1 * (value["base_stock"] - value["random"])


def test_prices_are_scaled_to_their_range():
    model = TASKS["PricingMNL"]().model()
    view = StoreView(model)
    actions = view.act(np.array([[-SPAN, 0.0], [SPAN, 99.0]]), np.zeros((2, 3), np.float32))
    assert actions.tolist() == [[1.0, 3.5], [6.0, 6.0]]
    grid = StoreView(TASKS["Pricing"]().model())
    assert grid.act(np.array([3, 0]), np.zeros((2, 2), np.float32)).tolist() == [[3], [0]]


def test_a_networks_levels_are_around_the_fractile_of_what_its_echelon_has_to_cover():
    """Serial (Snyder and Shen 2019, example 6.1): demand of mean 5 and deviation 1 over 1, 2 and 4 periods."""
    model = TASKS["Serial"](action="base_stock").model()
    view = view_of(model, per_item=True)
    assert isinstance(view, NetworkView)
    seen = np.zeros((3, *model.observation_space.shape), np.float32)
    low, middle, up = view.act(np.array([[-SPAN] * 3, [0.0] * 3, [1.0] * 3]), seen)
    periods = np.array([4, 2, 1])  # lead times of 2, 1 and 0, and the period of review
    assert model.lead[:, 0].tolist() == [2, 1, 0]
    z = stats.norm.ppf(37.12 / (37.12 + model.per_node("holding_cost")[model.target_of][:, 0]))
    assert np.allclose(middle, 5 * periods + z * np.sqrt(periods), atol=0.3)
    assert np.allclose(up - middle, np.maximum(np.sqrt(periods), middle / 20), atol=0.05)
    assert np.allclose(low, 0)
    assert not isinstance(view_of(TASKS["Serial"]().model(), per_item=True), NetworkView)


def test_a_networks_levels_on_tensors_and_the_weights_of_its_allocation():
    model = TASKS["InvManagement"](action="base_stock", allocation="learned").model()
    view, tensors = NetworkView(model), NetworkView(model)
    tensors.to_torch("cpu")
    actions = np.random.default_rng(0).uniform(-SPAN, SPAN, (5, len(model.action_low)))
    scaled = view.act(actions, np.zeros((5, *model.observation_space.shape), np.float32))
    assert all(model.action_space.contains(row) for row in scaled.astype(np.float32))
    assert np.allclose(tensors.levels(torch.tensor(actions, dtype=torch.float32)), view.levels(actions), rtol=1e-5)
    assert np.allclose(scaled, np.where(actions < 0, scaled, view.levels(actions)))
    assert (scaled <= view.levels(actions) + 1e-9).all()
    shares = slice(-len(model.arcs), None)
    assert np.allclose(scaled[:, shares], 0.5 + actions[:, shares] / (2 * SPAN))
