"""95 % intervals of means: over scenarios, over the few seeds of a learner, and over both at once.

A percentile bootstrap of few numbers is too narrow (five: it covers 84 %), since it knows neither that their spread
is itself an estimate nor that n - 1 of them are free. Student's t knows both.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

FEW = 20  # numbers below which a percentile bootstrap covers less than 93 %
_INSIDE = 0.95


def mean_interval(values: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the interval (2, k) of the means of `values` (n, k), in their unit.

    `t_interval` for fewer than 20 rows, otherwise `bootstrap_interval`, which is right for skewed values too.
    """
    return t_interval(values) if len(values) < FEW else bootstrap_interval(values)


def bootstrap_interval(values: np.ndarray | pd.DataFrame, samples: int = 5000, seed: int = 0) -> np.ndarray:
    """Return the 95 % percentile bootstrap interval (2, k) of the means of `values` (n, k), rows resampled together.

    For many rows, such as scenarios. Efron and Tibshirani 1993, chapter 13.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples) / n
    return np.quantile(weights @ values, _ends(), axis=0)


def t_interval(values: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the 95 % interval (2, ...) of the mean of `values` (n, ...) over their first axis, by Student's t.

    For few independent numbers, such as a learner's seeds. In the unit of the values; NaN if n is 1.
    Student 1908, "The probable error of a mean", Biometrika 6(1).
    """
    values = np.asarray(values, dtype=float)
    n, mean = len(values), values.mean(axis=0)
    if n < 2:
        return np.full((2, *mean.shape), np.nan)
    half = _quantile(n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return np.stack([mean - half, mean + half])


def stratified_t_interval(strata: Sequence[np.ndarray | Sequence[float]]) -> np.ndarray:
    """Return the 95 % interval (2,) of the mean over strata of their means, strata being fixed (tasks, problems).

    Each stratum has numbers (n,), such as a learner's seeds on one task; all are in one unit. NaN if a stratum has a
    single number. Variances may differ: the degrees of freedom are those of Welch 1947, "The
    generalization of Student's problem when several different population variances are involved", Biometrika 34. With
    three numbers a stratum the coverage is 95 % if strata are alike, and 92 % if one has nearly all of the variance.
    """
    arrays = [np.asarray(each, dtype=float) for each in strata]
    count = np.array([len(each) for each in arrays])
    if count.min() < 2:
        return np.full(2, np.nan)
    mean = np.mean([each.mean() for each in arrays])
    parts = np.array([each.var(ddof=1) for each in arrays]) / count
    if not parts.any():
        return np.full(2, mean)
    half = _quantile(parts.sum() ** 2 / (parts**2 / (count - 1)).sum()) * np.sqrt(parts.sum()) / len(arrays)
    return np.array([mean - half, mean + half])


def hierarchical_interval(values: np.ndarray) -> np.ndarray:
    """Return the 95 % interval (2,) of the mean of `values` (seeds, scenarios), with both seeds and scenarios random.

    For a learner with several seeds on common scenarios: its values, or its differences to another policy on the same
    scenarios, in one unit. The interval is for the mean over other seeds and other scenarios. It is never narrower than
    `t_interval` of the seeds' means. NaN with one seed or one scenario.

    The model is the two-way random effects model, value = mean + seed + scenario + rest. The seeds' mean square has the
    variance of seeds and of the rest, with seeds - 1 degrees of freedom. The scenarios' part is their mean square less
    that of the rest, if positive, with scenarios - 1 (Searle, Casella and McCulloch 1992, "Variance Components",
    chapter 4). The two half-widths by Student's t are added in squares (Zou and Donner 2008, "Construction of
    confidence limits about effect measures: a general approach", Statistics in Medicine 27), which is slightly wide
    where both matter; with Satterthwaite's degrees of freedom the coverage is 92 % with three seeds. Resampling seeds
    and scenarios (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2)) has the fault of every
    percentile bootstrap of few numbers.
    """
    values = np.asarray(values, dtype=float)
    seeds, scenarios = values.shape
    if min(values.shape) < 2:
        return np.full(2, np.nan)
    mean, by_seed, by_scenario = values.mean(), values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_scenario + mean
    rest_square = (rest**2).sum() / ((seeds - 1) * (scenarios - 1))
    of_seeds = by_seed.var(ddof=1) / seeds
    of_scenarios = max(by_scenario.var(ddof=1) - rest_square / seeds, 0.0) / scenarios
    half = np.hypot(_quantile(seeds - 1) * np.sqrt(of_seeds), _quantile(scenarios - 1) * np.sqrt(of_scenarios))
    return np.array([mean - half, mean + half])


def cluster_interval(values: np.ndarray, cluster: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean over rows of the sums of `values` (n, T), and its 95 % interval (2,), NaN with a single cluster.

    For episodes over recorded days, which overlap. Numbers with the same `cluster` (n, T), integers, such as those of
    one block of days, may depend on each other in any way; those of different clusters are independent. The standard
    error is that of a total over clusters of different size, cluster-robust (Cameron and Miller 2015, "A
    practitioner's guide to cluster-robust inference", Journal of Human Resources 50(2)), with clusters - 1 degrees of
    freedom.
    """
    _, at = np.unique(cluster, return_inverse=True)
    total = np.bincount(at.ravel(), np.asarray(values, dtype=float).ravel()) / len(values)
    size, count = np.bincount(at.ravel()), at.max() + 1
    mean = float(total.sum())
    if count < 2:
        return mean, np.full(2, np.nan)
    rest = total - mean * size / size.sum()
    half = _quantile(count - 1) * np.sqrt(count / (count - 1) * (rest**2).sum())
    return mean, np.array([mean - half, mean + half])


def _ends() -> list[float]:
    return [(1 - _INSIDE) / 2, (1 + _INSIDE) / 2]


@lru_cache
def _quantile(degrees: float) -> float:
    """The .975 quantile of Student's t, to four digits, without SciPy, which an install of the environments lacks.

    With x = sqrt(degrees) tan(angle) the density over the angle is that of cos(angle) ** (degrees - 1).
    """
    widest = min(np.pi / 2, 40 / np.sqrt(degrees))  # beyond it nothing is left
    angle = np.linspace(0, widest, 20_001)
    density = np.cos(angle) ** (degrees - 1)
    inside = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(degrees) * np.tan(np.interp(_INSIDE * inside[-1], inside, angle)))
