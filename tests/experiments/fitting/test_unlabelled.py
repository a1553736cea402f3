"""Rows without a label in what `storelab fit` trains on."""

import numpy as np
import pytest
from storelab.errors import FieldError
from storelab.experiments.fitting.datasets import Transactions
from storelab.experiments.fitting.texts import Questions, Reviews
from storelab.language import create
from storelab.language.synthetic import synthetic_reviews
from storelab.risk import FRAUD_MODELS, TransactionParams, TreesParams, generate


@pytest.fixture
def reviews(tmp_path):
    table = synthetic_reviews(300, seed=1)[["text", "positive", "item"]].astype({"positive": object})
    table.loc[40:239, "positive"] = ""
    table.to_csv(tmp_path / "reviews.csv", index=False)
    return str(tmp_path / "reviews.csv")


def test_reviews_without_a_label(reviews, capsys):
    with pytest.raises(FieldError, match="positive"):
        Reviews(path=reviews).load(0)
    sizes = {}
    for how in ("leave_out", "self_training"):
        dataset = Reviews(path=reviews, unlabelled=how)
        data = dataset.load(0)
        model = create("tfidf", least_texts=1)
        dataset.train(model, data)
        assert f"200 rows without a label: {how}, beside 80 with one" in capsys.readouterr().out
        assert len(data[1]) == 20
        assert 0.5 < dataset.figures("tfidf", model, data)["tfidf"]["accuracy"] <= 1
        sizes[how] = len(model.vectorizer.vocabulary_)
    assert sizes["self_training"] > sizes["leave_out"]


@pytest.mark.parametrize("dataset", [Reviews, Questions, Transactions])
def test_another_word_is_refused(dataset):
    with pytest.raises(FieldError, match="unlabelled"):
        dataset(unlabelled="guess")


@pytest.fixture(scope="module")
def transactions(tmp_path_factory):
    data = generate(TransactionParams(customers=400, days=120, seed=0))
    table = data.transactions.assign(fraud=data.labels["fraud"].astype(object))
    table.loc[np.random.default_rng(0).random(len(table)) < 0.5, "fraud"] = None
    file = tmp_path_factory.mktemp("fraud") / "transactions.csv"
    table.to_csv(file, index=False)
    return str(file)


def test_transactions_without_a_label(transactions):
    with pytest.raises(ValueError, match="fraud"):
        Transactions(path=transactions).load(0)
    rows, found = {}, {}
    for how in ("leave_out", "honest", "self_training"):
        dataset = Transactions(path=transactions, unlabelled=how)
        data = dataset.load(0)
        model = FRAUD_MODELS.create("fraud_trees", **vars(TreesParams(rounds=10)))
        dataset.train(model, data)
        found[how] = model.margins(data["table"][:500])
        rows[how] = len(data["split"].train), len(data["bare"])
        figure = dataset.figures("trees", model, data)["trees"]["AUPRC"]
        assert 0 < figure <= 1
        dataset.groups("trees", model, data)
    assert rows["leave_out"] == rows["self_training"]
    assert rows["honest"] == (sum(rows["leave_out"]), 0)
    assert not np.array_equal(found["leave_out"], found["self_training"])
    with pytest.raises(FieldError, match="unlabelled"):
        dataset.train(FRAUD_MODELS.create("fraud_sequence"), data)
