import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.data import PANEL, TRANSACTIONS, Panel, read

KEY = b"a key of sixteen bytes or more"


def small_panel() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": ["007", "007", "b", "b"],
            "date": pd.to_datetime(["2024-02-28", "2024-03-01", "2024-02-29", "2024-03-01"]),
            "units": [3.0, np.nan, 0.0, 2.0],
            "price": [1.5, 2.0, 9.99, 9.99],
            "promo": [False, True, False, False],
            "closed": [False, False, True, False],
            "holiday": [True, False, False, False],
            "category": ["x", "x", "y", "y"],
        }
    )


def small_transactions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "invoice": ["1", "1", "2"],
            "item": ["a", "b", "a"],
            "customer": [17850.0, 17850.0, np.nan],
            "timestamp": ["2024-01-01 08:26:00", "2024-01-01 08:26:00", "2024-01-02T10:00"],
            "quantity": [6, 1, 2],
            "price": [2.55, 1.0, 2.55],
        }
    )


@st.composite
def panels(draw) -> pd.DataFrame:
    days, items = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    item, day = np.divmod(np.flatnonzero(rng.random(days * items) < 0.7), days)
    if len(item) == 0:
        item, day = np.array([0]), np.array([0])
    closed, holiday = rng.random((2, days)) < 0.2
    order = rng.permutation(len(item))
    item, day = item[order], day[order]
    units = rng.poisson(3, len(item)).astype(float)
    return pd.DataFrame(
        {
            "item": [f"0{number}" for number in item],
            "date": pd.Timestamp("2023-12-28") + pd.to_timedelta(day, unit="D"),
            "units": np.where(rng.random(len(item)) < 0.1, np.nan, units),
            "price": rng.uniform(0.01, 99, len(item)),
            "promo": rng.random(len(item)) < 0.3,
            "closed": closed[day],
            "holiday": holiday[day],
            "stocked_out": rng.random(len(item)) < 0.3,
        }
    )


def same(one: Panel, other: Panel) -> None:
    assert one.items == other.items
    assert one.category == other.category
    assert one.dates.equals(other.dates)
    for name in ("units", "price", "promo", "closed", "holiday", "stocked_out"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(max_examples=40, deadline=None)
@given(panels(), st.sampled_from(["csv", "parquet", "frame"]))
def test_a_valid_table_reads_back_the_same_from_csv_parquet_and_frame(tmp_path_factory, table, kind):
    source = table
    if kind != "frame":
        source = tmp_path_factory.mktemp("panel") / f"panel.{kind}"
        table.to_csv(source, index=False) if kind == "csv" else table.to_parquet(source)
    pd.testing.assert_frame_equal(read(source, PANEL), table, check_exact=False, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(panels())
def test_wide_panel_holds_every_row_and_invents_none(table):
    panel = Panel.from_frame(table)
    assert np.nansum(panel.units) == table["units"].sum()
    assert (~np.isnan(panel.units)).sum() == table["units"].notna().sum()
    assert panel.promo.sum() == table["promo"].sum()
    assert panel.stocked_out.sum() == table["stocked_out"].sum()
    day = panel.dates.get_indexer(table["date"])
    item = [panel.items.index(name) for name in table["item"]]
    np.testing.assert_array_equal(panel.price[day, item], table["price"])
    first = pd.Series(day).groupby(item).min()
    for column, launch in first.items():  # NaN before launch, a price on every day after
        assert np.isnan(panel.price[:launch, column]).all()
        assert np.isfinite(panel.price[launch:, column]).all()
    same(Panel.from_frame(panel.to_frame()), panel)


BAD = {
    "units": [-1, "three", np.inf, True, "1,5"],
    "price": [0, -2.5, np.nan, "", "free", np.inf],
    "date": ["2024-02-30", "03/04/2024", 20240301, np.nan, "2024-03-01 10:30", "9999-01-01", "soon"],
    "item": [None, ""],
    "promo": ["maybe", 2, None],
    "closed": ["shut"],
    "category": [None],
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(name, value) for name, values in BAD.items() for value in values]),
    st.integers(0, 3),
    st.booleans(),
)
def test_an_error_names_column_row_and_expectation(tmp_path_factory, bad, row, as_csv):
    name, value = bad
    table = small_panel().astype(object)
    table[name] = [value if position == row else old for position, old in enumerate(table[name])]
    if name == "date":
        table["date"] = [v.strftime("%Y-%m-%d") if isinstance(v, pd.Timestamp) else v for v in table["date"]]
    source = table
    if as_csv and not (name == "units" and value is True) and name != "promo":
        source = tmp_path_factory.mktemp("bad") / "bad.csv"
        table.to_csv(source, index=False)
    with pytest.raises(ValueError, match=rf"column '{name}', row {row + 1}: .*expected "):
        read(source, PANEL)


@pytest.mark.parametrize("name", ["item", "date", "units", "price"])
def test_missing_column_is_named(name):
    with pytest.raises(ValueError, match=f"column '{name}': missing; expected"):
        read(small_panel().drop(columns=name), PANEL)


def test_duplicates_name_both_rows():
    table = pd.concat([small_panel(), small_panel().iloc[[1]]], ignore_index=True)
    with pytest.raises(ValueError, match=r"rows 2 and 5: both hold \(007, 2024-03-01\)"):
        read(table, PANEL)


def test_columns_nobody_needs_are_dropped_and_ids_hashed():
    table = small_transactions().assign(email="a@b.c")
    result = read(table, TRANSACTIONS, KEY)
    assert list(result.columns) == ["invoice", "item", "customer", "timestamp", "quantity", "price"]
    assert result["customer"].iloc[0] == result["customer"].iloc[1]
    assert len(result["customer"].iloc[0]) == 16
    assert result["customer"].iloc[2] is None
    assert result["timestamp"].iloc[2] == pd.Timestamp("2024-01-02 10:00")
    with pytest.raises(ValueError, match="column 'quantity', row 2: -1; expected a finite number > 0"):
        read(table.assign(quantity=[6, -1, 2]), TRANSACTIONS)
    with pytest.raises(ValueError, match=r"column 'timestamp', row 1: .*without zone"):
        read(table.assign(timestamp="2024-01-01T08:26:00+01:00"), TRANSACTIONS)


def test_nullable_pandas_types_and_words_for_missing():
    table = small_panel().astype({"units": "Float64", "promo": "boolean", "item": "category"})
    pd.testing.assert_frame_equal(read(table, PANEL), small_panel())
    words = small_panel().astype({"units": object})
    words.loc[1, "units"] = "NA"
    pd.testing.assert_frame_equal(read(words, PANEL), small_panel())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("binary.csv", bytes(range(256))),
        ("ragged.csv", b"item,date,units,price\na,2024-01-01,1,2,3\n"),
        ("twice.csv", b"item,date,units,price,price\na,2024-01-01,1,2,3\n"),
        ("short.parquet", b"PAR1"),
        ("panel.pkl", b"\x80\x04."),
    ],
)
def test_unreadable_files_are_value_errors(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"\.(csv|parquet|pkl)|appears more than once"):
        read(tmp_path / name, PANEL)


def test_other_sources_and_repeated_columns():
    with pytest.raises(ValueError, match="source is list"):
        read([1], PANEL)
    table = small_panel()
    with pytest.raises(ValueError, match="column 'units': appears more than once"):
        read(pd.concat([table, table[["units"]]], axis=1), PANEL)
    with pytest.raises(ValueError, match=r"column 'item': .*unhashable"):
        read(table.assign(item=[[1], [2], [3], [4]]), PANEL)


def test_a_day_has_one_closed_and_an_item_one_category():
    with pytest.raises(ValueError, match="column 'closed', row 2: False, but another row of the same date"):
        Panel.from_frame(small_panel().assign(closed=[False, False, True, True]))
    with pytest.raises(ValueError, match="column 'category', row 3: 'y', but another row of the same item"):
        Panel.from_frame(small_panel().assign(category=["x", "x", "y", "z"]))
    with pytest.raises(ValueError, match="no rows"):
        Panel.from_frame(small_panel().iloc[:0])
    dates = ["1700-01-01", *["2024-01-01"] * 1999]
    table = pd.DataFrame({"item": [str(i) for i in range(2000)], "date": dates, "units": 1, "price": 1})
    with pytest.raises(ValueError, match="column 'date': runs from 1700-01-01"):
        Panel.from_frame(table)


def test_until_gives_the_past_alone():
    panel = Panel.from_frame(small_panel())
    past = panel.until(2)
    assert len(past.dates) == 2
    for name in ("units", "price", "promo", "closed", "holiday", "stocked_out"):
        array = getattr(past, name)
        assert array.base is None  # no view: the future can't be reached through it
        np.testing.assert_array_equal(array, getattr(panel, name)[:2])
    same(panel.window(0, 3), panel)
    with pytest.raises(ValueError, match="start, stop: 0, 4"):
        panel.until(4)


def test_select_keeps_the_order_asked_for():
    panel = Panel.from_frame(small_panel())
    assert panel.items == ["007", "b"]
    chosen = panel.select(["b", "007"])
    assert chosen.items == ["b", "007"]
    assert chosen.category == ["y", "x"]
    np.testing.assert_array_equal(chosen.units, panel.units[:, ::-1])
    with pytest.raises(ValueError, match="items: 'c' is not in the panel"):
        panel.select(["c"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dates": pd.DatetimeIndex(["2024-02-28", "2024-02-29", "2024-03-02"])}, "dates: .*has gaps"),
        ({"units": np.zeros((2, 2))}, r"units: shape \(2, 2\); expected \(3, 2\)"),
        ({"items": ["a", "a"]}, "items: a name appears twice"),
        ({"category": ["x"]}, "category: 1 names; expected 2"),
        ({"covariates": {"a": np.zeros((3, 1))}}, r"covariates\['a'\]: shape \(3, 1\); expected \(3, 2\)"),
        ({"past_covariates": {"a": np.full((3, 2), np.inf)}}, r"past_covariates\['a'\]: holds an infinite value"),
    ],
)
def test_a_panel_checks_its_shapes(change, message):
    panel = Panel.from_frame(small_panel())
    with pytest.raises(ValueError, match=message):
        Panel(**{**vars(panel), **change})


def test_import_is_light():
    code = (
        "import sys, storelab.data; "
        "heavy = {'torch', 'transformers', 'openpyxl', 'pyarrow.parquet', 'tqdm', 'matplotlib', 'hydra'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fingerprint_sees_all_that_a_panel_holds():
    def panel(**changes):
        dates = pd.date_range("2024-01-01", periods=4)
        flags, grid = np.zeros(4, bool), np.ones((4, 2))
        whole = {"items": ["a", "b"], "dates": dates, "units": grid, "price": grid * 2, "promo": grid > 1}
        return Panel(**(whole | {"closed": flags, "holiday": flags} | changes))

    one = np.zeros((4, 2))
    one[3, 1] = 1
    changes = [
        {"items": ["a", "c"]},
        {"dates": pd.date_range("2024-01-02", periods=4)},
        {"units": np.ones((4, 2)) + one},
        {"price": 2 * np.ones((4, 2)) + one},
        {"promo": one > 0},
        {"closed": np.arange(4) == 1},
        {"holiday": np.arange(4) == 1},
        {"stocked_out": one > 0},
        {"dates": pd.date_range("2024-01-01", periods=4, freq="7D")},
        {"category": ["c", "c"]},
        {"covariates": {"display": one}},
        {"covariates": {"display": np.ones((4, 2))}},
        {"past_covariates": {"display": one}},
    ]
    hashes = [panel(**change).fingerprint() for change in ({}, *changes)]
    assert len(set(hashes)) == len(hashes)
    assert panel().fingerprint() == hashes[0]


def test_covariates_of_a_table():
    frame = small_panel().assign(display=0.5, visits=[*range(len(small_panel()))])
    panel = Panel.from_frame(frame, covariates=["display"], past_covariates=["visits"])
    assert list(panel.covariates) == ["display"]
    again = Panel.from_frame(panel.to_frame(), ["display"], ["visits"])
    assert again.fingerprint() == panel.fingerprint()
    part = panel.select(["b"]).until(2)
    np.testing.assert_array_equal(part.past_covariates["visits"], panel.past_covariates["visits"][:2, 1:])
    with pytest.raises(ValueError, match="column 'weather': missing"):
        Panel.from_frame(frame, covariates=["weather"])
    with pytest.raises(ValueError, match=r"column 'display', row 1: .*expected a finite number"):
        Panel.from_frame(frame.assign(display="much"), covariates=["display"])


def test_weekly_panel():
    rng = np.random.default_rng(0)
    dates = pd.date_range("2024-01-03", periods=30, freq="D")
    frame = pd.DataFrame(
        {"item": "a", "date": dates, "units": rng.poisson(3.0, 30), "price": 2.0, "promo": np.arange(30) % 7 == 3}
    )
    daily = Panel.from_frame(frame)
    weekly = daily.by_week()
    assert (daily.weekly, weekly.weekly, weekly.until(1).weekly) == (False, True, True)
    np.testing.assert_array_equal(weekly.units[:, 0], frame["units"].to_numpy()[:28].reshape(4, 7).sum(axis=1))
    np.testing.assert_allclose(weekly.covariates["promo_days"], 1 / 7)
    assert weekly.promo.all()
    assert weekly.next_dates(2).tolist() == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-07")]
    again = Panel.from_frame(weekly.to_frame(), covariates=["promo_days"])
    assert again.fingerprint() == weekly.fingerprint()
    with pytest.raises(ValueError, match="weekly already"):
        weekly.by_week()


def test_beside():
    panel = Panel.from_frame(small_panel())
    both = panel.beside(dataclasses.replace(panel, units=panel.units * 2), " (twice)")
    assert both.items == ["007", "b", "007 (twice)", "b (twice)"]
    assert both.category == ["x", "y", "x", "y"]
    np.testing.assert_array_equal(both.units, np.hstack([panel.units, 2 * panel.units]))
    same(both.select(["007", "b"]), panel)
    for change, message in (
        ({"closed": ~panel.closed}, "closed: not the same"),
        ({"category": None}, "category: only one"),
        ({"covariates": {"rain": panel.units}}, "covariates: "),
    ):
        with pytest.raises(ValueError, match=message):
            panel.beside(dataclasses.replace(panel, **change), "x")
    with pytest.raises(ValueError, match="a name appears twice"):
        panel.beside(panel, "")
