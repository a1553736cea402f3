import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.envs.core import pmf
from storelab.envs.inventory.references import newsvendor

costs = st.floats(0.01, 100)
masses = st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(lambda w: sum(w[1:]) > 0)


def test_published_values():
    # Snyder and Shen 2019, section 4.3 (shared reference numbers).
    level, cost = newsvendor.solve_normal(50, 8, 0.18, 0.70)
    assert (round(level, 5), round(cost, 6)) == (56.60396, 1.997605)
    level, cost = newsvendor.solve(pmf.poisson(6), 1, 4)
    assert (level, round(cost, 6)) == (8, 3.570107)


@given(masses, costs, costs)
def test_matches_brute_force(weights, overage, underage):
    mass = np.array(weights) / sum(weights)
    demand = np.arange(len(mass))
    by_level = [
        sum(p * (overage * max(y - d, 0) + underage * max(d - y, 0)) for d, p in zip(demand, mass, strict=True))
        for y in demand
    ]
    level, cost = newsvendor.solve(mass, overage, underage)
    assert cost == pytest.approx(min(by_level), abs=1e-9)
    assert by_level[level] == pytest.approx(min(by_level), abs=1e-9)
    assert all(c > cost - 1e-9 for c in by_level[:level])


@given(masses, costs, costs)
def test_expected_cost_at_any_level(weights, overage, underage):
    mass = np.array(weights) / sum(weights)
    levels = np.arange(-5, len(mass) + 5)
    gap = levels[:, None] - np.arange(len(mass))
    direct = np.where(gap > 0, overage * gap, -underage * gap) @ mass
    np.testing.assert_allclose(newsvendor.expected_cost(mass, levels, overage, underage), direct, atol=1e-9)


def test_ties_go_to_the_smaller_level():
    assert newsvendor.solve([0.1, 0.2, 0.2, 0.5], 1, 1)[0] == 2


def test_fine_discrete_normal_tends_to_the_closed_form():
    level, cost = newsvendor.solve(pmf.normal(5000, 800), 0.18, 0.70)
    exact_level, exact_cost = newsvendor.solve_normal(5000, 800, 0.18, 0.70)
    assert abs(level - exact_level) <= 1
    assert cost == pytest.approx(exact_cost, rel=1e-6)


def test_yield_matches_what_quadrature_finds():
    """Poisson(6) demand, u of Beta(2, 2) by its density on a fine grid: no order nearby costs less."""
    share = (np.arange(100_000) + 0.5) / 100_000
    weight = 6 * share * (1 - share) / len(share)  # mean 1/2, variance 1/20
    mass, demand = pmf.poisson(6), np.arange(len(pmf.poisson(6)))

    def cost(order):
        left = np.interp(share * order, demand, np.concatenate([[0], np.cumsum(np.cumsum(mass))[:-1]]))
        return weight @ (left + 4 * (left - share * order + 6)) + 0.5 * order

    order, value = newsvendor.solve_yield(mass, 1, 4, 0.5, 0.05**0.5, purchase_cost=0.5)
    assert value == pytest.approx(cost(order), abs=1e-6)
    assert all(cost(order + step) > value for step in (-0.2, -0.05, 0.05, 0.2))


def test_a_sure_yield_is_the_newsvendor():
    order, cost = newsvendor.solve_yield(pmf.poisson(6), 1, 4, 0.5, 1e-4)
    level, least = newsvendor.solve(pmf.poisson(6), 1, 4)
    assert order == pytest.approx(2 * level, rel=1e-2)
    assert cost == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: newsvendor.solve([0.5, 0.5], 0, 1), "overage_cost: 0"),
        (lambda: newsvendor.solve([0.5, 0.5], 1, -1), "underage_cost: -1"),
        (lambda: newsvendor.solve_normal(5, 0, 1, 1), "std: 0"),
        (lambda: newsvendor.solve_normal(float("nan"), 1, 1, 1), "mean: nan"),
        (
            lambda: newsvendor.solve_yield([0.5, 0.5], 1, 1, 0.5, 0.5),
            "yield_std: 0.5 is not allowed with yield_mean 0.5, expected .*< 0.5",
        ),
        (
            lambda: newsvendor.solve_yield([0.5, 0.5], 1, 1, 0.5, 0.1, 2.0),
            "purchase_cost: 2.0 is not allowed, expected a number >= 0 and < 0.5",
        ),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()
