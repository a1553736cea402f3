"""The Handbook's simulation: its columns and scenarios, and what known frauds of terminals are worth on it."""

import numpy as np
import pandas as pd
import pytest
from storelab.risk import Trees, TreesParams, features, handbook
from storelab.risk.handbook import HandbookParams, simulate
from storelab.risk.metrics import average_precision

SMALL = HandbookParams(customers=400, terminals=600, days=60)


def test_the_table_is_as_it_is_described():
    table = simulate(SMALL)
    pd.testing.assert_frame_equal(table, simulate(SMALL))
    assert list(table.columns) == [
        *("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_TIME_SECONDS"),
        *("TX_TIME_DAYS", "TX_FRAUD", "TX_FRAUD_SCENARIO"),
    ]
    assert table["TX_DATETIME"].is_monotonic_increasing
    assert len(table) == pytest.approx(2 * 400 * 60 * 0.969, rel=0.1)  # 3.1 % of a normal's draws are outside the day
    plain = table[table["TX_FRAUD_SCENARIO"] == 0]
    assert plain["TX_AMOUNT"].max() <= 220
    assert plain["TX_AMOUNT"].mean() == pytest.approx(53, abs=4)
    np.testing.assert_array_equal(table["TX_FRAUD"], table["TX_FRAUD_SCENARIO"] > 0)
    lost = table[table["TX_FRAUD_SCENARIO"] == handbook.LOST].groupby("TERMINAL_ID")["TX_TIME_DAYS"]
    assert 20 < (lost.max() - lost.min()).median() <= 28
    copied = table[table["TX_FRAUD_SCENARIO"] == handbook.COPIED]
    ratio = copied["TX_AMOUNT"].mean() / plain["TX_AMOUNT"].mean()
    assert 4 < ratio < 6
    assert table.groupby("CUSTOMER_ID")["TERMINAL_ID"].nunique().max() < 20  # those within the radius


def test_a_dear_payment_is_found_among_many(monkeypatch):
    """What alone tells of a few among 50,000 is an amount above all others: 255 bins of a histogram blur it."""
    draw = np.random.default_rng(0)
    amount = np.r_[draw.uniform(1, 200, 50_000), draw.uniform(221, 300, 60)]
    table = pd.DataFrame({"timestamp": pd.Timestamp("2024-01-01"), "amount": amount, "kind": "purchase"})
    table = table.assign(customer=np.arange(len(table)).astype(str))
    rows, fraud = features(table), amount > 220
    found = {}
    for bins in (255, 4095):
        monkeypatch.setattr("storelab.risk.tabular._AMOUNT_BINS", bins)
        found[bins] = average_precision(fraud, Trees(TreesParams(rounds=30)).fit(rows, fraud).margins(rows))
    assert found[255] < 0.6
    assert found[4095] > 0.9


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    handbook.main([str(tmp_path), "--seeds", "1", "--scale", "0.1"])
    assert "known frauds" in capsys.readouterr().out
    plain, late = pd.read_csv(tmp_path / "figures.csv")["AUPRC"]
    assert late > plain + 0.15


@pytest.mark.parametrize("name", ["customers", "terminals", "days", "seed"])
def test_bad_sizes(name):
    with pytest.raises(ValueError, match=f"^{name}: -1 is not allowed"):
        HandbookParams(**{name: -1})
