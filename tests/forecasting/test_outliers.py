"""A single day far out for its item destroys no forecast, neither its own nor another's."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.data import Panel
from storelab.forecasting import create, known_future
from storelab.forecasting.distribution import LEVELS, calibrate
from storelab.forecasting.outliers import without_far_out

QUICK = ("seasonal_naive", "moving_average", "croston_sba", "tsb", "auto_ets", "transformer")
LEVEL = (0.1, 0.5, 0.9, 0.98)


def demand(days: int = 150, items: int = 4) -> Panel:
    rng = np.random.default_rng(8)
    units = rng.poisson(np.linspace(3, 30, items), (days, items)).astype(float)
    dates, no = pd.date_range("2023-01-02", periods=days), np.zeros((days, items), bool)
    return Panel(
        [f"i{k}" for k in range(items)], dates, units, np.full(units.shape, 2.0), no, no[:, 0].copy(), no[:, 0].copy()
    )


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("day", [149, 146, 110, 20])
def test_an_outlier_moves_no_other_item_and_leaves_its_own_quantiles(name, day):
    plain = demand()
    units = plain.units.copy()
    units[day, 1] = 63_000
    forecaster, known = create(name), known_future(plain, 150, 7)
    if name != "transformer":  # as it comes: pre-trained
        forecaster.fine_tune(plain)
    usual, moved = (
        np.concatenate(
            [forecaster.predict(panel, known, LEVEL), forecaster.predict_mean(panel, known)[..., None]], axis=2
        )
        for panel in (plain, dataclasses.replace(plain, units=units))
    )
    others = [0, 2, 3]
    np.testing.assert_allclose(moved[others], usual[others], rtol=0.02, atol=1e-9 if name != "transformer" else 1)
    own = 7.0 if name == "seasonal_naive" else 3.0  # it has last week's value, or that of the week before
    assert np.abs(moved[1] - usual[1]).max() <= own + 0.3 * usual[1].max()


@pytest.mark.parametrize("name", ["lightgbm", "lightgbm_mean"])
@pytest.mark.parametrize("day", [149, 110])
def test_trees_take_an_outlier_as_a_day_not_observed_when_they_grow_and_when_they_forecast(name, day):
    plain, known, others = demand(), known_future(demand(), 150, 7), [0, 2, 3]
    far, missing = (dataclasses.replace(plain, units=plain.units.copy()) for _ in range(2))
    far.units[day, 1], missing.units[day, 1] = 63_000, np.nan
    grown = [create(name, rounds=60, progress=False).fine_tune(panel) for panel in (plain, far, missing)]
    np.testing.assert_array_equal(grown[1].predict(far, known, LEVEL), grown[2].predict(missing, known, LEVEL))
    usual, same_trees, new_trees = (
        forecaster.predict_mean(panel, known)[others]
        for forecaster, panel in ((grown[0], plain), (grown[0], far), (grown[1], far))
    )
    np.testing.assert_allclose(same_trees, usual, rtol=0.02)
    moved = np.abs(new_trees / usual - 1)
    assert moved.mean() < 0.03
    assert moved.max() < 0.15


def test_an_ensemble_moves_other_items_less_than_its_trees_do():
    """Trained anew beside an outlier; the transformer as it comes, which no training of a test's length replaces."""
    quiet = {"progress": False}
    params = {"transformer": quiet | {"fine_tune_steps": 0}} | dict.fromkeys(
        ("lightgbm", "lightgbm_mean"), quiet | {"rounds": 60}
    )
    plain, known = demand(), known_future(demand(), 150, 7)
    far = dataclasses.replace(plain, units=plain.units.copy())
    far.units[110, 1] = 63_000
    usual, moved = (
        create("ensemble", horizon=7, windows=0, params=params).fine_tune(panel).predict_mean(panel, known)[[0, 2, 3]]
        for panel in (plain, far)
    )
    change = np.abs(moved / usual - 1)
    assert change.mean() < 0.02
    assert change.max() < 0.08


def test_the_tail_is_hardly_moved_by_one_day():
    generator = torch.Generator().manual_seed(0)
    quantiles = torch.tensor([-np.log(1 - level) for level in LEVELS]).float().expand(120, 28, -1)
    scale = torch.ones(120, 28)
    units = torch.empty(120, 28).exponential_(generator=generator)
    usual = calibrate(quantiles, scale, units, seed=0)
    units[7, 5] = 1e5
    moved = calibrate(quantiles, scale, units, seed=0)
    assert (moved.share, moved.memory) == (usual.share, usual.memory)
    assert moved.tail == pytest.approx(usual.tail, rel=0.1)
    spread = float(quantiles[0, 0, -1] - quantiles[0, 0, LEVELS.index(0.9)]) + 0.1
    assert usual.tail == pytest.approx(1 / spread, rel=0.25)  # an exponential's mean excess is 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 50), st.integers(20, 400), st.integers(0, 10**7))
def test_ordinary_demand_is_left_as_it_is_and_a_far_day_is_found(seed, mean, days, size):
    rng = np.random.default_rng(seed)
    units = rng.poisson(mean, (days, 1)).astype(float)
    assert (without_far_out(units) == units).all()
    if (units > 0).sum() > 12 and size > 40 * units.max():
        units[days // 2] = size
        found = without_far_out(units)
        assert np.flatnonzero(np.isnan(found[:, 0])).tolist() == [days // 2]


def test_what_comes_again_is_demand():
    units = np.ones((300, 1))
    units[::30] = 90  # a wholesale order each month
    units[290:] = 40  # and a new level
    assert not np.isnan(without_far_out(units)).any()
