"""The order of purchases: windows and targets, no look ahead, sets shuffled, what is held out, how well it ranks."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.learning.base import Card, save_folder
from storelab.recommendation import create, evaluate, load
from storelab.recommendation.base import Histories, Log
from storelab.recommendation.order import OrderNetwork, Sequences, held_out, next_days
from storelab.recommendation.protocol import complete_journey_frame, leave_last_out, rank
from storelab.recommendation.sasrec import SASRec, SASRecParams
from storelab.recommendation.sequences import SequenceParams, ordered
from storelab.recommendation.transformer import Transformer
from torch import nn

from .conftest import TINY, frame

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=50)


@given(rows=EVENTS, length=st.integers(1, 5))
@settings(max_examples=60)
def test_windows_and_targets_are_what_a_loop_finds(rows, length):
    user, item, day = map(np.array, zip(*rows, strict=True))
    sequences = Sequences.of(Histories.sorted(user, item, day, 4, 20.0), length)
    windows = np.arange(len(sequences.high))
    target, known = sequences.targets(windows)
    table, count = sequences.rows(windows)
    found, seen, read = [], [], []
    for owner in range(4):
        own = sorted({(d, i) for u, i, d in rows if u == owner})
        for high in range(len(own), 0, -length):
            low, window = max(high - length, 0), len(read)
            read.append([i for _, i in own[low:high]])
            for place in range(low, high):
                if own[place][1] not in [i for _, i in own[:place]]:
                    found.append((window, place - low, own[place][1]))
            for place in range(high):
                if own[place][1] not in [i for _, i in own[:place]]:
                    seen.append((window, max(place - low + 1, 0), own[place][1]))
    assert [row[:n].tolist() for row, n in zip(table, count, strict=True)] == read
    assert sorted(map(tuple, target.T.tolist())) == sorted(found)
    assert sorted(map(tuple, known.T.tolist())) == sorted(seen)


def test_what_is_known_after_a_purchase_does_not_depend_on_later_ones():
    network, one = OrderNetwork(9, 16, 2, 2, 0.3, 6, None).eval(), torch.zeros(1, dtype=int)
    nn.init.normal_(network.far)
    items = network.embeddings()
    whole = network(torch.tensor([[3, 1, 4, 1, 5, 8]]), items, one)
    torch.testing.assert_close(network(torch.tensor([[3, 1, 4, 7]]), items, one)[0, :4], whole[0, :4])
    torch.testing.assert_close(network(torch.tensor([[3, 1, 4, 7]]), items, one, one + 3)[0], whole[0, 3])
    assert not torch.equal(network(torch.tensor([[3, 1, 4, 7]]), items, one + 9, one + 3)[0], whole[0, 3])


@given(rows=EVENTS, seed=st.integers(0, 9))
@settings(max_examples=40)
def test_only_purchases_at_one_time_are_shuffled(rows, seed):
    user, item, day = map(np.array, zip(*rows, strict=True))
    plain = Sequences.of(Histories.sorted(user, item, day, 4, 20.0), 3)
    mixed = plain.shuffled(np.random.default_rng(seed))
    for moment in np.unique(plain.moment):
        at = plain.moment == moment
        assert sorted(mixed.item[at]) == sorted(plain.item[at])
    assert mixed.new.sum() == plain.new.sum()


def test_a_day_of_purchases_comes_in_every_order():
    one = Sequences.of(Histories.sorted(np.zeros(3, int), np.arange(3), np.zeros(3), 1, 1.0), 5)
    orders = {tuple(one.shuffled(np.random.default_rng(seed)).item) for seed in range(60)}
    assert len(orders) == 6


@given(rows=EVENTS, users=st.integers(1, 4))
@settings(max_examples=60)
def test_what_is_held_out_is_in_no_history(rows, users):
    user, item, day = map(np.array, zip(*rows, strict=True))
    names = [str(number) for number in range(7)]
    log = Log(list("abcd"), names, Histories.sorted(user, item, day, 4, 20.0))
    if not (np.diff(log.histories.start) > 1).any():
        return
    shown, histories, wanted = held_out(log, users, 0)
    assert len(histories) == len(wanted) <= users
    assert set(zip(shown.histories.user, shown.histories.item, shown.histories.day, strict=True)) <= {
        (u, i, d) for u, i, d in rows
    }
    for place, items in enumerate(wanted):
        own = histories.take(np.array([place]))
        assert len(items)
        assert not set(items) & set(own.item)
        assert (own.day <= histories.now[place]).all()


@given(rows=EVENTS, users=st.integers(1, 4))
@settings(max_examples=60)
def test_the_last_days_are_in_no_history(rows, users):
    user, item, day = map(np.array, zip(*rows, strict=True))
    log = Log(list("abcd"), [str(number) for number in range(7)], Histories.sorted(user, item, day, 4, 20.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storelab.recommendation.order._BACK", 1)
        found = next_days(log, 3, users, 0)
    old, new = ({(u, i) for u, i, d in rows if (d < log.end - 3) == early} for early in (True, False))
    back = {u: {i for w, i in new - old if w == u} for u in {u for u, _ in old}}
    back = {u: items for u, items in back.items() if items}
    assert (found is None) == (not back)
    assert next_days(log, 3, users, 0) is None  # four users are few
    if found:
        shown, histories, wanted = found
        assert shown.histories.day.max() < log.end - 3
        assert (histories.now == log.end - 3).all()
        assert len(histories) == len(wanted) == min(users, len(back))
        assert all(set(items) in back.values() for items in wanted)


def test_where_customers_come_back_the_next_days_say_what_the_order_is_worth(store):
    """It is then trained again on all purchases; where they don't, as in sessions, each one's last purchase does."""
    log = Log.from_frame(store.orders)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storelab.recommendation.order._BACK", 5)
        patch.setattr("storelab.recommendation.order._BACK_SHARE", 0.05)
        patch.setattr("storelab.recommendation.transformer._GAIN", 0.0)
        seen = []
        train = Transformer._train_one_order
        patch.setattr(Transformer, "_train_one_order", lambda *a: (seen.append((a[1].end, a[3] is None)), train(*a))[1])
        model = create("transformer", **TINY).fit(log)
        assert seen[0] == (log.end - 30, False)
        assert (seen[1:] == [(log.end, True)]) == (model.share > 0)
    sessions = Log.from_frame(ordered(SequenceParams(users=200, items=60)))
    assert next_days(sessions, 30, 500, 0) is None


def test_a_shop_of_baskets_is_read_by_its_baskets_alone(monkeypatch):
    """Customers who come back and buy ten items at a time; once they buy one by one, the order is tried."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"i{i}", 20.0 * day) for u in range(120) for day in range(4) for i in rng.choice(60, 10, False)]
    tried = []
    monkeypatch.setattr(Transformer, "_train_one_order", lambda self, log, *_: tried.append(log.end) or 1.0)
    monkeypatch.setattr(Transformer, "_worth", lambda *_: {0.0: 0.1})
    log = Log.from_frame(frame(*rows))
    model = create("transformer", **TINY).fit(log)
    assert (tried, model.share, model.order) == ([], 0.0, None)
    alone = create("transformer", **{**TINY, "order_epochs": 0}).fit(log)
    assert torch.equal(model.scores(log.histories), alone.scores(log.histories))
    apart = frame(*((user, item, day + k / 99) for k, (user, item, day) in enumerate(rows)))
    create("transformer", **TINY).fit(Log.from_frame(apart))
    assert len(tried) == 1


def test_it_ranks_by_order_what_a_set_cannot_tell(tmp_path):
    """One session a customer, along a ring of 30 items: the last one says what is next. By days there is no order."""
    rng, rows = np.random.default_rng(0), []
    for user in range(200):
        places = rng.integers(30) + np.cumsum(rng.choice([1, 2], 8, p=[0.8, 0.2]))
        rows += [(f"u{user}", f"i{place % 30:02d}", second / 86_400) for second, place in enumerate(places)]
    table = frame(*rows)
    sizes = {**TINY, "order_epochs": 20, "order_layers": 1, "order_dropout": 0.1}
    found = {}
    for name, times in (("days", table.assign(timestamp=table["timestamp"].dt.normalize())), ("seconds", table)):
        split = leave_last_out(times, whole=False)
        model = create("transformer", **sizes).fit(split.log)
        found[name] = rank(model, split, k=1)["NDCG@1"]
    assert found["seconds"] > 0.6
    assert found["days"] < found["seconds"] - 0.2
    assert 0 < model.share <= 1
    model.save(tmp_path, Card("made", "none", {}, "tests", "all"))
    assert torch.equal(load(tmp_path).scores(split.log.histories), model.scores(split.log.histories))


def test_depth_and_length_are_chosen_on_what_is_held_out(tmp_path, monkeypatch):
    """Each setting is tried beside the best so far and taken where it gains; what was taken is saved."""
    worth = iter([{0.0: 0.1, 1.0: 0.2}, {0.0: 0.1, 1.0: 0.3}, {0.0: 0.1, 1.0: 0.2}, {0.0: 0.1, 0.5: 0.4}, {0.0: 0.4}])
    tried = []

    def trained(self, log, sizes, *_):
        tried.append(sizes)
        self.order = self._new_order(**sizes)
        self.order.worth = next(worth)
        return 1.0

    monkeypatch.setattr(Transformer, "_train_one_order", trained)
    monkeypatch.setattr(Transformer, "_worth", lambda self, *_: self.order.worth)
    split = leave_last_out(ordered(SequenceParams(users=30, items=40, genres=3, mean=20.0)), whole=False)
    model = create("transformer", **{**TINY, "order_search": True, "order_layers": 2}).fit(split.log)
    first = {"layers": 2, "dropout": 0.3, "length": 100}
    less = first | {"dropout": 0.15}
    assert tried == [first, less, first | {"dropout": 0.5}, less | {"layers": 1}, less | {"layers": 1, "length": 200}]
    assert (model.share, len(model.order.blocks), model.order.near.shape[1]) == (0.5, 1, 101)
    model.save(tmp_path, Card("made", "none", {}, "tests", "all"))
    assert torch.equal(load(tmp_path).scores(split.histories), model.scores(split.histories))


def test_where_order_says_nothing_nothing_else_is_tried(monkeypatch):
    tried = []
    monkeypatch.setattr(Transformer, "_train_one_order", lambda self, log, sizes, *_: tried.append(sizes))
    monkeypatch.setattr(Transformer, "_worth", lambda *_: {0.0: 0.1, 0.3: 0.104})
    split = leave_last_out(ordered(SequenceParams(users=30, items=40, genres=3, mean=20.0)), whole=False)
    model = create("transformer", **{**TINY, "order_search": True}).fit(split.log)
    assert (len(tried), model.share) == (1, 0.0)


def test_a_folder_from_before_the_order_is_read_by_baskets_alone(log, tmp_path):
    model = create("transformer", **{**TINY, "order_epochs": 0}).fit(log)
    arrays = {name: array for name, array in model._arrays().items() if name != "share"}
    params = {name: value for name, value in asdict(model.params).items() if not name.startswith("order_")}
    save_folder(tmp_path, "transformer", {"params": params, "items": log.items}, arrays, Card("a", "b", {}, "c", "d"))
    assert torch.equal(load(tmp_path).scores(log.histories), model.scores(log.histories))


def test_made_up_sequences_have_the_shape_that_was_asked_for():
    table = ordered(SequenceParams(users=40, items=200, mean=50.0, seed=1))
    counts = table.groupby("customer").size()
    assert len(counts) == 40
    assert counts.between(20, 100).all()  # half of the items at most
    assert not table.duplicated(["customer", "item"]).any()
    pd.testing.assert_frame_equal(table, ordered(SequenceParams(users=40, items=200, mean=50.0, seed=1)))
    with pytest.raises(ValueError, match=r"stay: 2 is not allowed, expected a number from 0 to 1"):
        SequenceParams(stay=2)


def test_the_plain_one_learns_and_knows_a_history_by_its_end():
    split = leave_last_out(ordered(SequenceParams(users=60, items=60, genres=3, mean=20.0)), whole=False)
    model = SASRec(SASRecParams(epochs=4, width=16, layers=1))
    model.dropouts = (0.2,)
    scores = model.fit(split.log).scores(split.histories)
    assert scores.shape == (60, 60)
    cut = Histories.sorted(np.zeros(3, int), [4, 1, 7], [0.0, 1.0, 2.0], 1, 3.0)
    assert not torch.equal(model.scores(cut), model.scores(cut.where(cut.day < 2)))


def test_times_are_taken_apart_and_together():
    """The study of causes: a day for each time of a customer, and days alone, with the same purchases in both."""
    table = frame(("a", "x", 1.25), ("a", "y", 1.25), ("a", "z", 1.5), ("b", "x", 4.0), ("a", "v", 9.75))
    days = evaluate._apart(table)["timestamp"].dt.strftime("%m-%d").tolist()
    assert days == ["01-08", "01-08", "01-09", "01-05", "01-10"]
    histories = Log.from_frame(table).histories
    together = evaluate._days(histories)
    assert together.day.tolist() == np.floor(histories.day).tolist()
    assert sorted(zip(together.user, together.item, strict=True)) == sorted(
        zip(histories.user, histories.item, strict=True)
    )


@pytest.mark.slow
def test_causes_change_one_thing_after_the_other():
    table = ordered(SequenceParams(users=40, items=60, genres=3, mean=20.0))
    rows = pd.DataFrame(evaluate.causes(table, 1, {**TINY, "order_epochs": 2}))
    assert rows["NDCG@10"].between(0, 1).all()
    assert len(rows) >= 10
    assert not rows["model"].duplicated().any()


@pytest.mark.slow
def test_on_made_up_sequences_it_is_no_worse_than_the_plain_one():
    split = leave_last_out(ordered(SequenceParams(users=300, items=600)), whole=False)
    worth = [
        rank(model.fit(split.log), split)["NDCG@10"] for model in (create("transformer", progress=False), SASRec())
    ]
    assert worth[0] > worth[1] - 0.01  # of 300 users: less than half of the difference's standard error


@pytest.mark.slow
def test_on_baskets_it_is_no_worse_than_what_most_buy(real_data):
    split = leave_last_out(complete_journey_frame(real_data))
    models = create("transformer", progress=False), create("popularity"), create("ease")
    worth = [rank(model.fit(split.log), split)["NDCG@10"] for model in models]
    assert worth[0] > max(worth[1:])
