"""Tables of one's own for `storelab fit`: what they may look like, and that their own split is kept."""

import numpy as np
import pandas as pd
import pytest
from storelab.experiments.fitting.datasets import Purchases, Ratings, Reviews, Transactions
from storelab.risk import Trees, TreesParams
from storelab.risk.handbook import HandbookParams, simulate

CLIENTS, DAYS = 30, 120


@pytest.fixture(scope="module")
def bought() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = 2400
    times = pd.Timestamp("2023-02-01") + pd.to_timedelta(rng.integers(0, DAYS * 24, rows), unit="h")
    return pd.DataFrame(
        {"user": rng.integers(1, CLIENTS + 1, rows), "item": rng.integers(0, 60, rows), "time": times}
    ).assign(item=lambda t: t["item"].map("{:04d}".format), rating=rng.integers(1, 6, rows))


def saved(tmp_path, table: pd.DataFrame, name: str = "own.csv", **words) -> str:
    table.to_csv(tmp_path / name, index=False, **words)
    return str(tmp_path / name)


def test_purchases(tmp_path, bought, capsys):
    table = bought.assign(user=bought["user"].astype(object)).drop(columns="rating")
    table.loc[:9, "user"] = "NULL"
    table["time"] = table["time"].dt.strftime("%d.%m.%Y %H:%M")
    split = Purchases(path=saved(tmp_path, table, sep=";", encoding="cp1252"), test_days=20).load(0)
    assert (len(split.log.users), split.log.items[0]) == (CLIENTS, "0000")
    said = capsys.readouterr().out
    assert "10 rows without a customer are left out" in said
    assert "dates are read day first" in said
    first = (pd.Timestamp("2023-05-31") - pd.Timedelta(days=19) - pd.Timestamp("1970-01-01")).days
    assert split.log.histories.day.max() < first <= split.log.histories.now[0]


def test_a_split_of_its_own_is_kept(tmp_path, bought):
    """No test row is trained on: here the test items of a customer are known by their number."""
    test = np.arange(len(bought)) % 5 == 0
    part = np.where(test, "test", np.where(np.arange(len(bought)) % 7 == 0, "validation", "train"))
    usual = pd.Series(part).replace({"validation": "dev", "train": "Train"}).to_numpy()
    split = Purchases(path=saved(tmp_path, bought.assign(split=usual))).load(0)
    assert len(split.log.histories.item) == (part == "train").sum()
    rated = Ratings(path=saved(tmp_path, bought.assign(split=part))).load(0)
    assert len(rated["log"].histories.item) == (part == "train").sum()
    np.testing.assert_array_equal(rated["stars"], bought["rating"][test])
    for wrong, words in (
        ("tests", "column 'split', row 1: 'tests'; expected one of train, validation, test, training, valid"),
        ("train", "no row is 'test'"),
    ):
        with pytest.raises(ValueError, match=words):
            Ratings(path=saved(tmp_path, bought.assign(split=wrong))).load(0)


def test_each_customers_last_purchase_is_the_test(tmp_path, bought):
    """By seconds, unix seconds and days; of rows at one time it is the last row."""
    seconds = bought["time"].astype("datetime64[s]")
    forms = {"seconds": seconds, "unix": seconds.astype("int64"), "days": seconds.dt.strftime("%Y-%m-%d")}
    for name, times in forms.items():
        table = bought[["item", "user"]].assign(time=times)
        split = Purchases(path=saved(tmp_path, table, f"{name}.csv"), last_out=True).load(0)
        last = table.sort_values("time", kind="stable").groupby("user").tail(1)
        assert sorted(split.log.items[items[0]] for items in split.bought) == sorted(last["item"])
        assert len(split.log.histories.item) == len(table) - CLIENTS
    alone = saved(tmp_path, bought.groupby("user").head(1), "alone.csv")
    with pytest.raises(ValueError, match="no customer has a purchase before the last one"):
        Purchases(path=alone, last_out=True).load(0)


def test_ratings_without_times(tmp_path, bought):
    path = saved(tmp_path, bought[["user", "item", "rating"]].rename(columns={"rating": "score"}))
    with pytest.raises(ValueError, match=r"column .rating.: missing; .* Columns found: user, item, score"):
        Ratings(path=path).load(0)
    data = Ratings(path=path, columns={"rating": "score"}).load(0)
    assert len(data["stars"]) == round(0.2 * len(bought))
    assert "true" not in data


def test_transactions_of_ones_own(tmp_path, capsys):
    rng = np.random.default_rng(4)
    rows = 1500
    fraud = rng.random(rows) < 0.1
    table = pd.DataFrame(
        {
            "when": pd.Timestamp("2023-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 120 * 86400, rows)), unit="s"),
            "card": rng.integers(1, 90, rows),
            "amount": np.where(fraud, 300.0, 20.0) + rng.random(rows).round(2),
            "fraud": fraud.astype(int),
        }
    )
    names = {"timestamp": "when", "customer": "card"}
    data = Transactions(path=saved(tmp_path, table), columns=names).load(0)
    assert data["table"].shape[0] == rows
    assert "no column device, address, kind" in capsys.readouterr().out
    part = np.repeat(["train", "validation", "test"], rows // 3)
    split = Transactions(path=saved(tmp_path, table.assign(split=part)), columns=names).load(0)["split"]
    assert (split.train.stop, split.test.start) == (rows // 3, 2 * rows // 3)
    with pytest.raises(ValueError, match=r"'validation' on 2023-.* follows 'test'; expected train, then validation"):
        Transactions(path=saved(tmp_path, table.assign(split=part[::-1])), columns=names).load(0)


def test_texts_with_other_names_and_another_encoding(tmp_path):
    table = pd.DataFrame({"отзыв": ["хорошо", "плохо"] * 20, "positive": [1, 0] * 20})
    path = saved(tmp_path, table, encoding="cp1251")
    with pytest.raises(ValueError, match="expected encoding=NAME"):
        Reviews(path=path).load(0)
    train, test = Reviews(path=path, columns={"text": "отзыв"}, encoding="cp1251").load(0)
    assert set(train["text"]) == {"хорошо", "плохо"}
    assert (len(train), len(test)) == (32, 8)


def test_late_labels_of_ones_own_entities(tmp_path):
    """The Handbook's columns by the user's names: known frauds of its terminals are what finds the lost ones."""
    table = simulate(HandbookParams(customers=150, terminals=200, days=120, seed=3))
    names = {"timestamp": "TX_DATETIME", "customer": "CUSTOMER_ID", "amount": "TX_AMOUNT", "fraud": "TX_FRAUD"}
    path, found = saved(tmp_path, table), {}
    for late in (False, True):
        dataset = Transactions(path=path, columns=names, entities=["TERMINAL_ID"], late_labels=late)
        data = dataset.load(0)
        assert data["layout"].entities == ("customer", "TERMINAL_ID")
        model = dataset.train(Trees(TreesParams(rounds=60)), data)
        found[late] = dataset.figures("fraud_trees", model, data)["fraud_trees"]["AUPRC"]
    assert found[True] > found[False] + 0.1
    plain = Transactions(path=path).load(0)  # the names are known, as far as they are those of the contract with _id
    assert plain["layout"].entities == ("customer", "terminal")
    np.testing.assert_array_equal(plain["table"], data["table"])
    for entities, words in ((["SHOP"], "column 'SHOP': missing"), (["amount"], "entities: 'amount' is not allowed")):
        with pytest.raises(ValueError, match=words):
            Transactions(path=path, columns=names, entities=entities).load(0)


def test_labels_that_came_after_the_test_began_are_not_trained_on(tmp_path):
    """A file says when each label came: what changes after the day of service changes no row before, and no weight."""
    table = simulate(HandbookParams(customers=100, terminals=100, days=120, seed=1))
    arrival = table["TX_DATETIME"] + pd.Timedelta(days=5)
    first = Transactions(path=saved(tmp_path, table.assign(known_at=arrival))).load(0)
    service = first["data"].transactions["timestamp"][first["split"].test.start]
    late = table.assign(known_at=arrival.mask(arrival >= service, arrival + pd.Timedelta(days=60)))
    moved = table.assign(
        known_at=arrival.mask(table.index % 3 == 0, service + pd.Timedelta(days=1)).where(
            table["TX_DATETIME"] < service, arrival
        )
    )
    second, third = (Transactions(path=saved(tmp_path, one, f"{n}.csv")).load(0) for n, one in enumerate((late, moved)))
    before = slice(0, first["split"].test.start)
    np.testing.assert_array_equal(first["table"][before], second["table"][before])
    np.testing.assert_array_equal(first["known"][before], second["known"][before])
    assert third["known"][before].sum() < first["known"][before].sum()
    with pytest.raises(ValueError, match=r"column 'known_at', row 1: .*after the transaction's"):
        Transactions(path=saved(tmp_path, table.assign(known_at=table["TX_DATETIME"] - pd.Timedelta(days=1)))).load(0)


def test_texts_of_the_split_validation_calibrate(tmp_path):
    from storelab.language import create
    from storelab.language.synthetic import synthetic_reviews

    table = synthetic_reviews(200)
    table["split"] = ["train"] * 120 + ["validation"] * 40 + ["test"] * 40
    table.to_csv(tmp_path / "r.csv", index=False)
    dataset = Reviews(path=str(tmp_path / "r.csv"))
    train, test = dataset.load(0)
    assert (train["split"].value_counts().to_dict(), len(test)) == ({"train": 120, "validation": 40}, 40)
    model = dataset.train(create("tfidf"), (train, test))
    alone = create("tfidf", validation=0.0).fit(table["text"].tolist()[:120], table["positive"].tolist()[:120])
    assert np.array_equal(model._logits(test["text"].tolist()), alone._logits(test["text"].tolist()))
    assert model.temperature != 1.0
