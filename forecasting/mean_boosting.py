"""Gradient-boosted trees for the mean demand, with a negative-binomial distribution around it, by LightGBM.

The mean is that of several sets of trees with losses for counts, Tweedie (Jorgensen 1987) and Poisson. Every series is
scaled by its own level; days out of stock are missing, not zero; the year's season is read at the item and at the
groups it belongs to. The dispersion of the negative binomial, the tail and the copula are fitted on the last weeks of
the training panel, by trees that have not seen them.

For weekly and for daily panels: windows are counted in weeks.
"""

from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch
from scipy.special import gammaln
from scipy.stats import gamma, nbinom
from tqdm import tqdm

from ..data import Panel
from ..errors import FieldError
from ..learning.base import needs
from .base import Known, whole_units
from .baselines import mean_of_observed
from .distribution import LEVELS, calibrate
from .gradient_boosting import GradientBoosting, _Days
from .quantile import QuantileForecaster

_WINDOWS = (2, 4, 8, 13, 26, 52)  # weeks of the means
_LAGS = (1, 2, 3, 4)  # weeks back, of the same weekday in a daily panel
_LEVEL = 26  # weeks whose mean is an item's level
_USUAL = 13  # weeks before a week, and before that of last year, that it is compared with
_YEAR = 52  # weeks
_LEAST = 8  # weeks of an item before a training origin
_USUAL_START = 30  # weeks of the panel before the first training origin, where there are as many
_HELD_BACK = 13  # weeks that the dispersion is fitted on
_BULK = 10.0  # times the median day of sales
_FLOOR = 0.2  # units/week, added to an item's level
_DISPERSIONS = np.geomspace(0.2, 100, 40)
_LOSSES = {
    "tweedie": {"objective": "tweedie", "tweedie_variance_power": 1.3},
    "poisson": {"objective": "poisson"},
}


@dataclass
class MeanBoostingParams:
    """How the trees are grown, and what is averaged."""

    horizon: int = 8  # days of the panel (weeks, if it is weekly) ahead, at most
    planned: bool = True  # price, promotion and covariates of the horizon are known; False: they are not used
    losses: list[str] = field(default_factory=lambda: ["tweedie", "poisson", "tweedie"])  # a set of trees each
    leaves: list[int] = field(default_factory=lambda: [31, 31, 63])  # per tree, at most; of each loss
    rounds: int = 250  # trees per loss
    learning_rate: float = 0.05
    leaf_rows: int = 60  # rows in a leaf, at least
    rows: int = 300_000  # training rows (item, origin, day ahead), at most
    seed: int = 0
    progress: bool = True  # progress bar

    def __post_init__(self):
        least = {"seed": 0}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type is int and (type(value) is not int or not least.get(item.name, 1) <= value < 2**31):
                raise FieldError(item.name, value, f"a whole number >= {least.get(item.name, 1)}")
            if item.type is bool and type(value) is not bool:
                raise FieldError(item.name, value, "a bool")
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise FieldError("learning_rate", rate, "a number above 0, up to 1")
        if not isinstance(self.losses, list) or not self.losses or any(x not in [*_LOSSES] for x in self.losses):
            raise FieldError("losses", self.losses, f"a list of {', '.join(_LOSSES)}, one or more")
        whole = isinstance(self.leaves, list) and all(type(value) is int and value >= 2 for value in self.leaves)
        if not whole or len(self.leaves) != len(self.losses):
            raise FieldError("leaves", self.leaves, f"{len(self.losses)} whole numbers >= 2, one per loss")


def _bounded(units: np.ndarray) -> np.ndarray:
    """Units (D, I), no day above ten times the item's median day of sales (and a unit more): one bulk order in one item
    is not to move its own level, the season or its groups."""
    sold = np.where(units > 0, units, np.nan)
    usual = np.zeros(units.shape[1])
    some = ~np.isnan(sold).all(axis=0)
    usual[some] = np.nanmedian(sold[:, some], axis=0)
    return np.minimum(units, _BULK * (1 + usual))


class _Rows:
    """The features of a history's items, with the known future behind."""

    def __init__(self, history: Panel, known: Known | None = None):
        self.days, self.step = _Days(history, known), 1 if history.weekly else 7
        self.units = _bounded(self.days.units)
        self.out = history.stocked_out
        dates = history.dates if known is None else history.dates.append(known.dates)
        self.week = dates.isocalendar().week.to_numpy(int)
        groups = ({"category": history.category} if history.category else {}) | history.groups
        self.groups = [np.unique(labels, return_inverse=True)[1] for labels in groups.values()]
        self.first = np.argmax(~np.isnan(history.units), axis=0)

    def _between(self, low: int, high: int) -> np.ndarray:
        """The mean (I,) of the rows low .. high - 1 that there are; NaN where there is none."""
        return mean_of_observed(self.units[max(0, low) : max(0, high)])

    def _of_group(self, number: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        """The ratio (I,) of two means in an item's group: of roots, so that no item drowns the others."""
        both = ~np.isnan(top) & ~np.isnan(bottom)
        sums = [np.bincount(number[both], np.sqrt(part[both]), number.max() + 1) for part in (top, bottom)]
        return ((sums[0] + 1) / (sums[1] + 1))[number]

    def level(self, origin: int) -> np.ndarray:
        """The levels (I,) before a row, units/day."""
        recent, long = (self._between(origin - weeks * self.step, origin) for weeks in (_LEVEL, 4 * _LEVEL))
        level = np.where(np.isnan(recent), long, recent)
        usual = np.nanmedian(level) if not np.isnan(level).all() else 0.0
        return np.where(np.isnan(level), usual, level) + _FLOOR / self.step

    def table(self, origin: int, horizon: int, planned: bool) -> tuple[np.ndarray, np.ndarray]:
        """Features (I, H, F) float32 of the rows from `origin` on, and levels (I,); units before `origin` alone."""
        s, days, level = self.step, self.days, self.level(origin)
        recent = self.units[max(0, origin - _LEVEL * s) : origin]
        mean = mean_of_observed(recent)
        last, usual = self._between(origin - 4 * s, origin), self._between(origin - _LEVEL * s, origin)
        item = [self._between(origin - weeks * s, origin) / level for weeks in _WINDOWS]
        largest = np.nan_to_num(recent[-_USUAL * s :]).max(axis=0)
        spread = np.sqrt(mean_of_observed((recent - mean) ** 2))
        zero = mean_of_observed(np.where(np.isnan(recent), np.nan, recent == 0))
        item += [largest / level, spread / level, zero, np.log(level)]
        item += [self.out[max(0, origin - 8 * s) : origin].mean(axis=0), self.out[origin - 1]]
        item += [np.minimum(origin - self.first, 2 * _YEAR * s)]
        for number in self.groups:
            seen = ~np.isnan(usual)
            count = np.bincount(number[seen], minlength=number.max() + 1)
            total = np.bincount(number[seen], usual[seen], number.max() + 1)
            item += [number, self._of_group(number, last, usual), (total / np.maximum(count, 1))[number] / level]
        price = days.price[max(0, origin - _USUAL * s) : origin]
        usual_price = mean_of_observed(price)
        usual_values = [mean_of_observed(v[max(0, origin - _USUAL * s) : origin]) for v in days.covariates]
        table = []
        for ahead in range(horizon):
            row = origin + ahead
            columns = [np.full(len(level), value) for value in (ahead, self.week[row], days.holiday[row])]
            if s > 1:
                columns += [np.full(len(level), days.weekday[row])]
            for back in _LAGS:
                lag = origin - back * s + ahead % s
                columns += [self.units[lag] / level if lag >= 0 else np.full(len(level), np.nan)]
            columns += self._year(row, origin, level)
            if planned:
                columns += days.planned(row, usual_price, usual_values)
            table.append(np.stack([*item, *columns], axis=1))
        return np.stack(table, axis=1).astype(np.float32), level

    def _year(self, row: int, origin: int, level: np.ndarray) -> list[np.ndarray]:
        """What one and two years before say of a row: each (I,)."""
        s, columns = self.step, []
        for years in (1, 2):
            then = row - years * _YEAR * s
            for around in (0, 1, 3):
                columns += [self._between(then - around * s, then + around * s + 1) / level]
            before = origin - years * _YEAR * s
            columns += [self._between(before - _USUAL * s, before) / level]
        then, before = row - _YEAR * s, origin - _YEAR * s
        around, usual = self._between(then - s, then + s + 1), self._between(before - _USUAL * s, before)
        columns += [around / np.maximum(usual, _FLOOR / 2 / s)]
        return columns + [self._of_group(number, around, usual) for number in self.groups]


class MeanBoosting(GradientBoosting):
    """See the module's docstring. `fine_tune` is `fit`."""

    name = "lightgbm_mean"
    Params: ClassVar = MeanBoostingParams

    def __init__(self, params: MeanBoostingParams | None = None):
        super().__init__(params)
        self.dispersion = 2.0  # of the negative binomial: variance = mean + mean^2 / dispersion
        self._calibrated = False  # by a copy that was trained on fewer days

    @property
    def least_days(self) -> int:
        return 2 * _LEAST + self.params.horizon

    def fit(self, panel: Panel) -> "MeanBoosting":
        """Grow the trees on the panel. Raises ValueError when it is too short or holds no sale."""
        self._check_panel(panel, f"{2 * _LEAST} observed, {self.params.horizon} ahead")
        rows, days = _Rows(panel), len(panel.dates)
        calibrated, self._calibrated = self._calibrated, False  # for this training alone
        if not calibrated:
            held = min(_HELD_BACK * rows.step, days // 4)
            self.boosters = self._grow(rows, days - held, "held back")
            self._calibrate_on(rows, panel, days - held)
        self.boosters = self._grow(rows, days, "train")
        return self

    def take_over(self, early: QuantileForecaster) -> None:
        if isinstance(early, MeanBoosting):
            self.dispersion, self.dependence, self._calibrated = early.dispersion, early.dependence, True

    def _grow(self, rows: _Rows, stop: int, words: str) -> list:
        """Trees (one booster per loss) on the days before `stop`."""
        p, lightgbm = self.params, needs("lightgbm", "baselines")
        start = min(_USUAL_START * rows.step, max(_LEAST * rows.step, stop // 3), stop // 2)
        origins = np.arange(stop - 1, start - 1, -1 if rows.step == 1 else -7)
        rng, limit = np.random.default_rng(p.seed), max(1, p.rows // max(1, len(origins)))
        parts = []
        for origin in origins:
            ahead = min(p.horizon, stop - origin)
            table, level = rows.table(origin, ahead, p.planned)
            target = rows.units[origin : origin + ahead].T / level[:, None]
            enough = origin - rows.first >= min(_LEAST * rows.step, start)
            item, day = np.nonzero(~np.isnan(target) & enough[:, None])
            if len(item) > limit:
                chosen = np.sort(rng.choice(len(item), limit, replace=False))
                item, day = item[chosen], day[chosen]
            parts.append((table[item, day], target[item, day], np.sqrt(level[item])))
        if not sum(len(part[1]) for part in parts):
            raise ValueError(f"no item is observed {_LEAST} weeks before a training origin")
        table, target, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
        settings = {
            **{"learning_rate": p.learning_rate, "min_data_in_leaf": p.leaf_rows, "feature_fraction": 0.5},
            **{"bagging_fraction": 0.7, "bagging_freq": 1, "deterministic": True, "force_row_wise": True},
            **{"verbosity": -1},
        }
        data = lightgbm.Dataset(table, target, weight=weight, free_raw_data=False)
        return [
            lightgbm.train(settings | _LOSSES[loss] | {"num_leaves": leaves, "seed": p.seed + place}, data, p.rounds)
            for place, (loss, leaves) in enumerate(
                tqdm([*zip(p.losses, p.leaves, strict=True)], desc=words, unit="loss", disable=not p.progress or None)
            )
        ]

    def _calibrate_on(self, rows: _Rows, panel: Panel, start: int) -> None:
        """Fit the dispersion, the tail and the copula on the days from `start`, which the trees have not seen."""
        horizon = min(self.params.horizon, len(panel.dates) - start)
        means, scales, units = [], [], []
        for origin in range(start, len(panel.dates) - horizon + 1, max(1, rows.step)):
            mean, level = self._means(rows, origin, horizon)
            enough = origin - rows.first >= _LEAST * rows.step
            means.append(mean[enough])
            scales.append(np.repeat(level[enough, None], horizon, axis=1))
            units.append(rows.units[origin : origin + horizon].T[enough])
        mean, scale, actual = (np.concatenate(part) for part in (means, scales, units))
        seen = ~np.isnan(actual)
        if not seen.any():
            return
        self.dispersion = _dispersion(mean[seen], actual[seen])
        quantiles = torch.from_numpy(_quantiles(mean, self.dispersion, whole_units(panel.units).all())).float()
        tensors = (torch.from_numpy(part).float() for part in (scale, actual))
        self.dependence = calibrate(quantiles, *tensors, self.params.seed)

    def _means(self, rows: _Rows, origin: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Means (I, H) of the days from `origin` on, in units, and levels (I,)."""
        table, level = rows.table(origin, horizon, self.params.planned)
        flat = table.reshape(-1, table.shape[-1])
        mean = np.mean([booster.predict(flat) for booster in self.boosters], axis=0).reshape(table.shape[:2])
        return mean * level[:, None], level

    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        self._check(history, known)
        mean, level = self._means(_Rows(history, known), len(history.dates), known.horizon)
        scales = level[:, None] * ~known.closed
        quantiles = _quantiles(mean * ~known.closed, self.dispersion, whole_units(history.units).all())
        return torch.from_numpy(quantiles).float(), torch.from_numpy(scales).float()

    def _content(self) -> tuple[bytes, dict]:
        trees, config = super()._content()
        return trees, config | {"dispersion": self.dispersion}

    def _restore(self, config: dict) -> None:
        super()._restore(config)
        self.dispersion = float(config["dispersion"])


def _quantiles(mean: np.ndarray, dispersion: float, whole: bool) -> np.ndarray:
    """Quantiles (..., Q) at LEVELS around means: negative binomial, or gamma for units that are not whole."""
    mean = np.maximum(mean, 0)[..., None]
    safe = np.maximum(mean, 1e-9)
    if whole:
        values = nbinom.ppf(LEVELS, dispersion, dispersion / (dispersion + safe))
    else:
        values = gamma.ppf(LEVELS, dispersion, scale=safe / dispersion)
    return np.where(mean > 0, values, 0.0)


def _dispersion(mean: np.ndarray, units: np.ndarray) -> float:
    """The dispersion of a grid under which the units (n,) are likeliest around their means (n,)."""
    mean = np.maximum(mean, 1e-6)

    def likelihood(r: float) -> float:
        return float(
            np.sum(gammaln(units + r) - gammaln(r) + r * np.log(r / (r + mean)) + units * np.log(mean / (r + mean)))
        )

    return float(max(_DISPERSIONS, key=likelihood))
