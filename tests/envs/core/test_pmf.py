import math
from decimal import Decimal, getcontext
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.envs.core import pmf

means = st.floats(1e-3, 1e3)


def moments(mass):
    k = np.arange(len(mass))
    mean = mass @ k
    return mean, mass @ (k - mean) ** 2


@pytest.mark.parametrize("mean", [0.01, 5, 6.5, 200, 2000])
def test_poisson_to_1e_12_of_exact_arithmetic(mean):
    getcontext().prec = 60
    exact, term = [], (-Decimal(mean)).exp()
    for k in range(len(pmf.poisson(mean))):
        exact.append(float(term))
        term *= Decimal(mean) / (k + 1)
    np.testing.assert_allclose(pmf.poisson(mean), exact, rtol=0, atol=2e-12)
    assert math.isclose(sum(exact), 1, abs_tol=2e-12)


@pytest.mark.parametrize(("mean", "dispersion"), [(5, 0.3), (5, 1), (20, 7.5), (300, 12)])
def test_negative_binomial_to_1e_12_of_its_formula(mean, dispersion):
    mass = pmf.negative_binomial(mean, dispersion)
    p = dispersion / (mean + dispersion)
    for k in range(0, len(mass), max(1, len(mass) // 50)):
        log = math.lgamma(k + dispersion) - math.lgamma(dispersion) - math.lgamma(k + 1)
        exact = math.exp(log + dispersion * math.log(p) + k * math.log1p(-p))
        assert math.isclose(mass[k], exact, rel_tol=1e-10, abs_tol=2e-12)


@settings(max_examples=40)
@given(means, st.floats(0.1, 1e6))
def test_moments(mean, dispersion):
    assert moments(pmf.poisson(mean)) == pytest.approx((mean, mean), rel=1e-8)
    variance = mean + mean**2 / dispersion
    assert moments(pmf.negative_binomial(mean, dispersion)) == pytest.approx((mean, variance), rel=1e-7)
    r, mass = mean / (1 + mean), pmf.geometric(mean)
    np.testing.assert_allclose(mass, (1 - r) * r ** np.arange(len(mass)), rtol=1e-8, atol=2e-12)


@pytest.mark.parametrize(("mean", "std"), [(50, 8), (5, 2.5), (2, 4), (1000.5, 30)])
def test_normal_is_rounded_and_renormalised(mean, std):
    mass, normal = pmf.normal(mean, std), NormalDist(mean, std)
    kept = 1 - normal.cdf(-0.5)
    for k in range(0, len(mass), max(1, len(mass) // 40)):
        exact = (normal.cdf(k + 0.5) - normal.cdf(k - 0.5)) / kept
        assert mass[k] == pytest.approx(exact, abs=2e-12)


@settings(max_examples=40)
@given(means, st.floats(0.1, 100))
def test_each_is_a_distribution(mean, dispersion):
    for mass in (pmf.poisson(mean), pmf.negative_binomial(mean, dispersion), pmf.normal(mean, dispersion)):
        assert mass.dtype == np.float64
        assert mass.min() >= 0
        assert mass.sum() == pytest.approx(1, abs=1e-12)


@given(st.integers(1, 5), st.floats(0.1, 30))
def test_total_of_poisson_is_poisson(periods, mean):
    mass, exact = pmf.total(pmf.poisson(mean), periods), pmf.poisson(periods * mean)
    n = min(len(mass), len(exact))
    np.testing.assert_allclose(mass[:n], exact[:n], atol=1e-11)


def test_visits_are_the_sum_of_the_demand_distributions():
    mass = np.array([0.3, 0.1, 0.6])
    exact = sum(np.pad(pmf.total(mass, n), (0, 200))[:20] for n in range(1, 90))
    exact[0] += 1
    np.testing.assert_allclose(pmf.visits(mass, 20), exact, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: pmf.poisson(0), "mean: 0"),
        (lambda: pmf.poisson(float("nan")), "mean: nan"),
        (lambda: pmf.poisson("5"), "mean: '5'"),
        (
            lambda: pmf.poisson(1e9),
            r"^mean: 1000000000\.0 is not allowed, expected demand below 10,000,000 units, not up",
        ),
        (lambda: pmf.geometric(-1), "mean: -1"),
        (lambda: pmf.negative_binomial(5, 0), "dispersion: 0"),
        (lambda: pmf.negative_binomial(1e200, 1e-200), "mean: .* with dispersion 1e-200, expected demand below"),
        (lambda: pmf.normal(5, -1), "std: -1"),
        (lambda: pmf.normal(math.inf, 1), "mean: inf"),
        (lambda: pmf.check([0.5, -0.1, 0.6]), r"pmf\[1\]: -0\.1 is not allowed, expected a probability"),
        (lambda: pmf.check([0.5, 0.4]), "pmf: 0.9 is not allowed as their sum, expected probabilities that sum to 1"),
        (lambda: pmf.check([[1.0]]), r"pmf: \(1, 1\) is not allowed, expected shape \(K,\)"),
        (lambda: pmf.check([]), r"pmf: \(0,\) is not allowed, expected shape \(K,\)"),
        (lambda: pmf.check([np.nan, 1.0]), r"pmf\[0\]: nan"),
        (lambda: pmf.check([1.0]), "pmf: 0.0 is not allowed as the mean demand, expected a mean > 0"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize(("mean", "std"), [(4.0, 2.0), (0.5, 1.0), (30.0, 3.0), (1000.0, 1.0)])
def test_gamma_is_the_gammas_mass_between_half_units(mean, std):
    stats = pytest.importorskip("scipy.stats")
    mass = pmf.gamma(mean, std)
    gamma = stats.gamma((mean / std) ** 2, scale=std**2 / mean)
    k = np.arange(len(mass))
    np.testing.assert_allclose(mass, gamma.cdf(k + 0.5) - gamma.cdf(k - 0.5), atol=1e-10)
