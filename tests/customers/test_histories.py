"""Samples are made of what came before a day, targets of the 90 days after it."""

import numpy as np
import pandas as pd
import pytest
from storelab.customers import EVENTS, TASKS, CustomerParams, generate, read_events, samples
from storelab.customers.histories import FEATURES, LENGTH, cuts, days_of

START = pd.Timestamp("2024-01-01")


def events(*rows) -> pd.DataFrame:
    """Rows of (customer, day, category, amount, rating)."""
    table = pd.DataFrame(rows, columns=["customer", "day", "category", "amount", "rating"])
    return table.assign(timestamp=START + pd.to_timedelta(table.pop("day"), unit="D"))


def test_targets_are_of_the_90_days_after_and_features_of_what_came_before():
    table = events(
        ("a", 0, "x", 10.0, 5.0), ("a", 20, "y", 30.0, np.nan), ("a", 110, "x", 7.0, 2.0), ("a", 195, "y", 9.0, 4.0),
        ("b", 50, "y", 5.0, np.nan),
    ).sort_values("timestamp")  # fmt: skip
    rows = samples(table, [100.0], ["x", "y"])
    assert rows.customer.tolist() == ["a", "b"]
    assert {name: rows.target[name][0] for name in TASKS} == {"next": 1.0, "rating": 2.0, "churn": 0.0, "spend": 7.0}
    assert rows.target["churn"][1] == 1.0
    assert rows.target["spend"][1] == 0.0
    assert np.isnan(rows.target["next"][1])
    told = dict(zip(FEATURES, rows.table[0].tolist(), strict=False))
    assert (told["recency"], told["count"], told["tenure"], told["mean_gap"]) == (80.0, 2.0, 100.0, 20.0)
    assert (told["mean_amount"], told["last_amount"], told["amount_90"], told["last_category"]) == (
        20.0,
        30.0,
        30.0,
        2.0,
    )
    assert rows.table[0, len(FEATURES) :].tolist() == [0.5, 0.5]
    assert rows.category[0, -2:].tolist() == [1, 2]
    assert rows.absent[0].sum() == LENGTH - 2


def test_nothing_after_the_day_is_seen():
    """Events after the day are changed in every way, and only targets change."""
    made = generate(CustomerParams(customers=60, days=400, seed=3)).events
    known = sorted(made["category"].unique())
    before = samples(made, [200.0], known)
    late = days_of(made) >= 200
    other = made.assign(amount=np.where(late, 1.0, made["amount"]), rating=np.where(late, 1.0, made["rating"]))
    other["category"] = np.where(late, known[0], made["category"])
    after = samples(other, [200.0], known)
    for name in ("tokens", "category", "absent", "table"):
        assert np.array_equal(getattr(before, name), getattr(after, name), equal_nan=True), name
    assert not np.array_equal(before.target["spend"], after.target["spend"])


def test_training_targets_end_before_the_validation_day_and_its_before_the_test_day():
    at = cuts(730.0)
    assert max(at["train"]) + 90 <= at["validation"][0]
    assert at["validation"][0] + 90 <= at["test"][0]
    assert at["test"][0] + 90 <= 730
    with pytest.raises(ValueError, match=r"days: 300\.0 is not allowed, expected a history of more than 360 days"):
        cuts(300.0)


def test_own_purchases_are_read_and_bad_ones_named(tmp_path):
    file = tmp_path / "purchases.csv"
    file.write_text("who;when;category;amount\n1;2024-03-01 10:00;tea;2.5\n2;2024-01-01 10:00;mug;4\n")
    table = read_events(file, {"customer": "who", "timestamp": "when"})
    assert [column.name for column in EVENTS] == [*table]
    assert table["category"].tolist() == ["mug", "tea"]  # by time
    assert "1" not in table["customer"].tolist()  # pseudonyms
    file.write_text("customer,timestamp,category,amount\n1,2024-03-01 10:00,tea,-2\n")
    with pytest.raises(ValueError, match=r"column 'amount', row 1: '-2'; expected a finite number > 0"):
        read_events(file)
