"""The generator: one seed, one store; the fraud that the parameters ask for; honest and fraudulent traces overlap."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from storelab.risk import TransactionParams, features, generate
from storelab.risk.features import STORE
from storelab.risk.synthetic import DAY, PATTERNS


def test_same_seed_same_tables():
    first, second, other = (generate(TransactionParams(customers=50, days=20, seed=seed)) for seed in (3, 3, 4))
    for name in ("transactions", "labels", "customers"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
    assert not first.transactions.equals(other.transactions)


def test_the_tables_agree(data):
    table, labels = data.transactions, data.labels
    assert len(table) == len(labels)
    assert table["timestamp"].is_monotonic_increasing
    assert (table["amount"] > 0).all()
    assert set(table["customer"]) <= set(data.customers["customer"])
    assert data.customers["customer"].is_unique
    assert set(labels["pattern"]) == set(PATTERNS)
    np.testing.assert_array_equal(labels["fraud"], labels["pattern"] != "")
    claims = table["kind"][labels["pattern"] == "refund ring"]
    assert (claims == "refund").all()


def test_without_attacks_there_is_no_fraud():
    rates = [*("takeovers", "promotion_rings", "refund_rings", "card_tests"), "compromised_merchants", "stolen_cards"]
    none = dict.fromkeys(rates, 0.0)
    assert not generate(TransactionParams(customers=50, days=20, **none)).labels["fraud"].any()


@pytest.mark.parametrize("seed", range(2))
def test_one_to_two_per_cent_is_fraud(seed):
    share = generate(TransactionParams(seed=seed)).labels["fraud"].mean()
    assert 0.01 <= share <= 0.02


def test_no_single_feature_gives_the_label_away():
    """AUPRC of each feature alone, from above or from below, at the generator's own rates of attack."""
    data = generate(TransactionParams(customers=2000, days=100, seed=5))
    fraud, late = data.labels["fraud"].to_numpy(), len(data.labels) // 3
    table = features(data.transactions, STORE, fraud)[late:]
    for name, column in zip(STORE.names, table.T, strict=True):
        column = np.nan_to_num(column, nan=-1.0)
        precision = max(average_precision_score(fraud[late:], sign * column) for sign in (1, -1))
        assert precision < 0.2, name


def test_compromised_merchants_and_stolen_cards_come_back():
    """What is known of a merchant, a card or a customer a week late tells of these patterns, and little else does of
    merchants: their payments are as honest ones, for some weeks, most but not all at these merchants.
    """
    more = {"compromised_merchants": 0.4, "stolen_cards": 0.1}
    data = generate(TransactionParams(customers=1000, days=100, seed=2, **more))
    table, labels = data.transactions, data.labels
    fraud, pattern = labels["fraud"].to_numpy(), labels["pattern"].to_numpy()
    taken = table[pattern == "compromised merchant"]
    assert len(taken) > 100
    honest = table[~fraud & (table["kind"] == "purchase")]
    assert np.log(taken["amount"]).mean() == pytest.approx(np.log(honest["amount"]).mean(), abs=0.25)
    first, last = (taken.groupby("merchant")["timestamp"].agg(end) for end in ("min", "max"))
    assert ((last - first).dt.total_seconds() < 42 * DAY).mean() > 0.9  # a few are taken twice
    spans = table.merge(pd.DataFrame({"first": first, "last": last}), left_on="merchant", right_index=True)
    inside = spans["timestamp"].between(spans["first"], spans["last"])
    assert 0.6 < fraud[spans.index[inside]].mean() < 0.95
    stolen = (
        table[pattern == "stolen card"].groupby("customer")["timestamp"].agg(lambda times: times.max() - times.min())
    )
    assert (stolen > pd.Timedelta(days=7)).mean() > 0.4

    found, late = features(table, STORE, fraud), slice(len(table) // 2, None)
    rate = np.nan_to_num(found[late, STORE.names.index("merchant known fraud rate, 30 days")])
    rows = np.isin(pattern[late], ("", "compromised merchant"))
    known = average_precision_score(pattern[late][rows] != "", rate[rows])
    other = [np.nan_to_num(column[late][rows]) for column in found[:, :52].T]
    assert known > 2 * max(average_precision_score(pattern[late][rows] != "", column) for column in other)


def test_each_trace_of_fraud_is_also_honest(data):
    """Machines with many customers, cards tried in a row, new devices, claims: honest customers have all of them."""
    table, fraud = data.transactions, data.labels["fraud"].to_numpy()
    honest = table[~fraud]
    assert honest.groupby("device")["customer"].nunique().max() >= 5
    assert honest.groupby("address")["customer"].nunique().max() >= 5
    assert honest.groupby("customer")["card"].nunique().max() >= 4
    assert (honest["kind"] == "refund").mean() > 0.02
    assert honest["declined"].mean() > 0.02
    # Nor do ids: their numbers are drawn at random.
    for name in ("customer", "device", "address", "card", "merchant"):
        number = table[name].str[-7:].astype(int).to_numpy()
        assert abs(average_precision_score(fraud, number) - fraud.mean()) < 0.05


@pytest.mark.parametrize(
    ("name", "value"),
    [("customers", 1), ("days", 2.5), ("seed", -1), ("rate", float("nan")), ("takeovers", True), ("start", "soon")],
)
def test_bad_parameters(name, value):
    with pytest.raises(ValueError, match=f"^{name}: .*expected"):
        TransactionParams(**{name: value})
