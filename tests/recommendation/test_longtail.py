"""Rare items in the training: substitutes are rarer and similar, sold, new to the user, as many as asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.recommendation import create
from storelab.recommendation.base import Histories, Log
from storelab.recommendation.baskets import Baskets
from storelab.recommendation.longtail import rarer_alike, substituted
from storelab.recommendation.neighbours import gram_matrix
from storelab.recommendation.order import Sequences

from .conftest import TINY, frame

PURCHASES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 20)), min_size=1, max_size=40)
TABLES = st.lists(st.lists(st.integers(-1, 6), min_size=5, max_size=5), min_size=7, max_size=7)


def buyers_of(log: Log) -> np.ndarray:
    return np.asarray(log.histories.bought(len(log.items)).sum(axis=0))


@pytest.mark.parametrize("kind", ["buyers", "features"])
def test_substitutes_are_the_most_similar_of_the_rarer_items(log, kind):
    features = None if kind == "buyers" else np.random.default_rng(0).normal(size=(len(log.items), 4))
    hidden = np.arange(len(log.items)) % 5 == 0  # held out of the training
    shown = Log(log.users, log.items, log.histories.where(~hidden[log.histories.item]))
    alike, buyers = rarer_alike(shown, features), buyers_of(shown)
    if features is None:
        table = shown.histories.bought(len(shown.items)).toarray().astype(float).T
        np.testing.assert_array_equal(table @ table.T, gram_matrix(shown))
    else:
        table = features
    assert (alike >= 0).any()
    assert not hidden[alike[alike >= 0]].any()
    for item, row in enumerate(alike):
        norms = np.linalg.norm(table, axis=1) * np.linalg.norm(table[item])
        cosine = table @ table[item] / np.maximum(norms, 1e-12)
        rarer = np.flatnonzero((buyers < buyers[item]) & (buyers > 0) & (cosine > 1e-9))
        best = sorted(rarer, key=lambda other: -cosine[other])[:5]
        found = row[row >= 0]
        assert set(found) <= set(rarer.tolist())
        np.testing.assert_allclose(cosine[found], cosine[best])


def test_items_with_features_of_nothing_are_alike_by_their_buyers(log):
    np.testing.assert_array_equal(rarer_alike(log, np.zeros((len(log.items), 1))), rarer_alike(log))


@given(rows=PURCHASES, alike=TABLES, share=st.sampled_from([0.3, 1.0]), seed=st.integers(0, 9))
@settings(max_examples=100)
def test_a_user_has_as_many_items_as_before_and_none_that_were_there(rows, alike, share, seed):
    user, item, _ = map(np.array, zip(*rows, strict=True))
    alike = np.array(alike)
    found = substituted(user, item, alike, share, np.random.default_rng(seed))
    np.testing.assert_array_equal(found, substituted(user, item, alike, share, np.random.default_rng(seed)))
    pairs = set(zip(user.tolist(), item.tolist(), strict=True))
    became = {(u, old, new) for u, old, new in zip(user.tolist(), item.tolist(), found.tolist(), strict=True)}
    assert len(became) == len(pairs) == len({(u, new) for u, _, new in became})
    for u, old, new in became:
        assert new == old or (new in alike[old] and (u, new) not in pairs)
    np.testing.assert_array_equal(substituted(user, item, alike, 0.0, np.random.default_rng(seed)), item)


def test_the_share_is_the_one_asked_for():
    user, item = np.divmod(np.arange(20_000), 10)  # item k's substitutes are its own, 10 + 5 k and on
    alike = np.concatenate([10 + np.arange(50).reshape(10, 5), np.full((50, 5), -1)])
    found = substituted(user, item, alike, 0.3, np.random.default_rng(0))
    assert abs((found != item).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 20_000)
    often = np.bincount(found[found != item], minlength=60)[10:]
    assert often.min() > 0
    assert often.max() < 1.6 * often.mean()
    assert (substituted(user, item, alike, 1.0, np.random.default_rng(0)) != item).all()


@given(rows=PURCHASES)
@settings(max_examples=40)
def test_other_items_are_put_in_wherever_the_network_reads_and_learns(rows):
    """As if the user had bought them: the same positions, windows and targets as of a log with these items."""
    user, item, day = map(np.array, zip(*rows, *((user, 0, 0) for user in range(4)), strict=True))
    change = lambda user, item: (item + user) % 7  # one to one for each user
    plain, other = (Histories.sorted(user, items, day, 4, 30.0) for items in (item, change(user, item)))
    pairs = lambda table: sorted(map(tuple, table.T.tolist()))
    found, expected = Baskets.of(plain, 3, 9).with_items(change), Baskets.of(other, 3, 9)
    for name in ("read", "first", "target"):
        assert pairs(getattr(found, name)) == pairs(getattr(expected, name))
    found, expected = Sequences.of(plain, 3).with_items(change), Sequences.of(other, 3)
    times = lambda sequences: sorted(zip(sequences.moment.tolist(), sequences.item.tolist(), strict=True))
    assert times(found) == times(expected)


def test_none_is_what_it_was_and_some_is_another_model_the_same_by_seed(log):
    fitted = lambda **more: create("transformer", **TINY, **more).fit(log).scores(log.histories)
    plain, some = fitted(), fitted(augment=0.3)
    assert torch.equal(plain, fitted(augment=0.0))
    assert torch.isfinite(some).all()
    assert torch.equal(some, fitted(augment=0.3))
    assert not torch.equal(some, plain)
    assert not torch.equal(some, fitted(augment=0.3, seed=1))


def test_rare_items_get_the_chance_that_their_share_of_the_training_gives_them():
    """Ten kinds of items told by their text, of each a popular one and a rare one with a tenth of the buyers."""
    rng, rows = np.random.default_rng(0), []
    kinds = ["cup", "plate", "lamp", "chair", "table", "clock", "brush", "towel", "spoon", "knife"]
    text = {f"{kind} {number}": kind for kind in kinds for number in (1, 2)}
    for user in range(200):
        chosen = rng.choice(len(kinds), 4, replace=False)
        rows += [(f"u{user}", f"{kinds[k]} {1 + (rng.random() < 0.1)}", int(rng.integers(60))) for k in chosen]
    log = Log.from_frame(frame(*rows), text)
    rare, chance = torch.tensor([name.endswith("2") for name in log.items]), []
    for augment in (0.0, 0.3):
        sizes = {**TINY, "epochs": 12, "learning_rate": 0.02, "residual": False, "order_epochs": 0}
        scores = create("transformer", **sizes, augment=augment).fit(log).scores(log.histories)
        chance.append(float(scores.softmax(dim=1)[:, rare].sum(dim=1).mean()))
    assert chance[0] < 0.2
    assert 0.25 < chance[1] < 0.5  # .1 + .3 x .9 = .37
