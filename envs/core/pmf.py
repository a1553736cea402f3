"""Demand distributions as probability mass functions: float64 arrays on {0, 1, ...} that sum to 1.

Each is cut where less than TAIL of its mass lies beyond, and renormalised.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from ...errors import FieldError

TAIL = 1e-12
MAX_SUPPORT = 10_000_000  # 80 MB of float64
SMALLEST_ROOT = 1e-6  # mean / std of a gamma: below, it is more than TAIL that lies beyond any support
LARGEST_ROOT = 1000.0  # mean / std of a gamma up to which its series is summed up


def poisson(mean: float) -> np.ndarray:
    """Poisson demand. `mean` in units per period, > 0."""
    require_positive("mean", mean)
    top = mean + 12 * math.sqrt(mean) + 40
    _check_support(mean, top)
    return _from_ratios(lambda k: mean / k, mean, top)


def negative_binomial(mean: float, dispersion: float) -> np.ndarray:
    """Negative binomial demand with variance mean + mean^2 / dispersion (a gamma-mixed Poisson).

    `mean` in units per period, > 0; `dispersion` > 0 is the gamma's shape: 1 is geometric, infinity Poisson.
    """
    require_positive("mean", mean)
    require_positive("dispersion", dispersion)
    decay = mean / (mean + dispersion)
    top = float(largest(mean, dispersion))
    _check_support(mean, top, f"with dispersion {dispersion:g}")
    return _from_ratios(lambda k: (k - 1 + dispersion) / k * decay, mean - mean / dispersion, top)


def largest(mean, dispersion):
    """The negative binomial demand that is exceeded with a probability of less than TAIL, of means and dispersions."""
    return mean + 12 * np.sqrt(mean + mean / dispersion * mean) + 40 * (1 + mean / dispersion)


def geometric(mean: float) -> np.ndarray:
    """Geometric demand on {0, 1, ...}: P(D = k) = (1 - r) r^k with r = mean / (1 + mean).

    `mean` in units per period, > 0.
    """
    return negative_binomial(mean, 1.0)


def normal(mean: float, std: float) -> np.ndarray:
    """Normal demand, rounded to the nearest integer and truncated at 0: what a draw does that rounds a normal and
    draws again when the result is negative.

    The mass that rounds below 0 is thus spread over all of {0, 1, ...} in proportion (renormalised), not put on 0.
    `mean` > 0 and `std` > 0, in units per period, are those of the normal before rounding and truncation.
    """
    require_positive("mean", mean)
    require_positive("std", std)
    _check_support(mean, mean + 10 * std, f"with std {std:g}")
    edges = (np.arange(math.ceil(mean + 10 * std) + 2) - 0.5 - mean) / std
    upper = np.array([math.erfc(z / math.sqrt(2)) / 2 for z in edges.tolist()])
    lower = np.array([math.erfc(-z / math.sqrt(2)) / 2 for z in edges.tolist()])
    # Each side's own tail, so that no difference of two numbers near 1 is taken.
    return _cut(np.where(edges[:-1] > 0, upper[:-1] - upper[1:], lower[1:] - lower[:-1]))


def gamma(mean: float, std: float) -> np.ndarray:
    """Gamma demand, rounded to the nearest integer. `mean` and `std` of the gamma, in units per period, > 0."""
    require_positive("mean", mean)
    require_positive("std", std)
    if mean < SMALLEST_ROOT * std:
        raise FieldError("mean", mean, f"at least {SMALLEST_ROOT:g} of the deviation", f"with std {std:g}")
    scale = std / mean * std
    top = mean + 12 * std + 40 * scale
    _check_support(mean, top, f"with std {std:g}")
    edges = np.arange(math.ceil(top) + 1) + 0.5
    # Beyond 40 deviations below the mean there is nothing that a float could hold, nor above `top`.
    start, stop = np.searchsorted(edges, mean - 40 * std), np.searchsorted(edges, top, side="right")
    below = np.concatenate([np.zeros(start), _gamma_below(edges[start:stop], mean, std), np.ones(len(edges) - stop)])
    return _cut(np.diff(np.maximum.accumulate(below), prepend=0.0, append=1.0))  # rounding may make it fall


def _gamma_below(edges: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The probabilities (K,) of less than each of the `edges` (K,) > 0."""
    root = mean / std  # of the shape
    off = edges / mean - 1
    if root > LARGEST_ROOT:
        # Temme 1979, SIAM Journal on Mathematical Analysis 10(4): what his series has beyond the first term is below
        # 1e-13 here. eta^2 / 2 = x - log(1 + x), near 0 by its own series.
        near = np.where(np.abs(off) < 0.01, off, 0.0)
        half = near**2 * sum((-near) ** k / (k + 2) for k in range(8))
        with np.errstate(divide="ignore", invalid="ignore"):
            half = np.where(near == off, half, off - np.log1p(off))
            eta = np.sign(off) * np.sqrt(2 * half)
            first = np.where(np.abs(eta) < 1e-3, -1 / 3 + eta / 12, 1 / off - 1 / eta)
        z = np.clip(eta * root / math.sqrt(2), -1e3, 1e3)
        tail = np.array([math.erfc(-value) / 2 for value in z.tolist()])
        return np.clip(tail - first * np.exp(-(z**2)) / math.sqrt(2 * math.pi) / root, 0, 1)
    # P(a, x) = x^a e^-x / Gamma(a + 1) (1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ...): Abramowitz and Stegun 6.5.29.
    # All terms are positive. For large a, Stirling's series in place of a difference of two large logarithms.
    shape = root**2
    x, k = edges / (std / mean * std), shape + 1
    series = term = np.ones_like(x)
    while (term > 1e-17 * series).any():
        term, k = term * x / k, k + 1
        series = series + term
    off = x / shape - 1
    stirling = math.log(2 * math.pi * shape) / 2 + 1 / (12 * shape)
    constant = stirling if shape > 1e4 else math.lgamma(shape + 1) - shape * math.log(shape) + shape
    return np.exp(shape * (np.log1p(off) - off) - constant + np.log(series))


def check(pmf: np.ndarray) -> np.ndarray:
    """`pmf` as float64, normalised.

    Raises FieldError unless it is a non-empty vector of probabilities that sum to 1 (within 1e-9) with a mean > 0.
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    if pmf.ndim != 1 or not len(pmf):
        raise FieldError("pmf", pmf.shape, "shape (K,), K >= 1: P(D = k) at index k")
    if not np.isfinite(pmf).all() or pmf.min() < 0:
        k = int(np.argmin(np.where(np.isfinite(pmf), pmf, -np.inf)))
        raise FieldError(f"pmf[{k}]", float(pmf[k]), "a probability, from 0 to 1")
    if abs(pmf.sum() - 1) > 1e-9:
        raise FieldError("pmf", float(pmf.sum()), "probabilities that sum to 1", "as their sum")
    pmf = pmf / pmf.sum()
    if pmf[0] == 1:
        raise FieldError("pmf", 0.0, "a mean > 0", "as the mean demand")
    return pmf


def total(pmf: np.ndarray, periods: int) -> np.ndarray:
    """The pmf of the sum of `periods` >= 1 independent demands."""
    result = pmf
    for _ in range(periods - 1):
        result = np.convolve(result, pmf)
    return result


def visits(pmf: np.ndarray, count: int) -> np.ndarray:
    """m(j), j = 0 .. count - 1: the expected number of periods in which the demand since a start totals j so far,
    the start (total 0) included."""
    result = np.zeros(count)
    result[0] = 1 / (1 - pmf[0])
    for j in range(1, count):
        reach = min(j, len(pmf) - 1)
        result[j] = result[0] * (pmf[1 : reach + 1] @ result[j - reach : j][::-1])
    return result


def require_positive(field: str, value: float) -> None:
    """Raise a FieldError unless `value` is a finite number > 0."""
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise FieldError(field, value, "a finite number > 0")


def require_nonnegative(field: str, value: float) -> None:
    """Raise a FieldError unless `value` is a finite number >= 0."""
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise FieldError(field, value, "a finite number >= 0")


def require_lead_time(lead_time: int) -> None:
    """Raise a FieldError unless `lead_time` is an integer >= 0."""
    if not isinstance(lead_time, Integral) or lead_time < 0:
        raise FieldError("lead_time", lead_time, "an integer >= 0")


def _from_ratios(ratio: Callable, mode: float, top: float) -> np.ndarray:
    """A pmf from ratio(k) = p(k) / p(k - 1), multiplied out from the mode, where nothing underflows."""
    size = math.ceil(top) + 1
    start = min(max(int(mode), 0), size - 1)
    ratios = ratio(np.arange(1.0, size))
    below = np.cumprod(1 / ratios[:start][::-1])[::-1]
    above = np.cumprod(ratios[start:])
    return _cut(np.concatenate([below, [1.0], above]))


def _check_support(mean: float, top: float, because: str = "") -> None:
    if top >= MAX_SUPPORT:
        raise FieldError("mean", mean, f"demand below {MAX_SUPPORT:,} units, not up to {top:.3g}", because)


def _cut(mass: np.ndarray) -> np.ndarray:
    mass = mass / mass.sum()
    beyond = np.cumsum(mass[::-1])[::-1]  # P(D >= k)
    mass = mass[: np.count_nonzero(beyond >= TAIL)]
    return mass / mass.sum()
