"""A day without stock is no day without demand: for every forecaster, when it trains and where it starts from."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from storelab.data import Panel
from storelab.forecasting import FORECASTERS, create, known_future
from storelab.forecasting.censored import demand_of

from .conftest import QUICK

DAYS, ITEMS, HORIZON = 140, 8, 7
OUT = (1, 4)  # items that are out of stock on half of their days
HALF = np.arange(DAYS) % 4 < 2


def store(units: np.ndarray, **columns) -> Panel:
    no = np.zeros(units.shape, bool)
    dates = pd.date_range("2023-01-02", periods=len(units))
    names = [f"i{k}" for k in range(units.shape[1])]
    return Panel(names, dates, units, np.full(units.shape, 2.0), no, no[:, 0].copy(), no[:, 0].copy(), **columns)


def demand(seed: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).poisson(np.linspace(6, 30, ITEMS), (DAYS, ITEMS)).astype(float)


def level(name: str, panel: Panel) -> np.ndarray:
    """The mean forecast of the items that run out, and the mean of their paths, units/day, (2, items)."""
    params = QUICK.get(name, {})
    if name in ("lightgbm", "lightgbm_mean"):
        params = params | {"rounds": 30}
    if name == "conformal":
        params = params | {"horizon": 14, "params": params["params"] | {"horizon": 14, "rounds": 30}}
    if name in ("ensemble", "transformer"):  # the shipped weights: a training of three steps says nothing
        network = {"fine_tune_steps": 0, "progress": False}
        params = (
            network if name == "transformer" else {"windows": 0, "params": params["params"] | {"transformer": network}}
        )
    forecaster = create(name, **params).fine_tune(panel)
    known = known_future(panel, DAYS, HORIZON)
    paths = forecaster.sample_paths(panel, known, 100, seed=0)
    return np.stack([forecaster.predict_mean(panel, known)[list(OUT)].mean(axis=1), paths[list(OUT)].mean(axis=(1, 2))])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORECASTERS if name != "hub"])  # it takes the transformer's windows
def test_days_without_stock_do_not_pull_the_forecast_down(name):
    full = demand()
    sales = full.copy()
    out = np.zeros(full.shape, bool)
    out[np.ix_(HALF, OUT)] = True
    sales[out] = 0.0
    truth, flagged, ignored = (
        level(name, panel) for panel in (store(full), store(sales, stocked_out=out), store(sales))
    )
    noise = 0.35 if name == "seasonal_naive" else 0.15  # it says the last days seen
    np.testing.assert_allclose(flagged, truth, rtol=noise)
    assert (ignored < 0.8 * truth).all()


@pytest.mark.parametrize("name", ["moving_average", "lightgbm", "transformer"])
@pytest.mark.parametrize("hours", [True, False])
def test_sales_before_the_item_ran_out_are_a_lower_bound(name, hours):
    """Half of the demand of these days was sold, and then the shelf was empty."""
    rng, full = np.random.default_rng(3), demand()
    out = np.zeros(full.shape, bool)
    out[np.ix_(HALF, OUT)] = True
    sales = np.where(out, rng.binomial(full.astype(int), 0.5), full)
    share = {"out_share": np.where(out, 0.5, 0.0)} if hours else {}
    truth, flagged, ignored = (
        level(name, panel) for panel in (store(full), store(sales, stocked_out=out, **share), store(sales))
    )
    assert (ignored < 0.85 * truth).all()
    np.testing.assert_allclose(flagged, truth, rtol=0.12)


def test_what_an_item_sold_long_ago_is_forecast_where_it_has_been_out_of_stock_since():
    full, out = demand(), np.zeros((DAYS, ITEMS), bool)
    out[60:, 1] = True
    panel = store(np.where(out, 0.0, full), stocked_out=out)
    for name in ("seasonal_naive", "moving_average", "croston_sba", "tsb", "auto_ets"):
        mean = create(name).predict_mean(panel, known_future(panel, DAYS, HORIZON))[1].mean()
        assert mean == pytest.approx(full[:60, 1].mean(), rel=0.35)


def test_paths_are_as_wide_as_demand_where_half_of_the_days_are_without_stock():
    full, out = demand(), np.zeros((DAYS, ITEMS), bool)
    out[HALF] = True
    panel = store(np.where(out, 0.0, full), stocked_out=out)
    for name in ("seasonal_naive", "moving_average", "tsb"):
        drawn = create(name).sample_paths(panel, known_future(panel, DAYS, HORIZON), 400, seed=1)
        factor = np.sqrt(2) if name == "seasonal_naive" else 1.0  # a difference of two days
        assert drawn.std(axis=(1, 2)).mean() == pytest.approx(factor * full.std(axis=0).mean(), rel=0.25)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("hours", [True, False])
def test_demand_of_days_without_stock_has_the_level_and_the_spread_of_demand(whole, hours):
    rng = np.random.default_rng(0)
    rate = rng.gamma(4.0, 2.0, (200, 40))  # negative binomial of mean 8 and variance 24
    full = rng.poisson(rate).astype(float)
    out = rng.random(full.shape) < 0.4
    share = np.where(out, rng.uniform(0.1, 0.9, full.shape), 0.0)
    if hours:
        sales = np.where(out, rng.binomial(full.astype(int), 1 - share), full)
    else:
        stock = np.floor(rng.uniform(1, 12, full.shape))
        sales, out = np.where(out, np.minimum(full, stock), full), out & (full >= stock)
    if not whole:
        sales, full = sales + 0.25 * (sales > 0), full + 0.25 * (full > 0)
    panel = store(sales, stocked_out=out, **({"out_share": share} if hours else {}))
    got = demand_of(panel)
    assert (got[~out] == sales[~out]).all()
    assert (got[out] >= sales[out]).all()
    assert got.mean() == pytest.approx(full.mean(), rel=0.03)
    assert got.std() == pytest.approx(full.std(), rel=0.06)
    assert (got == np.rint(got)).all() == whole


def test_what_is_drawn_does_not_depend_on_other_items_or_on_where_the_history_begins():
    rng, full = np.random.default_rng(5), demand()
    out = rng.random(full.shape) < 0.3
    panel = store(np.where(out, np.floor(full / 2), full), stocked_out=out)
    whole, late, alone = demand_of(panel), demand_of(panel.window(14, DAYS)), demand_of(panel.select(["i3"]))
    drawn = out[14:] & (panel.units[14:] > 0)
    assert np.corrcoef(whole[14:][drawn], late[drawn])[0, 1] > 0.9
    assert np.nanmax(np.abs(alone[:, 0] - whole[:, 3])) <= 3  # the steps of the EM end with its slowest item
    np.testing.assert_array_equal(whole, demand_of(dataclasses.replace(panel)))


def test_hours_without_stock_come_from_the_table():
    table = pd.DataFrame({"item": "a", "date": pd.date_range("2024-01-01", periods=3), "units": [4.0, 2.0, 5.0]})
    table = table.assign(price=1.0, stockout_hours=[0, 4, None], open_hours=16)
    panel = Panel.from_frame(table)
    assert panel.stocked_out[:, 0].tolist() == [False, True, False]
    np.testing.assert_array_equal(panel.out_share[:, 0], [0.0, 0.25, np.nan])
    again = Panel.from_frame(panel.to_frame())
    np.testing.assert_array_equal(again.out_share, panel.out_share)
    assert Panel.from_frame(table.drop(columns="open_hours")).out_share[1, 0] == pytest.approx(4 / 24)
    with pytest.raises(ValueError, match=r"column 'stockout_hours', row 2: 17\.0; expected at most the 16 hours"):
        Panel.from_frame(table.assign(stockout_hours=[0, 17, 0]))
    with pytest.raises(ValueError, match="out_share: holds a number outside 0 to 1"):
        dataclasses.replace(panel, out_share=np.full((3, 1), 1.5))
