"""What a few samples tell of demand to come: a bank of Bayesian regressions, weighed online, that may begin anew.

Bayesian online change-point detection (Adams and MacKay 2007, arXiv:0710.3742) over several kinds of regime. In each
period a regime ends with probability `hazard`, and one of another level, slope or memory begins. An expert is a kind
and a period that its regime began in; it is a linear regression with the conjugate normal-inverse-gamma prior, so that
its forecasts are Student's t. Weights are posterior probabilities. A season lasts from the first sample on.

| kind | mean of a period |
|---|---|
| level | constant |
| trend | a straight line |
| memory | constant, and a share of the last period's deviation from the game's mean |
| season | constant, a sine and a cosine of one of `periods` |
"""

import math
from dataclasses import dataclass, field

import numpy as np

LEVEL, TREND, MEMORY, SEASON = range(4)


@dataclass
class Prior:
    """What is believed before any demand is seen. Levels are in shares of the history's mean.

    Chosen on training draws (`experiments.studies.games`), none of them of the scenarios that results are given on.
    """

    hazard: float = 0.03  # probability that a regime ends, per period
    ends: float = 0.03  # the same, of the periods that are forecast
    jump: float = 0.5  # standard deviation of the logarithm of a forecast new level
    kinds: tuple[float, ...] = (0.35, 0.2, 0.2, 0.25)  # of the first regime; later ones have no season
    variation: float = 0.25  # coefficient of variation around a regime's mean
    shape: float = 2.0  # of the inverse gamma distribution of the variance
    first: float = 1.5  # standard deviation of the first level
    level: float = 0.6  # of a later level, in shares of the one before
    slope: float = 0.5  # of a slope, per ten periods
    memory: float = 0.5  # of the share of the last deviation
    amplitude: float = 0.3  # of a season's sine and cosine
    periods: tuple[int, ...] = field(default=(4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 25, 28))


class DemandBelief:
    """A belief on the demand of n items, after `seen` samples of each.

    Attributes:
        scale: (n,) units that 1 stands for: the history's mean.
        level: (n,) present mean, in that scale.
        weights: (n, E) probabilities of the experts that have begun.
    """

    def __init__(self, history: np.ndarray, periods: np.ndarray, longest: int, prior: Prior | None = None):
        """Begin with a history.

        Args:
            history: (n, k) units.
            periods: (k,) of the history, on the clock of those to come, which begin with 1.
            longest: samples that are still to come, at most.
            prior: by default the chosen one.
        """
        self.prior = p = prior or Prior()
        n, self.size = len(history), longest + history.shape[1]
        self.scale, self.level = np.maximum(history.mean(axis=1), 1.0), np.ones(n)
        self.kind = np.concatenate([np.repeat([LEVEL, TREND, MEMORY], self.size), np.full(len(p.periods), SEASON)])
        self.frequency = np.append(np.zeros(3 * self.size), 2 * math.pi / np.array(p.periods, float))
        self.start, count = np.zeros(len(self.kind)), len(self.kind)
        self.mean, self.cov = (
            np.zeros((n, count, 3)),
            np.zeros((n, count, 3, 3)),
        )  # of the coefficients; cov per variance
        self.rate, self.log_weight = np.ones((n, count)), np.full((n, count), -np.inf)
        self.age = np.zeros(count, int)  # samples that an expert has seen
        self.born = np.zeros(count, bool)
        ages = p.shape + np.arange(self.size + 1) / 2
        self._gamma = np.array([math.lgamma(a + 0.5) - math.lgamma(a) for a in ages]) - 0.5 * np.log(2 * math.pi * ages)
        self.seen, self.total, self.last = 0, np.zeros(n), None
        for k, period in enumerate(periods):
            self.update(history[:, k], float(period))
        if periods[-1] != 0:
            self.last = None  # the history does not lead up to the first period

    def update(self, demand: np.ndarray, period: float) -> None:
        """Take the demand (n,) of a period, units."""
        p, y = self.prior, demand / self.scale
        if self.seen:
            self.log_weight += math.log1p(-p.hazard)
        self._begin(period)
        ids = np.flatnonzero(self.born)
        x, cov = self._design(period, ids), self.cov[:, ids]
        shape, rate = p.shape + self.age[ids] / 2, self.rate[:, ids]
        error = y[:, None] - np.einsum("nei,nei->ne", x, self.mean[:, ids])
        gain = np.einsum("neij,nej->nei", cov, x)
        spread = 1 + np.einsum("nei,nei->ne", x, gain)  # of a forecast, per variance
        ratio = error**2 / (2 * rate * spread)
        density = self._gamma[self.age[ids]] - 0.5 * np.log(rate / shape * spread) - (shape + 0.5) * np.log1p(ratio)
        self.log_weight[:, ids] += density
        self.mean[:, ids] += gain * (error / spread)[:, :, None]
        self.cov[:, ids] -= gain[:, :, :, None] * gain[:, :, None] / spread[:, :, None, None]
        self.rate[:, ids] += error**2 / (2 * spread)
        self.age[ids] += 1
        self.seen, self.total, self.last = self.seen + 1, self.total + y, y
        self.log_weight -= _log_sum(self.log_weight)
        self.weights = np.exp(self.log_weight[:, ids])
        means = np.einsum("nei,nei->ne", self._design(period, ids, calm=True), self.mean[:, ids])
        self.level = np.maximum((self.weights * means).sum(axis=1), 0.05)

    def _begin(self, period: float) -> None:
        """Let regimes begin with a period."""
        p, level, k = self.prior, self.level[:, None], self.seen
        kinds = np.array(p.kinds) if not k else np.array(p.kinds[:3]) / sum(p.kinds[:3])
        share = np.zeros(1) if not k else _log_sum(self.log_weight)[:, 0] - math.log1p(-p.hazard) + math.log(p.hazard)
        chances = [np.log(kinds[kind]) for kind in (LEVEL, TREND, MEMORY)]
        ids = np.array([kind * self.size + k for kind in (LEVEL, TREND, MEMORY)])
        if not k:
            seasons = np.arange(3 * self.size, len(self.kind))
            ids = np.concatenate([ids, seasons])
            chances += [np.log(kinds[SEASON] / len(seasons))] * len(seasons)
        wide = {LEVEL: 0.0, TREND: p.slope, MEMORY: p.memory, SEASON: p.amplitude}
        other = np.array([wide[kind] for kind in self.kind[ids]]) / p.variation
        self.born[ids], self.start[ids] = True, period
        self.mean[:, ids, 0], self.rate[:, ids] = level, p.shape * (p.variation * level) ** 2
        self.cov[:, ids, 0, 0] = ((p.level if k else p.first) / p.variation) ** 2
        self.cov[:, ids, 1, 1] = other**2 / np.where(self.kind[ids] == MEMORY, level**2, 1)
        self.cov[:, ids, 2, 2] = np.where(self.kind[ids] == SEASON, other**2, 0)
        self.log_weight[:, ids] = share[:, None] + np.array(chances)

    def _design(self, period: float, ids: np.ndarray, calm: bool = False) -> np.ndarray:
        """Return what an expert's coefficients are multiplied by (n, e, 3); `calm`: the last demand was the mean."""
        kind, x = self.kind[ids], np.zeros((len(self.scale), len(ids), 3))
        x[:, :, 0] = 1
        x[:, :, 1] = np.where(kind == TREND, (period - self.start[ids]) / 10, np.sin(self.frequency[ids] * period))
        x[:, :, 2] = np.where(kind == SEASON, np.cos(self.frequency[ids] * period), 0)
        if self.last is not None and not calm:
            x[:, kind == MEMORY, 1] = (self.last - self.total / self.seen)[:, None]
        return x

    def paths(self, period: int, periods: int, luck: "Luck") -> np.ndarray:
        """Return paths (n, paths, periods) of demand from a period on, units: draws of the posterior forecast."""
        p, ids, rows = self.prior, np.flatnonzero(self.born), np.arange(len(self.scale))[:, None]
        cumulated = np.cumsum(self.weights, axis=1)
        pick = (cumulated[:, None, :-1] < luck.expert[:, None] * cumulated[:, None, -1:]).sum(axis=2)
        pick = ids[pick]  # (n, paths)
        shape = p.shape + self.age[pick] / 2
        drawn = shape * (1 - 1 / (9 * shape) + luck.variance / (3 * np.sqrt(shape))) ** 3  # Wilson and Hilferty 1931
        std = np.sqrt(self.rate[rows, pick] / drawn)
        root = np.linalg.cholesky(self.cov[rows, pick] + 1e-9 * np.eye(3))
        beta = self.mean[rows, pick] + std[:, :, None] * np.einsum("nmij,mj->nmi", root, luck.coefficients)
        kind, frequency, start = self.kind[pick], self.frequency[pick], self.start[pick]
        usual = (self.total / self.seen)[:, None]
        last = usual if self.last is None else self.last[:, None]
        fresh, left = np.zeros(pick.shape), np.zeros(pick.shape, bool)
        out = np.empty((*pick.shape, periods))
        for h in range(periods):
            at = period + h
            x = np.where(
                kind == TREND, (at - start) / 10, np.where(kind == MEMORY, last - usual, np.sin(frequency * at))
            )
            mean = beta[:, :, 0] + beta[:, :, 1] * x + beta[:, :, 2] * np.cos(frequency * at)
            jump = luck.ends[:, h] < p.ends
            left |= jump
            fresh = np.where(jump, self.level[:, None] * np.exp(p.jump * luck.jumps[:, h]), fresh)
            last = out[:, :, h] = np.maximum(np.where(left, fresh, mean) + std * luck.noise[:, h], 0)
        return out * self.scale[:, None, None]


class Luck:
    """The random numbers of M paths over W periods, the same for all items: a row never depends on its batch."""

    def __init__(self, paths: int, periods: int, seed: int):
        rng = np.random.default_rng(seed)
        self.expert = (np.arange(paths) + rng.random()) / paths  # even, in order: the other numbers are shuffled
        even = lambda count: (rng.permuted(np.tile(np.arange(paths), (count, 1)), axis=1).T + 0.5) / paths
        self.variance, self.coefficients, self.noise = _normal(even(1))[:, 0], _normal(even(3)), _normal(even(periods))
        self.ends, self.jumps = even(periods), _normal(even(periods))
        self.lead = even(2 * periods)  # which lead time an order has


def _normal(share: np.ndarray) -> np.ndarray:
    """Return quantiles of the standard normal distribution."""
    from scipy.special import ndtri

    return ndtri(share)


def _log_sum(values: np.ndarray) -> np.ndarray:
    """Return log(sum(exp(values))) along the last axis, which is kept."""
    top = values.max(axis=1, keepdims=True)
    return top + np.log(np.exp(values - top).sum(axis=1, keepdims=True))
