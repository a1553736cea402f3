"""Scores of several runs on several tasks, aggregated with intervals.

Agarwal, Schwarzer, Castro, Courville and Bellemare 2021, "Deep reinforcement learning at the edge of the statistical
precipice", NeurIPS (arXiv:2108.13264); the same figures as its library, rliable, for as many runs on every task.

`scores` is one array (runs,) per task, which may have different numbers of runs: a list, or a matrix (tasks, runs).
More is better. Scores of different tasks have to be on one scale.
"""

from collections.abc import Callable, Sequence

import numpy as np

Scores = Sequence[np.ndarray]


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all runs of all tasks (a quarter cut at each end, rounded down)."""
    pooled = np.sort(np.concatenate(_checked(scores)))
    cut = len(pooled) // 4
    return float(pooled[cut : len(pooled) - cut].mean())


def probability_of_improvement(scores: Scores, others: Scores) -> float:
    """Return the probability that a run of the first beats a run of the others on a random task; a tie counts half.

    Per task the Mann-Whitney U statistic by the number of pairs, then the mean over tasks (section 4.3).
    """
    scores, others = _checked(scores), _checked(others, "others")
    if len(scores) != len(others):
        raise ValueError(f"others: {len(others)} tasks are not allowed, expected those of scores, {len(scores)}")
    better = [np.sign(x[:, None] - y).mean() for x, y in zip(scores, others, strict=True)]
    return float((1 + np.mean(better)) / 2)


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of runs above each threshold (n,), the mean over tasks (the run-score distribution)."""
    thresholds = np.asarray(thresholds, dtype=float)
    return np.mean([(task[:, None] > thresholds).mean(axis=0) for task in _checked(scores)], axis=0)


def stratified_bootstrap(
    statistic: Callable[..., float | np.ndarray], *scores: Scores, samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """Return the 95 % percentile interval (2, ...) of a statistic of one or more scores.

    Runs are drawn with replacement within each task, for each score independently. With few runs on few tasks the
    interval is too narrow.
    """
    rng = np.random.default_rng(seed)
    checked = [_checked(each) for each in scores]
    drawn = [
        statistic(*([task[rng.integers(len(task), size=len(task))] for task in each] for each in checked))
        for _ in range(samples)
    ]
    return np.quantile(np.asarray(drawn), [0.025, 0.975], axis=0)


def _checked(scores: Scores, name: str = "scores") -> list[np.ndarray]:
    arrays = [np.asarray(task, dtype=float) for task in scores]
    for task in arrays:
        if task.ndim != 1 or not len(task) or not np.isfinite(task).all():
            raise ValueError(f"{name}: {task!r} is not allowed, expected one array of finite numbers (runs,) per task")
    if not arrays:
        raise ValueError(f"{name}: no task is not allowed, expected one array (runs,) per task")
    return arrays
