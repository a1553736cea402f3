"""Pricing's references: published numbers, closed forms, and different solvers of one problem that agree."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs import TASKS, HistoryDemand, Pricing, PricingParams
from storelab.envs.core import pmf
from storelab.envs.core.rollout import rollout
from storelab.envs.pricing.references import gallego_van_ryzin as gvr
from storelab.envs.pricing.references import hindsight as price_hindsight
from storelab.envs.pricing.references import mnl, price_dp, reference_price

GRID = np.linspace(1, 3, 11)


def poissons(prices, customers, slots):
    return [pmf.poisson(customers / slots * math.exp(-p)) for p in prices]


# shared/reference/pricing.md: stock, customers, J*, first price, best fixed price's share of J*, the price
TABLE = [
    (1, math.e, 0.693147, 1.693147, 0.9867, 1.4161),
    (5, 40, 9.031026, 2.164413, 0.9505, 2.0292),
    (10, 40, 12.697616, 1.512868, 0.9667, 1.5102),
    (20, 40, 14.640860, 1.041664, 0.9959, 1.0654),
]


@pytest.mark.parametrize(("stock", "customers", "value", "price", "share", "fixed"), TABLE)
def test_gallego_van_ryzin(stock, customers, value, price, share, fixed):
    assert gvr.value(stock, customers) == pytest.approx(value, abs=1e-6)
    assert gvr.price(stock, customers) == pytest.approx(price, abs=1e-6)
    best, revenue = gvr.best_fixed_price(stock, customers)
    assert revenue / value == pytest.approx(share, abs=1e-4)
    assert best == pytest.approx(fixed, abs=1e-4)


@given(st.integers(1, 60), st.floats(0.1, 500), st.floats(0.1, 10))
@settings(max_examples=60)
def test_bounds_hold_in_their_order(stock, customers, sensitivity):
    value = gvr.value(stock, customers, sensitivity)
    assert gvr.best_fixed_price(stock, customers, sensitivity)[1] <= value * (1 + 1e-9)
    assert value <= gvr.fluid(stock, customers, sensitivity)[1] * (1 + 1e-9)
    assert value * sensitivity == pytest.approx(gvr.value(stock, customers))


def test_time_cut_into_slots():
    """Published: K slots with at most one sale each lie 0.62 and 0.06 % above J*; Poisson epochs 0.29 % below."""
    value = gvr.value(10, 40)
    assert gvr.bernoulli_value(10, 40, 100) / value - 1 == pytest.approx(0.0062, abs=5e-5)
    assert gvr.bernoulli_value(10, 40, 1000) / value - 1 == pytest.approx(0.0006, abs=5e-5)
    prices = np.linspace(0.5, 4, 71)
    epochs = price_dp.solve(prices, poissons(prices, 40, 20), 10, 20)
    assert epochs.value / value - 1 == pytest.approx(-0.0029, abs=5e-5)


def test_the_grid_program_agrees_with_the_closed_form_in_the_limit():
    prices = np.linspace(0.8, 4, 161)
    bernoulli = [np.array([1 - q, q]) for q in 40 / 400 * np.exp(-prices)]
    solved = price_dp.solve(prices, bernoulli, 10, 400).value
    assert solved == pytest.approx(gvr.bernoulli_value(10, 40, 400), rel=2e-5)


def test_eleven_prices():
    pmfs = poissons(GRID, 40, 20)
    assert price_dp.solve(GRID, pmfs, 10, 20).value == pytest.approx(12.6448, abs=5e-5)
    fixed = price_dp.fixed_values(GRID, pmfs, 10, 20)
    assert (fixed.max(), GRID[fixed.argmax()]) == (pytest.approx(12.2050, abs=5e-5), pytest.approx(1.6))
    assert fixed[3] == pytest.approx(gvr.fixed_price_value(1.6, 10, 40))


def brute_force(prices, pmfs, stock, horizon, cost, markdown, limit):
    """The value of a tiny problem, by recursion over all decisions."""

    def go(t, x, last, left):
        if t == horizon:
            return 0.0
        best = -math.inf
        for j, p in enumerate(prices):
            change = last is not None and j != last
            if change and (left == 0 or (markdown and j > last)):
                continue
            value = -cost * change
            for d, q in enumerate(pmfs[j]):
                sold = min(d, x)
                value += q * (p * sold + go(t + 1, x - sold, j, left - change))
            best = max(best, value)
        return best

    return go(0, stock, None, limit)


@pytest.mark.parametrize("markdown", [False, True])
@pytest.mark.parametrize(("limit", "cost"), [(math.inf, 0.0), (math.inf, 0.2), (0, 0.0), (1, 0.0), (2, 0.1)])
def test_remembered_prices_against_brute_force(markdown, limit, cost):
    prices, pmfs = [1.0, 2.0, 3.0], [np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2]), np.array([0.7, 0.3])]
    solved = price_dp.solve(prices, pmfs, 4, 4, price_change_cost=cost, markdown=markdown, max_changes=limit)
    assert solved.value == pytest.approx(brute_force(prices, pmfs, 4, 4, cost, markdown, limit))


def test_all_money_terms():
    """One certain sale in each of three periods from five units: revenue 3 (4 - 1), stock 4 + 3 + 2 held, two left."""
    sure = [np.array([0.0, 1.0])]
    money = {"purchase_cost": 1.0, "holding_cost": 0.5, "salvage_value": 2.0}
    assert price_dp.solve([4.0], sure, 5, 3, **money).value == pytest.approx(9 - 4.5 + 4)


def test_lambert_w():
    z = np.concatenate([[0.0], np.logspace(-12, 300, 400)])
    w = mnl.lambert_w(z)
    assert np.allclose(w[1:] + np.log(w[1:]), np.log(z[1:]), rtol=1e-13, atol=1e-12)
    assert w[0] == 0


def test_equal_markup():
    utility, cost = np.array([2.0, 1.5, 1.0]), np.array([0.5, 0.4, 0.3])
    prices, profit = mnl.best_prices(utility, 1.0, cost)
    assert prices == pytest.approx([2.629487, 2.529487, 2.429487], abs=1e-6)
    assert profit == pytest.approx(1.129487, abs=1e-6)
    assert profit == pytest.approx(mnl.shares(utility, 1.0, prices) @ (prices - cost))
    for moved in (prices + step for step in 0.01 * np.eye(3)):
        assert mnl.shares(utility, 1.0, moved) @ (moved - cost) < profit


def test_substitutes_with_stocks():
    solved = mnl.solve([1.0, 1.5], 1.0, 0.5, [5, 5], 40)
    assert solved.value == pytest.approx(17.810472, abs=1e-6)
    assert solved.act(0, [[5, 5]])[0] == pytest.approx([2.162970, 2.529325], abs=1e-6)
    assert np.isinf(solved.act(3, [[0, 2]])[0, 0])


def test_one_logit_item_agrees_with_the_grid_program():
    """The second solver: one item, a fine grid, Bernoulli demand."""
    prices = np.linspace(1, 6, 1001)
    sale = 0.5 * mnl.shares([1.0], 1.0, prices[:, None])[:, 0]
    grid = price_dp.solve(prices, [np.array([1 - q, q]) for q in sale], 4, 30, purchase_cost=0.3, salvage_value=0.2)
    exact = mnl.solve([1.0], 1.0, 0.5, [4], 30, cost=0.3, salvage=0.2)
    assert grid.value == pytest.approx(exact.value, rel=1e-6)


def test_steady_state_and_policy_with_a_reference_price():
    solved = reference_price.solve(10, 1, 2, 0.7, 1, 0.95)
    assert solved.constant == pytest.approx([2.937512], abs=1e-6)
    assert solved.slope == pytest.approx([0.402408], abs=1e-6)
    steady = reference_price.steady_price(10, 1, 2, 0.7, 1, 0.95)
    assert steady == pytest.approx(4.915584, abs=1e-6)
    assert solved.constant / (1 - solved.slope) == pytest.approx([steady])
    assert reference_price.steady_price(10, 1, 2, 0.7, 1, 1.0) == pytest.approx(5.5)  # as without a reference


def test_the_grid_agrees_with_the_linear_quadratic_solution():
    exact = reference_price.solve(10, 1, 2, 0.7, 1, 0.97, 15)
    prices, at = np.linspace(3.5, 5.5, 801), np.linspace(3.5, 5.5, 401)
    value, policy = reference_price.solve_grid(10, 1, 2, 2, 0.7, prices, 15, 1, 0.97, at)
    assert np.interp(4.5, at, value) == pytest.approx(exact.value(4.5), rel=1e-6)
    assert np.interp(4.5, at, policy[0]) == pytest.approx(exact.constant[0] + 4.5 * exact.slope[0], abs=0.01)
    averse, _ = reference_price.solve_grid(10, 1, 2, 4, 0.7, prices, 15, 1, 0.97, at)
    assert (averse <= value + 1e-9).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gvr.value(-1, 40), "stock: -1"),
        (lambda: gvr.value(1.5, 40), "stock: 1.5"),
        (lambda: gvr.price(0, 40), "stock: 0"),
        (lambda: gvr.value(5, 0), "customers: 0"),
        (lambda: gvr.fixed_price_value(-1.0, 5, 40), "price: -1.0"),
        (lambda: gvr.bernoulli_value(5, 40, 0), "slots: 0"),
        (
            lambda: price_dp.solve([1, 2], [np.ones(1)], 3, 3),
            "pmfs: 1 is not allowed as their number, expected one for each of 2 prices",
        ),
        (lambda: price_dp.solve([2, 1], [np.ones(1)] * 2, 3, 3), "prices: .*rising"),
        (
            lambda: price_dp.solve([1], [np.array([0.5])], 3, 3),
            r"pmfs\[0\]: \[0\.5\] is not allowed, expected probabilities that sum to 1",
        ),
        (lambda: price_dp.solve([1], [np.ones(1)], 2.5, 3), "stock: 2.5"),
        (lambda: mnl.lambert_w(-1), "z: "),
        (lambda: mnl.solve([1.0], 1.0, 1.5, [3], 4), "arrival: 1.5"),
        (lambda: mnl.solve([1.0], 1.0, 0.5, [3, 4], 4), "stocks: "),
        (lambda: mnl.solve([1.0] * 9, 1.0, 0.5, [9] * 9, 4), "stocks: .*cells"),
        (lambda: reference_price.solve(10, 1, -2, 0.7, horizon=3), "effect: -2"),
        (lambda: reference_price.solve(10, 1, 2, 1.7, horizon=3), "memory: 1.7"),
        (lambda: reference_price.solve(10, 1, 2, 0.7), "discount: 1.0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("kind", ["elastic", "exponential"])
@pytest.mark.parametrize("stock", [3.0, 8.0, 500.0, math.inf])
def test_hindsight_bounds_every_path_of_prices(kind, stock):
    """Against enumeration: never below the best path, equal to it where stock does not bind, and close else."""
    horizon, prices = 4, [1.0, 1.5, 2.0, 3.0]
    source = HistoryDemand(np.random.default_rng(1).gamma(1.0, 3.0, (60, 1)))
    demand = {"kind": kind, "size": 3.0, "sensitivity": 1.5, "list_price": 1.5}
    held = {"holding_cost": 0.1, "salvage_value": 0.3} if stock < math.inf else {}
    params = {"horizon": horizon, "prices": prices, "purchase_cost": 0.2, "initial_stock": stock, "demand": demand}
    model = Pricing(PricingParams(**params, **held), source)
    scenario = model.scenarios(np.arange(30))
    best = np.full(30, -np.inf)
    for path in itertools.product(range(4), repeat=horizon):
        act = lambda observation, t, seed, path=path: (np.full((30, 1), path[t or 0]), (t or 0) + 1)
        best = np.maximum(best, rollout(model, act, scenario)["reward"].sum(axis=1))
    bound = price_hindsight.bounds(model, scenario)
    assert (bound >= best - 1e-4).all()
    if stock >= 500:
        assert bound == pytest.approx(best, abs=1e-3)
    else:
        assert bound.mean() < 1.15 * best.mean()
    model.params.action = "continuous"  # more prices
    assert (price_hindsight.bounds(model, scenario) >= bound - 1e-4).all()


def test_hindsight_needs_recorded_demand():
    model = TASKS["Pricing"]().model()
    with pytest.raises(
        ValueError, match="kind: 'exponential' is not allowed here, expected exponential or elastic, from a source"
    ):
        price_hindsight.bounds(model, model.scenarios([0]))
