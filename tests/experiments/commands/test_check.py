"""`storelab check`: what it says of files that people have, with row numbers, and its exit status."""

import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.experiments.commands.check import check, look, troubles


def sales(days: int = 30) -> pd.DataFrame:
    dates = [str(datetime.date(2023, 4, 20) + datetime.timedelta(day)) for day in range(days)]
    return pd.DataFrame({"item": "0042", "date": dates, "units": [1 + day % 5 for day in range(days)], "price": 2.5})


def saved(tmp_path, table: pd.DataFrame, name: str = "sales.csv", **words) -> str:
    table.to_csv(tmp_path / name, index=False, **words)
    return str(tmp_path / name)


def test_a_file_in_order(tmp_path, capsys):
    assert check([saved(tmp_path, sales())]) == 0
    shown = capsys.readouterr().out
    for words in (
        "the encoding is UTF-8",
        "columns are separated by ','",
        "dates are as the contract has them",
        "1: 0042",
        "2023-04-20 to 2023-05-19, daily; rows on 30 of 30",
        "100.0% of the days",
        "1 to 5, mean 3",
        "0 rows of less than 0 units",
        "nothing looks wrong",
    ):
        assert words in shown


def test_a_file_of_another_make(tmp_path, capsys):
    table = sales().assign(date=lambda t: pd.to_datetime(t["date"]).dt.strftime("%d/%m/%Y"), category="Épices")
    assert check([saved(tmp_path, table, sep=";", decimal=",", encoding="cp1252")]) == 0
    shown = capsys.readouterr().out
    for words in ("encoding is read as cp1252", "separated by ';'", "decimal commas", "dates are read day first"):
        assert words in shown


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 28),
    st.sampled_from(
        [
            ("units", -3, "less than 0 units"),
            ("units", 4000, "far more units"),
            ("price", 0, "a price of 0 or less"),
            ("price", None, "no price"),
            ("price", 99, "far from its usual price"),
            ("date", "2023-04-20", "the same item and day as an earlier row"),
        ]
    ),
)
def test_what_looks_wrong_has_its_row(tmp_path_factory, row, change):
    name, value, words = change
    table = sales().astype({"units": object, "price": object})
    table.loc[row, name] = value
    found, _, wrong = look(Path(saved(tmp_path_factory.mktemp("made"), table)))
    assert not wrong
    assert f"row {row + 1}: {words}" in "\n".join(troubles(found))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(index=[4, 5]), "no row on 2 of 30 dates, the first 2023-04-24"),
        (lambda t: t.iloc[::9], "% of the days are observed: if no row means no sale"),
        (lambda t: t.assign(date=t["date"].replace("2023-05-02", "soon")), "column 'date', row 13: 'soon'"),
        (lambda t: t.assign(units=t["units"].replace(5, "many")), "column 'units', row 5: 'many'"),
        (lambda t: t.drop(columns="units"), "column 'units': missing"),
        (lambda t: t.iloc[:0], "the table has no rows"),
        (lambda t: t.assign(units=0), "no row with more than 0 units"),
        (lambda t: pd.concat([t, t.iloc[[0, 7, 29]].assign(item="7")]), "no row on 27 of the items' 60 days with rows"),
        (lambda t: t.drop(columns="price"), "columns.price, or price: that of all items"),
        (lambda t: t.assign(split=["train", "test"] * 15), "split: 'train' on 2023-04-22 follows 'test'"),
        (lambda t: t.assign(category=["tea"] * 29 + ["jam"]), "category"),
    ],
)
def test_what_looks_wrong_of_a_whole_file(tmp_path, capsys, change, words):
    assert check([saved(tmp_path, change(sales()))]) == 1
    assert words in capsys.readouterr().out


def test_items_that_are_never_sold_are_named_and_months_are_said_once(tmp_path, capsys):
    table = pd.concat([sales(), sales().assign(item="7", units=0)])
    table["date"] = pd.to_datetime(table["date"]).dt.strftime("%d %b %Y")
    assert check([saved(tmp_path, table)]) == 0
    shown = capsys.readouterr().out
    assert "never sold   1: 7" in shown
    assert "months are read" in shown
    assert "dates are as" not in shown


def test_lines_of_orders(tmp_path, capsys):
    count = 12
    lines = pd.DataFrame({"Invoice": range(count), "StockCode": "30002", "Quantity": 3, "Price": 1.5})
    lines["InvoiceDate"] = [f"{1 + day:02d}/06/2010 10:0{day % 10}" for day in range(count)]
    lines.loc[7, "Quantity"] = -3
    lines = pd.concat([lines, lines.iloc[[2]]])
    assert check([saved(tmp_path, lines)]) == 1
    shown = capsys.readouterr().out
    for words in (
        "13, lines of orders",
        "2010-06-01 to 2010-06-12, daily",
        "row 8: less than 0 units",
        "row 13: the same",
    ):
        assert words in shown


@pytest.mark.parametrize(
    "args", [[], ["a.csv", "b.csv"], ["nowhere.csv"], ["day_first=true"], ["a.csv", "day_first=1"]]
)
def test_what_cannot_be_done_ends_with_2(args, capsys):
    assert check(args) == 2
    assert capsys.readouterr().err


def test_files_of_something_else_end_with_2(tmp_path, capsys):
    assert check([saved(tmp_path, pd.DataFrame({"text": ["a"], "intent": ["b"]}))]) == 2
    assert "found: text, intent" in capsys.readouterr().err
    table = sales(12).assign(date=[f"{1 + day:02d}.01.2023" for day in range(12)])
    path = saved(tmp_path, table)
    assert check([path]) == 1
    assert "no row tells which" in capsys.readouterr().out
    assert check([path, "day_first=true"]) == 0
    (tmp_path / "folder.csv").mkdir()
    assert check([str(tmp_path / "folder.csv")]) == 2
    assert "is a folder; expected a file" in capsys.readouterr().err
