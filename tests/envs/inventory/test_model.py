from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import Inventory, InventoryParams
from storelab.envs.core.batch import admit
from storelab.envs.core.rollout import rollout


def order_script(quantities):
    """A policy that orders the given quantities one after another."""
    queue = iter(quantities)
    return lambda observation, state, seed: (np.full((len(observation), 1), next(queue), np.float32), state)


def constant_demand(model, values):
    return {"demand": np.asarray(values, np.float32).reshape(1, -1, 1)}


@pytest.mark.parametrize(("lead", "expected"), [(0, [5, 5, 2]), (1, [0, 5, 5]), (2, [0, 0, 5])])
def test_an_order_serves_the_demand_of_its_lead_time_later(lead, expected):
    model = Inventory(InventoryParams(lead_time=lead, horizon=3, max_order=9.0))
    run = rollout(model, order_script([5, 5, 2]), constant_demand(model, [9, 9, 9, 0]))
    assert run["sales"].ravel().tolist() == expected


def test_a_season_by_hand():
    """Two periods, lead time 1, all terms: every number below was worked out on paper."""
    params = InventoryParams(
        horizon=2, continuing=False, lead_time=1, price=10.0, purchase_cost=4.0, fixed_cost=3.0, holding_cost=1.0,
        lost_sale_cost=2.0, salvage_value=1.5, initial_stock=6.0,
    )  # fmt: skip
    model = Inventory(params)
    run = rollout(model, order_script([5, 0]), {**constant_demand(model, [8, 1, 0]), "time_left": np.ones((1, 3, 1))})
    assert run["sales"].ravel().tolist() == [6, 1]
    assert run["unmet"].ravel().tolist() == [2, 0]
    assert run["revenue"].ravel().tolist() == [60, 10]
    assert run["purchase_cost"].ravel().tolist() == [20, 0]
    assert run["fixed_cost"].ravel().tolist() == [3, 0]
    assert run["holding_cost"].ravel().tolist() == [0, 4]
    assert run["lost_sale_cost"].ravel().tolist() == [4, 0]
    assert run["salvage"].ravel().tolist() == [0, 6]
    assert run["reward"].ravel().tolist() == [33, 12]


def test_backorders_are_served_first():
    model = Inventory(InventoryParams(lead_time=0, backorder_share=1.0, backorder_cost=1.0, horizon=3))
    run = rollout(model, order_script([2, 4, 9]), constant_demand(model, [5, 2, 1, 0]), trace=True)
    assert run["backlog"].ravel().tolist() == [3, 1, 0]
    assert run["sales"].ravel().tolist() == [2, 4, 2]
    assert run["unmet"].ravel().tolist() == [3, 1, 0]  # of 2 that came in period 1, one was served: 3 waited before
    assert run["on_hand"].ravel().tolist() == [0, 0, 7]


@pytest.mark.parametrize(("share", "seen", "censored"), [(0, [5, 2, 0], [0, 1, 1]), (1, [5, 4, 3], [0, 0, 0])])
def test_the_history_is_what_the_store_saw(share, seen, censored):
    """Stock 7, then none: of demands 5, 4 and 3 the store sees 5, 2 and 0 where customers are lost."""
    params = InventoryParams(
        backorder_share=float(share), horizon=3, initial_stock=7.0, forecast="history", history_days=2
    )
    model = Inventory(params)
    expected = np.stack([[0, 0, *seen], [1, 1, *censored]], axis=1)  # two periods before the start: nothing known
    state = model.initial(1)
    for t, demand in enumerate([5, 4, 3, 0]):
        shock = {"demand": np.full((1, 1), demand, np.float32)}
        named = model.features(model.observation(state, shock))
        assert named["history"][0, :, :, 0].tolist() == expected[t : t + 2].tolist()
        state, _ = model.transition(state, np.zeros((1, 1), np.float32), shock)


number = st.floats(0, 20, allow_nan=False, width=32)
life = st.sampled_from([1.0, 2.0, 3.0, np.inf])


@st.composite
def problems(draw):
    """Any valid problem with a few items, and what it needs to be run."""
    items = draw(st.integers(1, 4))
    per_item = st.one_of(number, st.lists(number, min_size=items, max_size=items))
    pmf = draw(st.one_of(st.just([]), st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    lot = draw(st.sampled_from([0.0, 1.0, 3.0, 0.25]))
    return InventoryParams(
        items=items,
        horizon=draw(st.integers(1, 15)),
        continuing=draw(st.booleans()),
        demand={
            "kind": draw(st.sampled_from(["poisson", "negative_binomial", "geometric", "normal"])),
            "mean": draw(st.floats(0.1, 15)),
        },
        lead_time=draw(st.one_of(st.integers(0, 5), st.lists(st.integers(0, 5), min_size=items, max_size=items))),
        lead_time_pmf=[p / sum(pmf) for p in pmf],
        yield_mean=draw(st.sampled_from([1.0, 1.0, 0.8, 0.35])),
        disruption_probability=draw(st.sampled_from([0.0, 0.0, 0.3])),
        recovery_probability=draw(st.floats(0.1, 1)),
        shelf_life=draw(st.one_of(st.just(np.inf), st.integers(1, 4), st.lists(life, min_size=items, max_size=items))),
        issuing=draw(st.sampled_from(["fifo", "lifo"])),
        substitution_share=draw(st.sampled_from([0.0] + [0.6, 1.0] * (items > 1))),
        backorder_share=draw(st.sampled_from([0.0, 0.3, 0.75, 1.0])),
        initial_stock=draw(st.one_of(st.integers(0, 9).map(float), per_item)),
        volume=draw(st.floats(0.5, 2)),
        capacity=draw(st.one_of(st.just(np.inf), st.floats(1, 100))),
        budget=draw(st.one_of(st.just(np.inf), st.floats(1, 100))),
        lot_size=lot,
        max_order=draw(st.floats(3, 20)),
        action=draw(st.sampled_from(["continuous", "base_stock"] + ["multi_discrete"] * (lot > 0))),
        forecast=draw(st.sampled_from(["none", "oracle", "history"])),
        history_days=draw(st.integers(1, 4)),
        **{
            name: draw(per_item)
            for name in (
                "price", "purchase_cost", "fixed_cost", "holding_cost", "lost_sale_cost", "backorder_cost",
                "salvage_value", "waste_cost",
            )
        },
    )  # fmt: skip


def random_policy(model):
    def act(observation, state, seed):
        rng = np.random.default_rng(seed)
        return rng.uniform(model.action_low, model.action_high, (len(observation), len(model.action_low))), state

    return act


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=150)
def test_flow_and_money_are_conserved(params, seed):
    model = Inventory(params)
    run = rollout(model, random_policy(model), model.scenarios([seed, seed + 1]), seed=seed % 1000, trace=True)
    sales, received, demand = (run[f"flow.{name}"].astype(float) for name in ("sales", "received", "demand"))
    unmet, left, ordered = (run[f"flow.{name}"].astype(float) for name in ("unmet", "on_hand", "ordered"))
    none = np.zeros_like(sales)
    waste, shrinkage = (run.get(f"flow.{name}", none).astype(float) for name in ("waste", "shrinkage"))
    # Stock: initial + receipts = sales + waste + stock, at the end of every period. What arrives at once serves the
    # same period, what arrives at its end (counted in `received` too) shows in the next one's stock.
    start = params.per_item("initial_stock")
    final = start + received.sum(axis=1) - sales.sum(axis=1) - waste.sum(axis=1)
    assert (final > -1e-3).all()
    late = final - left[:, -1]  # the last period's receipts
    assert (late > -1e-3).all()
    assert (late <= received[:, -1] + 1e-3).all()
    # Orders: nothing arrives that was not ordered, nothing gets lost on the way but by the yield.
    due = received + shrinkage
    assert (shrinkage >= -1e-3).all()
    assert (due.cumsum(axis=1) <= ordered.cumsum(axis=1) + 1e-3).all()
    longest = model.max_lead
    if longest < params.horizon:
        early = ordered[:, : params.horizon - longest]
        assert (due.sum(axis=1) >= early.sum(axis=1) - 1e-3).all()
    # Demand: served by the item or by a neighbour, lost or waiting.
    lost, backlog, moved = (run.get(f"flow.{name}", none).astype(float) for name in ("lost", "backlog", "substituted"))
    balance = demand.cumsum(axis=1) - (sales + lost).cumsum(axis=1) - backlog
    over_items = balance.sum(axis=2) if params.substitution_share else balance
    assert np.allclose(over_items, 0, atol=4e-3)
    assert (moved <= params.substitution_share * unmet + (1 if params.lot_size else 1e-3)).all()
    assert (np.minimum(np.minimum(moved, lost), waste) >= -1e-3).all()
    assert (unmet >= -1e-3).all()
    assert (unmet <= demand + 1e-3).all()
    # Money: the reward is the sum of the named terms, and of the items.
    signs = {name: 1 if name in ("revenue", "salvage") else -1 for name in run if name.endswith("_cost")}
    signs |= {name: 1 for name in ("revenue", "salvage") if name in run}
    assert np.allclose(run["reward"], sum(sign * run[name] for name, sign in signs.items()), rtol=1e-4, atol=1e-2)
    salvage = run.get("salvage", 0)
    assert np.allclose(run["reward"], run["item_profit"].sum(axis=2) + salvage, rtol=1e-4, atol=1e-2)
    # Whole lots and limits.
    if params.lot_size:
        lots = ordered / params.lot_size
        assert np.allclose(lots, np.round(lots), atol=1e-3)
    assert (ordered <= params.per_item("max_order") * (1 + 1e-6)).all()
    assert (ordered @ params.per_item("purchase_cost") <= params.budget * (1 + 1e-5) + 1e-3).all()
    if np.isfinite(params.capacity):
        volume = params.per_item("volume")
        assert (left @ volume <= max(params.capacity, start @ volume) + 1e-3).all()


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=50)
def test_observations_stay_in_their_space(params, seed):
    model = Inventory(params)
    scenario = model.scenarios([seed])
    act, state, rng = random_policy(model), model.initial(1), 0
    for t in range(model.horizon + 1):
        now = {name: block[:, t] for name, block in scenario.items()}
        observation = model.observation(state, now)
        assert model.observation_space.contains(observation[0])
        named = model.features(observation)
        assert {name: value.shape[1:] for name, value in named.items()} == model.layout
        if "shelf" in named:
            assert np.allclose(named["shelf"].sum(axis=1), named["on_hand"], atol=1e-3)
        action, _ = act(observation, None, rng + t)
        state, _ = model.transition(state, admit(model, action, 1)[0], now)


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=50)
def test_what_was_seen_bounds_demand(params, seed):
    """In whole units: seen demand is demand unless it is marked, and then no more than that."""
    whole = {"lot_size": 1.0, "initial_stock": 5.0, "substitution_share": 0.0}
    model = Inventory(replace(params, forecast="history", history_days=params.horizon, **whole))
    scenario, observations = model.scenarios([seed, seed + 1]), []
    act = random_policy(model)

    def watch(observation, state, seed):
        observations.append(observation)
        return act(observation, state, seed)

    rollout(model, watch, scenario)
    history = model.features(observations[-1])["history"][:, 1:]  # of the periods before the last
    demand = scenario["demand"][:, : params.horizon - 1]
    seen, censored = history[:, :, 0], history[:, :, 1] > 0
    assert np.array_equal(seen[~censored], demand[~censored])
    assert (seen <= demand).all()
    assert (seen >= 0).all()


@given(seed=st.integers(0, 2**40), pmf=st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(sum))
@settings(max_examples=50)
def test_random_orders_never_cross(seed, pmf):
    params = InventoryParams(lead_time_pmf=[p / sum(pmf) for p in pmf], horizon=40, max_order=1e5)
    model = Inventory(params)
    marks = 2.0 ** np.arange(12)  # each order tells itself apart
    run = rollout(model, order_script([*marks, *np.zeros(28)]), model.scenarios([seed]))
    arrived = run["received"].ravel().astype(int)
    order_of_arrival = [k for units in arrived for k in range(12) if units >> k & 1]
    assert order_of_arrival == list(range(12))
    for t, units in enumerate(arrived):
        for k in range(12):
            if units >> k & 1:
                assert 1 <= t + 1 - k <= len(pmf)


def test_the_oracle_tells_the_sum_over_the_protection_interval():
    model = Inventory(InventoryParams(items=2, lead_time=[1, 3], horizon=10, forecast="oracle", quantiles=[0.5, 0.9]))
    scenario = model.scenarios([7])
    longer = Inventory(InventoryParams(items=2, lead_time=[1, 3], horizon=20)).scenarios([7])["demand"][0]
    for t in range(11):
        assert scenario["forecast"][0, t, 0].tolist() == [longer[t : t + 2, 0].sum()] * 2
        assert scenario["forecast"][0, t, 1].tolist() == [longer[t : t + 4, 1].sum()] * 2


@given(params=problems(), seed=st.integers(0, 2**40))
@settings(max_examples=40)
def test_torch_agrees_with_numpy(params, seed):
    torch = pytest.importorskip("torch")
    model, twin = Inventory(params), Inventory(params, xp=torch)
    scenario = model.scenarios([seed, seed + 1])
    tensors = {name: torch.as_tensor(np.array(block)) for name, block in scenario.items()}
    actions = np.random.default_rng(seed).uniform(0, 1, (model.horizon, 2, params.items)) * model.action_high
    if params.action == "multi_discrete":
        actions = np.floor(actions)
    actions = actions.astype(np.float32)
    state, other = model.initial(2), twin.initial(2)
    for t in range(model.horizon):
        shock = {name: block[:, t] for name, block in scenario.items()}
        tensor = {name: block[:, t] for name, block in tensors.items()}
        state, flow = model.transition(state, actions[t], shock)
        other, tflow = twin.transition(other, torch.as_tensor(actions[t]), tensor)
        for f in fields(flow):
            ours, theirs = getattr(flow, f.name), getattr(tflow, f.name)
            assert (ours is None) == (theirs is None)
            if (
                ours is not None and not model.supply.limited
            ):  # sums over items may differ in the last bit, and so a lot
                assert np.array_equal(np.broadcast_to(ours, (2, params.items)), theirs.numpy() + np.zeros_like(ours))
        if not model.supply.limited:
            a, b = model.reward(model.money(flow)), twin.reward(twin.money(tflow)).numpy()
            assert np.allclose(a, b, rtol=1e-5, atol=1e-3)


def test_gradients_flow_through_the_torch_side():
    torch = pytest.importorskip("torch")
    model = Inventory(InventoryParams(lead_time=2, lot_size=0.0, lost_sale_cost=9.0, horizon=20), xp=torch)
    scenario = {name: torch.as_tensor(block) for name, block in model.scenarios(np.arange(64)).items()}
    level = torch.tensor(10.0, requires_grad=True)

    def act(observation, state, seed):
        return torch.relu(level - observation.sum(axis=1, keepdim=True)), state

    rollout(model, act, scenario)["reward"].mean().backward()
    assert level.grad > 0  # 10 is below the best level, so profit rises with it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": 0}, "items: 0 is not allowed, expected an integer >= 1"),
        ({"horizon": 2.5}, "horizon: 2.5"),
        ({"lead_time": -1}, "lead_time: -1"),
        ({"lead_time": [1, 2]}, "lead_time"),
        ({"lead_time_pmf": [0.5, 0.6]}, "lead_time_pmf"),
        ({"backorder_share": 1.5}, "backorder_share: 1.5"),
        ({"price": float("nan")}, "price: nan"),
        ({"holding_cost": "dear"}, "holding_cost: 'dear'"),
        ({"capacity": 0.0}, "capacity: 0.0"),
        ({"budget": -3.0}, "budget: -3.0"),
        ({"max_order": 0.5}, "max_order: 0.5"),
        ({"shelf_life": 0}, "shelf_life: 0 is not allowed, expected an integer >= 1"),
        ({"shelf_life": 1.5}, "shelf_life: 1.5"),
        ({"shelf_life": 101}, "shelf_life: 101 is not allowed, expected an integer >= 1 and <= 100, or inf"),
        ({"issuing": "hifo"}, "issuing: 'hifo' is not allowed, expected one of fifo, lifo"),
        ({"waste_cost": -1}, "waste_cost: -1"),
        ({"yield_mean": 0.0}, "yield_mean: 0.0"),
        ({"yield_mean": 0.5, "yield_std": 0.5}, "yield_std: 0.5 is not allowed, expected 0 or less than 0.5"),
        ({"yield_std": 0.1}, "yield_std: 0.1"),
        ({"disruption_probability": 1.5}, "disruption_probability: 1.5"),
        ({"recovery_probability": 0.0}, "recovery_probability: 0.0"),
        ({"substitution_share": 0.5}, "substitution_share: 0.5 is not allowed with 1 item"),
        ({"action": "lots"}, "action: 'lots'"),
        ({"action": "multi_discrete", "lot_size": 0.0}, "lot_size: 0"),
        ({"forecast": "psychic"}, "forecast: 'psychic'"),
        ({"history_days": 0}, "history_days: 0"),
        ({"quantiles": [0.9, 0.1]}, "quantiles"),
        ({"continuing": "yes"}, "continuing: 'yes'"),
        ({"demand": {"mean": [1.0, 2.0]}}, "demand.mean"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        InventoryParams(**change)


def test_model_forecasts_need_a_source_that_has_them():
    with pytest.raises(ValueError, match="forecast: 'model'"):
        Inventory(InventoryParams(forecast="model"))
