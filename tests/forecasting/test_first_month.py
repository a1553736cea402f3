"""First months of new items: content narrows them, quantiles hold, nothing of the new ones is looked at."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import storelab
from storelab.data import SyntheticStoreParams, generate
from storelab.data.images import Pictures
from storelab.errors import FieldError
from storelab.forecasting.first_month import MONTH, FirstMonth, FirstMonths, first_months
from storelab.learning.images import ImageParams

PIXELS = ImageParams(encoder="pixels", device="cpu")


@pytest.fixture(scope="module")
def shop():
    """200 items of which 60 are new: a picture's light and a word say how they sell."""
    rng = np.random.default_rng(0)
    light, word = rng.uniform(size=200), rng.integers(0, 2, 200)
    truth = np.exp(2 + 2 * light + word + 0.3 * rng.normal(size=200))
    pixels = np.broadcast_to((255 * light)[:, None, None, None], (200, 16, 16, 3)).astype(np.uint8)
    launched = np.arange(200) >= 120
    units = np.where(launched, 0.5, 1.0) * truth
    known = units.copy()
    known[140:] = np.nan
    return FirstMonths(known, launched), np.eye(2)[word], Pictures(pixels, np.ones(200, bool)), units


def loss(orders: np.ndarray, units: np.ndarray) -> float:
    """Pinball loss at .5."""
    return float(np.abs(orders - units)[140:].mean())


def test_content_narrows_the_first_month(shop):
    months, text, pictures, units = shop
    found = {
        name: loss(FirstMonth(PIXELS).fit(months, *content).predict(0.5), units)
        for name, content in {
            "neither": (None, None),
            "text": (text, None),
            "image": (None, pictures),
            "both": (text, pictures),
        }.items()
    }
    assert max(found["text"], found["image"]) < found["neither"]
    assert found["both"] < 0.6 * min(found["text"], found["image"])


@pytest.mark.parametrize("content", [False, True])
def test_quantiles_hold_of_new_items(shop, content):
    months, text, pictures, units = shop
    model = FirstMonth(PIXELS).fit(months, *((text, pictures) if content else ()))
    for level in (0.2, 0.5, 0.8):
        assert abs((units[140:] <= model.predict(level)[140:]).mean() - level) < 0.17  # 60 items
    levels = np.linspace(0.1, 0.9, 200)
    assert (model.predict(levels) <= model.predict(levels + 0.05)).all()


def test_months_of_a_panel():
    store = generate(SyntheticStoreParams(items=30, days=200, new_share=0.5))
    launch, cut = store.catalogue["launch"].to_numpy(), 120
    months = first_months(store.panel.until(cut))
    new = launch + MONTH > cut
    assert 0 < new.sum() < 30
    np.testing.assert_array_equal(np.isnan(months.units), new)
    late = np.flatnonzero((launch > 0) & ~new)[0]
    assert months.units[late] == pytest.approx(store.panel.units[launch[late] : launch[late] + MONTH, late].sum())
    old = np.flatnonzero(launch == 0)[0]
    assert months.units[old] == pytest.approx(MONTH * store.panel.units[:cut, old].mean())
    np.testing.assert_array_equal(months.launched, launch > 0)


def test_the_example_runs():
    text = (Path(storelab.__file__).parent / "docs" / "images.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["order"].shape == (80,)
    assert (names["order"] > 0).mean() > 0.5


def test_bad_input(shop):
    months, text, pictures, _ = shop
    with pytest.raises(FieldError, match="10 items"):
        FirstMonth(PIXELS).fit(FirstMonths(np.r_[np.ones(9), np.nan], np.zeros(10, bool)))
    with pytest.raises(FieldError, match="text"):
        FirstMonth(PIXELS).fit(months, text[:5])
    with pytest.raises(FieldError, match="levels"):
        FirstMonth(PIXELS).fit(months).predict(1.0)
    assert isinstance(pd.Series(FirstMonth(PIXELS).fit(months, text, pictures).predict(0.5)).min(), float)
