"""Intervals cover what they say, by simulation; and their formulas against SciPy and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from storelab.evaluation import (
    FEW,
    bootstrap_interval,
    cluster_interval,
    hierarchical_interval,
    mean_interval,
    stratified_t_interval,
    t_interval,
)
from storelab.evaluation.intervals import _quantile
from storelab.learning.intervals import intervals

DRAWS = {"normal": lambda rng, size: rng.normal(size=size), "skewed": lambda rng, size: rng.exponential(size=size) - 1}


def covered(ends: np.ndarray) -> float:
    """The share of intervals (2, n) with the true mean, 0."""
    return float(np.mean((ends[0] <= 0) & (ends[1] >= 0)))


def crossed(rng, repeats, seeds, scenarios, spreads, draw):
    """Matrices (repeats, seeds, scenarios) with these spreads of seeds, scenarios and what is left."""
    of_seeds, of_scenarios, rest = spreads
    values = of_seeds * DRAWS[draw](rng, (repeats, seeds, 1)) + of_scenarios * DRAWS[draw](rng, (repeats, 1, scenarios))
    return values + rest * DRAWS[draw](rng, (repeats, seeds, scenarios))


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_t_covers_over_seeds(seeds):
    """Normal: .95, exactly. Exponential, skewness 2: below it, as the mean's own distribution is skewed."""
    rng = np.random.default_rng(seeds)
    assert 0.93 <= covered(t_interval(rng.normal(size=(seeds, 10_000)))) <= 0.97
    skewed = covered(t_interval(rng.exponential(size=(seeds, 10_000)) - 1))
    assert 0.86 <= skewed <= 0.95


def test_a_bootstrap_of_few_does_not_cover():
    """Why there is another: five numbers, .84."""
    values = np.random.default_rng(0).normal(size=(5, 4_000))
    assert covered(bootstrap_interval(values, samples=1_000)) == pytest.approx(0.84, abs=0.02)
    assert covered(mean_interval(values)) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_bootstrap_of_many_covers(draw):
    values = DRAWS[draw](np.random.default_rng(1), (80, 2_000))
    assert covered(mean_interval(values)) == pytest.approx(0.94, abs=0.02)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize(("share", "rest"), [(0.1, 0.5), (0.3, 0.1), (0.3, 1), (1, 0.1), (1, 3), (3, 1)])
def test_hierarchical_covers_where_both_matter(seeds, share, rest):
    """`share`: the scenarios' standard error of the mean by the seeds' (Satterthwaite's is the worst at .3)."""
    rng = np.random.default_rng(seeds)
    spreads = (1, share * np.sqrt(60 / seeds), rest)
    values = crossed(rng, 1_500, seeds, 60, spreads, "normal")
    assert covered(np.transpose([hierarchical_interval(each) for each in values])) >= 0.93


@pytest.mark.parametrize(
    ("seeds", "spreads", "least", "most"),
    [
        (5, (1, 0, 0), 0.93, 0.97),  # seeds alone: Student's t of their means
        (5, (0, 1, 0), 0.93, 0.97),  # scenarios alone
        (5, (0, 0, 1), 0.95, 1.0),  # neither: wide
        (5, (0, 3, 1), 0.93, 0.97),
    ],
)
def test_hierarchical_covers_where_one_matters(seeds, spreads, least, most):
    values = crossed(np.random.default_rng(1), 2_000, seeds, 60, spreads, "normal")
    assert least <= covered(np.transpose([hierarchical_interval(each) for each in values])) <= most


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_hierarchical_of_skewed_ones_is_no_worse_than_t(seeds):
    values = crossed(np.random.default_rng(seeds), 2_000, seeds, 60, (1, 3, 1), "skewed")
    share = covered(np.transpose([hierarchical_interval(each) for each in values]))
    assert share >= covered(t_interval(values.mean(axis=2).T))
    assert share >= 0.88


def test_hierarchical_by_hand():
    """Rows 1, 3 and 5 with columns -1 and 1 added, and no rest: the components are known."""
    values = np.array([1.0, 3.0, 5.0])[:, None] + np.array([-1.0, 1.0])
    of_seeds, of_scenarios = stats.t.ppf(0.975, 2) * 2 / np.sqrt(3), stats.t.ppf(0.975, 1) * np.sqrt(2) / np.sqrt(2)
    half = np.hypot(of_seeds, of_scenarios)
    assert hierarchical_interval(values) == pytest.approx([3 - half, 3 + half], rel=1e-5)


def test_hierarchical_is_never_narrower_than_over_seeds():
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = rng.normal(size=(4, 9)) + rng.normal(size=(4, 1))
        low, high = t_interval(values.mean(axis=1))
        ends = hierarchical_interval(values)
        assert ends[0] <= low + 1e-12
        assert ends[1] >= high - 1e-12


@pytest.mark.parametrize("largest", [0.2, 1, 5])
def test_strata_cover_with_their_own_levels_and_spreads(largest):
    """Sixteen problems, three seeds each; one problem has its own spread, at last nearly all of the variance."""
    rng, levels = np.random.default_rng(0), np.arange(16.0)[:, None]
    spread = np.r_[largest, np.full(15, 0.2)][:, None]
    ends = [stratified_t_interval(levels + spread * rng.normal(size=(16, 3))) - levels.mean() for _ in range(1_000)]
    assert 0.91 <= covered(np.transpose(ends)) <= 0.98


def test_one_stratum_is_plain_t():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    assert stratified_t_interval([values]) == pytest.approx(t_interval(values))
    assert stratified_t_interval([[1.0, 1.0], [3.0, 3.0]]).tolist() == [2, 2]


def test_t_is_scipys():
    values = np.random.default_rng(4).normal(size=7)
    wanted = stats.t.interval(0.95, 6, values.mean(), stats.sem(values))
    assert t_interval(values) == pytest.approx(wanted, rel=1e-5)
    for degrees in (1, 1.3, 2, 4.7, 30, 255, 1e5):
        assert _quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=3e-5)


def test_the_models_tables_have_the_same_interval():
    values = [0.5, 0.6, 0.8]
    table = intervals(pd.DataFrame({"model": "a", "seed": range(3), "figure": values}), ["model"])
    half = table.loc["a", "± figure"]
    assert t_interval(np.array(values)) == pytest.approx([np.mean(values) - half, np.mean(values) + half], rel=1e-5)


def test_one_number_has_no_interval():
    assert np.isnan(t_interval(np.array([3.0]))).all()
    assert np.isnan(mean_interval(np.ones((1, 2)))).all()
    assert np.isnan(hierarchical_interval(np.ones((1, 9)))).all()
    assert np.isnan(hierarchical_interval(np.ones((9, 1)))).all()
    assert np.isnan(stratified_t_interval([[1.0, 2.0], [3.0]])).all()


def test_few_and_many_are_told_apart():
    values = np.random.default_rng(5).exponential(size=(FEW, 2))
    assert (mean_interval(values) == bootstrap_interval(values)).all()
    assert (mean_interval(values[1:]) == t_interval(values[1:])).all()


@pytest.mark.parametrize("clusters", [6, 12])
def test_clusters_cover_where_rows_overlap(clusters):
    """Windows over the same noisy days: their mean sum is 0, and the days of a cluster hang together."""
    rng, days, length = np.random.default_rng(clusters), 28 * clusters, 20
    first = np.arange(days - length + 1)
    at = first[:, None] + np.arange(length)
    inside = []
    for _ in range(400):
        noise = rng.normal(size=clusters).repeat(28) + rng.normal(size=days)
        mean, (low, high) = cluster_interval(noise[at], at // 28)
        assert mean == pytest.approx(noise[at].sum(axis=1).mean())
        inside.append(low <= 0 <= high)
    assert 0.91 <= np.mean(inside) <= 0.99


def test_a_single_cluster_has_no_interval():
    mean, ends = cluster_interval(np.ones((3, 4)), np.zeros((3, 4), int))
    assert mean == 4
    assert np.isnan(ends).all()
