"""Elasticities: the synthetic store's own are found, with honest errors."""

import numpy as np
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.data.elasticity import price_elasticities
from storelab.data.online_retail import load_panel


def test_the_stores_own_are_found():
    store = generate(SyntheticStoreParams(items=60, days=730, promo_lift=1.0))
    table = price_elasticities(store.panel)
    true = dict(zip(store.panel.items, store.catalogue["elasticity"], strict=True))
    true = np.array([true[item] for item in table.index])
    z = (table["raw"] - true) / table["error"]
    assert 0.8 < z.std() < 1.3  # the errors are of the size they say
    assert abs(z.mean()) < 3 / np.sqrt(len(z))
    assert np.abs(table["elasticity"] - true).mean() < 0.6 * np.abs(table["raw"] - true).mean()  # shrinking pays
    assert table["pooled"].iloc[0] == pytest.approx(true.mean(), abs=0.25)


def test_without_movement_nothing_is_estimated():
    panel = generate(SyntheticStoreParams(items=5, days=200)).panel
    panel.price[:] = 3.0
    with pytest.raises(ValueError, match=r"panel: no item sold 50 units at prices that varied by 0\.02"):
        price_elasticities(panel)


def test_real_data(real_data):
    panel = load_panel(real_data / "online_retail_daily_panel.parquet")
    table = price_elasticities(panel)
    assert len(table) > 1000
    assert 1 < table["pooled"].iloc[0] < 5
    assert np.isfinite(table).all(axis=None)
