"""Counts from the mode are scipy's quantiles over the whole allowed range, tails included."""

import numpy as np
import pytest
from scipy import special, stats
from storelab.envs.core import counts
from storelab.envs.marketplace.fulfilment import binomial
from storelab.envs.pricing.demand import inverse_transform

TAILS = np.array([0.0, 1e-12, 1e-9, 1e-6, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12])


def uniforms(size=3000):
    return np.concatenate([np.random.default_rng(0).random(size), TAILS])


@pytest.mark.parametrize("mean", [100.0, 599.9, 600.1, 745.2, 1234.5, 1e4, 1e5, 1e6])
def test_poisson_counts_are_the_quantiles(mean):
    uniform = uniforms(3000 if mean < 1e5 else 300)
    drawn = inverse_transform(np.full(uniform.shape, mean), uniform, "poisson", 0.0)
    exact = stats.poisson.ppf(uniform[1:], mean)  # of 0 it is -1
    middle = (uniform[1:] > 1e-7) & (uniform[1:] < 1 - 1e-7)
    assert (drawn[1:][middle] == exact[middle]).mean() > 0.999
    assert drawn[0] >= 0


@pytest.mark.parametrize(("units", "share"), [(2000, 0.5), (10**5, 0.5), (10**5, 0.01), (10**6, 0.999), (5000, 0.2)])
def test_binomial_counts_are_the_quantiles(units, share):
    uniform = uniforms(1000)
    drawn = binomial(np.full(uniform.shape, float(units)), np.float64(share), uniform)
    exact = stats.binom.ppf(uniform[1:], units, share)
    middle = (uniform[1:] > 1e-7) & (uniform[1:] < 1 - 1e-7)
    assert (drawn[1:][middle] == exact[middle]).mean() > 0.999
    assert (drawn >= 0).all()
    assert (drawn <= units).all()


def test_log_factorial():
    k = np.array([0.0, 1, 2, 5, 15, 16, 17, 100, 1e6])
    assert counts.log_factorial(k) == pytest.approx(special.gammaln(k + 1), rel=1e-12)


def test_a_batch_of_all_sizes_is_each_alone():
    mean = np.array([[0.1, 3.0, 500.0], [700.0, 2e4, 599.0]])
    uniform = np.random.default_rng(1).random(mean.shape)
    whole = inverse_transform(mean, uniform, "poisson", 0.0)
    for at in np.ndindex(mean.shape):
        assert whole[at] == inverse_transform(mean[at][None], uniform[at][None], "poisson", 0.0)[0]
