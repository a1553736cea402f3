"""Every recommender: shapes, seeds, batches, stock, histories of any kind, saved folders; the linear ones' optima."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from storelab.learning.base import Card
from storelab.recommendation import RANKERS, create, load
from storelab.recommendation.base import Histories, Log, top
from storelab.recommendation.neighbours import RowSums

from .conftest import SETTINGS, frame

ALL = list(RANKERS)
CARD = Card("made", "none", {}, "tests", "all")


def histories(log: Log, *items: list[int]) -> Histories:
    """One purchase a day, up to the end of the log."""
    now = np.datetime64("1970-01-01") + np.timedelta64(int(log.end), "D")
    rows = [[(log.items[item], now - np.timedelta64(k + 1, "D")) for k, item in enumerate(own)] for own in items]
    return Histories.of(rows, log.items, now)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_scores_and_a_row_is_a_batch_of_one(name, log, ready):
    users = log.histories
    scores = ready[name].scores(users)
    assert scores.shape == (len(log.users), len(log.items))
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    again = create(name, **SETTINGS[name]).fit(log)
    assert torch.equal(again.scores(users), scores)
    for user in (0, 7, len(users) - 1):
        single = ready[name].scores(users.take(np.array([user])))
        torch.testing.assert_close(single[0], scores[user], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_saved_and_loaded_it_scores_the_same(name, log, ready, tmp_path):
    ready[name].save(tmp_path, CARD)
    assert (tmp_path / "README.md").is_file()
    twin = load(tmp_path)
    assert twin.items == log.items
    assert torch.equal(twin.scores(log.histories), ready[name].scores(log.histories))


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
@settings(max_examples=8)
def test_any_history_gets_a_list_of_what_is_in_stock(name, log, ready, data):
    items = len(log.items)
    own = data.draw(st.lists(st.lists(st.integers(0, items - 1), max_size=12), max_size=4))
    k = data.draw(st.integers(1, items + 3))
    stock = np.array(data.draw(st.lists(st.booleans(), min_size=items, max_size=items)))
    repeats = data.draw(st.booleans())
    lists = ready[name].recommend(histories(log, *own), k, stock, repeats)
    assert lists.shape == (len(own), k)
    for mine, bought in zip(lists, own, strict=True):
        allowed = set(np.flatnonzero(stock)) - (set() if repeats else set(bought))
        shown = mine[mine >= 0]
        assert len(shown) == min(k, len(allowed)) == len(set(shown))
        assert set(shown) <= allowed
        assert (mine[len(shown) :] == -1).all()


@pytest.mark.parametrize("name", ALL)
def test_explanations_are_falls_of_the_score(name, log, ready):
    own = histories(log, [3, 5, 9], [])
    item = int(ready[name].recommend(own, 1)[0, 0])
    reasons = ready[name].explain(own, 0, item)
    scores = ready[name].scores
    for other, fall in reasons:
        kept = [known for known in (3, 5, 9) if known != other]
        assert other in (3, 5, 9)
        assert fall > 0
        whole = own.take(np.array([0]))
        without = scores(whole.where(whole.item != other))[0, item]
        assert fall == pytest.approx(float(scores(whole)[0, item] - without), abs=1e-4)
        assert kept
    falls = [fall for _, fall in reasons]
    assert falls == sorted(falls, reverse=True)
    assert ready[name].explain(own, 1, item) == []
    if name in ("item_knn", "ease"):
        assert reasons


def test_ease_is_the_ridge_regression_of_each_item_on_the_others(log):
    """Steck 2019, eq. 3: zero diagonal, otherwise the normal equations of every column."""
    penalty, x = 5.0, log.histories.bought(len(log.items)).toarray()
    table = create("ease", penalty=penalty).fit(log).rows.table.numpy()
    for item in (0, 11, 39):
        rest = np.delete(np.arange(len(log.items)), item)
        gram = x[:, rest].T @ x[:, rest] + penalty * np.eye(len(rest))
        np.testing.assert_allclose(table[rest, item], np.linalg.solve(gram, x[:, rest].T @ x[:, item]), atol=1e-5)
        assert table[item, item] == 0


def test_sums_of_rows_over_several_slices():
    table = torch.randn(4, 300, generator=torch.Generator().manual_seed(0))
    histories = Histories.sorted(np.array([0, 0, 0, 2]), np.array([1, 3, 1, 2]), np.zeros(4), 3, 1.0)
    rows, expected = RowSums(table), torch.stack([table[1] + table[3], torch.zeros(300), table[2]])
    torch.testing.assert_close(rows.table, table, rtol=0, atol=0)
    torch.testing.assert_close(rows.of(histories), expected)
    scores, weight = torch.ones(3, 300), torch.tensor([[2.0], [3.0], [-1.0]])
    rows.add_to(scores, weight, torch.tensor([1, 3, 2]), torch.tensor([0, 2, 2]))
    torch.testing.assert_close(scores, 1 + weight * expected)


def test_frobenius_optimum_has_no_gradient_and_its_users_are_ridge_regressions(log):
    penalty, x = 2.0, log.histories.bought(len(log.items)).toarray()
    model = create("frobenius_mf", factors=min(x.shape) - 1, penalty=penalty).fit(log)
    values = np.linalg.svd(x, compute_uv=False)
    shrunk = np.linalg.svd(model.scores(log.histories).numpy(), compute_uv=False)
    # Without a bound on the rank the optimum is X with its singular values less lambda.
    np.testing.assert_allclose(shrunk[: min(x.shape) - 1], np.maximum(values - penalty, 0)[:-1], atol=1e-3)


def test_ials_is_at_the_optimum_of_its_rows(log):
    model = create("ials", factors=6, sweeps=40).fit(log)
    p, x, item = model.params, log.histories.bought(len(log.items)), model.item.astype(float)
    user = model._solve(x, item)
    dense = x.toarray()
    gap = (1 + p.weight * dense) * (user @ item.T - dense)
    np.testing.assert_allclose(gap @ item + p.penalty * user, 0, atol=1e-3)
    scale = np.abs(dense.T @ user).max()
    np.testing.assert_allclose(gap.T @ user + p.penalty * item, 0, atol=0.02 * scale)  # the items' were solved before


def test_cosine_of_a_table_made_by_hand():
    log = Log.from_frame(
        frame(("a", "x", 0), ("a", "y", 0), ("b", "x", 0), ("b", "y", 1), ("c", "z", 0), ("c", "x", 1))
    )
    table = create("item_knn", shrinkage=0).fit(log).rows.table.numpy()
    x, y, z = (log.items.index(name) for name in "xyz")
    assert table[x, y] == pytest.approx(2 / np.sqrt(6))
    assert table[x, z] == pytest.approx(1 / np.sqrt(3))
    assert table[y, z] == 0
    kept = create("item_knn", shrinkage=0, neighbours=1).fit(log).rows.table.numpy()
    assert (kept > 0).sum(axis=0).tolist() == [1, 1, 1]


def test_popularity_and_own_frequency():
    rows = [("a", "x", 0), ("b", "x", 0), ("c", "x", 1), ("a", "y", 40), ("a", "y", 41), ("b", "z", 41), ("c", "z", 41)]
    log = Log.from_frame(frame(*rows))
    x, y, z = (log.items.index(name) for name in "xyz")
    assert create("popularity").fit(log).buyers.tolist() == [3, 1, 2]
    assert create("popularity", days=30).fit(log).buyers.tolist() == [0, 1, 2]
    lists = create("own_frequency").fit(log).recommend(log.histories, 3, repeats=True)
    assert lists.tolist() == [[y, x, z], [x, z, y], [x, z, y]]


@given(st.lists(st.lists(st.integers(-5, 5), min_size=4, max_size=4), min_size=1, max_size=5))
def test_top_sorts_as_numpy_does(rows):
    scores = torch.tensor(rows, dtype=torch.float32)
    none = Histories.of([[] for _ in rows], ["a", "b", "c", "d"], "2024-01-01")
    lists = top(scores.clone(), none, 4)
    for values, mine in zip(scores.numpy(), lists, strict=True):
        assert sorted(mine) == [0, 1, 2, 3]
        assert values[mine].tolist() == sorted(values, reverse=True)


def test_bad_input_is_named(log, ready):
    ease, own = ready["ease"], histories(log, [1])
    with pytest.raises(ValueError, match="k: 0 is not allowed, expected a whole number from 1"):
        ease.recommend(own, 0)
    with pytest.raises(ValueError, match=r"in_stock: float64 of shape \(40,\) is not allowed, expected bool"):
        ease.recommend(own, 1, np.ones(len(log.items)))
    with pytest.raises(ValueError, match=r"in_stock: bool of shape \(3,\) is not allowed, expected .* \(40,\)"):
        ease.recommend(own, 1, np.ones(3, bool))
    with pytest.raises(ValueError, match="the model has no catalogue: call fit first"):
        create("ease").recommend(own, 1)
    own.item[0] = 99
    with pytest.raises(ValueError, match=r"item: 99 is not allowed, expected a number in the catalogue, 0 \.\. 39"):
        ease.recommend(own, 1)
    with pytest.raises(ValueError, match=r"histories\[1\] is no list"):
        Histories.of([[], [3]], log.items, "2024-01-01")
    with pytest.raises(ValueError, match=r"histories\[0\] holds a purchase after now"):
        Histories.of([[(log.items[0], "2025-01-01")]], log.items, "2024-01-01")
    with pytest.raises(ValueError, match=r"recommender: 'magic' is not allowed, expected one of .*popularity"):
        create("magic")
    with pytest.raises(ValueError, match=r"lambda.* is not allowed for ease"):
        create("ease", **{"lambda": 3})
    with pytest.raises(ValueError, match=r"penalty: -1 is not allowed, expected a number from 0\.001"):
        create("ease", penalty=-1)


def test_unknown_items_are_left_out_of_a_history(log):
    histories = Histories.of([[("never seen", "2024-01-01"), (log.items[2], "2024-01-01")]], log.items, "2024-01-02")
    assert histories.item.tolist() == [2]


def test_an_empty_catalogue_and_a_missing_column():
    with pytest.raises(ValueError, match="the catalogue is empty"):
        Log([], [], Histories.of([], [], "2024-01-01"))
    with pytest.raises(ValueError, match="column 'customer': missing"):
        Log.from_frame(frame().drop(columns="customer"))
    with pytest.raises(ValueError, match="the catalogue is empty"):
        Log.from_frame(frame((None, "x", 0)))


@pytest.mark.parametrize("word", ["nan", "NULL", "", "-1.0", "0", None])
def test_a_word_for_no_customer_is_a_guest_and_an_item_is_never_missing(word):
    rows = [("ann", "x", 0), (word, "y", 1), ("ann ", "z", 2)]
    log = Log.from_frame(frame(*rows))
    assert (log.users, log.items) == (["ann"], ["x", "z"])
    for item in (None, "", " "):
        with pytest.raises(ValueError, match="column 'item', row 3: nothing; expected an item"):
            Log.from_frame(frame(*rows[:2], ("ann", item, 2)))
    text = frame(*rows).assign(timestamp=["30.4.2023", "01.5.2023", "02.5.2023 12:00"])
    with pytest.warns(UserWarning, match="dates are read day first"):
        assert np.diff(Log.from_frame(text).histories.day).tolist() == [2.5]
    zoned = frame(*rows)["timestamp"].dt.tz_localize("Asia/Tokyo")
    with pytest.raises(ValueError, match=r"column 'timestamp', row 1: .*has a zone"):
        Log.from_frame(frame(*rows).assign(timestamp=zoned))


def test_histories_agree_with_a_sparse_table(log):
    table = log.histories.counts(len(log.items))
    users = np.array([3, 0, 5])
    part = log.histories.take(users)
    assert (sparse.csr_array(table.toarray()[users]) != part.counts(len(log.items))).nnz == 0
    assert table.sum() == len(log.histories.item)
