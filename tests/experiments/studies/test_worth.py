"""Forecasts' worth: common scenarios, none is zero, the oracle is all of it."""

import numpy as np
import pytest
from storelab.evaluation import scenario_keys
from storelab.experiments.studies.worth import HEURISTIC, task_of, worth


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("forecasts"))  # the moving average's, which three of the sources rest on


def test_sources_are_compared_on_the_same_days(cache):
    keys = scenario_keys(np.arange(3), "test")
    demand = [
        task_of(source, "synthetic", 0, cache).model("test").scenarios(keys)["demand"] for source in ("none", "oracle")
    ]
    np.testing.assert_array_equal(*demand)


def test_the_oracle_gains_most(cache):
    sources = ("none", "moving_average", "oracle")
    table = worth("synthetic", 1, [HEURISTIC], 0, sources, cache).set_index("forecasts")
    assert table.loc["none", "gain"] == table.loc["none", "share of oracle's"] == 0
    assert table.loc["oracle", "share of oracle's"] == 1
    assert table.loc["oracle", "gain low"] > 0
    assert table.loc["oracle", "profit"] == pytest.approx(table.loc["none", "profit"] + table.loc["oracle", "gain"])
    assert table.loc["moving_average", "gain"] < table.loc["oracle", "gain"]
