"""A synthetic store across borders: what it was stays, customers live where prices let them, taxes add up."""

import numpy as np
import pandas as pd
import pytest
from storelab.data import TRANSACTIONS, SyntheticStoreParams, generate, read
from storelab.errors import FieldError
from storelab.markets import MARKETS

SMALL = dict(items=12, days=120, customers=1500, top_rate=12.0)
ABROAD = ("gb", "us", "cn")


@pytest.fixture(scope="module")
def stores():
    return generate(SyntheticStoreParams(**SMALL)), generate(SyntheticStoreParams(**SMALL, markets=ABROAD))


def test_what_was_sold_and_net_prices_stay(stores):
    home, abroad = stores
    assert np.array_equal(home.panel.units, abroad.panel.units, equal_nan=True)
    for name in ("customers", "orders", "ratings"):
        ours = getattr(home, name)
        pd.testing.assert_frame_equal(ours, getattr(abroad, name)[list(ours)])
    again = generate(SyntheticStoreParams(**SMALL, markets=list(ABROAD)))
    pd.testing.assert_frame_equal(again.orders, abroad.orders)


def test_price_duty_and_tax_are_what_is_shown(stores):
    orders = stores[1].orders
    for name, rows in orders.groupby("market"):
        market = MARKETS[name]
        gross = rows["price"] + rows["duty"] + rows["tax"]
        assert np.allclose(gross, rows["price"] * market.factor)
        assert np.allclose(rows["duty"], rows["price"] * market.duty)
        assert np.allclose(rows["shown"], gross / market.rate, atol=0.005 + 1e-9)
        assert set(rows["currency"]) == {market.currency}
        assert set(rows["language"]) == {market.language}
    lives = stores[1].customers.set_index("customer")["market"]
    assert (lives[orders["customer"]].to_numpy() == orders["market"]).all()
    read(orders[[column.name for column in TRANSACTIONS if column.name in orders]], TRANSACTIONS)


def test_fewer_customers_live_where_taxes_are_higher(stores):
    store = stores[1]
    chance = np.array([MARKETS[name].factor for name in ABROAD]) ** -store.catalogue["elasticity"].mean()
    expected = len(store.customers) * chance / chance.sum()
    found = store.customers["market"].value_counts()[list(ABROAD)].to_numpy()
    assert ((found - expected) ** 2 / expected).sum() < 13.8  # chi-squared, 2 degrees of freedom, p = .001


@pytest.mark.parametrize("markets", [["gb", "moon"], ["gb", "gb"], "gb", [{"name": "gb", "vat": 0.3}]])
def test_markets_that_are_none_are_refused(markets):
    with pytest.raises(FieldError, match="markets"):
        SyntheticStoreParams(markets=markets)
