"""The command makes its tables and models; the intervals are Student's."""

import sys

import numpy as np
import pandas as pd
import pytest
from storelab.learning.intervals import intervals
from storelab.risk import Trees, evaluate
from storelab.risk.sequence import SequenceModel


def test_intervals_by_hand():
    rows = pd.DataFrame({"model": ["LightGBM"] * 3 + ["other"] * 3, "seed": [0, 1, 2] * 2})
    rows["figure"] = 0.0
    rows["AUPRC"] = [0.5, 0.6, 0.7, 0.6, 0.7, 0.8]
    table = intervals(evaluate.with_gain(rows), ["model"])
    assert table.loc["other", "AUPRC"] == pytest.approx(0.7)
    assert table.loc["other", "± AUPRC"] == pytest.approx(4.302653 * 0.1 / np.sqrt(3))
    assert table.loc["other", "better"] == pytest.approx(0.1)
    assert table.loc["other", "± better"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch, capsys):
    chosen = ["--seeds", "1", "--customers", "500", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["evaluate", str(tmp_path), *chosen])
    evaluate.main()
    assert "sequence model" in capsys.readouterr().out
    figures = pd.read_csv(tmp_path / "figures.csv", index_col="model")
    assert {"sequence model", "LightGBM", "HistGradientBoosting", "isolation forest"} <= set(figures.index)
    assert figures["AUPRC"].between(0, 1).all()
    # Reviewing where the expected loss exceeds its cost is not worse than reviewing nothing.
    assert figures.loc["LightGBM", "cost, by amount"] < figures.loc["LightGBM", "cost, no review"]
    speed = pd.read_csv(tmp_path / "speed.csv", index_col="model")
    assert (speed > 0).all(axis=None)
    groups = pd.read_csv(tmp_path / "groups.csv")
    assert groups["group"].str.startswith("household").any()
    Trees.load(tmp_path / "LightGBM")
    SequenceModel.load(tmp_path / "sequence-model")
