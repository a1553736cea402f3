"""Customers as a dataset of `fit`: a user's own table, figures beside the rules, whom to win back."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from storelab.customers import Campaign, CustomerParams, generate
from storelab.customers.network import BehaviourNetwork, BehaviourParams
from storelab.errors import FieldError
from storelab.experiments.fitting.behaviour import CustomerEvents

SMALL = dict(customers=300, days=500)


@pytest.fixture(scope="module")
def fitted():
    dataset = CustomerEvents(**SMALL)
    data = dataset.load(0)
    model = BehaviourNetwork(BehaviourParams(epochs=2, width=16, progress=False))
    return dataset, dataset.train(model, data), data


def test_figures_stand_beside_the_rules(fitted):
    dataset, model, data = fitted
    figures = dataset.figures("behaviour_network", model, data)
    assert list(figures) == ["behaviour_network", "rules"]
    assert 0.6 < figures["behaviour_network"][dataset.figure] < 1
    groups = dataset.groups("behaviour_network", model, data)
    assert sum(row["rows"] for name, row in groups.items() if name.startswith("purchases")) == len(data[2])


def test_whom_to_win_back(fitted):
    dataset, model, data = fitted
    table = pd.read_csv(BytesIO(dataset.more(model, data)["win_back.csv"]))
    assert len(table) == len(data[2])
    assert table["worth"].is_monotonic_decreasing
    told = pd.Series(model.predict(data[2])["churn"], data[2].customer)
    assert np.allclose(told[table["customer"]], table["churn"], atol=1e-4)
    worth = pd.Series(Campaign().expected(data[2], told.to_numpy()), data[2].customer)
    assert np.allclose(worth[table["customer"]], table["worth"], atol=0.01)


def test_an_explanation_takes_purchases_away(fitted):
    dataset, model, data = fitted
    table = dataset.explain(model, data)
    assert table["churn"].nunique() == 1
    assert table["churn"][0] == pytest.approx(model.predict(data[2])["churn"].max())
    assert (table["purchase, days ago"] >= 0).all()
    assert np.isfinite(table["churn without it"]).all()


def test_a_table_of_ones_own_without_ratings(tmp_path):
    events = generate(CustomerParams(customers=150, days=500)).events.drop(columns="rating")
    events.rename(columns={"amount": "paid"}).to_csv(tmp_path / "own.csv", index=False)
    data = CustomerEvents(path=str(tmp_path / "own.csv"), columns={"amount": "paid"}).load(0)
    assert all(np.isnan(samples.target["rating"]).all() for samples in data[:3])
    assert not set(data[2].customer) & set(events["customer"])  # pseudonyms
    short = events[events["timestamp"] < events["timestamp"].min() + pd.Timedelta(days=200)]
    short.rename(columns={"amount": "paid"}).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(FieldError, match="days"):
        CustomerEvents(path=str(tmp_path / "short.csv"), columns={"amount": "paid"}).load(0)
