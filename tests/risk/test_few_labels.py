"""Few labelled transactions: self-training, and the surprise of the next event."""

import numpy as np
import pytest
from storelab.errors import FieldError
from storelab.risk import Layout, TransactionParams, Trees, TreesParams, features, generate
from storelab.risk.next_event import SURPRISES, NextEvent, NextEventParams
from storelab.risk.self_training import SelfTraining, self_train

FEW = TreesParams(rounds=10, leaf_rows=5, leaves=7)


@pytest.fixture(scope="module")
def store():
    return generate(TransactionParams(customers=300, days=90, seed=3))


def test_sure_rows_are_taken_in_their_share(store):
    truth = store.labels["fraud"].to_numpy()
    table = features(store.transactions, Layout(), truth)
    told = np.random.default_rng(0).random(len(truth)) < 0.3
    seen = []

    class Spied(Trees):
        def fit(self, table, fraud):
            seen.append((len(fraud), int(fraud.sum())))
            return super().fit(table, fraud)

    how = SelfTraining(fraud_share=0.4, honest_share=0.5)
    trees = self_train(Spied(FEW), table[told], truth[told], table[~told], how)
    expected = truth[told].mean() * (~told).sum()
    assert seen[0] == (told.sum(), truth[told].sum())
    assert seen[1][1] - seen[0][1] == round(0.4 * expected)
    assert seen[1][0] - seen[0][0] == round(0.4 * expected) + round(0.5 * ((~told).sum() - expected))
    again = self_train(Trees(FEW), table[told], truth[told], table[~told], how)
    assert np.array_equal(again.margins(table), trees.margins(table))
    with pytest.raises(FieldError, match="fraud_share"):
        SelfTraining(fraud_share=2)


def test_surprise_is_of_the_past_alone(store):
    model = NextEvent(NextEventParams(width=8, steps=20, progress=False)).fit(store.transactions)
    rows = store.transactions
    whole = model.surprise(rows)
    assert whole.shape == (len(rows), len(SURPRISES))
    cut = len(rows) // 2
    assert np.allclose(model.surprise(rows[:cut]), whole[:cut], atol=1e-4)
    assert model.history[-1]["train_loss"] < model.history[1]["train_loss"]
    again = NextEvent(NextEventParams(width=8, steps=20, progress=False)).fit(rows)
    assert np.array_equal(again.surprise(rows), whole)


def test_what_a_customer_never_does_surprises(store):
    rows = store.transactions.copy()
    model = NextEvent(NextEventParams(width=8, steps=60, progress=False)).fit(rows)
    usual = model.surprise(rows)[-1]
    rows.loc[rows.index[-1], "amount"] = 1e7
    assert model.surprise(rows)[-1][SURPRISES.index("amount")] > usual[SURPRISES.index("amount")] + 1


def test_it_has_to_be_fitted(store):
    with pytest.raises(ValueError, match="call fit"):
        NextEvent().surprise(store.transactions)
