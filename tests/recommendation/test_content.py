"""New items by what they say and look like: better than chance, and the same when loaded."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from storelab.data import SyntheticStoreParams, generate
from storelab.data.pictures import draw
from storelab.errors import FieldError
from storelab.learning.base import Card
from storelab.recommendation import create, load
from storelab.recommendation.content import factors_of, users_of
from storelab.recommendation.protocol import cold, rank, split_by_time

QUICK = {"factors": 6, "encoder": "pixels", "progress": False, "device": "cpu"}
CARD = Card("made up", "by time", {}, "tests", "none")


@pytest.fixture(scope="module")
def split():
    params = SyntheticStoreParams(items=100, days=200, customers=300, appeal=3.0, top_rate=8.0, zipf_exponent=0.3)
    store = generate(params)
    words = store.catalogue["category"].str.replace("-", "")
    whole = split_by_time(
        store.orders, str(store.panel.dates[-60].date()), 60, dict(zip(store.catalogue["item"], words, strict=True))
    )
    place = pd.Index(store.catalogue["item"]).get_indexer(whole.log.items)
    whole.log.images = draw(store, shown=1.0).take(place)
    return cold(whole, 0.25, 0)


def test_hidden_items_are_in_no_history_and_alone_ranked(split):
    hidden = np.flatnonzero(split.ranked)
    for histories in (split.log.histories, split.histories):
        assert not np.isin(histories.item, hidden).any()
    assert all(np.isin(items, hidden).all() and len(items) for items in split.bought)
    assert rank(create("content", **QUICK).fit(split.log), split)["coverage"] <= len(hidden) / len(split.ranked)


def test_new_items_by_text_and_by_pictures(split):
    found = {}
    for name, log in (
        ("both", split.log),
        ("text", replace(split.log, images=None)),
        ("image", replace(split.log, text=None)),
        ("neither", replace(split.log, text=["thing"] * len(split.log.items), images=None)),
    ):
        found[name] = rank(create("content", **QUICK).fit(log), split)["NDCG@10"]
    assert min(found["text"], found["image"]) > found["neither"] + 0.02
    assert found["both"] > found["text"]


def test_saved_and_loaded(split, tmp_path):
    model = create("content", **QUICK).fit(split.log)
    model.save(tmp_path, CARD)
    np.testing.assert_allclose(load(tmp_path).scores(split.histories), model.scores(split.histories), rtol=1e-4)


def test_items_without_content_are_refused(split):
    with pytest.raises(FieldError, match="descriptions"):
        create("content", **QUICK).fit(replace(split.log, text=None, images=None))


def test_factors_tell_who_bought(split):
    log = split.log.histories.bought(len(split.log.items))
    own = factors_of(log, np.asarray(log.sum(axis=0)).ravel(), 5, 0)
    users = users_of(log, own)
    assert own.shape == (len(split.log.items), 5)
    assert not own[split.ranked].any(axis=None) or np.abs(own[split.ranked]).max() < 1e-6
    bought = log.toarray() > 0
    scores = (users @ own.T)[:, ~split.ranked]
    assert scores[bought[:, ~split.ranked]].mean() > scores[~bought[:, ~split.ranked]].mean()
