import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from storelab.envs.core import pmf
from storelab.envs.inventory.references import fixed_cost, newsvendor

small_masses = st.lists(st.integers(0, 5), min_size=2, max_size=5).filter(lambda w: sum(w[1:]) > 0)


@pytest.mark.parametrize(
    ("mean", "s", "S", "cost"), [(10, 6, 40, 35.02156), (20, 14, 62, 49.17304), (50, 42, 108, 70.97521)]
)
def test_zheng_and_federgruen_table(mean, s, S, cost):
    solution = fixed_cost.solve(pmf.poisson(mean), 0, 1, 9, 64)
    assert solution[:2] == (s, S)
    assert round(solution[2], 5) == cost


def test_snyder_and_shen_example_4_7():
    s, S, cost = fixed_cost.solve(pmf.poisson(6), 0, 1, 4, 5)
    assert (s, S, round(cost, 6)) == (4, 10, 8.034112)


def simulate(s, S, mass, lead_time, h, b, K, periods, chains):
    """Average cost by the convention of the module, with the pipeline written out; mean and standard error."""
    rng = np.random.default_rng(7)
    demand = rng.choice(len(mass), p=mass, size=(periods, chains))
    net, pipeline, cost = np.full(chains, S), [np.zeros(chains, int)] * lead_time, np.zeros(chains)
    for t in range(periods):
        position = net + sum(pipeline)
        order = np.where(position <= s, S - position, 0)
        pipeline = [*pipeline, order]
        net = net + pipeline.pop(0) - demand[t]
        if t >= 100:
            cost += K * (order > 0) + h * np.maximum(net, 0) + b * np.maximum(-net, 0)
    cost /= periods - 100
    return cost.mean(), cost.std() / np.sqrt(chains)


@pytest.mark.parametrize("lead_time", [0, 1, 3])
def test_formula_agrees_with_simulation(lead_time):
    mass = pmf.negative_binomial(4, 2)
    s, S, cost = fixed_cost.solve(mass, lead_time, 1, 4, 10)
    mean, error = simulate(s, S, mass, lead_time, 1, 4, 10, periods=1100, chains=1000)
    assert error < 0.02 * cost
    assert abs(mean - cost) < 4 * error
    assert fixed_cost.evaluate(s, S, mass, lead_time, 1, 4, 10) == pytest.approx(cost, abs=1e-12)


@settings(max_examples=25)
@given(small_masses, st.integers(0, 2), st.floats(0.2, 5), st.floats(0.2, 20), st.floats(0, 30))
def test_matches_brute_force(weights, lead_time, h, b, K):
    mass = np.array(weights) / sum(weights)
    s, S, cost = fixed_cost.solve(mass, lead_time, h, b, K)
    assert fixed_cost.evaluate(s, S, mass, lead_time, h, b, K) == pytest.approx(cost, abs=1e-9)
    others = [
        fixed_cost.evaluate(other_s, other_S, mass, lead_time, h, b, K)
        for other_S in range(S - 8, S + 9)
        for other_s in range(min(s, other_S) - 8, other_S)
    ]
    assert cost <= min(others) + 1e-9


@given(small_masses, st.integers(0, 3), st.floats(0.2, 5), st.floats(0.2, 20))
@example([0, 1, 1], 0, 0.95, 0.95)  # two levels tie but for rounding
def test_no_fixed_cost_is_a_newsvendor_over_the_lead_time(weights, lead_time, h, b):
    mass = np.array(weights) / sum(weights)
    level, cost = newsvendor.solve(pmf.total(mass, lead_time + 1), h, b)
    s, S, value = fixed_cost.solve(mass, lead_time, h, b, 0)
    assert value == pytest.approx(cost, abs=1e-9)
    assert s < S
    assert fixed_cost.evaluate(level - 1, level, mass, lead_time, h, b, 0) == pytest.approx(cost, abs=1e-9)


def test_cost_grows_with_the_fixed_cost():
    costs = [fixed_cost.solve(pmf.geometric(5), 1, 1, 9, K)[2] for K in (0, 1, 10, 100, 1000)]
    assert costs == sorted(costs)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lead_time": -1}, "lead_time: -1"),
        ({"lead_time": 1.5}, "lead_time: 1.5"),
        ({"holding_cost": 0}, "holding_cost: 0"),
        ({"backorder_cost": float("nan")}, "backorder_cost: nan"),
        ({"fixed_cost": -1}, "fixed_cost: -1"),
    ],
)
def test_bad_input_is_named(changes, match):
    arguments = {"pmf": [0.5, 0.5], "lead_time": 0, "holding_cost": 1, "backorder_cost": 4, "fixed_cost": 5}
    with pytest.raises(ValueError, match=match):
        fixed_cost.solve(**{**arguments, **changes})


def test_reorder_level_below_order_up_to_level():
    with pytest.raises(ValueError, match="s: 5 is not allowed, expected an integer < S, 5"):
        fixed_cost.evaluate(5, 5, [0.5, 0.5], 0, 1, 4, 5)
