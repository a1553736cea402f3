"""Files as people have them: what can be told from the whole table is read, and said; what cannot is refused."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.data import PANEL, TRANSACTIONS, Panel, online_retail, read
from storelab.data.contract import Column, TableNote
from storelab.data.files import decode

KEY = b"a key of sixteen bytes or more"
pytestmark = pytest.mark.filterwarnings("ignore::storelab.data.contract.TableNote")
DAY = (Column("day", "day"),)
WHEN = (Column("when", "timestamp"),)
days = st.dates(datetime.date(1990, 1, 1), datetime.date(2060, 12, 31))
many_days = st.lists(days, min_size=1, max_size=8, unique=True)


def frame_of(name: str, values) -> pd.DataFrame:
    return pd.DataFrame({name: list(values)}, dtype=object)


def written(day: datetime.date, order: str, mark: str, padded: bool) -> str:
    width = "02d" if padded else "d"
    first, second = (day.day, day.month) if order == "day" else (day.month, day.day)
    return f"{first:{width}}{mark}{second:{width}}{mark}{day.year}"


@settings(max_examples=60, deadline=None)
@given(many_days, st.sampled_from(["day", "month"]), st.sampled_from("/-."), st.booleans())
def test_day_and_month_are_told_by_the_whole_column_or_refused(whole, order, mark, padded):
    table = frame_of("day", [written(day, order, mark, padded) for day in whole])
    swapped = any(day.day <= 12 and day.day != day.month for day in whole)
    if swapped and all(day.day <= 12 for day in whole):
        row = next(row for row, day in enumerate(whole) if day.day != day.month)
        with pytest.raises(ValueError, match=rf"column 'day', row {row + 1}: .*no row tells which; .*YYYY-MM-DD"):
            read(table, DAY)
        result = read(table, DAY, day_first=order == "day")
    else:
        result = read(table, DAY)
    assert result["day"].dt.date.tolist() == whole
    assert "dates are read" in result.attrs["notes"][0]


@pytest.mark.parametrize(
    ("texts", "times"),
    [
        (["3/25/2023 1:05 PM", "3/4/2023 12:00 AM"], ["2023-03-25 13:05", "2023-03-04 00:00"]),
        (["23-3-4", "23-12-31"], ["2023-03-04", "2023-12-31"]),
        (["1.6788384E9"], ["2023-03-15"]),
        (["25.3.23 7:05", "4.3.23 17:00"], ["2023-03-25 07:05", "2023-03-04 17:00"]),
        (["2023/3/4", "2023/12/25 6:30:15"], ["2023-03-04", "2023-12-25 06:30:15"]),
        (["20230304", "20231225"], ["2023-03-04", "2023-12-25"]),
        ([45000, 45000.25, 45001], ["2023-03-15", "2023-03-15 06:00", "2023-03-16"]),
        (["1678838400", "1678838401"], ["2023-03-15 00:00:00", "2023-03-15 00:00:01"]),
        ([1678838400.5], ["2023-03-15 00:00:00.5"]),
        ([1678838400123], ["2023-03-15 00:00:00.123"]),
        ([1678838400123456789], ["2023-03-15 00:00:00.123456789"]),
    ],
)
def test_times_of_other_makes_are_read_and_said(texts, times):
    table = read(frame_of("when", texts), WHEN)
    assert table["when"].tolist() == [pd.Timestamp(time) for time in times]
    assert len(table.attrs["notes"]) == 1


@pytest.mark.parametrize(
    ("texts", "row"),
    [
        (["2023-03-04", "2023-03-05", "05/03/2023"], 3),
        (["31/03/2023", "03/31/2023"], "[12]"),
        (["30/02/2023", "28/02/2023"], 1),
        (["2023-03-04", 45000, "2023-03-06"], 2),
        ([45000, 45001, 9], 3),
        (["soon"], 1),
        ([7, 8], 1),
        (["2023-03-04T01:00+02:00"], 1),
        (["25/03/2023 24:10", "25/03/2023 23:10"], 1),
        (["25/03/2023 13:10 PM"], 1),
    ],
)
def test_a_time_that_is_none_names_its_row(texts, row):
    with pytest.raises(ValueError, match=rf"column 'when', row {row}: .*expected a time"):
        read(frame_of("when", texts), WHEN)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 99_999_999).map(lambda cents: cents / 100 + 0.01), min_size=1, max_size=5),
    st.sampled_from([(".", ","), (".", ""), (",", "."), (",", ""), (",", " "), (",", "\u202f")]),
)
def test_decimal_marks_are_told_by_the_whole_table(numbers, marks):
    decimal, grouping = marks
    text = [f"{number:,.2f}".replace(",", "_").replace(".", decimal).replace("_", grouping) for number in numbers]
    table = read(frame_of("x", text), (Column("x", "number"),))
    np.testing.assert_allclose(table["x"], np.round(numbers, 2), rtol=1e-12)
    assert bool(table.attrs["notes"]) == (decimal == "," or any("," in value for value in text))


def test_a_number_that_can_be_read_two_ways_is_told_by_another_column_or_refused():
    both = (Column("units", "number"), Column("price", "number"))
    table = pd.DataFrame({"units": ["7", "1,250"], "price": ["3", "4"]})
    with pytest.raises(ValueError, match=r"column 'units', row 2: '1,250' is 1.250 and 1250, and no row tells which"):
        read(table, both)
    assert read(table.assign(price=["3.5", "4"]), both)["units"].tolist() == [7, 1250]
    assert read(table.assign(price=["3,5", "4"]), both)["units"].tolist() == [7, 1.25]
    assert read(table.assign(units=["7", "1.250"], price=["3,5", "4"]), both)["units"].tolist() == [7, 1250]
    with pytest.raises(ValueError, match="column 'price', row 3: '3,5'; expected a finite number"):
        read(pd.DataFrame({"units": ["1", "2", "3"], "price": ["3.5", "4.5", "3,5"]}), both)


TABLE = "item,date,units,price,category\n0012,2023-05-01,3,4.5,{word}\n0012,2023-05-02,1,4.5,{word}\n"


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("utf-8", "Kräuter"),
        ("utf-8-sig", "Kräuter"),
        ("utf-16", "Kräuter"),
        ("utf-16-le", "Kräuter"),
        ("utf-16-be", "Gewürz"),
        ("cp1252", "Épicerie fine"),
        ("cp1252", "Preis in €"),
        ("gbk", "家居用品"),
        ("gb18030", "文具 A"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("before", ["", "# made by hand\n#, 2; 3\n", "\n"])
def test_encodings_separators_and_comments(tmp_path, encoding, word, separator, before):
    text = TABLE.format(word=word).replace(",", separator)
    if separator == ";":
        text = text.replace("4.5", "4,5")
    (tmp_path / "sales.csv").write_bytes((before + text).encode(encoding))
    plain = encoding in ("utf-8", "utf-8-sig") and separator == "," and "#" not in before
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        panel = Panel.from_frame(tmp_path / "sales.csv")
    assert (panel.items, panel.category) == (["0012"], [word])
    np.testing.assert_array_equal(panel.price[:, 0], [4.5, 4.5])
    assert bool(panel.notes) != plain
    assert [issubclass(note.category, TableNote) for note in caught] == [True] * (not plain)


@given(st.text(min_size=1).filter(lambda text: not text.startswith("\ufeff")))
def test_utf8_is_never_taken_for_another_encoding(text):
    if "\0" not in text:
        assert decode(text.encode("utf-8", "ignore")) == (text.encode("utf-8", "ignore").decode(), "utf-8")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_and_rows_without_anything(tmp_path, end):
    (tmp_path / "x.txt").write_bytes(f"sep=;{end}item;date;units;price{end}a;1.12.23;1;2,5{end};;;{end}{end}".encode())
    with pytest.raises(ValueError, match="no row tells which"):
        Panel.from_frame(tmp_path / "x.txt")
    assert Panel.from_frame(tmp_path / "x.txt", day_first=True).dates.tolist() == [pd.Timestamp("2023-12-01")]
    (tmp_path / "x.txt").write_bytes(f"item,date,units,price{end}".encode())
    with pytest.raises(ValueError, match="the table has no rows"):
        Panel.from_frame(tmp_path / "x.txt")


def test_ids_as_whole_numbers_with_and_without_a_decimal():
    table = read(pd.DataFrame({"item": ["7.0", "7", "8.0"]}), (Column("item", "text"),))
    assert table["item"].tolist() == ["7", "7", "8.0"]
    assert "1 values differ" in table.attrs["notes"][0]


def test_rows_are_numbered_as_in_the_file(tmp_path):
    path = tmp_path / "sales.csv"
    rows = "a,2023-05-01,1,2\n# a remark\n,,,\na,2023-05-02,-4,2\n"
    path.write_text("item,date,units,price\n" + rows)
    with pytest.raises(ValueError, match="column 'units', row 4: '-4'"):
        read(path, PANEL)
    path.write_text("# by hand\nitem;date;units;price\na;2023-05-01;1;2\na;2023-05-02;1;2;9\n")
    with pytest.raises(ValueError, match=r"^sales.csv: .*line 4 has 5 fields separated by ';'; expected 4"):
        read(path, PANEL)
    path.write_text("Article;Jour;Units\na;2023-05-01;1\n")
    with pytest.raises(ValueError, match=r"column 'item': missing; .*Columns found: Article, Jour, Units"):
        read(path, PANEL)


def test_names_of_columns_in_another_case_and_two_names_for_one():
    table = pd.DataFrame({" Item": ["a"], "DATE": ["2023-05-01"], "units": [1], "Units": [5], "price": [2.0]})
    result = read(table, PANEL)
    assert result["units"].tolist() == [1]
    assert "column 'Units' is not read, as 'units' is there" in result.attrs["notes"]
    with pytest.raises(ValueError, match="column 'units': 'UNITS' and 'Units' stand for it; expected one"):
        read(table.rename(columns={"units": "UNITS"}), PANEL)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["nan", "NaN", "None", "NULL", "null", "NA", "n/a", "", "  ", "0", "0.0", "-1", "-1.0", None]),
    st.sampled_from(["", " ", "\t", "\u00a0"]),
    st.sampled_from(["", " ", "\u00a0"]),
)
def test_words_for_no_customer_and_blanks_around_ids(word, before, behind):
    table = pd.DataFrame(
        {
            "invoice": ["9001", f"9001{behind}", "9002"],
            "item": ["NA", f"{before}NA{behind}", "007"],
            "customer": ["00418", f"{before}00418{behind}", word],
            "timestamp": "2023-05-01 09:00:00",
            "quantity": 1,
            "price": 2.0,
        }
    )
    result = read(table, TRANSACTIONS, KEY)
    assert result["customer"].isna().tolist() == [False, False, True]
    assert result["customer"].nunique() == 1
    assert result["item"].tolist() == ["NA", "NA", "007"]  # text stays text
    assert result["invoice"].nunique() == 2
    said = word is not None and bool(word.strip())
    assert any("have no id" in note for note in result.attrs["notes"]) == said
    needed = (Column("customer", "customer"),)
    with pytest.raises(ValueError, match=r"column 'customer', row 3: .*expected a customer id"):
        read(table, needed, KEY)


def test_ids_numbered_from_0_keep_0():
    table = pd.DataFrame({"customer": [0, 1, 2, 0]})
    assert read(table, (Column("customer", "customer"),), KEY)["customer"].nunique() == 3


def test_arrow_and_other_types_of_columns():
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {
            "item": ["a", "a", "b"],
            "date": pd.to_datetime(["2023-05-01", "2023-05-02", "2023-05-02"]),
            "units": [1, None, 3],
            "price": [1.5, 2.5, 3.0],
            "promo": [True, False, True],
        }
    )
    expected = read(table, PANEL)
    for backend in ("pyarrow", "numpy_nullable"):
        pd.testing.assert_frame_equal(read(table.convert_dtypes(dtype_backend=backend), PANEL), expected)
    pd.testing.assert_frame_equal(read(table.assign(date=table["date"].astype("date32[pyarrow]")), PANEL), expected)
    zoned = table.assign(date=table["date"].dt.tz_localize("Europe/Rome"))
    for other in (zoned, zoned.convert_dtypes(dtype_backend="pyarrow")):
        with pytest.raises(ValueError, match=r"column 'date', row 1: .*without time or zone"):
            read(other, PANEL)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("step", ["1D", "7D"])
def test_dates_of_any_resolution_make_a_panel(unit, step):
    dates = pd.date_range("2023-05-01", periods=5, freq=step)
    grid, flags = np.ones((5, 1)), np.zeros(5, bool)
    same = {"items": ["a"], "units": grid, "price": grid, "promo": grid > 2, "closed": flags, "holiday": flags}
    panel = Panel(dates=dates.as_unit(unit), **same)
    assert panel.fingerprint() == Panel(dates=dates, **same).fingerprint()
    assert panel.weekly == (step == "7D")
    for other in (list(dates), dates.to_numpy("datetime64[D]"), dates.strftime("%Y-%m-%d"), dates.to_period("D")):
        assert Panel(dates=other, **same).dates.equals(dates)
    with pytest.raises(ValueError, match=r"dates, row 1: '01/02/2023' is .* no row tells which"):
        Panel(dates=[f"0{1 + day}/02/2023" for day in range(5)], **same)
    with pytest.raises(ValueError, match=r"column 'dates', row 1: .*has a zone"):
        Panel(dates=dates.tz_localize("Asia/Tokyo"), **same)
    with pytest.raises(ValueError, match="row 4 is 2023"):
        Panel(dates=dates.delete(3).insert(4, dates[-1] + pd.Timedelta(step)), **same)


def test_a_panel_with_few_days_says_so():
    starts = pd.date_range("2022-01-01", periods=12, freq="MS")
    with pytest.warns(TableNote, match="observed on 3.6%"):
        panel = Panel.from_frame(pd.DataFrame({"item": "a", "date": starts, "units": 1, "price": 1}))
    assert "323 of 335 dates have no row, the first after 2022-01-01; most rows lie 31 days apart" in panel.notes[0]


@pytest.mark.parametrize("names", ["rain", [3], ["rain", "rain"], ["units"]])
def test_covariates_are_a_list_of_further_columns(names):
    table = pd.DataFrame({"item": ["a"], "date": "2023-05-01", "units": 1, "price": 1, "rain": 0.5})
    for group in ("covariates", "past_covariates"):
        with pytest.raises(ValueError, match=f"^{group}: .* is not allowed, expected "):
            Panel.from_frame(table, **{group: names})
    with pytest.raises(ValueError, match="past_covariates: 'rain' is not allowed"):
        Panel.from_frame(table, ["rain"], ["rain"])


def shop(dates: list[str]) -> pd.DataFrame:
    count = len(dates)
    return pd.DataFrame(
        {
            "InvoiceNo": [str(number) for number in range(count)],
            "StockCode": "30001",
            "Quantity": 2,
            "InvoiceDate": dates,
            "UnitPrice": 1.5,
            "CustomerID": "14000",
        }
    )


SECOND = {"InvoiceNo": "Invoice", "UnitPrice": "Price", "CustomerID": "Customer ID"}  # Online Retail II's names


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.lists(st.integers(1, 12), min_size=2, max_size=6, unique=True), st.booleans())
def test_a_shops_days_lie_in_one_month(tmp_path_factory, month, numbers, day_first):
    path = tmp_path_factory.mktemp("shop") / "online_retail.csv"
    texts = [f"{d:02d}/{month:02d}/2010 9:15" if day_first else f"{month:02d}/{d:02d}/2010 9:15" for d in numbers]
    shop(texts).to_csv(path, index=False)
    sales, report = online_retail.load(path, KEY)
    assert sales["timestamp"].tolist() == [pd.Timestamp(2010, month, d, 9, 15) for d in numbers]
    assert any("lie in one month" in note for note in report.attrs["notes"])


def test_a_shops_dates_over_months_that_no_row_settles_are_refused(tmp_path):
    shop(["01/05/2010 9:15", "02/06/2010 9:15"]).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(ValueError, match=r"column 'InvoiceDate', row 1: .*day_first=True or False"):
        online_retail.load(tmp_path, KEY)
    assert online_retail.load(tmp_path, KEY, day_first=True)[0]["timestamp"].dt.month.tolist() == [5, 6]


def test_a_workbook_of_several_sheets_and_the_names_of_online_retail_ii(tmp_path):
    first, second = shop(["2010-05-20 09:15"]), shop(["2010-05-21 09:15", "2010-05-22 09:15"]).iloc[::-1]
    with pd.ExcelWriter(tmp_path / "online_retail_II.xlsx") as book:
        pd.DataFrame({"remark": ["none"]}).to_excel(book, sheet_name="Notes", index=False)
        for name, table, above in (("one", first, 0), ("two", second, 2)):
            table.rename(columns=SECOND).to_excel(book, sheet_name=name, index=False, startrow=above)
    sales, report = online_retail.load(tmp_path, KEY)
    assert sales["timestamp"].dt.day.tolist() == [20, 22, 21]
    assert report["rows"].sum() == 3
    assert any("'one', 'two' are read as one table" in note for note in report.attrs["notes"])
    assert any("2 rows above the header of sheet 'two'" in note for note in report.attrs["notes"])
    assert any("not read" in note and "'Notes'" in note for note in report.attrs["notes"])
    days = pd.to_datetime(first["InvoiceDate"]) - pd.Timestamp("1899-12-30")
    first.assign(InvoiceDate=days / pd.Timedelta(days=1)).to_excel(tmp_path / "serial.xlsx", index=False)
    assert online_retail.load(tmp_path / "serial.xlsx", KEY)[0]["timestamp"].tolist() == [
        pd.Timestamp("2010-05-20 09:15")
    ]
    csv = tmp_path / "two.csv"
    second.rename(columns=SECOND).assign(Price=["1,5", "2,5"]).to_csv(csv, sep=";", index=False)
    assert online_retail.load(csv, KEY)[0]["price"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1251", ["Молоко", "Чёрный хлеб", "Сыр"]),
        ("shift_jis", ["りんご", "コーヒー", "牛乳"]),
        ("iso8859-7", ["Γάλα", "Ψωμί και τυρί"]),
        ("koi8-r", ["Молоко", "Хлеб"]),
    ],
)
def test_another_script_is_asked_for(tmp_path, encoding, words):
    """What the bytes do not tell is refused in one line, and read where the encoding is said."""
    rows = "".join(f"{word},2024-03-0{k + 1},2,4.5\n" for k, word in enumerate(words))
    (tmp_path / "sales.csv").write_bytes(("item,date,units,price\n" + rows).encode(encoding))
    with pytest.raises(ValueError, match=r"^sales.csv: .* expected encoding=NAME"):
        Panel.from_frame(tmp_path / "sales.csv")
    assert Panel.from_frame(tmp_path / "sales.csv", encoding=encoding).items == words
    with pytest.raises(ValueError, match=r"^encoding: 'ascii' is not allowed"):
        Panel.from_frame(tmp_path / "sales.csv", encoding="ascii")


FORMS = ("%Y-%m-%d", "%d %b %Y", "%d-%b-%y", "%B %d, %Y", "%Y %b %d", "%d %B %Y", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y")
DIALECT = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ";", "\t", "|"]),
        "mark": st.sampled_from(".,"),
        "sign": st.sampled_from(["{}", "£{}", "$ {}", "{} €"]),
        "form": st.sampled_from(FORMS),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
        "before": st.sampled_from(["", "# from the till\n", "\n"]),
        "blanks": st.sampled_from(["", " ", "  "]),
        "names": st.sampled_from(["item date units price", "Item DATE Units Price", "sku day qty paid"]),
    }
)
CLEAN = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 20_000)), min_size=20, max_size=40)


@settings(max_examples=60, deadline=None)
@given(CLEAN, DIALECT, st.dates(datetime.date(2001, 1, 1), datetime.date(2030, 1, 1)))
def test_a_clean_table_in_any_dialect_reads_back_equal_or_is_refused(tmp_path_factory, sales, how, start):
    dates = [start + datetime.timedelta(day) for day in range(len(sales))]
    lines = [how["separator"].join(how["names"].split())]
    for date, (units, cents) in zip(dates, sales, strict=True):
        price = how["sign"].format(f"{cents / 100:.2f}".replace(".", how["mark"]))
        price = f'"{price}"' if how["mark"] == how["separator"] else price
        lines.append(how["separator"].join([f"007{how['blanks']}", date.strftime(how["form"]), str(units), price]))
    file = tmp_path_factory.mktemp("till") / "sales.csv"
    encoding = "cp1252" if how["encoding"] == "cp1252" else how["encoding"]
    file.write_bytes((how["before"] + "\n".join(lines) + "\n").encode(encoding))
    own = dict(zip(("item", "date", "units", "price"), ("sku", "day", "qty", "paid"), strict=True))
    panel = Panel.from_frame(file, columns=own if "sku" in how["names"] else None)
    assert panel.items == ["007"]
    assert panel.dates[0].date() == start
    np.testing.assert_array_equal(panel.units[:, 0], [units for units, _ in sales])
    np.testing.assert_allclose(panel.price[:, 0], [cents / 100 for _, cents in sales])


def test_two_currencies_are_refused():
    table = pd.DataFrame({"item": "a", "date": ["2024-01-01", "2024-01-02"], "units": 1, "price": ["£2", "$3"]})
    with pytest.raises(ValueError, match=r"^column 'price': the signs \$ and £ stand beside its numbers"):
        Panel.from_frame(table)
