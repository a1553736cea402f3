"""Shares of sums below their quantiles, by what an item is."""

import numpy as np
import pandas as pd
import pytest
from storelab.data import Panel
from storelab.experiments.studies.sums import below, main, markdown, ratios, summary
from storelab.forecasting import create


def store(units: np.ndarray) -> Panel:
    dates, no = pd.date_range("2022-01-03", periods=len(units)), np.zeros(units.shape, bool)
    names = [f"i{k}" for k in range(units.shape[1])]
    return Panel(names, dates, units, np.full(units.shape, 2.0), no, no[:, 0].copy(), no[:, 0].copy())


def test_growth_and_season_are_those_of_a_year_before():
    days = np.arange(500)
    wave = 10 + 5 * np.sin(2 * np.pi * days / 364)
    panel = store(np.stack([np.full(500, 4.0), np.where(days < 440, 2.0, 6.0), wave], axis=1))
    growth, season = ratios(panel, 500, 7)
    assert growth[[0, 2]] == pytest.approx([1, 1], rel=0.02)
    assert growth[1] == pytest.approx(3)
    assert season[0] == pytest.approx(1)
    assert season[2] == pytest.approx(wave[136:143].mean() / 10, rel=0.02)
    assert np.isnan(ratios(panel, 300, 7)[1]).all()
    assert ratios(panel, 480, 7)[0][1] == pytest.approx((16 * 2 + 40 * 6) / 56 / 2)


def test_totals_of_an_honest_forecast_lie_below_its_quantiles_as_often_as_they_say():
    units = np.random.default_rng(3).poisson(20, (400, 60)).astype(float)
    rows = below(store(units), [330, 340, 350, 360], 7, create("moving_average", window=56))
    table = {row["group"]: row for row in summary(rows.assign(store=0))}
    whole = table["all"]
    assert whole["totals"] == 240
    for level in (0.1, 0.5, 0.9):
        assert whole[f"under {level:g}"] == pytest.approx(level, abs=0.09)
        assert whole[f"interval {level:g}"][0] < whole[f"under {level:g}"] < whole[f"interval {level:g}"][1]
    lines = markdown([*table.values()]).splitlines()
    assert lines[0] == "|  | totals | under .1 | under .5 | under .9 |"
    assert len(lines) == 2 + len(table)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        main([str(tmp_path / "nowhere.parquet")])
