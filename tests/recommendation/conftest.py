import pandas as pd
import pytest
import torch
from storelab.data import SyntheticStoreParams, generate
from storelab.recommendation import RANKERS
from storelab.recommendation.base import Log

torch.set_num_threads(1)

TINY = {
    "d_model": 16,
    "layers": 1,
    "heads": 2,
    "epochs": 2,
    "order_epochs": 2,
    "order_search": False,
    "batch_size": 32,
    "progress": False,
    "device": "cpu",
}
SETTINGS = {name: {} for name in RANKERS} | {"transformer": TINY}
SETTINGS["content"] = {"factors": 4, "device": "cpu", "progress": False}
SETTINGS |= {name: {"factors": 8} for name in ("frobenius_mf", "ials")}


@pytest.fixture(scope="session")
def store():
    return generate(SyntheticStoreParams(items=40, days=200, customers=60, top_rate=8.0))


@pytest.fixture(scope="session")
def log(store) -> Log:
    """Some 60 users, 40 items with words of their category, and one that nobody bought."""
    text = {row.item: f"{row.category.replace('-', ' ')} thing" for row in store.catalogue.itertuples()}
    return Log.from_frame(store.orders, text)


@pytest.fixture(scope="session")
def ready(log):
    """Name -> fitted recommender."""
    from storelab.recommendation import create

    return {name: create(name, **SETTINGS[name]).fit(log) for name in RANKERS}


def frame(*rows) -> pd.DataFrame:
    """Purchases (customer, item, day number)."""
    table = pd.DataFrame(rows, columns=["customer", "item", "timestamp"])
    table["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(table["timestamp"], unit="D")
    return table
