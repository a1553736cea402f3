"""What holds for every forecaster: the past only, one seed one result, clear errors."""

import copy
import dataclasses
import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from storelab.data import Panel
from storelab.errors import FieldError
from storelab.forecasting import FORECASTERS, Known, create, known_future, load

from .conftest import ALL, QUICK, TRAINED

ORIGIN, HORIZON = 340, 10


@pytest.fixture(params=ALL)
def forecaster(request, ready):
    return ready[request.param]


def changed(panel: Panel, **arrays) -> Panel:
    return Panel(**{**vars(panel), **arrays})


def everything(forecaster, panel, origin=ORIGIN, horizon=HORIZON):
    history, known = panel.until(origin), known_future(panel, origin, horizon)
    return (
        forecaster.predict(history, known, (0.05, 0.5, 0.99)),
        forecaster.predict_mean(history, known),
        forecaster.sample_paths(history, known, 20, seed=3),
    )


@pytest.mark.slow
def test_shapes_and_order(forecaster, panel):
    quantiles, mean, paths = everything(forecaster, panel)
    assert quantiles.shape == (30, HORIZON, 3)
    assert mean.shape == (30, HORIZON)
    assert paths.shape == (30, 20, HORIZON)
    assert paths.dtype == np.float32
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    for array in (quantiles, mean, paths):
        assert np.isfinite(array).all()
        assert (array >= 0).all()
    assert (paths == np.rint(paths)).all()  # the history is in whole units


def test_units_from_the_origin_on_change_nothing(forecaster, panel):
    units = panel.units.copy()
    units[ORIGIN:] = 7.0 * units[ORIGIN:][::-1] + 1.0
    other = changed(panel, units=units, past_covariates={"visits": np.where(np.isnan(units), 5.0, 9.0 * units)})
    other.past_covariates["visits"][:ORIGIN] = panel.past_covariates["visits"][:ORIGIN]
    for before, after in zip(everything(forecaster, panel), everything(forecaster, other), strict=True):
        np.testing.assert_array_equal(before, after)


def test_known_holds_no_units(panel):
    assert set(Known.__dataclass_fields__) == {"items", "dates", "price", "promo", "closed", "holiday", "covariates"}
    assert set(known_future(panel, 100, 5).covariates) == {"display"}


@pytest.mark.slow
def test_weekly_panels(forecaster, panel):
    """A forecaster of days takes a panel of weeks as it is: 50 rows of 7 days."""
    weeks = changed(panel, past_covariates={}, covariates={}).by_week()
    model = copy.deepcopy(forecaster)
    if forecaster.name == "conformal":
        params = {**forecaster.params.params, "horizon": 8}
        model = create("conformal", **vars(forecaster.params) | {"horizon": 8, "params": params})
    if forecaster.name != "transformer":
        model.fine_tune(weeks.until(50))
    history, known = weeks.until(50), known_future(weeks, 50, 8)
    assert (known.dates[0] - history.dates[-1]).days == 7
    quantiles = model.predict(history, known)
    assert quantiles.shape == (30, 8, 9)
    assert np.isfinite(quantiles).all()
    with pytest.raises(ValueError, match=r"known.covariates are \[\]: the history has \['promo_days'\]"):
        model.predict(history, dataclasses.replace(known, covariates={}))


@pytest.mark.parametrize("name", TRAINED)
def test_training_sees_only_the_panel_it_is_given(panel, name, quick):
    forecaster, params = quick[name]
    panel = panel.select(panel.items[::4])
    units = panel.units.copy()
    units[ORIGIN:] += 100.0
    first = create(forecaster, **params).fit(panel.until(ORIGIN))
    second = create(forecaster, **params).fit(changed(panel, units=units).until(ORIGIN))
    assert first.fingerprint() == second.fingerprint()


def test_seed_decides_the_paths(forecaster, panel):
    history, known = panel.until(ORIGIN), known_future(panel, ORIGIN, HORIZON)
    paths = [forecaster.sample_paths(history, known, 10, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert (paths[0] != paths[2]).any()


def test_save_and_load(forecaster, panel, tmp_path):
    forecaster.save(tmp_path)
    again = load(tmp_path)
    assert again.fingerprint() == forecaster.fingerprint()
    assert again.params == forecaster.params
    for before, after in zip(everything(forecaster, panel), everything(again, panel), strict=True):
        np.testing.assert_array_equal(before, after)


def _units(panel, column, value, days=slice(None)):
    units = panel.units.copy()
    units[days, column] = value
    return units


EDGES = {  # what happens to item 0; its forecasts stay finite and non-negative, the other items' about as they were
    "all zeros": lambda panel: _units(panel, 0, 0.0),
    "always the same": lambda panel: _units(panel, 0, 4.0),
    "a gap": lambda panel: _units(panel, 0, np.nan, slice(100, 200)),
    "not observed of late": lambda panel: _units(panel, 0, np.nan, slice(ORIGIN - 70, None)),
    "observed for three days": lambda panel: _units(panel, 0, np.nan, slice(0, ORIGIN - 3)),
    "never observed": lambda panel: _units(panel, 0, np.nan),
    "huge": lambda panel: _units(panel, 0, 1e9, slice(ORIGIN - 100, ORIGIN - 99)),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edge_cases_of_a_series(forecaster, panel, edge):
    panel = panel.select(panel.items[:3])
    usual = everything(forecaster, panel)
    units = EDGES[edge](panel)
    forecasts = everything(forecaster, changed(panel, units=units))
    for array, before in zip(forecasts, usual, strict=True):
        assert np.isfinite(array).all()
        assert (array >= 0).all()
        if edge not in ("never observed", "observed for three days"):  # whose scale is taken from the others
            # Some see the whole store's sales; all others each item alone.
            whole_store = ("transformer", "new_store", "ensemble", "lightgbm_mean")
            far = {"rtol": 0.2, "atol": 1.5} if forecaster.name in whole_store else {"rtol": 0}
            np.testing.assert_allclose(array[1:], before[1:], **far)
    if edge == "all zeros":
        assert forecasts[0][0, :, 1].max() == 0.0
    if edge == "always the same" and forecaster.name not in (*QUICK, "hub", "new_store"):
        assert (forecasts[0][0] == 4.0 * (0.95 if forecaster.name == "croston_sba" else 1.0)).all()


def test_price_missing_in_the_horizon(forecaster, panel):
    """NaN is allowed and means not known; any other hole in `Known` is an error when it is made."""
    history, known = panel.until(ORIGIN), known_future(panel, ORIGIN, HORIZON)
    known.price[:, 0] = np.nan
    assert np.isfinite(forecaster.predict(history, known)).all()


def test_gaps_and_duplicate_dates_are_named(panel):
    """No forecaster sees them: a panel cannot be made of them."""
    past = panel.until(40).select([panel.items[0], panel.items[2]])
    frame = past.to_frame()
    with pytest.raises(ValueError, match=r"'item', 'date', rows 1 and \d+: both hold"):
        Panel.from_frame(pd.concat([frame, frame.iloc[:1]]))
    gap = Panel.from_frame(frame.drop(index=frame.index[5]))
    assert np.isnan(gap.units).sum() == 1 + np.isnan(past.units).sum()
    dates = panel.dates.delete(5)
    with pytest.raises(ValueError, match=r"dates: .* has gaps"):
        changed(panel, dates=dates)


@pytest.mark.parametrize("name", TRAINED)
def test_training_on_nothing_is_an_error(panel, name, quick):
    forecaster, params = quick[name]
    with pytest.raises(ValueError, match="no sale"):
        create(forecaster, **params).fit(changed(panel, units=np.zeros_like(panel.units)))
    with pytest.raises(ValueError, match="the panel has 20 days: training needs at least"):
        create(forecaster, **params).fit(panel.until(20))


@pytest.mark.parametrize("days", [1, 13])
def test_history_too_short(forecaster, panel, days):
    days = min(days, forecaster.least_history - 1)
    with pytest.raises(ValueError, match=f"{days} days"):
        forecaster.predict(panel.until(days), known_future(panel, days, 5))
    with pytest.raises(ValueError, match=f"{days} days"):
        forecaster.fit(panel.until(days))


def test_mismatched_inputs(forecaster, panel):
    history, known = panel.until(ORIGIN), known_future(panel, ORIGIN, HORIZON)
    with pytest.raises(ValueError, match="items"):
        forecaster.predict(history.select(history.items[::-1]), known)
    with pytest.raises(ValueError, match="dates"):
        forecaster.predict(panel.until(ORIGIN - 1), known)
    for levels in ((0.0, 0.5), (0.5, 1.0), (), (np.nan,)):
        with pytest.raises(ValueError, match="levels"):
            forecaster.predict(history, known, levels)


def test_covariate_missing_in_the_horizon(panel):
    known = known_future(panel, ORIGIN, HORIZON)
    fields = {name: getattr(known, name) for name in Known.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"known\.promo is missing"):
        Known(**{**fields, "promo": None})
    with pytest.raises(ValueError, match=r"known\.closed is of shape \(9,\)"):
        Known(**{**fields, "closed": known.closed[1:]})
    with pytest.raises(ValueError, match=r"known\.price"):
        Known(**{**fields, "price": -known.price})


def test_known_future_copies_the_panel(panel):
    known = known_future(panel, ORIGIN, HORIZON)
    np.testing.assert_array_equal(known.price, panel.price[ORIGIN : ORIGIN + HORIZON])
    np.testing.assert_array_equal(known.closed, panel.closed[ORIGIN : ORIGIN + HORIZON])
    assert known.dates.equals(panel.dates[ORIGIN : ORIGIN + HORIZON])


def test_known_future_past_the_end_of_the_panel(panel):
    sundays = np.asarray(panel.dates.dayofweek == 6)
    known = known_future(changed(panel, closed=sundays), 395, 12)
    assert known.dates.equals(pd.date_range(panel.dates[395], periods=12))
    np.testing.assert_array_equal(known.closed, known.dates.dayofweek == 6)
    np.testing.assert_array_equal(known.price[:5], panel.price[395:])
    assert np.isnan(known.price[5:]).all()
    assert not known.promo[5:].any()
    assert not known.holiday[5:].any()


@pytest.mark.parametrize(("origin", "horizon"), [(0, 5), (401, 5), (100, 0)])
def test_known_future_out_of_range(panel, origin, horizon):
    with pytest.raises(ValueError, match="origin" if horizon else "horizon"):
        known_future(panel, origin, horizon)


def test_create_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"'arima'.*seasonal_naive"):
        create("arima")
    with pytest.raises(ValueError, match=r"widow: 3 is not allowed for moving_average, expected .*window"):
        create("moving_average", widow=3)
    with pytest.raises(ValueError, match="window: 0 is not allowed"):
        create("moving_average", window=0)


@pytest.mark.parametrize("content", ["", "[]", '{"params": {}}', '{"forecaster": "x", "params": {}}'])
def test_load_of_a_damaged_config(tmp_path, content):
    with pytest.raises(ValueError):
        load(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError):
        load(tmp_path)


def test_load_of_an_unknown_parameter(tmp_path):
    create("moving_average").save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["params"]["speed"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="speed"):
        load(tmp_path)


def test_the_former_name_of_predict(panel):
    model, known = create("seasonal_naive").fit(panel), known_future(panel, 100, 5)
    with pytest.warns(DeprecationWarning, match="predict"):
        old = model.predict_quantiles(panel.until(100), known)
    assert np.array_equal(old, model.predict(panel.until(100), known))


@pytest.mark.parametrize("name", FORECASTERS)
def test_lists_of_anything_are_refused_by_name(name):
    params = FORECASTERS.model_class(name).Params
    lists = [f.name for f in dataclasses.fields(params) if isinstance(getattr(params(), f.name), list | tuple)]
    for key, value in product(lists, ([{"a": 1}], [[1]], [None], ["x", {}])):
        with pytest.raises(FieldError, match=key):
            create(name, **{key: value})
