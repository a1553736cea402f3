"""Pricing on recorded demand: splits, what is cleared of recorded prices, forecasts and paths."""

import numpy as np
import pandas as pd
import pytest
from storelab.data import Panel
from storelab.envs import PathDemand
from storelab.experiments.tasks.retail_pricing import retail_pricing_task
from storelab.forecasting import create

ELASTICITY = 2.0


@pytest.fixture(scope="module")
def panel():
    """Two items whose prices change from week to week, over 300 days; units answer with elasticity 2."""
    rng = np.random.default_rng(0)
    price = np.array([10.0, 4.0]) * np.repeat(np.exp(rng.normal(0, 0.2, (43, 2))), 7, axis=0)[:300]
    units = rng.poisson(np.array([30.0, 60.0]) * (price / [10, 4]) ** -ELASTICITY).astype(float)
    none = np.zeros(300, bool)
    dates = pd.date_range("2023-01-02", periods=300, freq="D")
    return Panel(["a", "b"], dates, units, price, np.zeros((300, 2), bool), none, none)


def test_demand_is_cleared_of_the_recorded_prices(panel):
    task = retail_pricing_task(panel)
    d = task.params.demand
    assert d.sensitivity == pytest.approx(ELASTICITY, abs=0.3)
    demand = task.model("train").scenarios(np.arange(50))["demand"][..., 0]
    assert demand.mean() == pytest.approx(d.size, rel=0.05)
    # Of recorded units their price explains much of the variance; of those at the list price little is left to it.
    raw, price = panel.units[:, 0], panel.price[:, 0] / 10
    cleared = raw * np.clip(panel.price[:, 0] / d.list_price, 0.6, 2.0) ** d.sensitivity
    assert abs(np.corrcoef(np.log(price), cleared)[0, 1]) < 0.3 < abs(np.corrcoef(np.log(price), raw)[0, 1])
    assert task.test.days == 84
    assert task.train.days == 216


def test_forecasts_are_of_the_next_week_at_the_list_price(panel):
    task = retail_pricing_task(panel, forecaster=create("moving_average"), forecast="model", item="b")
    model = task.model("test")
    scenario = model.scenarios(np.arange(20))
    assert scenario["forecast"].shape == (20, 29, 1, 5)
    median = scenario["forecast"][:, :, 0, 2].mean()
    assert median == pytest.approx(7 * scenario["demand"].mean(), rel=0.2)
    assert task.train.days == 108


def test_policies_may_train_on_sample_paths(panel):
    task = retail_pricing_task(panel, forecaster=create("moving_average"), paths=50)
    assert isinstance(task.train, PathDemand)
    train, test = (task.model(split).scenarios(np.arange(30))["demand"] for split in ("train", "test"))
    assert train.shape == test.shape
    assert train.mean() == pytest.approx(test.mean(), rel=0.3)
    assert train.std(axis=0).mean() > 0


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"item": "z"}, "item: 'z' is not allowed"),
        ({"forecast": "model"}, "forecaster: None"),
        ({"paths": 5}, "forecaster: None"),
        ({"forecast": "model", "paths": 5, "forecaster": create("moving_average")}, "paths: 5"),
        ({"horizon": 90}, "horizon: 90"),
        ({"prices": [2.0, 1.0]}, "prices: "),
    ],
)
def test_bad_input_is_named(panel, kwargs, words):
    with pytest.raises(ValueError, match=words):
        retail_pricing_task(panel, **kwargs)
    with pytest.raises(ValueError, match="data: None"):
        retail_pricing_task()
