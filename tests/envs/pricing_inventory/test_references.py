"""The dynamic programs of price and order: against enumeration, closed forms, structure and simulation."""

import math
from functools import cache

import numpy as np
import pytest
from storelab.envs.core.rollout import rollout
from storelab.envs.inventory.references import fixed_cost, newsvendor
from storelab.envs.pricing_inventory.model import PricingInventory
from storelab.envs.pricing_inventory.params import DemandCurveParams, PricingInventoryParams
from storelab.envs.pricing_inventory.references import reference, solve

TINY = {
    "horizon": 3,
    "demand": {"size": 1.6, "sensitivity": 0.2},
    "prices": [1.0, 4.0],
    "max_order": 3,
    "purchase_cost": 1.0,
    "holding_cost": 0.2,
    "backorder_cost": 0.7,
    "salvage_value": 0.4,
}
KINDS = {
    "backorder": {},
    "lost": {"unmet": "lost", "lost_sale_cost": 0.3},
    "fixed cost": {"fixed_cost": 1.5, "initial_stock": 2},
    "lost, fixed cost": {"unmet": "lost", "fixed_cost": 1.5},
    "one period of life": {"shelf_life": 1, "waste_cost": 0.5},
    "two periods": {"shelf_life": 2, "waste_cost": 0.5, "unmet": "lost", "initial_stock": 2},
    "three periods": {"shelf_life": 3, "waste_cost": 0.5, "unmet": "lost", "initial_stock": 4},
    "three periods, backorder, fixed cost": {"shelf_life": 3, "waste_cost": 0.5, "fixed_cost": 1.5},
}


def enumerated(p: PricingInventoryParams) -> float:
    """Return the best expected profit by trying every price and order in every state, unit by unit."""
    lasts = p.horizon if math.isinf(p.shelf_life) else int(p.shelf_life)  # nothing is older than the season

    @cache
    def best(t: int, shelf: tuple[int, ...], waiting: int) -> float:
        """`shelf`: units by the periods they have left, one to `lasts` of them; the oldest first."""
        if t == p.horizon:
            return p.salvage_value * sum(shelf) - p.purchase_cost * waiting
        values = []
        for price in p.prices:
            mean = max(p.demand.size - p.demand.sensitivity * price, 0)
            for order in range(p.max_order + 1):
                value = -p.purchase_cost * order - p.fixed_cost * (order > 0)
                for demand in range(18):
                    chance = math.exp(-mean) * mean**demand / math.factorial(demand)
                    value += chance * after(t, [*shelf[:-1], shelf[-1] + order], waiting, price, demand)
                values.append(value)
        return max(values)

    def after(t, shelf, waiting, price, demand):
        """Return the period's money without the order, and what follows; the waiting customers come first."""
        shelf, money, queue = list(shelf), 0.0, 0
        for customer in range(waiting + demand):
            new = customer >= waiting
            stocked = [k for k, units in enumerate(shelf) if units]
            if stocked:
                shelf[stocked[0]] -= 1
                money += price * new
            elif p.unmet == "backorder":
                queue += 1
                money += price * new
            else:
                money -= p.lost_sale_cost
        if math.isfinite(p.shelf_life):
            money -= p.waste_cost * shelf[0]
            shelf = [*shelf[1:], 0]
        money -= p.holding_cost * sum(shelf) + p.backorder_cost * queue
        return money + best(t + 1, tuple(shelf), queue)

    start = [0] * lasts
    start[-1 if math.isinf(p.shelf_life) or lasts == 1 else -2] = p.initial_stock
    return best(0, tuple(start), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_dynamic_program_is_the_best_of_all_policies(kind):
    params = PricingInventoryParams(**TINY | KINDS[kind])
    assert solve(params).value == pytest.approx(enumerated(params), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ["grid", "continuous"])
def test_simulation_agrees(kind, action):
    changes = {"horizon": 6, "max_order": 9, "demand": {"size": 6.0, "sensitivity": 1.0}, "action": action}
    model = PricingInventory(PricingInventoryParams(**TINY | KINDS[kind] | changes))
    known = reference(model)
    run = rollout(model, known.policy, model.scenarios(np.arange(20_000)))
    profit = run["reward"].sum(axis=1, dtype=float)
    error = profit.std() / math.sqrt(len(profit))
    assert abs(profit.mean() - known.value) < 4 * error + known.tolerance
    assert not run["clipped_actions"].any()


def test_negative_binomial_and_curves_agree_with_simulation():
    for demand in ({"noise": "negative_binomial", "dispersion": 1.5}, {"kind": "exponential", "sensitivity": 0.2},
                   {"kind": "logit", "utility": 4.0, "sensitivity": 0.7}):  # fmt: skip
        model = PricingInventory(PricingInventoryParams(demand=demand, fixed_cost=10.0, horizon=8))
        known = reference(model)
        profit = rollout(model, known.policy, model.scenarios(np.arange(20_000)))["reward"].sum(axis=1, dtype=float)
        assert abs(profit.mean() - known.value) < 4 * profit.std() / math.sqrt(len(profit)), demand


def table(params: PricingInventoryParams, low: int, high: int):
    """Return the optimal orders and prices (T, levels) at net stocks from `low` to `high`, and the levels."""
    solution = solve(params)
    part = slice(low - solution.lowest, high + 1 - solution.lowest)
    return solution.order[:, part], solution.prices[solution.choice[:, part]], np.arange(low, high + 1), solution.levels


def test_a_base_stock_list_price_policy_without_a_fixed_cost():
    """Federgruen and Heching 1999: order up to S, the list price there, and a price that falls with the stock above."""
    prices = np.arange(3, 9.01, 0.1).tolist()
    order, price, net, levels = table(PricingInventoryParams(prices=prices, horizon=8), -30, 60)
    for t in range(8):
        up_to, listed = levels["order_up_to"][t], levels["list_price"][t]
        assert np.array_equal(order[t], np.maximum(up_to - net, 0))
        assert (np.diff(price[t]) <= 1e-9).all()
        assert price[t, net <= up_to] == pytest.approx(listed)
        assert levels["reorder"][t] == up_to - 1
    assert price[0, -1] < price[0, 0] - 0.5  # and it does fall


def test_an_s_S_p_policy_with_a_fixed_cost():
    """Chen and Simchi-Levi 2004: an order up to S where the net stock is s or less, else none."""
    order, price, net, levels = table(PricingInventoryParams(fixed_cost=30.0), -15, 100)
    for t in range(20):
        s, up_to = levels["reorder"][t], levels["order_up_to"][t]
        low = net <= s
        assert np.array_equal(net[low] + order[t, low], np.full(low.sum(), up_to))
        assert not order[t, ~low].any()
        if low.any():
            assert price[t, low] == pytest.approx(levels["list_price"][t])
    gap = np.array(levels["order_up_to"]) - np.array(levels["reorder"])
    assert (gap[:-1] > 5).all()


def test_one_period_is_the_newsvendor_with_a_price():
    """For each price the critical fractile, then the best price (Petruzzi and Dada 1999, Operations Research 47(2))."""
    p = PricingInventoryParams(horizon=1, unmet="lost", lost_sale_cost=0.5, prices=np.arange(3, 9, 0.25).tolist())
    values, orders = [], []
    for price in p.prices:
        mean = 20 - 2 * price
        pmf = np.array([math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(120)])
        demand, missing = np.arange(120), price + 0.5 - 2
        order = int(np.argmax(np.cumsum(pmf) >= missing / (missing + 2 + 0.5 - 1)))
        sold, lost = pmf @ np.minimum(demand, order), pmf @ np.maximum(demand - order, 0)
        orders.append(order)
        values.append(price * sold - 2 * order - 0.5 * lost + (1 - 0.5) * (order - sold))
    solution, best = solve(p), int(np.argmax(values))
    assert solution.value == pytest.approx(values[best], abs=1e-6)
    assert (solution.order[0, 0], solution.choice[0, 0]) == (orders[best], best)


def test_one_price_is_the_newsvendor():
    p = PricingInventoryParams(horizon=1, unmet="lost", lost_sale_cost=0.5, prices=[6.0])
    level, cost = newsvendor.solve(p.demand.pmf(6.0), 2 + 0.5 - 1, 6 + 0.5 - 2)
    solution = solve(p)
    assert solution.levels["order_up_to"] == [level]
    assert solution.value == pytest.approx((6.0 - 2.0) * 8.0 - cost, abs=1e-6)


def test_one_price_and_many_periods_is_the_optimal_s_S():
    """One period more brings the margin less the average cost of the optimal (s, S): Zheng and Federgruen 1991."""
    p = PricingInventoryParams(prices=[6.0], fixed_cost=30.0, horizon=60, salvage_value=2.0)
    low, high, cost = fixed_cost.solve(p.demand.pmf(6.0), 0, p.holding_cost, p.backorder_cost, p.fixed_cost)
    longer = PricingInventoryParams(**vars(p) | {"horizon": 61})
    assert solve(longer).value - solve(p).value == pytest.approx((6.0 - 2.0) * 8.0 - cost, abs=1e-3)
    levels = solve(p).levels
    assert (levels["reorder"][0], levels["order_up_to"][0]) == (low, high)


def test_a_fine_grid_of_prices_is_better_and_converges():
    known = reference(PricingInventory(PricingInventoryParams(action="continuous", horizon=5)))
    coarse = solve(PricingInventoryParams(horizon=5)).value
    finer = solve(PricingInventoryParams(horizon=5), np.linspace(3, 9, 1201)).value
    assert coarse < known.value <= finer <= known.value + known.tolerance


def test_long_lives_are_goods_that_keep():
    keep, long = (PricingInventoryParams(**TINY | {"shelf_life": life}) for life in (math.inf, 4))
    assert solve(long).value == pytest.approx(solve(keep).value, abs=1e-9)  # the season has three periods


def test_the_reference_tells_what_it_is():
    known = reference(PricingInventory(PricingInventoryParams(**TINY)))
    assert (known.kind, known.criterion, known.unit) == ("exact", "finite horizon", "profit per episode")
    assert set(known.levels) == {"order_up_to", "reorder", "list_price"}
    assert all(len(level) == 3 for level in known.levels.values())
    assert "Federgruen" in known.source


@pytest.mark.parametrize(
    "changes", [{"shelf_life": 8}, {"shelf_life": 100, "initial_stock": 10**6}, {"horizon": 5000, "max_order": 1000}]
)
def test_too_many_states_are_refused(changes):
    with pytest.raises(ValueError, match="cells"):
        solve(PricingInventoryParams(**changes))


def test_the_curves():
    prices = np.array([0.0, 2.0, 50.0])
    linear = DemandCurveParams(size=10.0, sensitivity=2.0)
    assert linear.mean(prices).tolist() == [10.0, 6.0, 0.0]
    exponential = DemandCurveParams("exponential", 10.0, 0.5)
    assert exponential.mean(prices) == pytest.approx(10 * np.exp(-0.5 * prices))
    logit = DemandCurveParams("logit", 10.0, 2.0, 3.0)
    assert logit.mean(prices) == pytest.approx(10 / (1 + np.exp(2.0 * prices - 3.0)))
    assert linear.pmf(50.0).tolist() == [1.0]
    assert linear.pmf(2.0) @ np.arange(len(linear.pmf(2.0))) == pytest.approx(6.0)
