"""One encoder for several tasks: it learns, repeats, is saved, and feeds a campaign."""

import numpy as np
import pandas as pd
import pytest
from storelab.customers import Campaign, CustomerParams, create, generate, load
from storelab.customers.evaluate import figures, markdown, of_lines, split, study
from storelab.customers.histories import FEATURES
from storelab.learning.base import Card

CARD = Card("made up", "by time", {}, "tests", "tests")


@pytest.fixture(scope="module")
def parts():
    return split(generate(CustomerParams(customers=300, days=600, seed=2)).events)


def network(parts, **params):
    model = create("behaviour_network", progress=False, width=16, **{"epochs": 3, **params})
    return model.fit(parts[0], parts[1], parts[3])


def test_it_tells_churn_and_repeats_and_is_saved(parts, tmp_path):
    pytest.importorskip("torch")
    model, test = network(parts), parts[2]
    told = model.predict(test)
    assert figures(told, test)["churn, AUC"] > 0.7
    assert told["next"].shape == (len(test), len(parts[3]))
    assert np.allclose(told["next"].sum(axis=1), 1)
    assert (told["spend"] >= 0).all()
    again = network(parts).predict(test)
    model.save(tmp_path / "model", CARD)
    restored = load(tmp_path / "model").predict(test)
    for name, answer in told.items():
        assert np.array_equal(answer, again[name]), name
        assert np.array_equal(answer, restored[name]), name


def test_a_task_alone_has_one_head(parts):
    pytest.importorskip("torch")
    assert set(network(parts, tasks="churn", epochs=1).predict(parts[2])) == {"churn"}
    for tasks, said in (("churn+love", "tasks: 'love' is not allowed"), ("churn+churn", "each task once")):
        with pytest.raises(ValueError, match=said):
            create("behaviour_network", tasks=tasks)


def test_ties_stand_in_the_middle_of_their_places(parts):
    test = parts[2]
    even = np.full((len(test), len(parts[3])), 1 / len(parts[3]))
    value = figures({"next": even}, test)["next, NDCG@5"]
    assert value == 0  # 12 equal categories: each is at place 6.5


def test_the_campaign_is_worth_what_its_formula_says(parts):
    campaign, test = Campaign(mail=1.0, voucher=8.0, margin=0.5, returns=0.25), parts[2]
    told = campaign.expected(test, np.ones(len(test)))
    row = dict(zip(FEATURES, test.table[0].tolist(), strict=False))
    rate = row["count"] / max(row["tenure"], 30.0)
    assert told[0] == pytest.approx(0.25 * (0.5 * row["mean_amount"] * (1 + 45 * rate) - 8.0) - 1.0)
    assert np.allclose(campaign.expected(test, np.zeros(len(test))), -9.0)  # a voucher for a purchase made anyway
    with pytest.raises(ValueError, match=r"returns: 1\.5 is not allowed, expected a number from 0 to 1"):
        Campaign(returns=1.5)


def test_the_study_writes_both_tables(parts):
    pytest.importorskip("torch")
    pytest.importorskip("lightgbm")
    tables = study("synthetic", 2, customers=150, epochs=1, width=8)
    assert "multi-task network" in tables["figures"].index
    best = tables["campaign"]["money"].idxmax()
    assert best == "who had left, known"  # nobody can earn more than who knows
    assert markdown(tables["campaign"], 0).count("\n") == len(tables["campaign"]) + 1


def test_lines_of_invoices_become_purchases():
    lines = pd.DataFrame({
        "invoice": ["1", "1", "2", "3"], "item": ["a", "b", "a", "c"], "customer": ["x", "x", "x", np.nan],
        "timestamp": pd.to_datetime(["2024-01-02", "2024-01-02", "2024-01-01", "2024-01-01"]),
        "quantity": [1.0, 2.0, 3.0, 1.0], "price": [5.0, 4.0, 1.0, 1.0],
    })  # fmt: skip
    whole = of_lines(lines)
    assert whole[["invoice", "category", "amount"]].to_numpy().tolist() == [["2", "a", 3.0], ["1", "b", 13.0]]
