import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from storelab.data import Panel
from storelab.forecasting.censored import TREATMENTS, _expected, fit, tells_nothing, treated

WEEKDAY = np.array([0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])


def panel_of(units, stocked_out, promo=None, closed=None) -> Panel:
    days, items = units.shape
    return Panel(
        items=[f"item-{i}" for i in range(items)],
        dates=pd.date_range("2024-01-01", periods=days),  # a Monday
        units=units,
        price=np.ones((days, items)),
        promo=np.zeros((days, items), bool) if promo is None else promo,
        closed=np.zeros(days, bool) if closed is None else closed,
        holiday=np.zeros(days, bool),
        stocked_out=stocked_out,
    )


def cut_off(demand, share, rng):
    """What a store sells that has less than the usual demand on a share of the days."""
    stock = np.where(
        rng.random(demand.shape) < share, np.floor(demand.mean() * rng.uniform(0, 1.3, demand.shape)), np.inf
    )
    return panel_of(np.minimum(demand, stock), demand >= stock)


@given(sales=st.integers(0, 60), mean=st.floats(0.05, 40), alpha=st.floats(1e-3, 16))
@settings(max_examples=100)
def test_the_expectation_is_that_of_the_distribution(sales, mean, alpha):
    unknown = np.array([np.nan])
    got = _expected(np.array([float(sales)]), np.array([mean]), np.array([alpha]), unknown)[0]
    assert got >= sales
    assert _expected(np.array([float(sales)]), np.array([mean]), np.ones(1), unknown)[0] == pytest.approx(
        sales + mean
    )  # geometric
    demand = stats.nbinom(1 / alpha, 1 / (1 + mean * alpha))
    if demand.sf(sales - 1) > 1e-6:
        units = np.arange(sales, sales + 20_000)
        assert got == pytest.approx((units * demand.pmf(units)).sum() / demand.sf(sales - 1), rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_known_parameters_are_found_again(alpha):
    """Total mean within four standard errors, where sales fall short by far; the dispersion within a factor of two."""
    rng = np.random.default_rng(0)
    mean = np.full((168, 60), 6.0) * WEEKDAY[np.arange(168) % 7][:, None]
    demand = rng.poisson(mean * (rng.gamma(1 / alpha, alpha, mean.shape) if alpha else 1)).astype(float)
    panel = cut_off(demand, 0.35, rng)
    means, dispersion = fit(panel)
    error = np.sqrt((mean + alpha * mean**2).sum())
    assert panel.units.sum() < mean.sum() - 10 * error
    assert abs(means.sum() - mean.sum()) < 4 * error
    assert abs(treated(panel, "expected").units.sum() - demand.sum()) < 4 * error
    ratio = means.reshape(24, 7, 60).mean(axis=(0, 2)) / means.mean()
    np.testing.assert_allclose(ratio, WEEKDAY, rtol=0.15 if alpha else 0.05)  # the prior draws to 1, more so if noisy
    if alpha:
        assert alpha / 2 < np.median(dispersion) < 2 * alpha
    else:
        assert np.median(dispersion) < 0.02


def test_a_day_without_stock_is_estimated_as_its_weekday_and_promotion():
    rng = np.random.default_rng(1)
    mean = np.full((168, 20), 10.0)
    mean[np.arange(168) % 7 == 5] *= 2
    promo = np.zeros(mean.shape, bool)
    promo[[30, 31, 80, 81, 130, 131]] = True
    mean[promo] *= 3
    out = np.zeros(mean.shape, bool)
    out[[100, 103, 131]] = True  # a Wednesday, a Saturday, a promoted Saturday
    units = np.where(out, 0.0, rng.poisson(mean))
    estimate = treated(panel_of(units, out, promo), "expected").units[[100, 103, 131]].mean(axis=1)
    np.testing.assert_allclose(estimate, mean[[100, 103, 131], 0], rtol=0.2)


@st.composite
def panels(draw):
    """Any panel: closed days, days not observed, items sold out all the time or never sold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    days, items = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    units = rng.poisson(draw(st.sampled_from([0.0, 0.2, 3.0, 400.0])), (days, items)).astype(float)
    units[rng.random(units.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    out = rng.random(units.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return panel_of(units, out, rng.random(units.shape) < 0.2, rng.random(days) < 0.1)


@given(panels(), st.sampled_from(TREATMENTS))
@settings(max_examples=60)
def test_only_sold_out_open_days_change_and_never_downwards(panel, treatment):
    got = treated(panel, treatment)
    changed = panel.stocked_out & ~panel.closed[:, None] & ~np.isnan(panel.units)
    np.testing.assert_array_equal(got.units[~changed], panel.units[~changed])
    assert not got.stocked_out.any()
    unknown = changed if treatment == "missing" else tells_nothing(panel) & (treatment == "drawn")
    assert np.isnan(got.units[unknown]).all()
    rest = changed & ~unknown
    assert np.isfinite(got.units[rest]).all()
    assert (got.units[rest] >= panel.units[rest]).all()
    assert (got.units[rest] <= 50 * (1 + np.nan_to_num(panel.units).max())).all()
    if treatment == "sales" or not changed.any():
        np.testing.assert_array_equal(got.units, panel.units)


def test_days_after_the_range_and_other_items_change_nothing():
    rng = np.random.default_rng(2)
    panel = cut_off(rng.poisson(5.0, (120, 6)).astype(float), 0.3, rng)
    other = panel.until(120)
    other.units[90:] += 40
    other.stocked_out[90:] = True
    first = treated(panel.until(90), "expected").units
    np.testing.assert_array_equal(first, treated(other.until(90), "expected").units)
    assert (treated(other, "expected").units[:90] != first).any()  # days to come would tell
    few = treated(panel.until(90).select(panel.items[2:4]), "expected").units
    np.testing.assert_allclose(few, first[:, 2:4], rtol=0.02)  # the steps of the EM end with its slowest item


def test_an_unknown_treatment_is_refused():
    with pytest.raises(ValueError, match="treatment: 'guess' is not allowed, expected one of sales, missing, expected"):
        treated(panel_of(np.ones((20, 1)), None), "guess")
