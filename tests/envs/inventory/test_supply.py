"""Yield and disruptions: their means, and a closed form."""

import numpy as np
import pytest
from storelab.envs import HistoryDemand, Inventory, InventoryParams
from storelab.envs.core import pmf
from storelab.envs.core.rollout import rollout
from storelab.envs.inventory.references import newsvendor


@pytest.mark.parametrize("lead", [[], [0.5, 0.3, 0.2]])
def test_yield_is_exact_in_the_mean_and_whole(lead):
    """Orders of 7 at mean 0.6, deviation 0.2: u beta, so that received has mean 4.2 and at least 7^2 0.2^2 variance."""
    params = InventoryParams(yield_mean=0.6, yield_std=0.2, lead_time_pmf=lead, horizon=40)
    model = Inventory(params)
    act = lambda observation, state, seed: (np.full((2000, 1), 7.0), state)
    run = rollout(model, act, model.scenarios(np.arange(2000)))
    total = run["received"] + run["shrinkage"]  # whole orders: in random lead times none or several in a period
    assert np.array_equal(total % 7, 0 * total)
    assert np.array_equal(run["received"] % 1, 0 * total)
    share = run["received"].sum(axis=1) / total.sum(axis=1)
    assert abs(share.mean() - 0.6) < 4 * share.std() / np.sqrt(2000)
    single = run["received"][total == 7]
    # Rounding at random adds the mean of f (1 - f) over the fraction f of u q, at most 1/4.
    assert 49 * 0.04 < single.var() < 49 * 0.04 + 0.25
    assert np.corrcoef(run["received"][:, 5], run["received"][:, 6])[0, 1] < 0.1 or lead  # each order has its own


def test_divisible_goods_keep_their_share():
    model = Inventory(InventoryParams(yield_mean=0.6, lot_size=0.0, horizon=5))
    run = rollout(model, lambda observation, state, seed: (np.full((1, 1), 7.0), state), model.scenarios([0]))
    assert np.allclose(run["received"], 4.2)


def test_suppliers_are_down_as_long_as_the_chain_says():
    params = InventoryParams(items=2, disruption_probability=[0.1, 0.0], recovery_probability=0.25, horizon=400)
    model = Inventory(params)
    scenario = model.scenarios(np.arange(200))
    up = scenario["supplier"][:, 100:]
    assert (up[..., 1] == 1).all()
    assert abs(up[..., 0].mean() - 0.25 / 0.35) < 0.01
    for before, after in ((1, 0.1), (0, 0.75)):  # P(down next | up), P(down next | down)
        assert abs((1 - up[:, 1:, 0][up[:, :-1, 0] == before]).mean() - after) < 0.01
    run = rollout(model, lambda observation, state, seed: (np.full((200, 2), 4.0), state), scenario, trace=True)
    assert np.array_equal(run["flow.ordered"], 4 * scenario["supplier"][:, :-1])
    assert np.array_equal(run["flow.overflow"], 4 - run["flow.ordered"])


@pytest.mark.parametrize("level", [10, 30, 40])
def test_base_stock_under_disruptions_costs_what_the_closed_form_says(level):
    """Snyder and Shen 2019, section 9.2: demand d each period, no lead time, backorders. With probability pi_n the
    supplier has been down for n periods, pi_0 = b / (a + b), pi_n = a b / (a + b) (1 - b)^(n - 1), and the net
    inventory is S - (n + 1) d."""
    a, b, d, h, p = 0.1, 0.3, 10, 1.0, 9.0
    n = np.arange(200)
    pi = np.where(n == 0, b / (a + b), a * b / (a + b) * (1 - b) ** np.maximum(n - 1, 0.0))
    net = level - (n + 1) * d
    expected = pi @ (h * np.maximum(net, 0) + p * np.maximum(-net, 0))
    params = InventoryParams(
        lead_time=0, backorder_share=1.0, holding_cost=h, backorder_cost=p, disruption_probability=a,
        recovery_probability=b, horizon=1000, max_order=1e5, action="base_stock",
    )  # fmt: skip
    model = Inventory(params, HistoryDemand(np.full((1001, 1), d)))
    act = lambda observation, state, seed: (np.full((800, 1), float(level)), state)
    cost = -rollout(model, act, model.scenarios(np.arange(800)))["reward"][:, 100:].mean(axis=1)
    assert abs(cost.mean() - expected) < 4 * cost.std() / np.sqrt(800)
    assert cost.std() / np.sqrt(800) < 0.01 * expected


def test_a_season_of_random_yield_costs_what_the_closed_form_says():
    """One order of divisible goods at once, Poisson(6) demand: the optimal order, and one that ignores the spread."""
    pytest.importorskip("scipy")
    costs = {"holding_cost": 1.0, "lost_sale_cost": 4.0, "purchase_cost": 0.5}
    params = InventoryParams(
        demand={"mean": 6.0}, lead_time=0, initial_stock=0.0, yield_mean=0.6, yield_std=0.2, lot_size=0.0, horizon=1,
        continuing=False, max_order=60.0, **costs,
    )  # fmt: skip
    order, cost = newsvendor.solve_yield(pmf.poisson(6), 1.0, 4.0, 0.6, 0.2, purchase_cost=0.5)
    model = Inventory(params)
    scenario, rewards = model.scenarios(np.arange(8_000)), {}
    for units in (order, 8 / 0.6):
        act = lambda observation, state, seed, units=units: (np.full((8_000, 1), units), state)
        rewards[units] = -rollout(model, act, scenario)["reward"].sum(axis=1)
    best = rewards.pop(order)
    assert abs(best.mean() - cost) < 4 * best.std() / 8_000**0.5
    (other,) = rewards.values()
    assert (other - best).mean() > 4 * (other - best).std() / 8_000**0.5
