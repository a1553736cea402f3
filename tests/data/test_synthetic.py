import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.data import TRANSACTIONS, SyntheticStoreParams, generate, read
from storelab.data.synthetic import demand_class

FLAT = {
    "weekday_amplitude": 0.0,
    "yearly_amplitude": 0.0,
    "level_sd": 0.0,
    "holiday_lift": 1.0,
    "new_share": 0.0,
}


@pytest.fixture(scope="module")
def store():
    return generate(SyntheticStoreParams())


def order_units(store) -> np.ndarray:
    lines = store.orders.assign(date=store.orders["timestamp"].dt.normalize())
    wide = lines.pivot_table(index="date", columns="item", values="quantity", aggfunc="sum")
    return wide.reindex(index=store.panel.dates, columns=store.panel.items).fillna(0.0).to_numpy()


@settings(max_examples=40, deadline=None)
@given(
    items=st.integers(1, 12),
    days=st.integers(1, 80),
    seed=st.integers(0, 2**63 - 1),
    customers=st.integers(1, 50),
    top_rate=st.floats(0.001, 50),
    intermittent_share=st.floats(0, 1),
    new_share=st.floats(0, 1),
    units_per_line=st.floats(1, 10),
    lines_per_order=st.floats(1, 10),
)
def test_orders_customers_and_panel_agree(**chosen):
    store = generate(SyntheticStoreParams(**chosen))
    panel, orders = store.panel, store.orders
    np.testing.assert_array_equal(order_units(store), np.nan_to_num(panel.units))
    launched = np.arange(chosen["days"])[:, None] >= store.catalogue["launch"].to_numpy()
    np.testing.assert_array_equal(np.isnan(panel.units), ~launched)
    assert (store.rate[~launched] == 0).all()
    assert (store.rate[panel.closed] == 0).all()
    assert np.isfinite(store.rate).all()
    assert not orders.duplicated(["invoice", "item"]).any()
    if len(orders):
        assert (orders.groupby("invoice")[["customer", "timestamp"]].nunique() == 1).all(axis=None)
        assert len(read(orders, TRANSACTIONS)) == len(orders)
        buyers = orders.merge(store.customers, on="customer", how="left")
        assert (buyers["timestamp"] >= buyers["joined"]).all()
        day = panel.dates.get_indexer(orders["timestamp"].dt.normalize())
        item = pd.Index(panel.items).get_indexer(orders["item"])
        np.testing.assert_array_equal(orders["price"], panel.price[day, item])


def test_same_seed_same_store_and_orders_leave_demand_alone(store):
    again = generate(SyntheticStoreParams())
    for name in ("catalogue", "customers", "orders"):
        pd.testing.assert_frame_equal(getattr(store, name), getattr(again, name))
    np.testing.assert_array_equal(store.rate, again.rate)
    np.testing.assert_array_equal(store.panel.units, again.panel.units)
    other = generate(SyntheticStoreParams(seed=1))
    assert not np.array_equal(store.rate, other.rate)
    fewer = generate(SyntheticStoreParams(customers=7, lines_per_order=1.0))
    np.testing.assert_array_equal(store.panel.units, fewer.panel.units)


def test_units_have_the_stated_mean_and_variance():
    store = generate(SyntheticStoreParams(items=300, dispersion=(2.0, 30.0), lumpy_dispersion=(0.5, 1.0)))
    selling = store.rate > 0
    variance = store.rate + store.rate**2 / store.dispersion
    score = ((store.panel.units - store.rate) / np.sqrt(np.where(selling, variance, 1.0)))[selling]
    assert abs(score.mean()) < 4 / np.sqrt(score.size)
    # For NB the fourth central moment is known (excess kurtosis 6 / r + 1 / variance).
    kurtosis = 3 + 6 / store.dispersion + np.divide(1.0, variance, where=selling, out=np.zeros_like(variance))
    error = np.sqrt((kurtosis[selling] - 1).sum()) / score.size
    assert abs((score**2).mean() - 1) < 4 * error


def test_rate_is_the_product_of_its_factors():
    params = SyntheticStoreParams(items=20, days=200, **FLAT)
    store = generate(params)
    list_price, elasticity = store.catalogue["price"].to_numpy(), store.catalogue["elasticity"].to_numpy()
    base = params.top_rate / np.arange(1, 21)
    expected = base * (store.panel.price / list_price) ** -elasticity
    expected *= np.where(store.panel.promo, params.promo_lift, 1.0)
    expected[store.panel.closed] = 0
    np.testing.assert_allclose(store.rate, expected, rtol=1e-12)
    assert store.panel.promo.any()
    np.testing.assert_array_equal(store.panel.price < list_price, store.panel.promo)


def test_promotions_last_as_long_and_come_as_often_as_asked():
    params = SyntheticStoreParams(items=400, days=1000, promo_gap=30.0, promo_days=5, top_rate=0.1, **FLAT)
    promo = generate(params).panel.promo
    # An alternating renewal process: 5 days on, a geometric gap of mean 30 (at least 1) off.
    assert promo.mean() == pytest.approx(5 / (5 + 30), rel=0.03)
    padded = np.vstack([np.zeros((1, 400), bool), promo, np.zeros((1, 400), bool)]).astype(int).T
    edges = np.diff(padded, axis=1)
    start, stop = np.nonzero(edges == 1), np.nonzero(edges == -1)
    length = stop[1] - start[1]
    assert (length[stop[1] < 1000] == 5).all()
    gap = np.diff(start[1])[np.diff(start[0]) == 0] - 5
    assert gap.min() == 1
    assert gap.mean() == pytest.approx(30, rel=0.05)  # a little short: long gaps outlast the history


def test_seasons_have_mean_one_and_weekdays_differ():
    quiet = {**FLAT, "weekday_amplitude": 0.3, "yearly_amplitude": 0.4}
    params = SyntheticStoreParams(items=8, days=4 * 7 * 365, zipf_exponent=0.0, promo_gap=1e6, **quiet)
    store = generate(params)
    open_days = ~store.panel.closed
    mean = store.rate[open_days & ~store.panel.promo.any(axis=1)].mean(axis=0)
    np.testing.assert_allclose(mean, params.top_rate, rtol=0.01)
    by_weekday = pd.DataFrame(store.rate[open_days]).groupby(store.panel.dates[open_days].dayofweek).mean()
    assert (by_weekday.max() / by_weekday.min() > 1.2).all()


def test_level_is_an_autoregression_with_mean_one():
    params = SyntheticStoreParams(
        items=1, days=20_000, categories=1, promo_gap=1e6, **{**FLAT, "level_sd": 0.3, "level_days": 5.0}
    )
    store = generate(params)
    log = np.log(store.rate[(~store.panel.closed) & (~store.panel.promo[:, 0]), 0] / params.top_rate)
    assert log.std() == pytest.approx(0.3, rel=0.1)
    assert log.mean() == pytest.approx(-(0.3**2) / 2, abs=0.04)
    assert np.corrcoef(log[:-1], log[1:])[0, 1] == pytest.approx(np.exp(-1 / 5), abs=0.03)


def test_new_items_ramp_up():
    params = SyntheticStoreParams(items=10, days=300, promo_gap=1e6, ramp_days=10, **{**FLAT, "new_share": 1.0})
    store = generate(params)
    assert store.catalogue["launch"].between(75, 225).all()
    for item, launch in enumerate(store.catalogue["launch"]):
        full = params.top_rate / (item + 1)
        ramp = store.rate[launch : launch + 12, item]
        open_days = ~(store.panel.closed | store.panel.promo[:, item])[launch : launch + 12]
        expected = full * np.minimum(np.arange(1, 13) / 10, 1.0)
        np.testing.assert_allclose(ramp[open_days], expected[open_days], rtol=1e-12)


def test_demand_classes():
    mean, size = np.array([50.0, 50.0, 0.2, 0.2]), np.array([30.0, 1.0, 30.0, 0.1])
    assert demand_class(mean, size).tolist() == ["smooth", "erratic", "intermittent", "lumpy"]
    draws = np.random.default_rng(0).negative_binomial(size, size / (size + mean), (200_000, 4))
    for column, name in enumerate(demand_class(mean, size)):
        sold = draws[draws[:, column] > 0, column]
        rare, varied = len(draws) / len(sold) >= 1.32, (sold.std() / sold.mean()) ** 2 >= 0.49
        words = {(0, 0): "smooth", (0, 1): "erratic", (1, 0): "intermittent", (1, 1): "lumpy"}
        assert words[int(rare), int(varied)] == name


def test_catalogue(store):
    catalogue, params = store.catalogue, store.params
    assert catalogue["item"].tolist() == store.panel.items
    assert catalogue["category"].tolist() == store.panel.category
    margin = 1 - catalogue["cost"] / catalogue["price"]
    assert margin.between(params.margin[0] - 0.01, params.margin[1] + 0.01).all()
    assert catalogue["lead_time"].between(*params.lead_time).all()
    assert (catalogue["launch"] > 0).sum() == params.new_share * params.items
    volume = np.nansum(store.panel.units, axis=0)
    assert volume[:20].sum() > 0.5 * volume.sum()  # long tail


def test_a_hundred_items_two_years_are_quick():
    start = time.perf_counter()
    generate(SyntheticStoreParams())
    assert time.perf_counter() - start < 3.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("items", 0),
        ("items", 2.5),
        ("items", True),
        ("items", "many"),
        ("days", -1),
        ("days", 10**9),
        ("seed", -1),
        ("top_rate", float("nan")),
        ("top_rate", float("inf")),
        ("top_rate", 0),
        ("new_share", 1.5),
        ("discount", (0.4, 0.1)),
        ("discount", (0.1, 1.0)),
        ("discount", 0.2),
        ("discount", (0.1, 0.2, 0.3)),
        ("lead_time", (1, 2.5)),
        ("promo_gap", 0.5),
        ("start", "2023-02-30"),
        ("start", "01/02/2023"),
        ("start", 2023),
    ],
)
def test_bad_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: .*expected"):
        SyntheticStoreParams(**{name: value})


def test_too_large_a_store_is_refused_not_tried():
    with pytest.raises(ValueError, match="items x days"):
        SyntheticStoreParams(items=100_000, days=20_000)
    with pytest.raises(ValueError, match=r"top_rate: .*units are sold, expected at most"):
        generate(SyntheticStoreParams(top_rate=1e6))
    assert SyntheticStoreParams(discount=[0.1, 0.2]).discount == (0.1, 0.2)  # as YAML gives it
