"""Recorded demand made anew, to learn from: block by block, with other levels, seasons and noise, or as forecast.

Recorded days are few, and a learner that only replays them learns them by heart. Domain randomisation (Tobin et al.
2017, arXiv:1703.06907) widens what it learns from. A forecast seen stays one that a forecaster would make of the demand
at hand: it is moved with its day, scaled and widened with the demand.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ...errors import FieldError
from .checks import check_number
from .demand import DayDemand, HistoryDemand
from .random import DEMAND, streams

BLOCK, WEEK = 28, 7  # days that stay together, and those after which weekdays return
WAVES = (90.0, 365.0)  # periods of a season's wave
BOUND = 4.0  # times the largest recorded demand is the largest one made


@dataclass
class Randomisation:
    """How far demand is moved from the recorded one. 0 of all: blocks of recorded days, as they were."""

    level: float = 0.3  # an item's demand is multiplied by exp(u) in an episode, u uniform in [-level, level]
    season: float = 0.2  # amplitude of a wave over all items, uniform up to it; the forecasts know the wave
    noise: float = 0.3  # coefficient of variation of each day's gamma factor, uniform up to it in an episode
    made: float = 0.5  # share of episodes whose sums over the protection interval are drawn from the forecasts

    def __post_init__(self):
        for name in ("level", "noise"):
            check_number(name, getattr(self, name), 0, 2)
        for name in ("season", "made"):
            check_number(name, getattr(self, name), 0, 1)


class RandomisedDemand(DayDemand):
    """Recorded days in blocks drawn at random, on the weekday that is due, and randomised (`Randomisation`).

    A day keeps its price, its calendar and its forecast. In the last days of a block, whose protection interval
    reaches into the next one, the forecast is the mean of the day's and of the next block's first, by the days in each.
    Where an episode is made from forecasts, the recorded demand of every protection interval is scaled to a sum drawn
    from the forecast at its start. Whole units stay whole: they are rounded at random, the mean kept.
    """

    def __init__(
        self, days: HistoryDemand, cover, how: Randomisation, quantiles=(), block: int = BLOCK, week: int = WEEK
    ):
        """Take the recorded days.

        Args:
            days: with what is known of each.
            cover: periods of the protection interval, (I,).
            how: the ranges.
            quantiles: of the forecasts, (Q,).
            block: days that stay together, a multiple of `week`.
            week: days after which the same weekday returns; 1: there are none.

        Raises:
            FieldError: fewer days than a block, forecasts of other quantiles.
        """
        super().__init__(days.recorded.shape, days.tables)
        check_number("block", block, week, len(days.recorded), integer=True)
        if block % week:
            raise FieldError("block", block, f"a multiple of {week}")
        self.how, self.block, self.week, self._recorded = how, block, week, days.recorded
        self._cover = np.broadcast_to(np.asarray(cover, dtype=int), self.items)
        self._whole = bool((self._recorded == np.round(self._recorded)).all())
        self._most = BOUND * np.maximum(self._recorded.max(axis=0), 1)
        self.largest = self._most
        self._levels, given = np.asarray(quantiles, dtype=float), self.known.get("forecast")
        if given is not None and given[1] != len(self._levels):
            raise FieldError("quantiles", quantiles, f"{given[1]} of them, as the forecasts have")

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """See `DemandSource.draw`."""
        rows = [self._episode(rng, periods) for rng in streams(keys, DEMAND)]
        return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}

    def _episode(self, rng: np.random.Generator, periods: int) -> dict[str, np.ndarray]:
        day = self._days(rng, periods)
        known = {name: table[day] for name, table in self.tables.items()}
        demand, forecasts = self._recorded[day].astype(float), {}
        made = rng.random() < self.how.made
        if "forecast" in known:
            forecasts["forecast"] = self._joined(known["forecast"].astype(float), periods)
            if made and len(self._levels) > 1:
                demand = self._as_forecast(rng, demand, forecasts["forecast"])
        if "arrival" in known:
            forecasts["arrival"] = self._arriving(day)
        demand, forecasts = self._moved(rng, demand, forecasts)
        if self._whole:
            demand = np.floor(demand + rng.random(demand.shape))
        return known | forecasts | {"demand": np.minimum(demand, self._most)}

    def _days(self, rng, periods: int) -> np.ndarray:
        """Return the recorded days (periods,) of an episode: blocks that begin on the same weekday."""
        starts = np.arange(self.days - self.block + 1)
        first = rng.integers(self.week)
        starts = starts[starts % self.week == first] if (starts % self.week == first).any() else starts
        picks = starts[rng.integers(len(starts), size=-(-periods // self.block))]
        return (picks[:, None] + np.arange(self.block)).ravel()[:periods]

    def _joined(self, forecast: np.ndarray, periods: int) -> np.ndarray:
        """Return forecasts (T, I, Q) of which those that reach into the next block are means of both blocks'."""
        at = np.arange(periods)
        after = (at // self.block + 1) * self.block
        left = np.where(after < periods, after - at, np.inf)[:, None]  # days to the next block
        own = np.minimum(left / self._cover, 1)[:, :, None]
        return own * forecast + (1 - own) * forecast[np.minimum(after, periods - 1)]

    def _arriving(self, day: np.ndarray) -> np.ndarray:
        """Return forecasts (T, I, Q) of the last periods of protection intervals, each made as long before its day."""
        ahead, at = self._cover - 1, np.arange(len(day))[:, None]
        last = day[np.minimum(at + ahead, len(day) - 1)]  # (T, I), the day on which the order of each arrives
        row = np.where(at + ahead < len(day), np.maximum(last - ahead, 0), day[:, None])
        return self.tables["arrival"][row, np.arange(self.items)].astype(float)

    def _as_forecast(self, rng, demand: np.ndarray, forecast: np.ndarray) -> np.ndarray:
        """Return demand (T, I) whose sums over each protection interval are drawn from the forecast at its start."""
        made = demand.copy()
        for cover in np.unique(self._cover):
            items = np.flatnonzero(self._cover == cover)
            for start in range(int(rng.integers(cover)), len(demand), cover):
                part = demand[start : start + cover, items]
                total = self._sums(forecast[start, items], rng.random(len(items))) * len(part) / cover
                recorded = part.sum(axis=0)
                even = np.broadcast_to(total / len(part), part.shape)
                made[start : start + cover, items] = np.where(
                    recorded > 0, part * total / np.where(recorded > 0, recorded, 1), even
                )
        return made

    def _sums(self, quantiles: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the quantiles (i,) at `at` (i,) of distributions (i, Q): linear between those known, as the last step
        beyond them, and not below 0."""
        levels = self._levels
        upper = np.clip(np.searchsorted(levels, at), 1, len(levels) - 1)
        low, high = (np.take_along_axis(quantiles, k[:, None], axis=1)[:, 0] for k in (upper - 1, upper))
        share = (at - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
        return np.maximum(low + share * (high - low), 0)

    def _moved(self, rng, demand: np.ndarray, forecasts: dict[str, np.ndarray]):
        """Return demand (T, I) and its forecasts (T, I, Q), by name, with another level and season, and noise."""
        how, at = self.how, np.arange(len(demand))
        level = np.exp(rng.uniform(-how.level, how.level, self.items))
        height, length, phase = rng.uniform(0, how.season), rng.uniform(*WAVES), rng.random()
        wave = 1 + height * np.sin(2 * np.pi * (np.arange(len(at) + self._cover.max()) / length + phase))
        spread = rng.uniform(0, how.noise)
        shape = 1 / max(spread, 1e-6) ** 2
        noise = rng.standard_gamma(shape, demand.shape) / shape if spread > 1e-6 else 1.0
        total, moved = np.concatenate([[0], np.cumsum(wave)]), {}
        for name, values in forecasts.items():
            cover = self._cover if name == "forecast" else np.ones_like(self._cover)
            first = at[:, None] + self._cover - cover  # of the periods that it is of
            factor = level * (total[first + cover] - total[first]) / cover
            moved[name] = self._widened(values * factor[:, :, None], cover, spread)
        return demand * level * wave[at][:, None] * noise, moved

    def _widened(self, forecast: np.ndarray, cover: np.ndarray, spread: float) -> np.ndarray:
        """Return forecasts (T, I, Q) of `cover` (I,) days' sums, whose days have a further coefficient of variation."""
        if spread == 0 or len(self._levels) < 2:
            return forecast
        levels = self._levels
        middle = forecast[..., np.abs(levels - 0.5).argmin()][..., None]
        z = NormalDist().inv_cdf(float(levels[-1])) - NormalDist().inv_cdf(float(levels[0]))
        known = np.maximum((forecast[..., -1:] - forecast[..., :1]) / z, 1e-6)
        more = spread * middle / np.sqrt(cover)[:, None]
        return np.maximum(middle + (forecast - middle) * np.sqrt(1 + (more / known) ** 2), 0)
