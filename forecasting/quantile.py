"""Forecasters that say the quantiles at LEVELS: any other level, the mean and the paths follow from them.

An item without an observed day is forecast as one of its category (see `cold_start`).
"""

from abc import abstractmethod

import numpy as np
import torch

from ..data import Panel
from .base import DECILES, Forecaster, Known, check_inputs, whole_units
from .cold_start import mixture_at_levels, mixture_of_paths, new_items
from .distribution import Dependence, at_levels, correlated_uniforms, draw_noise, mean

_PATH_CELLS = 20_000_000  # days x paths x items drawn at once


class QuantileForecaster(Forecaster):
    """See the module's docstring."""

    def __init__(self, params=None):
        super().__init__(params)
        self.dependence = Dependence()

    def _check_panel(self, panel: Panel, days: str) -> None:
        """Raise ValueError for a panel too short to train on, with what its `days` are for, or without a sale."""
        if len(panel.dates) < self.least_days:
            raise ValueError(
                f"the panel has {len(panel.dates)} days: training needs at least {self.least_days} ({days})"
            )
        if not np.nansum(panel.units) > 0:
            raise ValueError("the panel holds no sale: there is nothing to learn from")

    def take_over(self, early: "QuantileForecaster") -> None:
        """Take over, for the next training, what a copy trained on fewer days learnt from its validation days."""

    @abstractmethod
    def _forecast(self, history: Panel, known: Known) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantiles in units (I, H, Q), rising and non-negative, and scales (I, H); both 0 on closed days."""

    def _past(self, history: Panel) -> Panel:
        """The days that the forecasts are made from: an item without an observed one is new."""
        return history

    def predict(self, history: Panel, known: Known, levels=DECILES) -> np.ndarray:
        levels = torch.from_numpy(check_inputs(history, known, levels, self.least_history)).float()
        quantiles, scale = self._forecast(history, known)
        level = levels.expand(*quantiles.shape[:2], -1)
        units = at_levels(quantiles, scale, self.dependence.tail, level)
        for new, members in new_items(self._past(history)):
            units[new] = mixture_at_levels(quantiles[members], scale[members], self.dependence.tail, levels)
        units = units.double().numpy()
        # Whole units so far: then a quantile is a whole number too, and paths are made of whole numbers.
        return np.rint(units) if whole_units(history.units).all() else units

    def predict_mean(self, history: Panel, known: Known) -> np.ndarray:
        units = mean(*self._forecast(history, known), self.dependence.tail).double().numpy()
        for new, members in new_items(self._past(history)):
            units[new] = units[members].mean(axis=0)
        return units

    def sample_paths(self, history: Panel, known: Known, paths: int, seed: int) -> np.ndarray:
        quantiles, scale = self._forecast(history, known)
        whole = whole_units(history.units).all()
        generator = torch.Generator().manual_seed(seed)
        result = np.empty((len(scale), paths, known.horizon), np.float32)
        rows = max(1, _PATH_CELLS // (paths * known.horizon))
        for low in range(0, len(scale), rows):
            part, part_scale = quantiles[low : low + rows], scale[low : low + rows]
            noise = draw_noise(len(part), known.horizon, paths, generator)
            level = correlated_uniforms(noise, self.dependence.share, self.dependence.memory)
            units = at_levels(part, part_scale, self.dependence.tail, level)
            result[low : low + rows] = (units.round() if whole else units).transpose(1, 2).numpy()
        for new, members in new_items(self._past(history)):
            result[new] = mixture_of_paths(result, members, len(new), seed)
        return result
