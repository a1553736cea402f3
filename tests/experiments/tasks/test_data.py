"""A store's own file as the option `panel` of the group `data`."""

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from storelab.experiments.config.options import register
from storelab.experiments.config.settings import ConfigError, read, read_backtest
from storelab.experiments.inputs import build, panel_of

PATH = "data.path=till.csv"


@pytest.fixture
def till(tmp_path, monkeypatch):
    """A till's export: semicolons, decimal commas, day first."""
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2022-03-01", periods=200)
    units = np.random.default_rng(3).poisson(4, (200, 3))
    parts = [
        pd.DataFrame(
            {"item": f"00{k}", "date": days.strftime("%d.%m.%Y"), "units": units[:, k], "price": 3.75, "rain": 0.5}
        )
        for k in range(3)
    ]
    pd.concat(parts).to_csv("till.csv", sep=";", decimal=",", index=False)
    return units


def composed(command: str, *overrides: str):
    register(command=command)
    with initialize_config_module("storelab.conf", version_base="1.3"):
        return compose(command, overrides=["data=panel", *overrides])


@pytest.mark.filterwarnings("ignore::storelab.data.contract.TableNote")
def test_a_file_of_ones_own_is_backtested_and_trained_on(till):
    settings = read_backtest(composed("backtest", PATH, "forecaster=tsb", "data.covariates=[rain]"))
    panel = panel_of(settings)
    assert (panel.items, list(panel.covariates)) == (["000", "001", "002"], ["rain"])
    np.testing.assert_array_equal(panel.units, till)
    task = build(
        read(composed("train", PATH, "task=OnlineRetail", "agent=heuristics", "env.items=2", "env.horizon=28"))
    )
    assert task.params.items == 2


def test_prices_count_as_paid_unless_they_are_said_to_be_planned(till):
    with pytest.raises(ConfigError, match=r"forecaster.planned: true .* expected false, or data.paid_prices=false"):
        read_backtest(composed("backtest", PATH))
    assert read_backtest(composed("backtest", PATH, "data.paid_prices=false")).forecaster.planned


def test_what_the_file_lacks_is_one_line(till):
    settings = read_backtest(composed("backtest", PATH, "forecaster=tsb", "data.covariates=[snow]"))
    with pytest.raises(
        ConfigError, match=r"^data: column 'snow': missing; .* Columns found: item, date, units, price, rain$"
    ):
        panel_of(settings)
