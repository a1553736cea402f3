from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs.core import pmf
from storelab.envs.inventory.references import newsvendor, perishable
from storelab.envs.inventory.references.perishable import Perishable

# De Moor, Gijsbrechts and Boute 2022: gamma demand of mean 4 and coefficient of variation 0.5, holding cost 1, lost
# sale 5, purchase 3. Cost of 365 periods, discounted by 0.99, after 100 of warm-up from an empty store, as Farrington,
# Wong, Li and Utley 2025 (Annals of Operations Research 349(3), table 3) simulated it: (m, L, waste cost, issuing) ->
# the discounted problem's optimal policy, the best base-stock policy.
TABLE = {
    (2, 1, 7, "lifo"): (1553, 1565),
    (2, 1, 7, "fifo"): (1457, 1474),
    (2, 1, 10, "lifo"): (1571, 1581),
    (2, 1, 10, "fifo"): (1463, 1485),
    (2, 2, 7, "lifo"): (1551, 1590),
    (2, 2, 7, "fifo"): (1461, 1495),
    (2, 2, 10, "lifo"): (1569, 1606),
    (2, 2, 10, "fifo"): (1469, 1504),
    (3, 1, 7, "lifo"): (1490, 1500),
    (3, 1, 7, "fifo"): (1424, 1435),
    (3, 1, 10, "lifo"): (1498, 1512),
    (3, 1, 10, "fifo"): (1425, 1436),
    (3, 2, 7, "lifo"): (1513, 1533),
    (3, 2, 7, "fifo"): (1435, 1456),
    (3, 2, 10, "lifo"): (1526, 1544),
    (3, 2, 10, "fifo"): (1437, 1457),
}
DISCOUNTED = (1 - 0.99**365) / 0.01  # periods' worth of the average cost
# Their optimal orders (De Moor et al., figure 3, as the tests of viso_jax keep them), by the freshest stock 0 to 8
# (rows) and the oldest 0 to 8.
FIFO = """444444444 443333333 433322222 332211111 322111100 221100000 211000000 110000000 100000000"""
LIFO = """333333333 333333333 333333333 222222222 111111111 000000000 000000000 000000000 000000000"""
DEMAND = pmf.gamma(4.0, 2.0)


def de_moor(life, lead, waste, issuing):
    return Perishable(DEMAND, life, lead, 1.0, 5.0, float(waste), 3.0, issuing)


def discounted_policy(problem, max_order):
    model = perishable._Model(problem, max_order)
    values = np.zeros(model.shape)
    for _ in range(1200):
        values = model.costs(0.99 * values).min(axis=-1)
    return model.costs(0.99 * values).argmin(axis=-1)


@pytest.mark.parametrize("instance", TABLE)
def test_optimum_of_the_table(instance):
    """The average optimum is near the discounted one, and no more than its policy's average."""
    problem = de_moor(*instance)
    solution = perishable.solve(problem)
    assert solution.lower <= solution.cost <= solution.upper <= solution.lower + 1e-5
    published = TABLE[instance][0] / DISCOUNTED
    assert abs(solution.cost - published) < 0.0015 * published
    if instance[:2] != (3, 2):
        policy, largest = discounted_policy(problem, problem.largest_order()), problem.largest_order()
        cost = perishable.evaluate(problem, lambda states: policy[tuple(states.T)], largest)
        assert solution.cost <= cost + 1e-5


@pytest.mark.parametrize("instance", [pytest.param(k, marks=[pytest.mark.slow] * (k[:2] == (3, 2))) for k in TABLE])
def test_discounted_optimum_of_the_table(instance):
    """To the unit that the table gives."""
    problem = de_moor(*instance)
    model = perishable._Model(problem, problem.largest_order())
    policy = discounted_policy(problem, problem.largest_order())[..., None]
    chosen = lambda values: np.take_along_axis(model.costs(values), policy, axis=-1)[..., 0]
    values = np.zeros(model.shape)
    now = chosen(values)
    for _ in range(365):
        values = chosen(0.99 * values)
    for _ in range(100):
        values = chosen(values) - now
    assert abs(values.flat[0] - TABLE[instance][0]) < 1


@pytest.mark.parametrize("instance", [key for key in TABLE if key[:2] != (3, 2)])
def test_base_stock_of_the_table(instance):
    cost, level = perishable.base_stock(de_moor(*instance))
    assert abs(DISCOUNTED * cost - TABLE[instance][1]) < 1
    assert level == {(2, 1, 7, "lifo"): 5, (2, 1, 7, "fifo"): 7}.get(instance, level)  # De Moor et al., as viso_jax


@pytest.mark.parametrize(("issuing", "orders"), [("fifo", FIFO), ("lifo", LIFO)])
def test_policy_of_the_figure(issuing, orders):
    expected = np.array([[int(order) for order in row] for row in orders.split()])
    assert np.array_equal(discounted_policy(de_moor(2, 1, 7, issuing), 10).T[:9, :9], expected)


def plain_value_iteration(problem, largest):
    """The optimal average cost, state by state in plain Python, with orders up to `largest`."""
    life, lead = problem.shelf_life, problem.lead_time
    states = list(product(range(largest + 1), repeat=life + lead - 1))

    def step(stock, demand):
        left, waiting = list(stock), demand
        for k in range(life) if problem.issuing == "fifo" else reversed(range(life)):
            taken = min(left[k], waiting)
            left[k], waiting = left[k] - taken, waiting - taken
        cost = problem.waste_cost * left[0] + problem.holding_cost * sum(left[1:]) + problem.lost_sale_cost * waiting
        return cost, tuple(left[1:])

    values = dict.fromkeys(states, 0.0)
    while True:
        new = {}
        for state in states:
            options = []
            for q in range(largest + 1):
                shelf, due = (state[:life], (*state[life:], q)) if lead else ((*state, q), ())
                outcomes = [(w, *step(shelf, d)) for d, w in enumerate(problem.pmf)]
                options.append(problem.purchase_cost * q + sum(w * (c + values[aged + due]) for w, c, aged in outcomes))
            new[state] = min(options)
        change = [new[s] - values[s] for s in states]
        if max(change) - min(change) < 1e-6:
            return (max(change) + min(change)) / 2
        values = {s: values[s] + 0.9 * (new[s] - values[s] - change[0]) for s in states}


@settings(max_examples=20)
@given(st.data())
def test_matches_plain_value_iteration_with_larger_orders(data):
    """Also that the bound on the orders loses nothing."""
    life, lead = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 0), (2, 1), (3, 0)]))
    weights = data.draw(st.lists(st.integers(0, 5), min_size=2, max_size=3).filter(lambda w: sum(w[1:]) > 0))
    mass = np.array(weights) / sum(weights)
    purchase = data.draw(st.sampled_from([0.0, 0.7]))
    costs = [data.draw(st.floats(0.2, 2)), purchase + data.draw(st.floats(0.5, 9)), data.draw(st.floats(0, 4))]
    problem = Perishable(mass, life, lead, *costs, purchase, data.draw(st.sampled_from(["fifo", "lifo"])))
    if life == 1 and purchase + problem.waste_cost == 0:
        return
    wide = plain_value_iteration(problem, max(problem.largest_order() + 1, 3))
    solution = perishable.solve(problem, tolerance=1e-6)
    assert solution.cost == pytest.approx(wide, abs=3e-6)
    largest = problem.largest_order()
    assert perishable.evaluate(problem, solution.act, largest) == pytest.approx(wide, abs=3e-6)
    assert perishable.base_stock(problem)[0] >= wide - 3e-6


@pytest.mark.parametrize("lead", [1, 2, 3])
@pytest.mark.parametrize("issuing", ["fifo", "lifo"])
def test_one_period_of_life_is_a_newsvendor(lead, issuing):
    """Nothing is carried over: overage purchase + waste, underage lost sale - purchase."""
    level, cost = newsvendor.solve(DEMAND, 3.0 + 7.0, 8.0 - 3.0)
    solution = perishable.solve(Perishable(DEMAND, 1, lead, 1.0, 8.0, 7.0, 3.0, issuing))
    assert solution.cost == pytest.approx(cost + 3.0 * float(DEMAND @ np.arange(len(DEMAND))), abs=1e-5)
    assert np.unique(solution.policy).tolist() == [level]


def test_longer_lives_and_fifo_cost_less():
    costs = {
        (life, issuing): perishable.solve(Perishable(pmf.poisson(3), life, 1, 0.1, 9.0, 5.0, 2.0, issuing)).cost
        for life in (1, 2, 3) for issuing in ("fifo", "lifo")
    }  # fmt: skip
    for issuing in ("fifo", "lifo"):
        assert costs[1, issuing] > costs[2, issuing] > costs[3, issuing]
    assert all(costs[life, "fifo"] < costs[life, "lifo"] for life in (2, 3))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"shelf_life": 0}, "shelf_life: 0"),
        ({"shelf_life": 1, "lead_time": 0}, "shelf_life: 1 is not allowed at lead_time 0"),
        ({"lead_time": -1}, "lead_time: -1"),
        ({"holding_cost": -1}, "holding_cost: -1"),
        ({"waste_cost": float("nan")}, "waste_cost: nan"),
        ({"lost_sale_cost": 2.0, "purchase_cost": 3.0}, "lost_sale_cost: 2.0"),
        ({"issuing": "hifo"}, "issuing: 'hifo'"),
        (
            {"pmf": pmf.poisson(50)},
            r"pmf: \d+ is not allowed as the largest demand at shelf_life 3 and lead_time 2, expected less",
        ),
        ({"holding_cost": 0, "waste_cost": 0}, "overage_cost: 0"),
    ],
)
def test_bad_input_is_named(changes, match):
    arguments = {"pmf": [0.5, 0.5], "shelf_life": 3, "lead_time": 2, "holding_cost": 1, "lost_sale_cost": 9}
    with pytest.raises(ValueError, match=match):
        perishable.solve(Perishable(**{**arguments, "waste_cost": 1, **changes}))


def test_bad_policies_are_refused():
    for policy in (lambda states: states[:, 0] - 1, lambda states: states[:, :1], lambda states: 0.5 + states[:, 0]):
        with pytest.raises(
            ValueError, match=r"policy: .* is not allowed, expected integer orders of shape \(\d+,\) from 0 to 5"
        ):
            perishable.evaluate(de_moor(2, 1, 7, "fifo"), policy, 5)
