"""Seasonal naive and moving average: what every other forecaster has to beat (Hyndman & Athanasopoulos, FPP3, 5.2).

Both are written for missing days (NaN): a missing day takes no part, nor does one far out (see `outliers`). An item
without one observed day is forecast as zero: nothing is known of it.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from ..data import Panel
from ..errors import FieldError
from .base import DECILES, MIN_HISTORY, Forecaster, Known, check_inputs, whole_units
from .censored import demand_of


def positive(name: str, value: int) -> None:
    if type(value) is not int or not 1 <= value <= 100_000:
        raise FieldError(name, value, "a whole number from 1 to 100000")


def _nanquantile(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles over days, (D, I) -> (I, Q), without the days that are NaN; 0 where a column has none.

    np.nanquantile loops over the columns in Python; sorting puts the NaN last and does it at once.
    """
    ordered = np.sort(values, axis=0)
    count = (~np.isnan(values)).sum(axis=0)
    place = np.maximum(count - 1, 0)[:, None] * levels  # linear interpolation, as np.quantile
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, np.maximum(count - 1, 0)[:, None])
    column = np.arange(values.shape[1])[:, None]
    quantiles = ordered[low, column] + (place - low) * (ordered[high, column] - ordered[low, column])
    return np.where(count[:, None] > 0, quantiles, 0.0)


def mean_of_observed(values: np.ndarray) -> np.ndarray:
    """The mean over days, (D, ...) -> (...), of those that are not NaN; NaN where all are."""
    count = (~np.isnan(values)).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)


def filled_by_draws(values: np.ndarray, pools: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values (I, ...), those that are NaN drawn from the item's days in `pools` (D, I); left where none is observed.

    An item has a stream of its own, so that what it lacks moves no other item's draws.
    """
    missing, own = np.isnan(values), rng.spawn(len(values))
    for item in np.flatnonzero(missing.any(axis=tuple(range(1, values.ndim)))):
        pool = pools[~np.isnan(pools[:, item]), item]
        if len(pool):
            values[item][missing[item]] = own[item].choice(pool, missing[item].sum())
    return values


class Baseline(Forecaster):
    """A forecaster without weights."""

    def fit(self, panel: Panel) -> "Baseline":
        """Nothing to learn: the history of each call says it all. Raises ValueError for a panel too short."""
        if len(panel.dates) < MIN_HISTORY:
            raise ValueError(f"the panel has {len(panel.dates)} days: at least {MIN_HISTORY} are needed")
        return self


class SeasonalNaive(Baseline):
    """The same weekday of last week, spread by the differences `season` days apart seen in the history.

    Quantiles as in the reference protocol: the forecast plus the quantiles of those differences, the median left at
    the forecast. Paths add the forecast's own errors over a whole horizon, drawn from past origins, so that their
    days are correlated as the errors of past days were.
    """

    name = "seasonal_naive"

    @dataclass
    class Params:
        season: int = 7  # days

        def __post_init__(self):
            positive("season", self.season)

    def _point(self, units: np.ndarray, horizon: int) -> np.ndarray:
        """(H, I): the last observed value of the same phase, 0 where there is none."""
        season = self.params.season
        if len(units) < 2 * season:
            raise ValueError(f"history has {len(units)} days: a season of {season} days needs at least {2 * season}")
        weeks = len(units) // season
        phases = units[len(units) - weeks * season :].reshape(weeks, season, -1)
        latest = np.zeros(phases.shape[1:])
        for week in phases:
            latest = np.where(np.isnan(week), latest, week)
        return latest[np.arange(horizon) % season]

    def predict(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        levels = check_inputs(history, known, levels)
        units, season = demand_of(history), self.params.season
        point = self._point(units, known.horizon).T
        spread = _nanquantile(units[season:] - units[:-season], levels)  # (I, Q)
        spread[:, np.isclose(levels, 0.5)] = 0.0
        order = np.argsort(np.argsort(levels))
        spread = np.sort(spread, axis=1)[:, order]
        return np.maximum(0.0, point[:, :, None] + spread[:, None, :])

    def predict_mean(self, history: Panel, known: Known) -> np.ndarray:
        check_inputs(history, known)
        return self._point(demand_of(history), known.horizon).T

    def sample_paths(self, history: Panel, known: Known, paths: int, seed: int) -> np.ndarray:
        check_inputs(history, known)
        units, season, horizon = demand_of(history), self.params.season, known.horizon
        point = self._point(units, horizon).T
        days, items = units.shape
        # Pseudo-origins that leave a season before them and a horizon after them; for a history shorter than that,
        # the errors are repeated season by season.
        step = np.arange(min(horizon, days - season))
        origins = np.arange(season, days - len(step) + 1)
        rng = np.random.default_rng(seed)
        start = rng.choice(origins, size=(items, paths, 1))
        item = np.arange(items)[:, None, None]
        errors = units[start + step, item] - units[start - season + step % season, item]  # (I, paths, <=H)
        errors = filled_by_draws(errors, units[season:] - units[:-season], rng)
        errors = np.nan_to_num(errors)[:, :, np.arange(horizon) % len(step)]
        return np.maximum(0.0, point[:, None, :] + errors).astype(np.float32)


class LevelBaseline(Baseline):
    """One mean for every day ahead, with the spread of the last `spread` days around it.

    The spread is the empirical distribution, scaled to the mean, as in the reference protocol: zero where nothing was
    sold in those days. Paths are made of blocks of seven days in a row out of the same days (moving block bootstrap,
    Kuensch 1989).
    """

    @abstractmethod
    def _mean(self, units: np.ndarray) -> np.ndarray:
        """The mean forecast (I,) in units/day, from units (D, I); NaN where there is none."""

    def _recent(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The days to draw from (W, I), their factor (I,) and the mean forecast (I,)."""
        recent = units[-self.params.spread :].copy()
        for column in np.flatnonzero(np.isnan(recent).all(axis=0)):  # out of stock since: as it was before
            observed = units[~np.isnan(units[:, column]), column][-len(recent) :]
            recent[len(recent) - len(observed) :, column] = observed
        level = mean_of_observed(recent)
        mean = self._mean(units)
        # Without a mean of its own (not observed within the window): the mean of the days that are drawn from.
        mean = np.nan_to_num(np.where(np.isnan(mean), level, mean))
        factor = np.where(level > 0, mean / np.where(level > 0, level, 1.0), 0.0)
        return recent, factor, mean

    def predict(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        levels = check_inputs(history, known, levels)
        recent, factor, _ = self._recent(demand_of(history))
        quantiles = _nanquantile(recent, levels) * factor[:, None]
        return np.repeat(quantiles[:, None, :], known.horizon, axis=1)

    def predict_mean(self, history: Panel, known: Known) -> np.ndarray:
        check_inputs(history, known)
        return np.repeat(self._recent(demand_of(history))[2][:, None], known.horizon, axis=1)

    def sample_paths(self, history: Panel, known: Known, paths: int, seed: int) -> np.ndarray:
        check_inputs(history, known)
        recent, factor, mean = self._recent(demand_of(history))
        days, items = recent.shape
        blocks = -(-known.horizon // 7)
        rng = np.random.default_rng(seed)
        start = rng.integers(days, size=(items, paths, blocks, 1))
        day = ((start + np.arange(7)) % days).reshape(items, paths, -1)[:, :, : known.horizon]  # circular
        drawn = filled_by_draws(recent[day, np.arange(items)[:, None, None]], recent, rng) * factor[:, None, None]
        drawn = np.where(np.isnan(drawn), mean[:, None, None], drawn)
        # Rounded up or down at random: a fixed rule would turn 1 unit times a factor of .4 into no demand at all.
        whole = np.floor(drawn + rng.random(drawn.shape))
        return np.where(whole_units(recent)[:, None, None], whole, drawn).astype(np.float32)


class MovingAverage(LevelBaseline):
    """The mean of the last `window` observed days for every day ahead."""

    name = "moving_average"

    @dataclass
    class Params:
        window: int = 28  # days
        spread: int = 56  # days

        def __post_init__(self):
            positive("window", self.window)
            positive("spread", self.spread)

    def _mean(self, units: np.ndarray) -> np.ndarray:
        return mean_of_observed(units[-self.params.spread :][-self.params.window :])
