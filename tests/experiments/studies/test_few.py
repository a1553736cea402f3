"""The studies of few days, few examples and few labels, small."""

import numpy as np
import pandas as pd
import pytest
from storelab.experiments.studies import few_intents, few_labels, new_store


@pytest.fixture(scope="module")
def store():
    return next(new_store.synthetic("", 1))


def test_what_was_not_seen_is_hidden(store):
    past = store.seen(7)
    assert len(past.dates) == 14
    assert np.isnan(past.units[:7]).all()
    assert np.isfinite(past.units[7:]).any()
    assert past.dates[-1] < store.panel.dates[store.origin]


def test_perfect_forecasts_earn_all_and_lose_nothing(store):
    exact = np.repeat(np.nan_to_num(store.actual).T[..., None], len(new_store.LEVELS), axis=2)
    figures = new_store.figures(store, exact)
    assert figures["profit"] == pytest.approx(1)
    assert figures["wQL"] == pytest.approx(0, abs=1e-9)
    assert figures["MASE"] == pytest.approx(0, abs=1e-9)
    demand, price, cost = np.nan_to_num(store.actual), store.price, store.cost
    assert new_store.profit(store, exact) == pytest.approx(((price - cost) * demand).sum(), rel=1e-4)
    twice = new_store.figures(store, exact * 2)
    assert twice["profit"] < 1
    assert new_store.profit(store, exact * 2) == pytest.approx((price * demand - 2 * cost * demand).sum(), rel=1e-4)


def test_the_table_compares_with_the_best_other(monkeypatch, tmp_path):
    kept = tmp_path / "rows.jsonl"
    monkeypatch.setattr(
        new_store, "METHODS", {"TSB": new_store.METHODS["TSB"], new_store.OURS: ("new_store", {"fine_tune_steps": 0})}
    )
    rows = new_store.measured("synthetic", "", 2, kept)
    assert len(rows) == 2 * 3 * 2
    again = new_store.measured("synthetic", "", 2, kept)
    assert again["wQL"].tolist() == rows["wQL"].tolist()
    lines = new_store.table(rows).splitlines()
    assert lines[-1].startswith("| ours less the best other, 95 %")
    assert lines[-1].count("(TSB)") == 9
    new_store.picture(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_intents_are_answered_rightly_wrongly_or_not(tmp_path):
    rows = few_intents.measured("ours", "", tmp_path / "rows", ["regression, character n-grams"], (0, 1))
    assert len(rows) == 6
    assert (rows["answered rightly"] <= rows["accuracy"] + 1e-9).all()
    assert (rows["answered rightly"] + rows["answered wrongly"] <= 1).all()
    assert rows.groupby("examples")["accuracy"].mean().is_monotonic_increasing
    rows["model"] = few_intents.BASE
    assert len(few_intents.table(rows).splitlines()) == 5


@pytest.mark.slow
def test_few_labels_of_fraud():
    rows = pd.DataFrame([{"data": "fraud", "seed": 0} | row for row in few_labels.fraud("", 0, customers=1500)])
    assert set(rows["share"]) == {*few_labels.SHARES, 1.0}
    assert rows["AUPRC"].between(0, 1).all()
    whole = rows[rows["share"] == 1]["AUPRC"].max()
    assert whole > rows[(rows["share"] == 0.01) & (rows["method"] == few_labels.BASE)]["AUPRC"].item()


def test_the_table_of_labels_says_what_is_gained(tmp_path):
    rows = pd.DataFrame(
        {"data": "x", "seed": seed, "share": share, "method": method, "AUPRC": 0.2 + 0.1 * (method != few_labels.BASE)}
        for seed in range(3)
        for share in few_labels.SHARES
        for method in (few_labels.BASE, "self-training")
    )
    lines = few_labels.table(rows).splitlines()
    assert len(lines) == 2 + 6
    assert "+0.100 [+0.100, +0.100]" in lines[3]
    few_labels.picture(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()
