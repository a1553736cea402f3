import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from storelab.data import Panel
from storelab.forecasting import DECILES, create, known_future
from storelab.forecasting.baselines import _nanquantile


def panel_of(units) -> Panel:
    units = np.asarray(units, float)
    days, items = units.shape
    return Panel(
        items=[f"i{item}" for item in range(items)],
        dates=pd.date_range("2024-01-01", periods=days),
        units=units,
        price=np.ones((days, items)),
        promo=np.zeros((days, items), bool),
        closed=np.zeros(days, bool),
        holiday=np.zeros(days, bool),
    )


def ask(forecaster, panel, horizon, levels=DECILES):
    days = len(panel.dates)
    return forecaster.predict(panel, known_future(panel, days, horizon), levels)


@settings(max_examples=50, deadline=None)
@given(arrays(float, (9, 4), elements=st.one_of(st.just(np.nan), st.floats(0, 100))))
def test_nanquantile_is_numpys(values):
    levels = np.array([0.1, 0.5, 0.93])
    seen = ~np.isnan(values).all(axis=0)
    got = _nanquantile(values, levels)
    assert (got[~seen] == 0).all()
    if seen.any():
        np.testing.assert_allclose(got[seen], np.nanquantile(values[:, seen], levels, axis=0).T, atol=1e-9)


def test_seasonal_naive_repeats_the_last_week():
    panel = panel_of(np.arange(28.0)[:, None])
    forecaster = create("seasonal_naive")
    known = known_future(panel, 28, 9)
    expected = [21, 22, 23, 24, 25, 26, 27, 21, 22]
    np.testing.assert_array_equal(forecaster.predict_mean(panel, known)[0], expected)
    quantiles = ask(forecaster, panel, 9, (0.5, 0.9))  # every difference is 7
    np.testing.assert_array_equal(quantiles[0, :, 0], expected)
    np.testing.assert_array_equal(quantiles[0, :, 1], np.add(expected, 7.0))
    # In week two the same error has grown to a fortnight's.
    paths = forecaster.sample_paths(panel, known, 5, seed=0)
    np.testing.assert_array_equal(paths[0], np.tile(np.add(expected, [7] * 7 + [14] * 2), (5, 1)))


def test_seasonal_naive_steps_over_missing_days():
    units = np.tile(np.arange(7.0), 4)[:, None]
    units[-7:-3] = np.nan
    panel = panel_of(units)
    np.testing.assert_array_equal(create("seasonal_naive").predict_mean(panel, known_future(panel, 28, 7))[0], range(7))


def test_seasonal_naive_needs_two_seasons():
    panel = panel_of(np.ones((20, 1)))
    with pytest.raises(ValueError, match="at least 28"):
        ask(create("seasonal_naive", season=14), panel, 3)


def test_moving_average_is_the_mean_and_the_scaled_spread():
    units = np.r_[np.full(28, 2.0), np.tile([1.0, 7.0], 14)][:, None]  # mean 4 of the last 28, 3 of the last 56
    panel = panel_of(units)
    forecaster = create("moving_average")
    np.testing.assert_allclose(forecaster.predict_mean(panel, known_future(panel, 56, 3)), 4.0)
    expected = np.quantile(units, DECILES) * 4 / 3
    np.testing.assert_allclose(ask(forecaster, panel, 3), np.tile(expected, (1, 3, 1)))


def test_moving_average_paths_keep_mean_and_runs():
    rng = np.random.default_rng(0)
    runs = np.repeat(rng.poisson(3, 100), 4).astype(float)[:, None]  # four equal days in a row
    panel = panel_of(runs)
    forecaster, known = create("moving_average", window=56), known_future(panel, 400, 28)
    paths = forecaster.sample_paths(panel, known, 4000, seed=1)[0]
    assert paths.mean() == pytest.approx(runs[-56:].mean(), rel=0.03)
    assert np.corrcoef(paths[:, 0], paths[:, 1])[0, 1] > 0.5
    assert abs(np.corrcoef(paths[:, 0], paths[:, 14])[0, 1]) < 0.1


def test_fractions_stay_fractions():
    panel = panel_of(np.full((60, 1), 2.5))
    for name in ("seasonal_naive", "moving_average"):
        paths = create(name).sample_paths(panel, known_future(panel, 60, 4), 3, seed=0)
        np.testing.assert_allclose(paths, 2.5)
