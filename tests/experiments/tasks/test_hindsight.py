"""The bound in hindsight: nobody beats it, foresight attains it, and small cases agree with trying everything."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import Inventory, InventoryParams, PathDemand
from storelab.envs.core.demand import Days
from storelab.envs.core.rollout import rollout
from storelab.experiments.tasks.hindsight import hindsight_bound


def store(draw):
    items, horizon = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    per_item = lambda strategy: draw(st.lists(strategy, min_size=items, max_size=items))
    money = st.floats(0, 10)
    cost = per_item(money)
    params = InventoryParams(
        items=items,
        horizon=horizon,
        continuing=draw(st.booleans()),
        lead_time=per_item(st.integers(0, 4)),
        price=per_item(money),
        purchase_cost=cost,
        holding_cost=per_item(money),
        lost_sale_cost=per_item(money),
        fixed_cost=draw(st.sampled_from([0.0, 3.0])),
        salvage_value=[c * draw(st.floats(0, 1)) for c in cost],
        initial_stock=per_item(st.integers(0, 8)),
        max_order=30.0,
        yield_mean=draw(st.sampled_from([1.0, 0.7])),
        disruption_probability=draw(st.sampled_from([0.0, 0.2])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    days = horizon + 20
    prices = Days(price=rng.uniform(0, 12, (days, items))) if draw(st.booleans()) else None
    return Inventory(params, PathDemand(rng.poisson(3, (1, days, items)), prices)), rng


@settings(max_examples=150)
@given(st.data())
def test_nobody_beats_it(data):
    model, rng = store(data.draw)
    scenario = model.scenarios(np.arange(3))
    bound = hindsight_bound(model, scenario)
    for most in (1, 4, 30):
        act = lambda observation, memory, seed, most=most: (rng.uniform(0, most, (3, model.params.items)), memory)
        profit = rollout(model, act, scenario)["reward"].sum(axis=1)
        assert (profit <= bound + 1e-3 * (1 + abs(bound))).all()


@settings(max_examples=100)
@given(st.data())
def test_foresight_attains_it(data):
    """Without a fixed cost and initial stock: order what will be sold when it comes, if that pays."""
    model, _ = store(data.draw)
    changes = vars(model.params) | {"fixed_cost": 0.0, "initial_stock": 0.0}
    changes |= {"yield_mean": 1.0, "disruption_probability": 0.0}
    model = Inventory(InventoryParams(**changes), model.source)
    scenario = model.scenarios(np.arange(2))
    price = scenario.get("price", np.broadcast_to(model.params.per_item("price"), scenario["demand"].shape))
    margin = price + model.params.per_item("lost_sale_cost") - model.params.per_item("purchase_cost")
    wanted = np.where(margin > 0, scenario["demand"], 0)[:, : model.horizon]
    wanted = np.pad(wanted, ((0, 0), (0, 5), (0, 0)))
    items, clock = np.arange(model.params.items), itertools.count()

    def act(observation, memory, seed):
        return wanted[:, next(clock) + model.lead, items], memory

    profit = rollout(model, act, scenario)["reward"].sum(axis=1)
    np.testing.assert_allclose(profit, hindsight_bound(model, scenario), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_trying_everything(seed):
    """One item, four periods: every sequence of orders of 0 to 3 units."""
    rng = np.random.default_rng(seed)
    horizon, lead = 4, seed % 3
    params = InventoryParams(
        horizon=horizon,
        continuing=bool(seed % 2),
        lead_time=lead,
        purchase_cost=float(rng.uniform(0, 4)),
        holding_cost=float(rng.uniform(0, 1.5)),
        lost_sale_cost=float(rng.uniform(0, 2)),
        initial_stock=float(rng.integers(0, 5)),
        price=float(rng.uniform(0, 6)),
        max_order=3.0,
    )
    model = Inventory(params, PathDemand(rng.integers(0, 4, (1, horizon + lead + 1, 1))))
    plans = np.array(list(itertools.product(range(4), repeat=horizon)))
    scenario = {name: np.repeat(block, len(plans), axis=0) for name, block in model.scenarios([0]).items()}
    clock = itertools.count()
    profit = rollout(model, lambda o, memory, s: (plans[:, [next(clock)]], memory), scenario)["reward"].sum(axis=1)
    assert profit.max() == pytest.approx(hindsight_bound(model, scenario)[0], abs=1e-4)


def test_refuses_what_has_no_such_bound():
    refused = {"backorder_share": 0.5, "salvage_value": 2.0, "substitution_share": 0.5, "shelf_life": 3}
    for word, value in refused.items():
        model = Inventory(InventoryParams(items=2, continuing=False, **{word: value}))
        with pytest.raises(ValueError, match=word):
            hindsight_bound(model, model.scenarios([0]))


def test_random_lead_times_count_with_the_shortest():
    changes = {"price": 5.0, "purchase_cost": 2.0, "lost_sale_cost": 1.0, "holding_cost": 0.0}
    random = Inventory(InventoryParams(lead_time_pmf=[0.0, 0.5, 0.5], **changes))
    fixed = Inventory(InventoryParams(lead_time=2, **changes))
    scenario = random.scenarios([0, 1])
    assert (hindsight_bound(random, scenario) == hindsight_bound(fixed, scenario)).all()
