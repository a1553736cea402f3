"""Errors by group of the test rows: counted by hand, for each kind of data."""

import numpy as np
import pandas as pd
import pytest
from storelab.experiments.fitting.datasets import DATASETS
from storelab.experiments.fitting.groups import by_group, of_lists, of_texts, thirds


def test_means_by_group_leave_out_what_is_not_known():
    found = by_group(
        {"error": np.array([1.0, 0.0, np.nan, 1.0])}, np.array(["a", "a", "b", "a"]), np.array(list("xyxy"))
    )
    assert found["a"] == {"rows": 3, "error": pytest.approx(2 / 3)}
    assert found["b"] == {"rows": 1}
    assert (found["x"], found["y"]) == ({"rows": 2, "error": 1.0}, {"rows": 2, "error": 0.5})


def test_thirds_keep_equals_together():
    assert thirds(np.array([1, 5, 9]), "n").tolist() == ["n: 1 to 1", "n: 5 to 5", "n: 9 to 9"]
    assert set(thirds(np.array([1, 1, 1, 1, 7]), "n")) == {"n: 1 to 1", "n: 7 to 7"}
    assert set(thirds(np.arange(9), "n")) == {"n: 0 to 2", "n: 3 to 5", "n: 6 to 8"}
    assert set(thirds(np.zeros(4), "n")) == {"n: 0 to 0"}


def test_lists_by_customer_and_by_popularity():
    """Two customers: the first bought the popular item, which is listed, and a rare one, which is not."""
    lists, wanted = np.array([[0, 1], [2, -1]]), [np.array([0, 3]), np.array([2])]
    found = of_lists(lists, wanted, np.array([5, 9]), np.array([40, 20, 10, 1]))
    assert found["customer's purchases: 5 to 5"] == {"rows": 2, "error": 0.5}
    assert found["customer's purchases: 9 to 9"] == {"rows": 1, "error": 0.0}
    assert found["item's buyers: 1 to 1"] == {"rows": 1, "error": 1.0}
    assert found["item's buyers: 40 to 40"] == {"rows": 1, "error": 0.0}


class _Words:
    """Knows one word in its own spelling."""

    def predict(self, texts):
        return [1 if "great" in text or "好" in text else 0 for text in texts]


def test_texts_by_language_under_typos_and_in_other_words():
    texts = [*["a great thing that works well every day"] * 40, *["很好的东西"] * 10, "it broke at once"]
    found = of_texts(_Words(), texts, [1] * 50 + [0])
    assert found["language: en"] == {"rows": 41, "error": 0.0}
    assert found["language: zh"] == {"rows": 10, "error": 0.0}
    assert found["as they are"]["error"] == 0
    assert 0 < found["typos in 5% of the letters"]["error"] < 0.6
    assert found["those that a paraphrase changes"] == {"rows": 50, "error": 0.0}
    assert found["these, paraphrased"] == {"rows": 50, "error": pytest.approx(40 / 50)}  # "excellent" is not known


@pytest.mark.parametrize("kind", ["purchases", "ratings", "reviews"])
def test_a_tables_own_groups(kind, tmp_path):
    """The column `group` of every kind of table: its rows are counted, those without one are left out."""
    rng = np.random.default_rng(0)
    rows = 1200
    customer = rng.integers(0, 60, rows)
    table = pd.DataFrame({"customer": customer, "item": rng.integers(0, 25, rows)})
    table["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 150, rows), unit="D")
    table["group"] = np.where(customer % 3 == 0, "north", np.where(customer % 3 == 1, "south", None))
    if kind == "ratings":
        table["rating"] = rng.integers(1, 6, rows)
    if kind == "reviews":
        table = pd.DataFrame({"text": rng.choice(["good one", "bad one"], rows), "group": table["group"]})
        table["positive"] = (table["text"] == "good one").astype(int)
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset = DATASETS[kind](path=str(tmp_path / "t.csv"))
    model = {"purchases": "popularity", "ratings": "rating_mf", "reviews": "tfidf"}[kind]
    data, model = dataset.load(0), dataset.models.create(model)
    dataset.train(model, data)
    found = dataset.groups("m", model, data)
    assert {name for name in found if name.startswith("group: ")} == {"group: north", "group: south"}
    assert 0 < found["group: north"]["rows"] < rows
