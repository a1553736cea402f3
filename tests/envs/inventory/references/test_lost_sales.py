from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs.core import pmf
from storelab.envs.inventory.references import lost_sales, newsvendor
from storelab.envs.inventory.references.chain import decode, encode

# Zipkin 2008, recomputed exactly: h = 1, Poisson demand of mean 5.
# (L, p): optimum, (base-stock, S), (capped base-stock, S, cap), myopic. The capped ones stem from a local descent.
TABLE = {
    (1, 4): (4.0407, (4.1628, 12), (4.0654, 12, 6), 4.1113),
    (2, 4): (4.3953, (4.6386, 16), (4.4057, 17, 5), 4.5581),
    (4, 4): (4.7285, (5.1978, 25), (4.7978, 26, 5), 5.0628),
    (1, 9): (5.4382, (5.5475, 13), (5.4812, 14, 6), 5.4472),
    (2, 9): (6.0936, (6.3163, 19), (6.1191, 19, 6), 6.2231),
    (4, 9): (6.8359, (7.2709, 28), (6.9123, 29, 5), 7.1991),
    (1, 19): (6.6757, (6.7278, 15), (6.6877, 15, 8), 6.6881),
    (2, 19): (7.6644, (7.8422, 21), (7.7209, 21, 7), 7.7732),
    (4, 19): (8.8872, (9.2319, 31), (8.9544, 31, 6), 9.1810),
    (1, 39): (7.8359, (7.8626, 16), (7.8425, 16, 9), 7.8845),
    (2, 39): (9.1064, (9.1903, 22), (9.1326, 22, 8), 9.1573),
    (4, 39): (10.7944, (11.0623, 33), (10.8926, 34, 6), 11.0431),
}
POISSON = pmf.poisson(5)

instances = pytest.mark.parametrize(("lead_time", "p"), TABLE)
searches = pytest.mark.parametrize(
    ("lead_time", "p"),
    [pytest.param(*key, marks=[pytest.mark.slow] * (key in {(4, 19), (4, 39)})) for key in TABLE],
)
small = {
    "weights": st.lists(st.integers(0, 5), min_size=2, max_size=4).filter(lambda w: sum(w[1:]) > 0),
    "lead_time": st.integers(0, 2),
    "h": st.floats(0.2, 3),
    "p": st.floats(0.2, 30),
}


@instances
def test_optimum_of_the_table(lead_time, p):
    solution = lost_sales.solve(POISSON, lead_time, 1, p, tolerance=1e-7)
    assert round(solution.cost, 4) == TABLE[lead_time, p][0]
    assert solution.lower <= solution.cost <= solution.upper <= solution.lower + 1e-7
    assert lost_sales.evaluate(POISSON, lead_time, 1, p, solution.act) == pytest.approx(solution.cost, abs=1e-6)


@searches
def test_base_stock_of_the_table(lead_time, p):
    cost, level = lost_sales.base_stock(POISSON, lead_time, 1, p)
    assert (round(cost, 4), level) == TABLE[lead_time, p][1]


@searches
def test_capped_base_stock_of_the_table(lead_time, p):
    cost, level, cap = lost_sales.capped_base_stock(POISSON, lead_time, 1, p)
    assert (round(cost, 4), level, cap) == TABLE[lead_time, p][2]


@instances
def test_myopic_of_the_table(lead_time, p):
    cost, policy = lost_sales.myopic(POISSON, lead_time, 1, p)
    assert round(cost, 4) == TABLE[lead_time, p][3]
    assert lost_sales.evaluate(POISSON, lead_time, 1, p, policy) == cost


@pytest.mark.parametrize(("p", "cost"), [(4, 9.8175), (9, 14.5082)])
def test_geometric_demand(p, cost):
    assert round(lost_sales.solve(pmf.geometric(5), 1, 1, p).cost, 4) == cost


def test_heavy_tail_at_long_lead_times_is_feasible():
    demand = pmf.geometric(5)
    costs = [lost_sales.solve(demand, lead_time, 1, 9).cost for lead_time in range(5)]
    assert costs == sorted(costs)
    assert lost_sales.evaluate(demand, 3, 1, 9, lost_sales.solve(demand, 3, 1, 9).act) == pytest.approx(
        costs[3], abs=2e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("p", [4, 9, 19, 39])
@pytest.mark.parametrize("lead_time", [1, 2, 4])
def test_no_capped_base_stock_policy_is_better(lead_time, p):
    cost, level, _ = lost_sales.capped_base_stock(POISSON, lead_time, 1, p)
    for S, cap in product(range(level - 5, level + 6), range(3, 12)):
        policy = partial(lost_sales.order_up_to, S, cap=cap)
        assert lost_sales.evaluate(POISSON, lead_time, 1, p, policy, tolerance=1e-5) > cost - 1e-5


def plain_value_iteration(mass, lead_time, h, p, max_order, max_total, damping=0.9):
    """The optimal average cost, state by state in plain Python, on a space as large as asked for."""
    width = max(lead_time, 1)
    states = [x for x in product(range(max_total + 1), *[range(max_order + 1)] * (width - 1)) if sum(x) <= max_total]
    cost_of = [
        sum(w * (h * max(y - d, 0) + p * max(d - y, 0)) for d, w in enumerate(mass)) for y in range(max_total + 1)
    ]
    number = {x: i for i, x in enumerate(states)}
    choices = []  # per state: (cost, [(probability, next state)]) for each order
    for x in states:
        options = []
        for q in range(min(max_order, max_total - sum(x)) + 1):
            stock = x[0] + (q if lead_time == 0 else 0)
            after = [(w, max(stock - d, 0)) for d, w in enumerate(mass)]
            following = (lambda y: (y,)) if lead_time == 0 else (lambda y, z=(*x[1:], q): (y + z[0], *z[1:]))
            options.append((cost_of[stock], [(w, number[following(y)]) for w, y in after]))
        choices.append(options)
    values = [0.0] * len(states)
    while True:
        new = [min(c + sum(w * values[i] for w, i in nxt) for c, nxt in options) for options in choices]
        change = [a - b for a, b in zip(new, values, strict=True)]
        if max(change) - min(change) < 1e-7:
            return (max(change) + min(change)) / 2
        values = [v + damping * (c - change[0]) for v, c in zip(values, change, strict=True)]


@settings(max_examples=25)
@given(**small)
def test_the_bounds_on_the_state_space_lose_nothing(weights, lead_time, h, p):
    mass = np.array(weights) / sum(weights)
    solution = lost_sales.solve(mass, lead_time, h, p, tolerance=1e-6)
    wide = plain_value_iteration(mass, lead_time, h, p, len(mass) + 1, (lead_time + 1) * len(mass) + 1)
    assert solution.cost == pytest.approx(wide, abs=2e-6)


@settings(max_examples=15)
@given(lead_time=st.integers(0, 1), h=st.floats(0.5, 3), p=st.floats(1, 10), max_order=st.integers(0, 2))
def test_scarce_orders_are_placed_ahead_of_need(lead_time, h, p, max_order):
    mass = np.array([0.4, 0.2, 0.0, 0.4])
    restricted = lost_sales.solve(mass, lead_time, h, p, tolerance=1e-6, max_order=max_order)
    assert restricted.policy.max() <= max_order
    wide = plain_value_iteration(mass, lead_time, h, p, min(max_order, 3), 45)
    assert restricted.cost == pytest.approx(wide, abs=2e-6)
    assert restricted.cost >= lost_sales.solve(mass, lead_time, h, p, tolerance=1e-6).cost - 1e-6


def test_without_orders_all_demand_is_lost():
    assert lost_sales.solve(POISSON, 2, 1, 9, max_order=0).cost == pytest.approx(45, abs=1e-5)


@settings(max_examples=30)
@given(**small)
def test_optimum_below_capped_below_base_stock(weights, lead_time, h, p):
    mass = np.array(weights) / sum(weights)
    optimum = lost_sales.solve(mass, lead_time, h, p, tolerance=1e-6).cost
    base_stock = lost_sales.base_stock(mass, lead_time, h, p)[0]
    capped = lost_sales.capped_base_stock(mass, lead_time, h, p)[0]
    assert optimum <= capped + 1e-6
    assert capped <= base_stock + 1e-6
    assert optimum <= lost_sales.myopic(mass, lead_time, h, p)[0] + 1e-6


@settings(max_examples=30)
@given(**small)
def test_base_stock_bisection_matches_every_level(weights, lead_time, h, p):
    mass = np.array(weights) / sum(weights)
    cost, _ = lost_sales.base_stock(mass, lead_time, h, p)
    for level in range((lead_time + 1) * len(mass)):
        policy = partial(lost_sales.order_up_to, level)
        assert cost <= lost_sales.evaluate(mass, lead_time, h, p, policy) + 1e-6


@settings(max_examples=30)
@given(**small, factor=st.floats(1, 4))
def test_cost_grows_with_the_lost_sale_cost(weights, lead_time, h, p, factor):
    mass = np.array(weights) / sum(weights)
    low, high = (lost_sales.solve(mass, lead_time, h, c, tolerance=1e-6).cost for c in (p, p * factor))
    assert low <= high + 1e-6


@settings(max_examples=30)
@given(st.floats(0.5, 20), st.floats(0.2, 3), st.floats(0.2, 50))
def test_no_lead_time_is_a_newsvendor(mean, h, p):
    mass = pmf.poisson(mean)
    level, cost = newsvendor.solve(mass, h, p)
    solution = lost_sales.solve(mass, 0, h, p)
    assert solution.cost == pytest.approx(cost, abs=1e-5)
    np.testing.assert_array_equal(
        solution.act(np.arange(level + 3)[:, None]), np.maximum(level - np.arange(level + 3), 0)
    )
    assert lost_sales.base_stock(mass, 0, h, p)[0] == pytest.approx(cost, abs=1e-6)


@pytest.mark.parametrize("lead_time", [0, 1, 2, 3])
def test_evaluation_agrees_with_the_stationary_distribution(lead_time):
    mass, h, p = np.array([0.1, 0.4, 0.3, 0.2]), 1.0, 4.0

    def policy(states):  # no base-stock policy, to exercise the general case
        return np.where(states.sum(axis=1) % 3 == 1, 1, np.maximum(5 - states.sum(axis=1), 0))

    width, number, queue, rows = max(lead_time, 1), {}, [(0,) * max(lead_time, 1)], []
    number[queue[0]] = 0
    for x in queue:  # grows while it is read
        q = int(policy(np.array([x]))[0])
        stock = x[0] + (q if lead_time == 0 else 0)
        for d, w in enumerate(mass):
            y = max(stock - d, 0)
            following = (y,) if lead_time == 0 else (y + (*x[1:], q)[0], *(*x[1:], q)[1:])
            assert len(following) == width
            if following not in number:
                number[following] = len(queue)
                queue.append(following)
            rows.append((number[x], number[following], w, w * (h * max(stock - d, 0) + p * max(d - stock, 0))))
    n = len(queue)
    matrix, cost = np.zeros((n, n)), np.zeros(n)
    for i, j, w, c in rows:
        matrix[i, j] += w
        cost[i] += c
    system = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    stationary = np.linalg.lstsq(system, np.append(np.zeros(n), 1), rcond=None)[0]
    value = lost_sales.evaluate(mass, lead_time, h, p, policy, tolerance=1e-9)
    assert value == pytest.approx(stationary @ cost, abs=1e-8)


def test_simulation_of_the_optimal_policy_agrees():
    solution = lost_sales.solve(POISSON, 2, 1, 9)
    rng = np.random.default_rng(3)
    chains, periods, warm_up = 1000, 1100, 100
    states, cost = np.zeros((chains, 2), int), np.zeros(chains)
    for t in range(periods):
        orders, demand = solution.act(states), rng.poisson(5, chains)
        left = np.maximum(states[:, 0] - demand, 0)
        if t >= warm_up:
            cost += left + 9 * np.maximum(demand - states[:, 0], 0)
        states = np.column_stack([left + states[:, 1], orders])
    cost /= periods - warm_up
    assert abs(cost.mean() - solution.cost) < 4 * cost.std() / np.sqrt(chains)


def test_optimal_orders_have_the_known_structure():
    # Zipkin 2008 (On the structure ...): the order falls in each component, by no more than the component rises.
    table = lost_sales.solve(POISSON, 3, 1, 9, tolerance=1e-8).policy
    total = sum(np.ix_(*(np.arange(n) for n in table.shape)))
    for axis in range(table.ndim):
        inside = np.delete(total, 0, axis=axis) <= table.shape[0] - 1
        step = np.diff(table, axis=axis)[inside]
        assert set(np.unique(step)) <= {-1, 0}


def test_states_outside_the_table_order_as_the_nearest_inside():
    solution = lost_sales.solve(POISSON, 2, 1, 9)
    top = np.array(solution.policy.shape) - 1
    states = np.array([[10_000, 0], [0, 10_000], [0, 0]])
    assert solution.act(states).tolist() == [0, solution.policy[0, top[1]], solution.policy[0, 0]]


@pytest.mark.parametrize("demand", [[0, 0, 0, 1.0], [0.5, 0, 0, 0.5]])
def test_periodic_chains_converge(demand):
    for lead_time in range(5):
        optimum = lost_sales.solve(demand, lead_time, 1, 9).cost
        cost, level = lost_sales.base_stock(demand, lead_time, 1, 9)
        assert optimum <= cost + 1e-5
        if demand[3] == 1:
            assert (optimum, cost, level) == (
                pytest.approx(0, abs=1e-5),
                pytest.approx(0, abs=1e-6),
                3 * (lead_time + 1),
            )


@given(st.integers(1, 4), st.lists(st.integers(0, 8191), min_size=4, max_size=40))
def test_keys_of_states_are_unique_and_reversible(width, numbers):
    states = np.array(numbers)[: len(numbers) // width * width].reshape(-1, width)
    np.testing.assert_array_equal(decode(encode(states), width), states)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lead_time": 5}, "lead_time: 5"),
        ({"lead_time": -1}, "lead_time: -1"),
        ({"lead_time": 1.0}, "lead_time: 1.0"),
        ({"holding_cost": 0}, "holding_cost: 0"),
        ({"lost_sale_cost": float("inf")}, "lost_sale_cost: inf"),
        ({"tolerance": 0}, "tolerance: 0"),
        ({"max_order": -1}, "max_order: -1"),
        ({"max_order": 1.5}, "max_order: 1.5"),
        ({"pmf": [0.5, 0.4]}, "pmf: 0.9 is not allowed as their sum"),
        (
            {"pmf": pmf.normal(500, 80), "lead_time": 4},
            r"pmf: \d+ is not allowed as the largest demand at lead_time 4, expected less: .* states",
        ),
    ],
)
def test_bad_input_is_named(changes, match):
    arguments = {"pmf": POISSON, "lead_time": 1, "holding_cost": 1, "lost_sale_cost": 9}
    with pytest.raises(ValueError, match=match):
        lost_sales.solve(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        (
            lambda states: np.full(len(states), 1.5),
            r"policy: 1\.5 is not allowed as the order at state \[\d+\], expected an integer >= 0",
        ),
        (lambda states: np.full(len(states), -1), "policy: -1 is not allowed as the order"),
        (lambda states: np.full(len(states), np.nan), "policy: nan is not allowed as the order"),
        (
            lambda states: np.zeros((len(states), 1)),
            r"policy: \(\d+, 1\) is not allowed, expected orders of shape \(\d+,\)",
        ),
        (
            lambda states: np.full(len(states), 400),
            r"policy: \d+ is not allowed as the units on hand that it reaches, expected at most 8,191",
        ),
    ],
)
def test_bad_policies_are_named(policy, match):
    with pytest.raises(ValueError, match=match):
        lost_sales.evaluate(POISSON, 1, 1, 9, policy)


def test_states_of_a_wrong_shape_are_named():
    with pytest.raises(ValueError, match=r"states: \(3, 1\) is not allowed, expected shape \(n, 2\)"):
        lost_sales.solve(POISSON, 2, 1, 9).act(np.zeros((3, 1)))
