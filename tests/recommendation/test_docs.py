"""The example of docs/recommendation.md runs, and every command's table has its rows."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import storelab
from storelab.recommendation.evaluate import cold_items, long_tail, speed
from storelab.recommendation.protocol import split_by_time

from .conftest import TINY


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(storelab.__file__).parent / "docs" / "recommendation.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert names["lists"].shape == (2, 5)
    assert names["reasons"]
    np.testing.assert_array_equal(names["same"], names["lists"])


def test_every_table_has_its_rows(store):
    orders = store.orders
    day = orders["timestamp"].max().normalize() - pd.Timedelta(days=30)
    text = dict(zip(store.catalogue["item"], store.catalogue["category"].str.replace("-", " "), strict=True))
    split = split_by_time(orders, f"{day:%Y-%m-%d}", 30, text)
    settings = {**TINY, "epochs": 1}
    tail = pd.DataFrame(long_tail(split, 1, settings))
    rows = [f"{name}, rerank {weight}" for name in ("ease", "transformer") for weight in (0.0, 0.1, 0.3, 1.0)]
    rows += [f"transformer, {more}" for more in ("debias 0.5", "augment 0.1", "augment 0.3")]
    assert tail["model"].tolist() == rows
    assert tail["Gini"].iloc[3] < tail["Gini"].iloc[0]
    cold = pd.DataFrame(cold_items(split, 1, settings))
    assert cold["model"].tolist() == ["random", "nearest text", "transformer"]
    assert cold["NDCG@10"].between(0, 1).all()


def test_speed_measures_every_model():
    rows = list(speed(users=20, items=30, bought=5, threads=1))
    assert all(row["best ms"] > 0 for row in rows)
    assert len(rows) == 8  # a recommender each, the Transformer with and without the order
