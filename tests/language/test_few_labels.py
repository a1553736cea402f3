"""Texts without a label: self-training, and an encoder of one's own pre-trained on them."""

import numpy as np
import pytest
import torch
from storelab.errors import FieldError
from storelab.language import create
from storelab.language.evaluate import per_class
from storelab.language.pretrain import PretrainParams, pretrain
from storelab.language.self_training import SelfTraining, _sure, self_train
from storelab.language.synthetic import synthetic_reviews
from storelab.language.tables import read

SMALL = PretrainParams(vocabulary=120, width=16, heads=2, layers=1, steps=30, batch_size=16, tokens=24, progress=False)


@pytest.fixture(scope="module")
def few():
    """12 labelled reviews, 300 without a label, 200 to measure on."""
    train, test = synthetic_reviews(400, seed=4), synthetic_reviews(200, seed=5)
    rows = per_class(train["positive"].tolist(), 6, 0)
    rest = train.drop(train.index[rows])["text"].tolist()
    return train.iloc[rows], rest[:300], test


def log_loss(model, test):
    chance = model.predict_proba(test["text"].tolist())[np.arange(len(test)), test["positive"].to_numpy()]
    return -np.log(chance).mean()


def test_unlabelled_texts_are_learnt_from(few):
    labelled, rest, test = few
    texts, labels = labelled["text"].tolist(), labelled["positive"].tolist()
    settings = {"least_texts": 1, "validation": 0.2}
    alone = create("tfidf", **settings).fit(texts, labels)
    more = self_train(create("tfidf", **settings), texts, labels, rest)
    assert len(more.vectorizer.vocabulary_) > len(alone.vectorizer.vocabulary_)
    right = lambda model: np.mean(np.array(model.predict(test["text"].tolist())) == test["positive"].to_numpy())
    assert right(more) > 0.6
    assert more.prior == pytest.approx([0.5, 0.5])
    _, guesses = _sure(alone, rest, labels, 0.5)
    assert abs(len(guesses) - len(rest) / 2) < 30
    assert guesses.count(1) <= len(rest) / 4
    again = self_train(create("tfidf", **settings), texts, labels, rest)
    assert np.array_equal(again.predict_proba(rest), more.predict_proba(rest))


def test_without_other_texts_the_model_is_that_of_the_labelled(few):
    labelled, rest, _ = few
    texts, labels = labelled["text"].tolist(), labelled["positive"].tolist()
    model = self_train(create("tfidf"), texts, labels, ["", "!"])
    assert np.array_equal(model.predict_proba(rest), create("tfidf").fit(texts, labels).predict_proba(rest))


@pytest.mark.parametrize(("field", "value"), [("rounds", 0), ("share", 1.2), ("share", 0.0)])
def test_settings_are_checked(field, value):
    with pytest.raises(FieldError, match=field):
        SelfTraining(**{field: value})


def test_an_encoder_of_ones_own(few, tmp_path):
    labelled, rest, test = few
    history = pretrain(rest, tmp_path / "a", SMALL)
    assert history[-1]["train_loss"] < history[1]["train_loss"]
    assert pretrain(rest, tmp_path / "b", SMALL)[-1]["train_loss"] == history[-1]["train_loss"]
    model = create("embedding", backbone=str(tmp_path / "a"), validation=0.0)
    model.fit(labelled["text"].tolist(), labelled["positive"].tolist())
    assert model.predict_proba(test["text"].tolist()).shape == (200, 2)
    tuned = create("fine_tuned", backbone=str(tmp_path / "a"), epochs=1, progress=False)
    tuned.fit(labelled["text"].tolist() * 2, labelled["positive"].tolist() * 2)
    assert np.isfinite(log_loss(tuned, test))
    with pytest.raises(ValueError, match="none has words"):
        pretrain(["!!", "  "], tmp_path / "c", SMALL)


def test_pretraining_leaves_the_global_generator_alone(few, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    pretrain(few[1][:40], tmp_path, PretrainParams(**vars(SMALL) | {"steps": 2}))
    assert torch.rand(1) == expected


def test_contrastive_training_ends_with_all_rows(few, backbone):
    labelled, _, test = few
    how = {"backbone": backbone, "loss": "contrastive", "epochs": 1, "progress": False}
    texts, labels = labelled["text"].tolist(), labelled["positive"].tolist()
    held = create("fine_tuned", **how, validation=0.3).fit(texts, labels)
    whole = create("fine_tuned", **how, validation=0.0).fit(texts, labels)
    assert held.temperature != 1.0
    assert np.allclose(held._logits(test["text"].tolist()), whole._logits(test["text"].tolist()), atol=1e-4)


def test_rows_without_a_label_are_asked_for(tmp_path):
    rows = ["text,positive,split", "very good,1,train", "bad,0,train", "so so,,train", "who knows,,test", "fine,1,test"]
    file = tmp_path / "reviews.csv"
    file.write_text("\n".join(rows))
    with pytest.raises(FieldError, match=r"positive\[2\]"):
        read(file)
    table = read(file, unlabelled=True)
    assert table["text"].tolist() == ["very good", "bad", "fine"]
    assert table["positive"].tolist() == [1, 0, 1]
    assert table.attrs["unlabelled"] == ["so so"]
    file.write_text("text,intent\nwhere is it,order\nwhat now,\nrefund me,refund\nask ann@example.com,\n")
    table = read(file, unlabelled=True)
    assert table["intent"].tolist() == ["order", "refund"]
    assert table.attrs["unlabelled"][0] == "what now"
    assert "ann@" not in table.attrs["unlabelled"][1]
