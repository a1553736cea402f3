"""Purchases with pictures: from a folder or drawn, hidden items alone ranked, and what does not fit is named."""

import numpy as np
import pytest
from storelab.data.images import png
from storelab.errors import FieldError
from storelab.experiments.fitting.datasets import Purchases
from storelab.experiments.inputs import FILES
from storelab.recommendation import create

SIZES = {"items": 60, "customers": 120, "days": 150, "appeal": 2.0}


def test_drawn_pictures_and_hidden_items(capsys):
    dataset = Purchases(**SIZES, images="drawn", cold=0.3)
    data = dataset.load(0)
    assert "60 of 60 items have a picture" in capsys.readouterr().out
    assert 0 < data.ranked.sum() < 40
    model = dataset.train(create("content", encoder="pixels", progress=False), data)
    row = dataset.figures("content", model, data)["content"]
    assert 0 < row["NDCG@10"] <= 1
    assert set(dataset.explain(model, data)["recommended"]) <= {data.log.items[k] for k in np.flatnonzero(data.ranked)}
    with pytest.raises(FieldError, match="model=content"):
        dataset.train(create("ease"), data)


def test_pictures_of_a_folder(tmp_path, capsys):
    for number in (1, 2):
        (tmp_path / f"I{number:05d}.png").write_bytes(png(np.full((8, 8, 3), 9, np.uint8)))
    data = Purchases(**SIZES, images=str(tmp_path)).load(0)
    assert "2 of 60 items have a picture" in capsys.readouterr().out
    assert data.ranked is None
    assert data.log.images.known.sum() == 2
    assert "images" in FILES  # another picture is another run


def test_without_the_new_keys_the_purchases_are_what_they_were():
    data = Purchases(items=60, customers=120, days=150).load(0)
    assert data.log.images is None
    assert data.ranked is None
    assert data.log.text[0].startswith("category ")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cold", {"cold": 1.0}),
        ("image_size", {"image_size": 8}),
        ("images", {"images": "drawn", "path": "orders.csv"}),
        ("appeal", {"appeal": 1.0, "path": "orders.csv"}),
        ("appeal", {"appeal": -1.0}),
    ],
)
def test_what_does_not_fit_is_named(name, values):
    with pytest.raises(FieldError, match=name):
        Purchases(**values)
