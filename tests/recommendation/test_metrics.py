"""Measures against values worked out by hand and their bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storelab.recommendation.metrics import gini, ranking_metrics, rating_metrics, tail_items


def test_by_hand():
    buyers = np.array([9, 8, 1, 1, 1])  # the tail: all but item 0
    lists = np.array([[0, 2, 3], [1, -1, -1]])
    figures = ranking_metrics(lists, [np.array([2, 4]), np.array([0])], buyers)
    ideal = 1 + 1 / np.log2(3)
    assert figures["NDCG@3"] == pytest.approx(0.5 * (1 / np.log2(3)) / ideal)
    assert figures["Recall@3"] == pytest.approx(0.25)
    assert figures["MRR@3"] == pytest.approx(0.25)
    assert figures["coverage"] == pytest.approx(0.8)
    assert figures["tail share"] == pytest.approx(3 / 4)
    assert figures["tail recall"] == pytest.approx(0.5)  # the second user asks for no tail item
    assert figures["Gini"] == pytest.approx(gini([1, 1, 1, 1, 0])) == pytest.approx(0.2)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_bounds_and_the_perfect_list(k, seed):
    rng = np.random.default_rng(seed)
    relevant = [rng.choice(8, size=rng.integers(1, 8), replace=False) for _ in range(4)]
    lists = np.stack([rng.permutation(8)[:k] for _ in relevant])
    figures = ranking_metrics(lists, relevant, rng.integers(0, 9, 8))
    assert all(0 <= value <= 1 + 1e-9 for value in figures.values() if not np.isnan(value))
    best = np.stack([np.r_[own, np.full(8, -1)][:k] for own in relevant])
    figures = ranking_metrics(best, relevant, rng.integers(0, 9, 8))
    assert [figures[f"{name}@{k}"] for name in ("NDCG", "Recall", "MRR")] == pytest.approx([1, 1, 1])


def test_gini_of_known_distributions():
    assert gini([3, 3, 3]) == pytest.approx(0)
    assert gini([0, 0, 0, 5]) == pytest.approx(3 / 4)
    assert gini(np.arange(1, 1001)) == pytest.approx(1 / 3, abs=1e-3)
    assert gini([0, 0]) == 0


def test_the_tail_is_four_fifths():
    assert tail_items(np.array([5, 1, 7, 2, 2, 2, 2, 2, 2, 9])).tolist() == [True] * 2 + [False] + [True] * 6 + [False]


def test_ratings_and_bad_input():
    assert rating_metrics([1, 2, 3], np.array([1, 2, 5])) == pytest.approx({"MSE": 4 / 3, "RMSE": (4 / 3) ** 0.5})
    with pytest.raises(ValueError, match="each needs a relevant item"):
        ranking_metrics(np.array([[0]]), [np.array([], int)], np.ones(2))
