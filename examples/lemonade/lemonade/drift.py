"""The drift method: a line from the first observed week to the last one (Hyndman and Athanasopoulos, FPP3, 5.2)."""

from dataclasses import dataclass

import numpy as np
from storelab.errors import FieldError
from storelab.forecasting import DECILES, Forecaster
from storelab.forecasting.base import check_inputs

WEEK = 7  # days, whose mean is an end of the line


class Drift(Forecaster):
    """A straight line through each item's history, spread by how far past days were off it."""

    name = "drift"

    @dataclass
    class Params:
        window: int = 182  # days at the end of the history that the line goes through

        def __post_init__(self):
            if type(self.window) is not int or not 2 * WEEK <= self.window <= 10_000:
                raise FieldError("window", self.window, "a whole number of days from 14 to 10000")

    def fit(self, panel) -> "Drift":
        """Nothing to learn: the history of each call says it all."""
        return self

    def _line(self, history, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the line of the coming days (H, I), and how far past days were off it (D, I)."""
        units = np.nan_to_num(history.units[-self.params.window :])
        days, first, last = len(units), units[:WEEK].mean(axis=0), units[-WEEK:].mean(axis=0)
        slope = (last - first) / (days - WEEK)  # units a day: the weeks' middles are so many days apart
        line = first + slope * (np.arange(days + horizon)[:, None] - (WEEK - 1) / 2)
        return np.maximum(line[days:], 0), units - line[:days]

    def predict(self, history, known, levels=DECILES) -> np.ndarray:
        """Return quantiles (I, H, Q), units: the line plus the quantiles of what past days were off it."""
        levels = check_inputs(history, known, levels)
        line, errors = self._line(history, known.horizon)
        return np.maximum(line.T[:, :, None] + np.quantile(errors, levels, axis=0).T[:, None], 0)

    def predict_mean(self, history, known) -> np.ndarray:
        """Return the line (I, H), units."""
        check_inputs(history, known)
        return self._line(history, known.horizon)[0].T

    def sample_paths(self, history, known, paths: int, seed: int) -> np.ndarray:
        """Return demand paths (I, paths, H), units: the line plus stretches of what past days were off it."""
        check_inputs(history, known)
        line, errors = self._line(history, known.horizon)
        start = np.random.default_rng(seed).integers(len(errors), size=(paths, 1))
        drawn = errors[(start + np.arange(known.horizon)) % len(errors)]  # (paths, H, I)
        drawn = np.maximum(line + drawn, 0).transpose(2, 0, 1)
        whole = (np.nan_to_num(history.units) % 1 == 0).all(axis=0)[:, None, None]
        return np.where(whole, np.rint(drawn), drawn).astype(np.float32)
