"""The example of docs/recommendation.md runs, and every command's table has its rows."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import storelab
from storelab.recommendation.evaluate import speed, summary


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(storelab.__file__).parent / "docs" / "recommendation.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert names["lists"].shape == (2, 5)
    assert names["reasons"]
    np.testing.assert_array_equal(names["same"], names["lists"])


def test_speed_measures_every_model():
    rows = list(speed(users=20, items=30, bought=5, threads=1))
    assert all(row["best ms"] > 0 for row in rows)
    assert len(rows) == 7


def test_intervals_are_students():
    table = pd.DataFrame({"model": ["a"] * 3, "seed": [0, 1, 2], "NDCG@10": [0.1, 0.2, 0.3]})
    found = summary(table, ["model"]).loc["a"]
    assert abs(found["NDCG@10"] - 0.2) < 1e-9
    assert abs(found["± NDCG@10"] - 4.303 * 0.1 / 3**0.5) < 1e-4
