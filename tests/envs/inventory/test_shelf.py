"""Issuing by age, outdating and substitution, worked out by hand and in the mean."""

import numpy as np
import pytest
from storelab.envs import Inventory, InventoryParams
from storelab.envs.core import pmf
from storelab.envs.core.rollout import rollout
from storelab.envs.inventory.references import newsvendor


def run_of(orders, demand, **changes):
    """Roll a script of orders (T, I) out on given demand (T, I); every flow (T, I)."""
    demand = np.atleast_2d(np.array(demand, np.float32).T).T
    orders = np.broadcast_to(np.reshape(orders, (len(demand), -1)), demand.shape).astype(np.float32)
    params = InventoryParams(items=demand.shape[1], horizon=len(demand), max_order=99.0, **changes)
    script, model = iter(orders), Inventory(params)
    scenario = model.scenarios([0]) | {"demand": np.vstack([demand, demand[:1]])[None]}
    run = rollout(model, lambda observation, state, seed: (next(script)[None], state), scenario, trace=True)
    return {name.removeprefix("flow."): values[0] for name, values in run.items() if name.startswith("flow.")}


@pytest.mark.parametrize(
    ("issuing", "waste", "sales", "on_hand"),
    [("fifo", [0, 0, 1], [2, 4, 1], [3, 2, 0]), ("lifo", [0, 2, 0], [2, 4, 0], [3, 0, 0])],
)
def test_two_periods_of_life_by_hand(issuing, waste, sales, on_hand):
    run = run_of([5, 3, 0], [2, 4, 1], lead_time=0, shelf_life=2, issuing=issuing)
    assert run["waste"].ravel().tolist() == waste
    assert run["sales"].ravel().tolist() == sales
    assert run["on_hand"].ravel().tolist() == on_hand


def test_units_arrive_fresh_and_lives_differ_by_item():
    """Lead time 2: what is ordered in period 0 can be sold in periods 2 to 1 + life, and is waste at the last's end."""
    run = run_of([[4] * 4, *[[0] * 4] * 6], np.zeros((7, 4)), lead_time=2, shelf_life=[1, 2, 4, np.inf])
    assert np.argwhere(run["waste"] > 0).tolist() == [[2, 0], [3, 1], [5, 2]]
    assert run["on_hand"][-1].tolist() == [0, 0, 0, 4]


def test_a_life_beyond_the_horizon_changes_nothing():
    changes = {"items": 2, "lead_time": [0, 3], "horizon": 30, "backorder_share": 0.5, "initial_stock": 9.0}
    plain, perishable = (Inventory(InventoryParams(**changes, shelf_life=life)) for life in (np.inf, 40))
    act = lambda observation, state, seed: (np.random.default_rng(seed).uniform(0, 15, (5, 2)), state)
    runs = [rollout(m, act, m.scenarios(np.arange(5))) for m in (plain, perishable)]
    assert all(np.array_equal(values, runs[1][name]) for name, values in runs[0].items())
    assert runs[1]["waste"].sum() == 0


def test_neighbours_serve_once_and_the_item_before_first():
    """Item 1 has 5 left for item 0's 4 customers and the half of item 2's who turn to it; item 3's find nothing."""
    run = run_of([[0, 8, 0, 0]], [[4, 3, 4, 2]], lead_time=0, substitution_share=1.0)
    assert run["sales"][0].tolist() == [0, 8, 0, 0]
    assert run["unmet"][0].tolist() == [4, 0, 4, 2]
    assert run["substituted"][0].tolist() == [4, 0, 1, 0]
    assert run["lost"][0].tolist() == [0, 0, 3, 2]


def test_shares_of_whole_units_are_exact_in_the_mean():
    """Of 5 customers 0.3 turn, half to either side, who have plenty."""
    params = InventoryParams(items=3, horizon=1, lead_time=0, initial_stock=[50, 0, 50], substitution_share=0.3)
    model = Inventory(params)
    scenario = model.scenarios(np.arange(20_000))
    scenario["demand"][:] = [0, 5, 0]
    run = rollout(model, lambda observation, state, seed: (np.zeros((20_000, 3)), state), scenario, trace=True)
    before, _, after = run["flow.sales"][:, 0].T
    assert set(np.unique(before + after)) == {1, 2}
    for sold in (before, after):
        assert abs(sold.mean() - 0.75) < 4 * sold.std() / np.sqrt(len(sold))


def test_two_items_cost_what_enumeration_says():
    """Order-up-to levels of two items that stand in for each other (lead time 0: every period starts at them).

    The expected cost is summed over both demands and the rounding of who turns; the best levels are lower than the
    newsvendor's, and cost less than these do.
    """
    share, holding, lost = 0.6, 1.0, 4.0
    mass = pmf.poisson(4)
    weight, (first, second) = mass[:, None] * mass, np.indices((len(mass), len(mass)))

    def cost(levels):
        left = [np.maximum(level - demand, 0) for level, demand in zip(levels, (first, second), strict=True)]
        unmet = [np.maximum(demand - level, 0) for level, demand in zip(levels, (first, second), strict=True)]
        total = 0
        for here, there in ((0, 1), (1, 0)):
            low = np.floor(share * unmet[here])
            up = share * unmet[here] - low
            served = (1 - up) * np.minimum(low, left[there]) + up * np.minimum(low + 1, left[there])
            total = total + holding * (left[there] - served) + lost * (unmet[here] - served)
        return (weight * total).sum()

    grid = {(a, b): cost((a, b)) for a in range(9) for b in range(9)}
    best, alone = min(grid, key=grid.get), newsvendor.solve(mass, holding, lost)[0]
    assert (best, alone) == ((5, 5), 6)
    params = InventoryParams(
        items=2, demand={"mean": 4.0}, lead_time=0, holding_cost=holding, lost_sale_cost=lost, initial_stock=0.0,
        substitution_share=share, action="base_stock", max_order=20.0, horizon=100,
    )  # fmt: skip
    model = Inventory(params)
    scenario = model.scenarios(np.arange(400))
    for levels in (best, (alone, alone), (6, 1)):
        act = lambda observation, state, seed, levels=levels: (np.tile(np.float32(levels), (400, 1)), state)
        mean = -rollout(model, act, scenario)["reward"].mean(axis=1)
        assert abs(mean.mean() - grid[levels]) < 4 * mean.std() / 20


def test_gradients_flow_through_all_of_it():
    """The derivative of the mean profit agrees with the slope between two levels close by."""
    torch = pytest.importorskip("torch")
    params = InventoryParams(
        items=2, lead_time=1, lot_size=0.0, lost_sale_cost=9.0, horizon=20, shelf_life=2, waste_cost=3.0,
        yield_mean=0.8, yield_std=0.1, disruption_probability=0.1, recovery_probability=0.5, substitution_share=0.4,
        price=[5.0, 4.0],
    )  # fmt: skip
    model = Inventory(params, xp=torch)
    scenario = {name: torch.as_tensor(block) for name, block in model.scenarios(np.arange(256)).items()}

    def profit(level):
        act = lambda observation, state, seed: (torch.relu(level - observation[:, :2]), state)
        return rollout(model, act, scenario)["reward"].double().mean()

    level = torch.tensor(8.0, requires_grad=True)
    profit(level).backward()
    slope = (profit(torch.tensor(8.02)) - profit(torch.tensor(7.98))) / 0.04
    assert abs(level.grad) > 0.01
    assert abs(level.grad - slope) < 0.02 * abs(slope) + 0.005
