"""Aggregates of runs: closed forms, rliable's own formulas (of its `metrics.py` and `library.py`), the bootstrap."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from storelab.evaluation import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

# Few different values: ties are common.
MATRIX = arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-3, 3).map(float))


@given(MATRIX)
def test_interquartile_mean_is_rliables(scores):
    """`scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None)`"""
    assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, proportiontocut=0.25, axis=None))


def test_interquartile_mean_of_known_runs():
    assert interquartile_mean([np.arange(8)]) == 3.5  # (2 + 3 + 4 + 5) / 4
    assert interquartile_mean([[0, 1, 2, 1000], [-1000, 1, 2, 3]]) == 1.5  # outliers do not count
    assert interquartile_mean([[5.0], [7.0, 9.0]]) == 7.0  # fewer than four: all


@settings(max_examples=40)
@given(MATRIX, st.data())
def test_probability_of_improvement_is_rliables(x, data):
    """The mean over tasks of U / (N K), with `scipy.stats.mannwhitneyu`."""
    y = data.draw(arrays(float, (len(x), 5), elements=st.integers(-3, 3).map(float)))
    u = [stats.mannwhitneyu(a, b, alternative="greater").statistic for a, b in zip(x, y, strict=True)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(np.array(u) / (x.shape[1] * 5)))
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1)
    assert probability_of_improvement(x, x) == pytest.approx(0.5)


def test_probability_of_improvement_of_normal_runs():
    """Of N(d, 1) over N(0, 1): Phi(d / sqrt(2))."""
    rng = np.random.default_rng(0)
    found = probability_of_improvement(rng.normal(0.7, 1, (1, 2000)), rng.normal(0, 1, (1, 2000)))
    assert found == pytest.approx(stats.norm.cdf(0.7 / np.sqrt(2)), abs=0.02)


@given(MATRIX)
def test_performance_profile_is_rliables(scores):
    """`np.mean(scores > tau)`; its area above the lowest threshold is the mean."""
    thresholds = np.linspace(-3.5, 3.5, 15)
    profile = performance_profile(scores, thresholds)
    np.testing.assert_allclose(profile, [np.mean(scores > tau) for tau in thresholds])
    assert (np.diff(profile) <= 0).all()
    assert performance_profile(scores, np.arange(-3, 3)).sum() - 3 == pytest.approx(scores.mean())


def test_tasks_weigh_the_same_in_a_profile():
    assert performance_profile([[1.0], [0.0, 0.0, 0.0]], [0.5]) == 0.5


def test_bootstrap_is_that_of_all_resamples():
    """Three runs have 27 resamples: the interval's ends are quantiles of their means."""
    runs = np.array([0.0, 1.0, 5.0])
    means = [np.mean(resample) for resample in itertools.product(runs, repeat=3)]
    low, high = stratified_bootstrap(lambda scores: np.mean(scores[0]), [runs], samples=2000)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975], method="inverted_cdf")))


def test_bootstrap_stays_within_tasks():
    """Runs of a task that are all the same have no spread, however far the tasks are apart."""
    scores = [np.zeros(5), np.full(5, 100.0)]
    assert stratified_bootstrap(interquartile_mean, scores, samples=50).tolist() == [50, 50]
    assert stratified_bootstrap(probability_of_improvement, scores, scores, samples=50).tolist() == [0.5, 0.5]
    profile = stratified_bootstrap(lambda drawn: performance_profile(drawn, [-1, 50, 200]), scores, samples=50)
    assert profile.tolist() == [[1, 0.5, 0], [1, 0.5, 0]]


def test_bootstrap_has_the_spread_of_the_mean():
    """A mean's bootstrap variance is the sum over tasks of var / n, by the square of their number."""
    rng = np.random.default_rng(1)
    scores = [rng.normal(0, scale, 40) for scale in (1, 3)]
    low, high = stratified_bootstrap(lambda drawn: np.mean([task.mean() for task in drawn]), scores)
    wanted = np.sqrt(sum(task.var() / len(task) for task in scores)) / 2
    assert (high - low) / (2 * stats.norm.ppf(0.975)) == pytest.approx(wanted, rel=0.05)


def test_the_same_seed_gives_the_same_interval():
    scores = np.random.default_rng(2).normal(size=(2, 6))
    first, same, other = (stratified_bootstrap(interquartile_mean, scores, samples=100, seed=k) for k in (3, 3, 4))
    assert first.tolist() == same.tolist() != other.tolist()


@pytest.mark.parametrize("scores", [[], [[]], [[[1.0]]], [[1.0, float("nan")]], [3.0]])
def test_bad_scores_are_named(scores):
    with pytest.raises(ValueError, match=r"^scores: .* is not allowed, expected one array"):
        interquartile_mean(scores)


def test_other_tasks_are_refused():
    with pytest.raises(ValueError, match=r"^others: 1 tasks are not allowed, expected those of scores, 2"):
        probability_of_improvement([[1.0], [2.0]], [[1.0]])
