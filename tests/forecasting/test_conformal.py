"""Calibrated quantiles: closed forms for forecasters wrong on purpose, ties, and days that training leaves out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from storelab.data import Panel
from storelab.forecasting import DECILES, Forecaster, conformal, create, known_future, load

ITEMS, DAYS, HORIZON = 60, 260, 28
MEANS = np.random.default_rng(1).uniform(0.3, 6.0, ITEMS)


class Said(Forecaster):
    """Says a distribution whatever came: `ppf` at levels, given each item's true mean."""

    name = "said"

    @dataclass
    class Params:
        pass

    def __init__(self, ppf):
        super().__init__()
        self.ppf, self.trained, self.asked = ppf, [], []

    def __deepcopy__(self, memo):
        return self  # one record of what the copies saw

    def fit(self, panel):
        self.trained.append(len(panel.dates))
        return self

    def predict(self, history, known, levels=DECILES):
        self.asked.append(len(history.dates))
        quantiles = self.ppf(np.asarray(levels), MEANS[:, None])
        return np.repeat(quantiles[:, None, :], known.horizon, axis=1)

    def predict_mean(self, history, known):
        return self.predict(history, known, conformal.GRID).mean(axis=-1)

    def sample_paths(self, history, known, paths, seed):
        level = np.random.default_rng(seed).random((1, paths, known.horizon))
        return np.broadcast_to(self.ppf(level, MEANS[:, None, None]), (ITEMS, paths, known.horizon)).astype(np.float32)


def exponential(factor):
    return lambda level, mean: -factor * mean * np.log1p(-level)


def poisson(factor):
    return lambda level, mean: stats.poisson.ppf(level, factor * mean)


def world(draw) -> Panel:
    """Independent units of each item's mean, never closed."""
    units = draw(np.random.default_rng(0), (DAYS, ITEMS)).astype(float)
    none = np.zeros(DAYS, bool)
    dates = pd.date_range("2024-01-01", periods=DAYS)
    return Panel([f"i{k:02d}" for k in range(ITEMS)], dates, units, np.ones_like(units), units < 0, none, none)


CONTINUOUS = world(lambda rng, size: rng.exponential(MEANS, size))
COUNTS = world(lambda rng, size: rng.poisson(MEANS, size))


@pytest.fixture
def calibrated(monkeypatch):
    """Return a function: what a forecaster that says `ppf` becomes, calibrated on the first 204 days."""

    def make(ppf, panel):
        monkeypatch.setattr(conformal, "create", lambda name, **params: Said(ppf))
        return conformal.Conformal(conformal.ConformalParams(base="moving_average")).fit(panel.until(204))

    return make


def shares(model, panel) -> tuple[np.ndarray, np.ndarray]:
    """Of the two horizons after the training: days below, and below or at, each decile."""
    parts = []
    for origin in (204, 232):
        quantiles = model.predict(panel.until(origin), known_future(panel, origin, HORIZON))
        came = panel.units[origin : origin + HORIZON].T[..., None]
        parts.append(((came < quantiles).mean(axis=(0, 1)), (came <= quantiles).mean(axis=(0, 1))))
    return np.mean(parts, axis=0)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_wrong_scale_is_put_right(calibrated, factor):
    """Exponential demand said `factor` times too large stands at U = 1 - (1 - t)^(1 / factor) where it should at t."""
    model = calibrated(exponential(factor), CONTINUOUS)
    levels = np.array(DECILES)
    moved = np.interp(levels, conformal.GRID, model.levels["smooth"])
    np.testing.assert_allclose(moved, 1 - (1 - levels) ** (1 / factor), atol=0.025)
    said = model.predict(CONTINUOUS.until(204), known_future(CONTINUOUS, 204, 1))[:, 0]
    np.testing.assert_allclose(said, exponential(1.0)(levels, MEANS[:, None]), rtol=0.12)
    below, up_to = shares(model, CONTINUOUS)
    np.testing.assert_array_equal(below, up_to)
    np.testing.assert_allclose(up_to, levels, atol=0.03)
    if factor != 1:
        before = shares(Said(exponential(factor)), CONTINUOUS)[1]
        assert np.abs(before - levels).max() > 0.15


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.6])
def test_counts_with_ties(calibrated, factor):
    """True quantiles stay: ties don't pass for a forecast too wide. Wrong ones come to have their level in the band."""
    model = calibrated(poisson(factor), COUNTS)
    if factor == 1:
        for levels in model.levels.values():
            np.testing.assert_allclose(levels, conformal.GRID, atol=0.03)
    below, up_to = shares(model, COUNTS)
    assert (below < np.array(DECILES) + 0.02).all()
    assert (up_to > np.array(DECILES) - 0.02).all()
    if factor != 1:
        before = shares(Said(poisson(factor)), COUNTS)
        assert (before[0] > np.array(DECILES) + 0.02).any() or (before[1] < np.array(DECILES) - 0.02).any()


def test_no_score_is_of_a_day_trained_on(calibrated):
    base = calibrated(exponential(1.0), CONTINUOUS).base
    assert base.trained == [204 - 3 * HORIZON, 204]
    assert base.asked == [204 - k * HORIZON for k in (3, 2, 1)]


def test_paths_have_the_corrected_quantiles_in_the_base_s_order(calibrated):
    model = calibrated(exponential(0.5), CONTINUOUS)
    history, known = CONTINUOUS.until(204), known_future(CONTINUOUS, 204, 5)
    paths = model.sample_paths(history, known, 999, seed=4)
    quantiles = np.quantile(paths, DECILES, axis=1).transpose(1, 2, 0)
    np.testing.assert_allclose(quantiles, model.predict(history, known), rtol=0.02)
    drawn = model.base.sample_paths(history, known, 999, seed=4)
    assert (np.diff(np.take_along_axis(drawn, paths.argsort(axis=1), axis=1), axis=1) >= 0).all()


def test_closed_days_have_no_demand(panel):
    """Not even where the base does not know of them."""
    model = create("conformal", base="moving_average").fit(panel.until(340))
    history, known = panel.until(340), known_future(panel, 340, 14)
    known.closed[3] = True
    assert model.base.predict(history, known, (0.999,))[:, 3].max() > 0
    assert model.predict(history, known, (0.1, 0.999))[:, 3].max() == 0
    assert model.sample_paths(history, known, 50, 0)[:, :, 3].max() == 0


def test_a_base_of_another_model_is_refused(ready, tmp_path):
    ready["conformal"].save(tmp_path)
    create("moving_average").save(tmp_path / "base")
    with pytest.raises(ValueError, match="does not have the fingerprint"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"base": "arima"}, r"base: 'arima' is not allowed, expected one of seasonal_naive, "),
        ({"base": "conformal"}, "base: 'conformal' is not allowed"),
        ({"params": 3}, r"params: 3 is not allowed, expected a mapping"),
        ({"params": {"round": 3}}, r"params\.round: 3 is not allowed for lightgbm"),
        ({"windows": 0}, "windows: 0 is not allowed"),
        ({"seed": -1}, "seed: -1 is not allowed"),
    ],
)
def test_bad_parameters(params, match):
    with pytest.raises(ValueError, match=match):
        create("conformal", **params)


def test_not_fitted_and_too_far_ahead(panel, ready):
    with pytest.raises(ValueError, match="call fit"):
        create("conformal").predict(panel.until(340), known_future(panel, 340, 5))
    with pytest.raises(ValueError, match=r"the horizon is 30 days: it was calibrated for 28"):
        ready["conformal"].predict(panel.until(340), known_future(panel, 340, 30))


def test_too_few_days_for_the_base_and_the_calibration():
    with pytest.raises(ValueError, match=r"120 days: training needs at least 126 \(42 for lightgbm, the last 84"):
        create("conformal").fit(COUNTS.until(120))
    with pytest.raises(ValueError, match=r"133 \(49 for ensemble"):
        create("conformal", base="ensemble").fit(COUNTS.until(120))
