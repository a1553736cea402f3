"""Features: a stream gives what a batch gives, to the bit; hand-made histories; nothing of the future; bad input."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.reading import read_arrays
from storelab.risk import FEATURES, Layout, Stream, features
from storelab.risk.features import STORE
from storelab.risk.stream import save_state
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


LAYOUTS = st.builds(
    Layout,
    st.lists(st.sampled_from(["device", "card", "terminal"]), unique=True).map(tuple),
    st.just(True),
    st.sampled_from([0, 0.5, 7]),
)


@st.composite
def labelled(draw) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Transactions with a terminal, which are frauds, and when that was reported; some after the usual delay."""
    table = draw(tables())
    count = len(table)
    lists = lambda values: draw(st.lists(st.sampled_from(values), min_size=count, max_size=count))
    table = table.assign(terminal=lists(["1", "2"]))
    after = np.array(lists([0, 1, 3600, DAY, 7 * DAY, 30 * DAY, None]), object)
    known = [
        None if more is None else stamp + pd.Timedelta(seconds=more)
        for stamp, more in zip(table["timestamp"], after, strict=True)
    ]
    return table, np.array(lists([True, False])), pd.to_datetime(pd.Series(known)).to_numpy()


def reported(table: pd.DataFrame, layout: Layout, fraud: np.ndarray, known: np.ndarray, most=None) -> np.ndarray:
    """As a shop lives through it: each fraud is reported once it is known, and no label is seen before."""
    due = np.where(np.isnat(known), table["timestamp"].to_numpy() + np.timedelta64(layout.wait, "s"), known)
    waiting = sorted(np.flatnonzero(fraud), key=lambda row: due[row], reverse=True)
    stream, rows, found = Stream(most, layout), table.to_dict("records"), []
    for stamp, row in zip(table["timestamp"].to_numpy(), rows, strict=True):
        while waiting and due[waiting[-1]] < stamp:
            number = waiting.pop()
            stream.report(rows[number], due[number])
        found.append(stream.features(row))
    return np.stack(found)


@settings(max_examples=40)
@given(labelled(), LAYOUTS)
def test_late_labels_in_a_stream_equal_those_of_a_batch(given_, layout):
    table, fraud, known = given_
    batch = features(table, layout, fraud, known)
    assert batch.shape == (len(table), len(layout.names))
    np.testing.assert_array_equal(batch, reported(table, layout, fraud, known))


@settings(max_examples=25)
@given(labelled(), LAYOUTS, st.integers(0, 59))
def test_a_label_that_is_not_known_yet_changes_nothing(given_, layout, row):
    """Frauds of which a row can't know may be frauds or not, reported whenever later: the row is the same."""
    table, fraud, known = given_
    row = min(row, len(table) - 1)
    stamp = table["timestamp"].to_numpy()[row]
    due = np.where(np.isnat(known), table["timestamp"].to_numpy() + np.timedelta64(layout.wait, "s"), known)
    unknown = due >= stamp
    later = np.where(unknown, due + np.timedelta64(3, "D"), known)
    expected = features(table, layout, fraud, known)[: row + 1]
    np.testing.assert_array_equal(features(table, layout, fraud ^ unknown, known)[row], expected[row])
    np.testing.assert_array_equal(features(table, layout, fraud, later)[row], expected[row])


def test_a_label_that_comes_earlier_changes_no_earlier_row():
    """One fraud, known on day 3 or on day 5: rows up to day 3 are the same, that of day 4 differs, day 6's does not."""
    table, layout = made(DAY * np.arange(7)), Layout(late=True)
    fraud = np.arange(7) == 0
    at = lambda day: np.where(fraud, table["timestamp"].to_numpy() + np.timedelta64(day, "D"), np.datetime64("NaT"))
    early, late = (features(table, layout, fraud, at(day)) for day in (3, 5))
    np.testing.assert_array_equal(early[:4], late[:4])  # what comes in the second of day 3 is not seen by its row
    assert not np.array_equal(early[4], late[4], equal_nan=True)
    week = layout.names.index("own known frauds, 7 days")
    assert [row[week] for row in early] == [0, 0, 0, 0, 1, 1, 1]
    assert [row[week] for row in late] == [0, 0, 0, 0, 0, 0, 1]


def test_known_frauds_counted_by_hand():
    """A terminal of two customers; labels two days late; rates are of the transactions that fell due."""
    days = np.array([0.0, 1, 2, 3, 3, 10])
    table = made((DAY * days).astype(int), customer=["a", "b", "a", "b", "c", "c"]).assign(terminal="t")
    fraud = np.array([True, False, True, False, False, False])
    layout = Layout(("terminal",), True, 2)
    found = pd.DataFrame(features(table, layout, fraud), columns=layout.names)
    assert found["terminal known frauds, 7 days"].tolist() == [0, 0, 0, 1, 1, 1]  # the second one was known on day 4
    assert found["terminal known fraud rate, 7 days"].tolist()[3:] == [1.0, 1.0, pytest.approx(1 / 3)]
    assert found["terminal known fraud rate, 30 days"].iloc[5] == pytest.approx(2 / 5)
    assert found["own known frauds, 30 days"].tolist() == [0, 0, 0, 0, 0, 0]
    assert np.isnan(found["own known fraud rate, 30 days"].iloc[4])


def test_late_labels_on_the_synthetic_store(data):
    busy = data.transactions["merchant"].value_counts().index[:6]
    chosen = data.transactions["merchant"].isin(busy)
    rows, fraud = data.transactions[chosen].reset_index(drop=True), data.labels["fraud"].to_numpy()[chosen]
    none = np.full(len(rows), np.datetime64("NaT"), "datetime64[s]")
    whole = features(rows, STORE, fraud)
    assert whole[:, STORE.names.index("merchant known frauds, 30 days")].max() > 1
    np.testing.assert_array_equal(whole, reported(rows, STORE, fraud, none))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entities": ("amount",)}, "entities: 'amount'"),
        ({"entities": ("",)}, "entities: ''"),
        ({"late": 1}, "late: 1"),
        ({"delay": -1}, "delay: -1"),
        ({"delay": float("nan")}, "delay: nan"),
    ],
)
def test_bad_layouts(change, said):
    with pytest.raises(ValueError, match=f"^{said}.*expected"):
        Layout(**change)


def test_bad_labels():
    table, layout = made([0, 60]), Layout(late=True)
    with pytest.raises(ValueError, match=r"^fraud: "):
        features(table, layout)
    early = table["timestamp"].to_numpy() - np.timedelta64(1, "s")
    with pytest.raises(ValueError, match=r"^column 'known_at', row 1: .*expected a time after"):
        features(table, layout, np.array([False, True]), early)
    with pytest.raises(ValueError, match="'customer': missing"):
        Stream(layout=layout).report({"device": "d"})


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


@pytest.mark.parametrize("name", ["timestamp", "customer", "amount"])
def test_a_missing_core_column_is_named(name):
    table = made([0, 1]).drop(columns=name)
    with pytest.raises(ValueError, match=f"column '{name}': missing"):
        features(table)
    with pytest.raises(ValueError, match=f"column '{name}': missing"):
        Stream().features(table.to_dict("records")[0])


def test_what_is_not_there_is_filled_in():
    core, whole = made([0, 60])[["timestamp", "customer", "amount"]], made([0, 60])
    whole = whole.assign(device="c", address="c", card="c", category="any")
    np.testing.assert_array_equal(features(core), features(whole))
    np.testing.assert_array_equal(streamed(core), features(whole))


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


def test_reports_are_bounded_and_a_state_goes_on(tmp_path):
    """A stream that is saved and restored in the middle gives what one gives that went on; no raw id is in its file."""
    layout, draw = Layout(("terminal",), True, 1), np.random.default_rng(1)
    rows = made(600 * np.arange(900), amount=draw.integers(1, 90, 900).astype(float))
    rows = rows.assign(customer=[f"person {n}" for n in draw.integers(0, 150, 900)], terminal=draw.integers(0, 9, 900))
    stream, other = (Stream(300, layout) for _ in range(2))
    for number, row in enumerate(rows.to_dict("records")):
        if number == 400:
            save_state(tmp_path / "state.npz", stream.state())
            stream = Stream.restored(read_arrays(tmp_path / "state.npz"))
            assert b"person" not in (tmp_path / "state.npz").read_bytes()
        np.testing.assert_array_equal(stream.features(row), other.features(row))
        if number % 3 == 0:
            for one in (stream, other):
                one.report(row)
        assert max(len(stream.records), stream.times) <= 300
        assert stream.times == sum(len(record) for record in stream.records.values())
    with pytest.raises(ValueError, match="no state of a stream"):
        Stream.restored(stream.state() | {"times": np.arange(3)})


@given(most=st.sampled_from([None, 12, 40]), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_replayed_history_is_remembered_as_a_streamed_one(most, seed):
    """Without the features on the way, with reports in their order."""
    draw, count = np.random.default_rng(seed), 60
    rows = made(np.sort(draw.integers(0, 5 * 86_400, count)), amount=draw.integers(1, 90, count).astype(float))
    rows = rows.assign(customer=draw.integers(0, 9, count).astype(str), terminal=draw.integers(0, 4, count).astype(str))
    fraud, stamp = draw.random(count) < 0.3, rows["timestamp"].to_numpy()
    known = stamp + draw.integers(0, 3 * 86_400, count).astype("timedelta64[s]")
    one, other = (Stream(most, Layout(("terminal",), True, 1)) for _ in range(2))
    other.salt = one.salt
    one.replay(rows, fraud, known)
    told = sorted((known[row], row) for row in np.flatnonzero(fraud))
    given = rows.to_dict("records")
    for row in range(count):
        while told and told[0][0] < stamp[row]:
            at, which = told.pop(0)
            other.report(given[which], at)
        other.step(given[row])
    for at, which in told:
        other.report(given[which], at)
    assert one.state().keys() == other.state().keys()
    for name, part in one.state().items():
        np.testing.assert_array_equal(part, other.state()[name], err_msg=name)


def test_a_fraud_that_is_told_twice_counts_once(tmp_path):
    """By the transaction's own id, across a saved state too; without one each report is another fraud."""
    layout = Layout(("customer",), True, 1)
    rows = made(DAY * np.arange(5)).to_dict("records")
    named, bare = rows[0] | {"transaction": "T1"}, rows[0]
    stream, counts = Stream(100, layout), []
    for row, told in zip(rows, ([], [named, named], [named], [bare, bare], []), strict=True):
        counts.append(stream.features(row)[layout.names.index("own known frauds, 30 days")])
        for one in told:
            stream.report(one)
        save_state(tmp_path / "state.npz", stream.state())
        stream = Stream.restored(read_arrays(tmp_path / "state.npz"))
    assert counts == [0, 0, 1, 1, 3]


def test_the_times_of_one_are_bounded(monkeypatch):
    monkeypatch.setattr(sys.modules[Stream.__module__], "MOST_TIMES", 50)
    stream = Stream(10_000)
    row = dict.fromkeys(("customer", "device", "address", "card", "category"), "hot")
    row |= {"kind": "purchase", "amount": 1.0, "promotion": False, "declined": False}
    for n in range(500):
        found = stream.features(row | {"timestamp": pd.Timestamp("2024-01-01") + pd.Timedelta(seconds=n)})
    assert max(len(record.times) for record in stream.records.values()) <= 50 + 33
    assert found[FEATURES.index("own: transactions")] == 499  # ever: exact
