"""What appeal changes in the synthetic store: demand follows quality, customers buy what is to their taste."""

import numpy as np
import pandas as pd
import pytest
from storelab.data import SyntheticStoreParams, generate

SIZES = {"items": 60, "days": 120, "customers": 150, "top_rate": 12.0, "zipf_exponent": 0.3}


@pytest.fixture(scope="module")
def stores():
    return {appeal: generate(SyntheticStoreParams(**SIZES, appeal=appeal)) for appeal in (0.0, 2.0)}


def liking(store) -> float:
    """Mean stars that buyers' tastes give what they bought."""
    user = pd.Index(store.customers["customer"]).get_indexer(store.orders["customer"])
    item = pd.Index(store.catalogue["item"]).get_indexer(store.orders["item"])
    return float((store.satisfaction.taste[user] * store.satisfaction.feature[item]).sum(axis=1).mean())


def test_customers_buy_what_they_like(stores):
    assert abs(liking(stores[0.0])) < 0.05
    assert liking(stores[2.0]) > 0.3


def test_demand_follows_quality_and_nothing_else_changes(stores):
    plain, drawn = stores[0.0], stores[2.0]
    quality = plain.satisfaction.quality
    np.testing.assert_array_equal(drawn.satisfaction.quality, quality)
    np.testing.assert_allclose(drawn.rate, plain.rate * np.exp(2.0 * quality))
    np.testing.assert_array_equal(drawn.panel.price, plain.panel.price)


def test_orders_agree_with_the_panel_where_taste_decides(stores):
    store = stores[2.0]
    lines = store.orders.assign(date=store.orders["timestamp"].dt.normalize())
    wide = lines.pivot_table(index="date", columns="item", values="quantity", aggfunc="sum")
    wide = wide.reindex(index=store.panel.dates, columns=store.panel.items).fillna(0.0).to_numpy()
    np.testing.assert_array_equal(wide, np.nan_to_num(store.panel.units))
    buyers = store.orders.merge(store.customers, on="customer")
    assert (buyers["timestamp"] >= buyers["joined"]).all()


def test_the_same_seed_gives_the_same_orders(stores):
    again = generate(SyntheticStoreParams(**SIZES, appeal=2.0))
    pd.testing.assert_frame_equal(again.orders, stores[2.0].orders)
