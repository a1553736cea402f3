"""The Transformer: what it is trained on, that it looks at no later day, EASE without the user, long tail, resume."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.recommendation import create
from storelab.recommendation.base import Histories, Log
from storelab.recommendation.baskets import Baskets
from storelab.recommendation.longtail import rerank
from storelab.recommendation.neighbours import Trend, bought, inverse_gram, leave_out, running
from storelab.recommendation.protocol import leave_last_out, rank, split_by_time

from .conftest import TINY, frame

PURCHASES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 60)), min_size=1, max_size=40)


@given(rows=PURCHASES, length=st.integers(1, 6), horizon=st.integers(1, 40))
@settings(max_examples=60)
def test_positions_and_targets_are_what_a_loop_finds(rows, length, horizon):
    user, item, day = map(np.array, zip(*rows, strict=True))
    histories = Histories.sorted(user, item, day, 4, 70.0)
    baskets = Baskets.of(histories, length, horizon)
    pairs = lambda table: sorted(map(tuple, table.T.tolist()))
    read, first, target, now = [], [], [], []
    start = 0
    for owner in range(4):
        own = sorted({(d, i) for u, i, d in rows if u == owner})
        days = sorted({d for d, _ in own})
        kept = days[-length:]
        debut = {i: min(d for d, other in own if other == i) for _, i in own}
        now += [*kept, 70]
        read += [(start + 1 + kept.index(d), i) for d, i in own if d in kept]
        first += [(start + 1 + kept.index(d) if d in kept else start, i) for i, d in debut.items()]
        for place, looked_at in enumerate(kept):
            new = [i for i, d in debut.items() if d in kept and looked_at <= d < looked_at + horizon]
            target += [(start + place, i) for i in new]
        assert baskets.start[owner] == start
        start += len(kept) + 1
    assert baskets.now.tolist() == now
    assert pairs(baskets.read) == sorted(read)
    assert pairs(baskets.first) == sorted(first)
    assert pairs(baskets.target) == sorted(target)
    users = np.array([2, 3])
    part = baskets.take(users)
    alone = Baskets.of(histories.take(users), length, horizon)
    for name in ("start", "now", "read", "first", "target"):
        np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))


def test_ease_is_the_one_fitted_without_the_user(log):
    inverse = torch.from_numpy(inverse_gram(log, 20.0)).float()
    users = np.array([0, 4, 9])
    batch = Baskets.of(log.histories, 100, 30).take(users).tensors(torch.device("cpu"))
    scores, seen = leave_out(batch, inverse), bought(batch, len(log.items))
    for place, user in enumerate(users):
        others = log.histories.where(log.histories.user != user)
        table = create("ease", penalty=20.0).fit(Log(log.users, log.items, others)).rows.table
        for position in range(int(batch.start[place]), int(batch.start[place + 1])):
            expected = seen[position].float() @ table
            new = ~seen[position]
            torch.testing.assert_close(scores[position][new], expected[new], atol=2e-4, rtol=1e-3)


def test_a_position_knows_nothing_of_later_baskets(log, ready):
    network = ready["transformer"].network.eval()
    whole = Baskets.of(log.histories, 1000, 30)
    user = int(np.argmax(np.diff(whole.start)))
    full = whole.take(np.array([user])).tensors(torch.device("cpu"))
    cut = log.histories.where(log.histories.day < float(full.day[4]), now=float(full.day[4]))
    short = Baskets.of(cut, 1000, 30).take(np.array([user])).tensors(torch.device("cpu"))
    items = network.embeddings()
    assert len(short.day) == 4
    torch.testing.assert_close(network(full, items)[:4], network(short, items))


def test_the_order_inside_a_basket_is_of_no_account(log, ready):
    """Of purchases at one time, or with times too where a day is all that is read."""
    now, items = pd.Timestamp("2024-03-01"), log.items
    orders = [(3, 8, 1), (1, 3, 8)]
    at_once = Histories.of([[(items[k], "2024-02-01 11:00") for k in o] for o in orders], items, now)
    in_turn = Histories.of([[(items[k], f"2024-02-01 1{h}:00") for h, k in enumerate(o)] for o in orders], items, now)
    for scores in (ready["transformer"].scores(at_once), ready["transformer"]._baskets(in_turn)):
        torch.testing.assert_close(scores[0], scores[1])


@pytest.mark.parametrize("layers", [1, 2])
def test_scores_are_those_of_the_last_position_in_training(layers, log):
    """By the whole network at all positions, and EASE's sums over the whole table: what training computes."""
    model = create("transformer", **{**TINY, "layers": layers, "text": False, "order_epochs": 0}).fit(log)
    batch = Baskets.of(log.histories, model.params.length, 0.0).tensors(torch.device("cpu"))
    network, last = model.network.eval(), batch.start[1:] - 1
    with torch.no_grad():
        items = network.embeddings(model.unsold)
        simple = [running(batch, model.ease.table)[last], *model.trend[:, None]]
        expected = network.logits(network(batch, items)[last], items, simple)
    sold = ~model.unsold
    np.testing.assert_allclose(model.scores(log.histories)[:, sold], expected[:, sold], rtol=1e-4, atol=1e-4)


def test_trend_counts_the_days_before():
    log = Log.from_frame(frame(("a", "x", 0), ("b", "x", 3), ("b", "y", 9), ("c", "x", 40)))
    first = log.histories.day.min()
    week, month = Trend(log).at(torch.tensor([first, first + 1, first + 4, first + 10, first + 41]))
    assert week.expm1().round().tolist() == [[0, 0], [1, 0], [2, 0], [1, 1], [1, 0]]
    assert month.expm1().round().tolist() == [[0, 0], [1, 0], [2, 0], [2, 1], [1, 0]]


def test_it_learns_the_order_of_events():
    """What EASE cannot: of two items bought, the later one says what comes next. The last purchase is left out."""
    rng, rows = np.random.default_rng(0), []
    for user in range(400):
        numbers = rng.permutation(8)
        events = [f"a{numbers[0]}", f"a{numbers[1]}", f"b{numbers[1]}"]
        events += [f"a{numbers[2]}", f"a{numbers[3]}", f"b{numbers[3]}"]
        rows += [(f"u{user}", item, 10 * place) for place, item in enumerate(events)]
    split = leave_last_out(frame(*rows))
    settings = {
        **TINY,
        "epochs": 20,
        "learning_rate": 0.02,
        "residual": False,
        "dropout": 0.0,
        "horizon": 1,
        "order_epochs": 0,
    }
    models = (create("transformer", **settings, text=False), create("ease", penalty=10.0))
    ndcg = {model.name: rank(model.fit(split.log), split, k=1)["NDCG@1"] for model in models}
    assert ndcg["transformer"] > 0.8
    assert ndcg["ease"] < 0.7


def test_debiased_training_shows_more_of_the_tail(log):
    shown = []
    for debias in (0.0, 1.0):
        model = create(
            "transformer", **{**TINY, "epochs": 15, "learning_rate": 0.02, "debias": debias, "residual": False}
        ).fit(log)
        lists = model.recommend(log.histories, 5)
        buyers = np.asarray(log.histories.bought(len(log.items)).sum(axis=0))
        shown.append(buyers[lists[lists >= 0]].mean())
    assert shown[1] < 0.9 * shown[0]


def test_text_scores_items_that_nobody_bought(log):
    """Two kinds of items, users who buy one kind alone; a fifth of the items is hidden."""
    rng, rows, text = np.random.default_rng(0), [], {}
    for number in range(40):
        text[f"i{number:02d}"] = "red round ball" if number % 2 else "blue square box"
    for user in range(120):
        kind = user % 2
        for day in rng.choice(100, 6, replace=False):
            rows.append((f"u{user:03d}", f"i{2 * int(rng.integers(20)) + kind:02d}", int(day)))
    whole = Log.from_frame(frame(*rows), text)
    hidden = np.arange(40) < 8
    shown = Log(whole.users, whole.items, whole.histories.where(~hidden[whole.histories.item]), whole.text)
    model = create("transformer", **{**TINY, "epochs": 12, "learning_rate": 0.01, "residual": False}).fit(shown)
    scores = model.scores(shown.histories)[:, :8].numpy()
    right = scores[np.arange(120)[:, None], (2 * np.arange(4) + (np.arange(120) % 2)[:, None])].mean(axis=1)
    assert (right > scores.mean(axis=1)).mean() > 0.9


def test_reranking_evens_out_what_is_shown(ready, log):
    scores = lambda: ready["ease"].scores(log.histories)
    plain = ready["ease"].recommend(log.histories, 5)
    np.testing.assert_array_equal(rerank(scores(), log.histories, 5, 0.0), plain)
    spread = rerank(scores(), log.histories, 5, 1.0)
    most = [np.bincount(lists[lists >= 0]).max() for lists in (plain, spread)]
    assert most[1] < most[0]
    with pytest.raises(ValueError, match=r"weight: -1\.0 is not allowed"):
        rerank(scores(), log.histories, 5, -1.0)


def test_validation_days_decide_when_to_stop(log):
    settings = {**TINY, "epochs": 3, "validation": 40}
    model = create("transformer", **settings).fit(log)
    assert torch.equal(create("transformer", **settings).fit(log).scores(log.histories), model.scores(log.histories))


def test_a_split_by_time_holds_no_later_day(store):
    orders = store.orders.dropna(subset="customer")
    day = str(orders["timestamp"].max().normalize() - pd.Timedelta(days=30))[:10]
    split = split_by_time(orders, day, 30)
    assert split.log.end <= (pd.Timestamp(day) - pd.Timestamp("1970-01-01")).days
    counts = split.log.histories.bought(len(split.log.items))
    histories, wanted = split.relevant(repeats=False)
    for own, new in zip(np.split(histories.item, histories.start[1:-1]), wanted, strict=True):
        assert len(new)
        assert not set(own) & set(new)
    assert counts.shape == (len(split.log.users), len(split.log.items))
    with pytest.raises(ValueError, match="nothing to test on"):
        split_by_time(orders, "2030-01-01", 30)


@pytest.mark.parametrize(("field", "value"), [("d_model", 15), ("horizon", 0), ("debias", 2.0), ("length", 10_000)])
def test_bad_parameters_are_named(field, value):
    with pytest.raises(ValueError, match=rf"{field}: {value} is not allowed, expected"):
        create("transformer", **{field: value})


def test_a_student_learns_from_its_teacher(log, tmp_path):
    from storelab.errors import FieldError
    from storelab.learning.base import Card

    teacher = create("transformer", **TINY | {"epochs": 6}).fit(log)
    teacher.share = 0.5  # as if order told something here
    teacher._train_one_order(log, {"layers": 2, "dropout": 0.3, "length": 100}, None, 4)
    teacher.save(tmp_path, Card("made up", "none", {}, "tests", "none"))
    said = teacher.scores(log.histories).softmax(dim=1)
    small = TINY | {"d_model": 8, "order_layers": 1, "epochs": 6, "order_epochs": 4}
    student = create("transformer", teacher=str(tmp_path), **small).fit(log)
    assert student.share == 0.5
    alone = create("transformer", **small).fit(log)
    alone.share, alone.order = 0.5, student.order
    gap = lambda model: (model._baskets(log.histories).softmax(dim=1) - said).abs().mean()
    assert gap(student) < gap(alone)
    again = create("transformer", teacher=str(tmp_path), **small).fit(log)
    assert torch.equal(again.scores(log.histories), student.scores(log.histories))
    with pytest.raises(FieldError, match="order_length"):
        create("transformer", teacher=str(tmp_path), **small | {"order_length": 101}).fit(log)
    with pytest.raises(FieldError, match="teacher"):
        create("transformer", teacher=str(tmp_path), **small).fit(
            Log(log.users, [*log.items[:-1], "other"], log.histories)
        )
