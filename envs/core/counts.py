"""Counts by inverse transform where the probability of none is too small for a float: searched from the mode.

The smallest k with uniform < P(count <= k), as by summing up from 0 (Devroye 1986, chapter III.2), but the sum starts
at the mode, whose probability is known by Stirling's series, and runs both ways (chapter III.2.3, problem 2). Exact to
1e-8 of a probability, which is what the logarithms leave of large factorials.
"""

from collections.abc import Callable

import numpy as np

SMALLEST_LOG = -600.0  # of the probability of no unit: below, sums from 0 lose their digits (floats end near e^-745)
NEGLIGIBLE = 1e-17  # of what is summed up so far


def poisson(mean: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return Poisson counts (m,) float64 of means (m,), each at least 100, at `uniform` (m,) in [0, 1)."""
    mode = np.floor(mean)
    mass = np.exp(mode * np.log(mean) - mean - log_factorial(mode))
    return _from_the_mode(mode, mass, uniform, lambda k: mean / (k + 1), lambda k: k / mean)


def binomial(units: np.ndarray, share: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return binomial counts (m,) float64 of whole units (m,) with probabilities `share` (m,) in (0, 1)."""
    odds, mode = share / (1 - share), np.minimum(np.floor((units + 1) * share), units)
    ways = log_factorial(units) - log_factorial(mode) - log_factorial(units - mode)
    mass = np.exp(ways + mode * np.log(share) + (units - mode) * np.log1p(-share))
    return _from_the_mode(
        mode, mass, uniform, lambda k: (units - k) / (k + 1) * odds, lambda k: k / ((units - k + 1) * odds)
    )


def log_factorial(k: np.ndarray) -> np.ndarray:
    """Return log k! of whole numbers: Stirling's series from 16 on, a table below."""
    table = np.cumsum(np.log(np.maximum(np.arange(16), 1)))
    x = np.maximum(k, 16.0)
    series = (x + 0.5) * np.log(x) - x + 0.5 * np.log(2 * np.pi) + 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)
    return np.where(k < 16, table[np.minimum(k, 15).astype(int)], series)


def _from_the_mode(mode, mass, uniform, up: Callable, down: Callable) -> np.ndarray:
    """Return the counts: `up(k)` is P(k + 1) / P(k), `down(k)` is P(k - 1) / P(k), both (m,)."""
    below, part, k = mass.copy(), mass.copy(), mode.copy()  # P(count <= mode), summed up downwards
    while True:
        part = part * down(k)
        k = k - 1
        if not (part > NEGLIGIBLE * below).any():
            break
        below += part
    count, reached, part = mode.copy(), below.copy(), mass.copy()
    while (rises := uniform >= reached).any():  # the count is above
        grown = part * up(count)
        rises &= grown > NEGLIGIBLE * reached  # what rounding leaves beyond the tail is nobody's
        if not rises.any():
            break
        count, part = np.where(rises, count + 1, count), np.where(rises, grown, part)
        reached = np.where(rises, reached + part, reached)
    low = uniform < below
    reached, part = below - mass, mass.copy()  # P(count <= count - 1)
    while (falls := low & (uniform < reached)).any():  # or below
        part = np.where(falls, part * down(count), part)
        count = np.where(falls, count - 1, count)
        reached = np.where(falls, reached - part, reached)
        if (count[falls] <= 0).all():
            break
    return np.maximum(count, 0.0)
