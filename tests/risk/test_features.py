"""Features: a stream gives what a batch gives, to the bit; hand-made histories; nothing of the future; bad input."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.risk import FEATURES, Stream, features
from storelab.risk.synthetic import DAY


def made(seconds, **columns) -> pd.DataFrame:
    """Transactions at seconds, of one customer with one device, address and card where nothing else is said."""
    count = len(seconds)
    plain = {"customer": "c", "device": "d", "address": "a", "card": "k", "kind": "purchase", "category": "g"}
    plain |= {"amount": 10.0, "promotion": False, "declined": False}
    stamps = np.datetime64("2024-01-01", "s") + np.asarray(seconds, np.int64).astype("timedelta64[s]")
    return pd.DataFrame({"timestamp": stamps} | {name: [value] * count for name, value in plain.items()} | columns)


def streamed(table: pd.DataFrame) -> np.ndarray:
    stream = Stream()
    return np.stack([stream.features(row) for row in table.to_dict("records")])


@st.composite
def tables(draw) -> pd.DataFrame:
    """Few ids and round times, so that all is shared, ties come, and windows begin on a transaction."""
    count = draw(st.integers(1, 60))
    gaps = st.sampled_from([0, 0, 1, 60, 3600, DAY, 7 * DAY, 30 * DAY])
    time = np.cumsum(draw(st.lists(gaps, min_size=count, max_size=count)))
    lists = lambda values: draw(st.lists(st.sampled_from(values), min_size=count, max_size=count))
    ids = {name: lists(["1", "2", "3"]) for name in ("customer", "device", "address", "card", "category")}
    amount = draw(st.lists(st.floats(0, 1e6), min_size=count, max_size=count))
    flags = {name: lists([True, False]) for name in ("promotion", "declined")}
    return made(time, **ids, **flags, amount=amount, kind=lists(["purchase", "refund"]))


@settings(max_examples=25)
@given(tables())
def test_stream_equals_batch(table):
    np.testing.assert_array_equal(features(table), streamed(table))


@settings(max_examples=12)
@given(tables(), st.integers(0, 59))
def test_later_rows_change_nothing(table, cut):
    cut = min(cut, len(table) - 1)
    np.testing.assert_array_equal(features(table)[: cut + 1], features(table.iloc[: cut + 1]))


def test_stream_equals_batch_on_the_synthetic_store(data, table):
    """Long enough for the stream to forget what is older than a month."""
    busy = data.transactions["customer"].value_counts().index[:12]
    chosen = data.transactions[data.transactions["customer"].isin(busy)]
    whole = features(chosen)
    assert len(chosen) > 500
    np.testing.assert_array_equal(whole, streamed(chosen))


def test_a_history_counted_by_hand():
    hours = np.array([0, 1, 24, 25, 26])
    table = made(
        3600 * hours,
        device=["d", "d", "d", "e", "d"],
        customer=["c", "c", "x", "c", "c"],
        amount=[10.0, 30.0, 5.0, 20.0, 80.0],
        kind=["purchase", "refund", "purchase", "purchase", "purchase"],
        declined=[False, True, False, False, False],
    )
    rows = [dict(zip(FEATURES, row, strict=True)) for row in features(table)]
    first, last = rows[0], rows[-1]
    assert first["own: transactions"] == 0
    assert np.isnan(first["own first: days since"])
    assert np.isnan(first["log amount less own mean"])
    assert last["own: transactions"] == 3
    assert last["own, day: transactions"] == 1  # 25 hours; the refund is 25 hours back, the window is open there
    assert last["own devices"] == 2
    assert last["device customers"] == 2
    assert last["own declined, day"] == 0
    assert rows[2]["device declined, day"] == 1
    assert last["own first: days since"] == pytest.approx(26 / 24)
    assert last["own last: days since"] == pytest.approx(1 / 24)
    assert last["own refunded share, month"] == pytest.approx(30 / 60)
    assert last["own on device: transactions"] == 2
    mean = np.log1p([10.0, 30.0, 20.0]).mean()
    assert last["log amount less own mean"] == pytest.approx(np.log1p(80.0) - mean, abs=1e-3)
    assert last["amount of a day by own mean"] == pytest.approx((20 + 80) / 20)


def test_an_empty_batch_has_no_rows():
    assert features(made([])).shape == (0, len(FEATURES))


def test_an_unknown_customer_has_the_features_of_a_first_transaction():
    table = made([0, 60], customer=["c", "new"], device=["d", "other"], address=["a", "b"], card=["k", "l"])
    row = dict(zip(FEATURES, features(table)[1], strict=True))
    assert not any(row[name] for name in FEATURES if name.startswith(("own, ", "device, ", "address, ", "card, ")))
    assert all(np.isnan(row[name]) for name in FEATURES if name.endswith("days since"))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("amount", value) for value in (-1.0, np.nan, np.inf, "dear")),
        *(("kind", value) for value in ("gift", None)),
        *((name, None) for name in ("customer", "device", "address", "card", "category", "timestamp")),
        *((name, "perhaps") for name in ("promotion", "declined")),
    ],
)
def test_bad_values_are_named(column, value):
    row = made([0]).to_dict("records")[0] | {column: value}
    stream = Stream()
    for call in (stream.features, lambda row: features({name: [value] for name, value in row.items()})):
        with pytest.raises(ValueError, match=f"column '{column}'.*expected"):
            call(row)
    assert not stream.records


@given(st.sampled_from(list(made([0]).columns)))
@settings(max_examples=10)
def test_a_missing_column_is_named(name):
    table = made([0, 1]).drop(columns=name)
    with pytest.raises(ValueError, match=f"column '{name}': missing"):
        features(table)
    with pytest.raises(ValueError, match=f"column '{name}': missing"):
        Stream().features(table.to_dict("records")[0])


def test_out_of_order_is_refused_and_leaves_the_stream_as_it_was():
    with pytest.raises(ValueError, match=r"column 'timestamp', row 3: .* before the row above"):
        features(made([0, 5, 4]))
    table, stream = made([0, 5, 9]), Stream()
    first, second, third = table.to_dict("records")
    stream.features(first)
    stream.features(second)
    with pytest.raises(ValueError, match="before the row above"):
        stream.features(made([4]).to_dict("records")[0])
    np.testing.assert_array_equal(stream.features(third), features(table)[2])


def test_a_bounded_stream_forgets_the_one_not_met_for_longest():
    """What was never forgotten has the sums of an unbounded one; memory stays within the bound."""
    draw, most = np.random.default_rng(0), 200
    small, large = Stream(most), Stream()
    for n in range(2000):
        who = "regular" if n % 3 == 0 else f"guest {n}"
        row = {name: who for name in ("customer", "device", "address", "card")}
        row |= {"timestamp": pd.Timestamp("2024-01-01") + pd.Timedelta(minutes=n), "kind": "purchase", "category": "x"}
        row |= {"amount": float(draw.integers(1, 100)), "promotion": False, "declined": False}
        one, other = small.features(row), large.features(row)
        assert max(len(small.records), small.times) <= most
        assert small.times == sum(len(record.times) for record in small.records.values())
        if n < 30:
            np.testing.assert_array_equal(one, other)
    again = small.features(row | dict.fromkeys(("customer", "device", "address", "card"), "guest 1"))
    assert again[FEATURES.index("own: transactions")] == 0


def test_the_times_of_one_are_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules[Stream.__module__], "MOST_TIMES", 50)
    stream = Stream(10_000)
    row = dict.fromkeys(("customer", "device", "address", "card", "category"), "hot")
    row |= {"kind": "purchase", "amount": 1.0, "promotion": False, "declined": False}
    for n in range(500):
        found = stream.features(row | {"timestamp": pd.Timestamp("2024-01-01") + pd.Timedelta(seconds=n)})
    assert max(len(record.times) for record in stream.records.values()) <= 50 + 33
    assert found[FEATURES.index("own: transactions")] == 499  # ever: exact
