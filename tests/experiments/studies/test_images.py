"""The study of pictures: small stores are measured whole, and a killed run goes on from what is kept."""

import json

import numpy as np
import pandas as pd
import pytest
from storelab.data.images import read_pictures
from storelab.experiments.studies import images


@pytest.fixture
def small(monkeypatch):
    """Small stores, and pictures read without a network."""
    monkeypatch.setattr(images, "SIZES", images.SIZES | {"items": 80, "days": 260, "customers": 200, "top_rate": 6.0})
    monkeypatch.setattr(images, "WAYS", {name: way for name, way in images.WAYS.items() if way[2] or name == "text"})


def test_new_items_are_ranked_better_by_what_is_true(small):
    rows = {name: measure() for name, measure in images.cold_row(0).items()}
    assert rows["true taste and quality"] > rows["neither"] + 0.02
    assert all(0 <= value <= 1 for value in rows.values())
    assert images.cold_row(0)["text"]() == rows["text"]


def test_first_orders_earn_most_by_what_is_true(small):
    row = images.month_row(0)
    rows = {name: row[name]() for name in ("neither", "image, colours alone", "true mean demand")}
    assert rows["true mean demand"] > max(rows["neither"], rows["image, colours alone"])


def test_a_killed_run_goes_on(tmp_path):
    file, calls = tmp_path / "rows.jsonl", []

    def row(seed: int) -> dict:
        def measure(name: str) -> float:
            calls.append((seed, name))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return seed + len(name)

        return {name: lambda name=name: measure(name) for name in ("neither", "text")}

    with pytest.raises(KeyboardInterrupt):
        images.measured(row, 2, file)
    assert json.loads(file.read_text().splitlines()[0])["text"] == images.FIRST_SEED + 4
    values = images.measured(row, 2, file)
    assert len(calls) == 5  # two that are kept, the one that was killed, two
    assert values["neither"].tolist() == [images.FIRST_SEED + 7, images.FIRST_SEED + 8]


def test_the_table_says_differences():
    values = pd.DataFrame({"neither": [1.0, 2.0, 3.0], "text": [2.0, 3.0, 4.0]})
    text = images.table(values, "NDCG@10", ".2f")
    assert "| text | 3.00 | +1.00 [+1.00, +1.00] |  |" in text


def test_drawn_folders_are_what_fit_reads(small, tmp_path):
    images.main(["draw", str(tmp_path)])
    orders = pd.read_csv(tmp_path / "orders.csv")
    pictures = read_pictures(tmp_path, sorted(set(orders["item"])))
    assert pictures.known.all()
    np.testing.assert_array_equal(pictures.pixels[:3], images.store_of(0)[1].pixels[:3])
