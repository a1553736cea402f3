"""Exponential smoothing and intermittent demand, by `statsforecast`: AutoETS, Croston SBA and TSB.

Each item on its own, from the history of the call: there are no weights, and saving keeps the parameters.

Fallbacks: days not observed take no part in Croston SBA and TSB, and hold their weekday's mean for AutoETS. An item
observed on fewer than 14 days, or always at the same value, has AutoETS forecast as `MovingAverage` does; an item
never observed is forecast as zero.
"""

from dataclasses import dataclass

import numpy as np

from ..data import Panel
from ..errors import FieldError
from ..learning.base import needs
from .base import DECILES, MIN_HISTORY, Known, check_inputs, whole_units
from .baselines import Baseline, LevelBaseline, MovingAverage, mean_of_observed, positive
from .censored import demand_of

_FALLBACK = MovingAverage()
_CAP = 3  # times the largest units of the history, plus 1: ETS can explode on intermittent series


def _per_item(units: np.ndarray, mean) -> np.ndarray:
    """`mean` of each item's observed days, (I,); NaN for an item without any."""
    observed = [column[~np.isnan(column)] for column in units.T]
    return np.array([mean(column) if len(column) else np.nan for column in observed])


class CrostonSBA(LevelBaseline):
    """Croston's size over interval, both smoothed by .1, times .95 (Syntetos & Boylan 2005, IJF 21:303)."""

    name = "croston_sba"

    @dataclass
    class Params:
        spread: int = 56  # days

        def __post_init__(self):
            positive("spread", self.spread)

    def _mean(self, units: np.ndarray) -> np.ndarray:
        model = needs("statsforecast.models", "baselines").CrostonSBA()
        return _per_item(units, lambda observed: model.forecast(observed, h=1)["mean"][0])


class TSB(LevelBaseline):
    """Size times probability of a sale, smoothed day by day (Teunter, Syntetos & Babai 2011, EJOR 214:606)."""

    name = "tsb"

    @dataclass
    class Params:
        alpha_size: float = 0.1  # smoothing of the size of a sale, 0 to 1
        alpha_probability: float = 0.1  # smoothing of the probability of a sale, 0 to 1
        spread: int = 56  # days

        def __post_init__(self):
            positive("spread", self.spread)
            for name in ("alpha_size", "alpha_probability"):
                value = getattr(self, name)
                if not isinstance(value, int | float) or not 0 <= value <= 1:
                    raise FieldError(name, value, "a number from 0 to 1")

    def _mean(self, units: np.ndarray) -> np.ndarray:
        model = needs("statsforecast.models", "baselines").TSB(self.params.alpha_size, self.params.alpha_probability)
        return _per_item(units, lambda observed: model.forecast(observed, h=1)["mean"][0])


class AutoETS(Baseline):
    """Error, trend and season as AICc chooses (Hyndman et al. 2008, Forecasting with Exponential Smoothing).

    Quantiles are those of the model's prediction intervals, its mean forecast is the median; paths are simulated from
    the fitted model with normal errors. All are cut at 0 and at three times the largest units of the history, plus 1.
    """

    name = "auto_ets"

    @dataclass
    class Params:
        season: int = 7  # days

        def __post_init__(self):
            positive("season", self.season)

    def __init__(self, params=None):
        super().__init__(params)
        self._fitted: dict[bytes, object] = {}  # of the last history: quantiles, mean and paths share their fits

    def _models(self, units: np.ndarray) -> dict[int, object]:
        """Item -> fitted model, of the items that are not left to the fallback."""
        library = needs("statsforecast.models", "baselines")
        fitted, models = {}, {}
        for item, column in enumerate(units.T):
            seen = np.flatnonzero(~np.isnan(column))
            if len(seen) < MIN_HISTORY or np.ptp(column[seen]) == 0:
                continue
            series = _filled(column[seen[0] :], self.params.season)
            key = series.tobytes()
            if key not in self._fitted:
                with np.errstate(all="ignore"):
                    self._fitted[key] = library.AutoETS(season_length=self.params.season).fit(series)
            fitted[key] = models[item] = self._fitted[key]
        self._fitted = fitted
        return models

    def predict(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        levels = check_inputs(history, known, levels)
        quantiles = _FALLBACK.predict(history, known, levels)
        widths = [round(abs(1 - 2 * level) * 100, 6) for level in levels]  # of central intervals, per cent
        units = demand_of(history)
        for item, model in self._models(units).items():
            bounds = model.predict(known.horizon, level=sorted({width for width in widths if width}))
            for place, (level, width) in enumerate(zip(levels, widths, strict=True)):
                side = "lo" if level < 0.5 else "hi"
                quantiles[item, :, place] = bounds[f"{side}-{width}"] if width else bounds["mean"]
            quantiles[item] = _cut(quantiles[item], units[:, item])
        return np.sort(quantiles, axis=2)[:, :, np.argsort(np.argsort(levels))]

    def predict_mean(self, history: Panel, known: Known) -> np.ndarray:
        mean = _FALLBACK.predict_mean(history, known)
        units = demand_of(history)
        for item, model in self._models(units).items():
            mean[item] = _cut(model.predict(known.horizon)["mean"], units[:, item])
        return mean

    def sample_paths(self, history: Panel, known: Known, paths: int, seed: int) -> np.ndarray:
        drawn = _FALLBACK.sample_paths(history, known, paths, seed)
        whole = whole_units(history.units)
        before = np.random.get_state()  # noqa: NPY002 - simulate seeds the global generator
        units = demand_of(history)
        for item, model in self._models(units).items():
            item_seed = int(np.random.SeedSequence([seed, item]).generate_state(1)[0])
            simulated = model.simulate(known.horizon, paths, seed=item_seed, error_distribution="normal")
            simulated = _cut(simulated, units[:, item])
            drawn[item] = np.rint(simulated) if whole[item] else simulated
        np.random.set_state(before)  # noqa: NPY002
        return drawn


def _filled(column: np.ndarray, season: int) -> np.ndarray:
    """A series (D,) without NaN: a day not observed holds the mean of its phase, or of all days."""
    phase = np.arange(len(column)) % season
    usual = np.array([mean_of_observed(column[phase == k]) for k in range(season)])
    usual = np.where(np.isnan(usual), np.nanmean(column), usual)
    return np.where(np.isnan(column), usual[phase], column)


def _cut(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(values, nan=0.0), 0.0, _CAP * np.nanmax(units) + 1)
