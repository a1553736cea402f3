from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storelab.data import TRANSACTIONS, read
from storelab.data.online_retail import daily_panel, load, load_panel, order_panel

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
KEY = b"a key of sixteen bytes or more"
real = pytest.mark.skipif(
    not (SHARED / "online_retail_raw.parquet").is_file(), reason=f"no Online Retail data under {SHARED.name}/"
)
COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]


def line(invoice, code, quantity, when, price, customer) -> list:
    return [invoice, code, "CAF£ SIGN", quantity, pd.Timestamp(when), price, customer, "United Kingdom"]


def small() -> pd.DataFrame:
    day = "2010-12-01 08:26"
    rows = [
        line("536365", "85123A", 6, day, 2.55, 17850),
        line("536365", "85123A", 6, day, 2.55, 17850),  # duplicate
        line("C536366", "85123A", -6, "2010-12-02 09:00", 2.55, 17850),  # takes back the first line
        line("C536367", "22000", -1, "2010-12-01 07:00", 1.0, 17850),  # earlier than the sale: no match
        line("536368", "22000", 1, day, 1.0, 17850),
        line("536368", "POST", 1, day, 18.0, 17850),
        line("536369", "22001", -5, day, 0.0, None),  # a stock correction
        line("536370", "22001", 5, day, 0.0, None),
        line("536371", "22001", 5, day, 1.25, None),
        line("536372", "22002", 900, day, 0.5, 13000),
        *[line("536373", "22002", 2 + n % 3, f"2010-12-01 10:{n:02d}", 0.5, 13001) for n in range(20)],
        line("536374", "85123a", 4, "2010-12-03 08:26", 2.0, 13002),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_every_reason_counts_its_rows(tmp_path):
    small().to_parquet(tmp_path / "raw.parquet")
    sales, report = load(tmp_path / "raw.parquet", KEY)
    assert report["rows"].tolist() == [1, 2, 1, 1, 1, 1, 1, 23]
    assert report["action"].tolist() == ["dropped"] * 5 + ["flagged"] * 2 + ["kept"]
    assert len(sales) == 25
    assert sales.loc[sales["cancelled"], "invoice"].tolist() == ["536365"]
    assert sales.loc[sales["bulk"], "quantity"].tolist() == [900]
    assert sales.loc[sales["item"] == "85123A", "quantity"].tolist() == [6, 4]  # one product, either case
    assert not {"17850", "13000"} & set(sales["customer"].dropna())
    assert sales["customer"].isna().sum() == 1
    assert list(sales.columns) == [column.name for column in TRANSACTIONS] + ["cancelled", "bulk"]
    again = read(sales, TRANSACTIONS, KEY)
    assert len(again) == 25


def test_xlsx_csv_and_parquet_give_the_same(tmp_path):
    table = small()
    table.assign(CustomerID=table["CustomerID"].fillna(-1).astype(int)).to_parquet(tmp_path / "a.parquet")
    table.to_excel(tmp_path / "a.xlsx", index=False)
    table.to_csv(tmp_path / "iso.csv", index=False)
    stamp = table["InvoiceDate"].map(lambda t: f"{t.month}/{t.day}/{t.year} {t.hour}:{t.minute:02d}")
    uci = table.assign(InvoiceDate=stamp).rename(columns={"CustomerID": "Customer ID"})
    uci.to_csv(tmp_path / "uci.csv", index=False, encoding="latin-1")
    expected, report = load(tmp_path / "a.parquet", KEY)
    for name in ("a.xlsx", "iso.csv", "uci.csv"):
        sales, counted = load(tmp_path / name, KEY)
        pd.testing.assert_frame_equal(sales, expected)
        pd.testing.assert_frame_equal(counted, report)


def test_online_retail_ii_is_its_two_sheets_and_what_both_hold_counts_once(tmp_path):
    names = {"InvoiceNo": "Invoice", "UnitPrice": "Price", "CustomerID": "Customer ID"}
    table = small().rename(columns=names)
    whole = pd.DataFrame(table.drop_duplicates())
    with pd.ExcelWriter(tmp_path / "online_retail_II.xlsx") as writer:
        whole[:15].to_excel(writer, sheet_name="Year 2009-2010", index=False)
        whole[9:].to_excel(writer, sheet_name="Year 2010-2011", index=False)
    whole.to_csv(tmp_path / "all.csv", index=False)
    whole.to_parquet(tmp_path / "all.parquet")
    expected, report = load(tmp_path / "all.parquet", KEY)
    both, counted = load(tmp_path, KEY)
    pd.testing.assert_frame_equal(both, expected)
    pd.testing.assert_frame_equal(load(tmp_path / "all.csv", KEY)[0], expected)
    assert (counted["rows"] - report["rows"]).tolist() == [6, 0, 0, 0, 0, 0, 0, 0]


def test_the_latest_matching_sale_is_the_one_cancelled(tmp_path):
    rows = [
        line("1", "22000", 3, "2011-01-03 09:00", 1.0, 5),
        line("2", "22000", 3, "2011-01-04 09:00", 1.0, 5),
        line("C3", "22000", -3, "2011-01-05 09:00", 1.0, 5),
        line("4", "22000", 3, "2011-01-06 09:00", 1.0, 5),
        line("C5", "22000", -3, "2011-01-07 09:00", 1.0, 6),  # someone else's
        line("C6", "22000", -2, "2011-01-07 09:00", 1.0, 5),  # another amount
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_parquet(tmp_path / "raw.parquet")
    sales, report = load(tmp_path / "raw.parquet", KEY)
    assert sales["cancelled"].tolist() == [False, True, False]
    assert report["rows"].sum() == 6


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_report_adds_up_for_any_rows(tmp_path_factory, seed, count):
    rng = np.random.default_rng(seed)
    raw = pd.DataFrame(
        {
            "InvoiceNo": rng.choice(["1", "2", "C3", "C4", "A5"], count),
            "StockCode": rng.choice(["22000", "22000a", "22001B", "POST", "M"], count),
            "Quantity": rng.integers(-3, 4, count),
            "InvoiceDate": pd.Timestamp("2011-05-01") + pd.to_timedelta(rng.integers(0, 9, count), unit="h"),
            "UnitPrice": rng.choice([0.0, -1.0, 1.0, 2.5], count),
            "CustomerID": rng.choice([-1, 1, 2], count),
        }
    )
    path = tmp_path_factory.mktemp("raw") / "raw.parquet"
    raw.to_parquet(path)
    sales, report = load(path, KEY)
    assert report["rows"].sum() == count
    assert report.loc[report["action"] != "dropped", "rows"].sum() == len(sales)
    assert sales["cancelled"].sum() <= raw["InvoiceNo"].str.startswith("C").sum()
    assert (sales[["quantity", "price"]] > 0).all(axis=None)


def test_daily_panel_in_numbers():
    sales = pd.DataFrame(
        {
            "item": ["a", "a", "a", "b", "a", "a"],
            "timestamp": pd.to_datetime(
                ["2011-12-23 09:00", "2011-12-23 10:00", "2011-12-24 09:00"]
                + ["2011-12-24 09:00", "2011-12-27 09:00", "2011-12-27 10:00"]
            ),
            "quantity": [1, 3, 2, 5, 1, 7],
            "price": [4.0, 2.0, 2.0, 1.0, 1.0, 9.0],
            "cancelled": [False, False, False, False, False, True],
        }
    )
    panel = daily_panel(sales, min_sale_days=1)
    assert panel.items == ["a", "b"]
    np.testing.assert_array_equal(panel.units, [[4, np.nan], [2, 5], [0, 0], [0, 0], [1, 0]])
    np.testing.assert_array_equal(panel.price, [[2.5, np.nan], [2, 1], [2, 1], [2, 1], [1, 1]])
    # medians of a: 2.5, 2.25, 2, 2, 2
    np.testing.assert_array_equal(panel.promo[:, 0], [False, True, False, False, True])
    assert panel.closed.tolist() == [False, False, True, True, False]
    assert panel.holiday.tolist() == [False, False, True, True, True]
    assert daily_panel(sales, min_sale_days=2).items == ["a"]
    with pytest.raises(ValueError, match="min_sale_days: 9"):
        daily_panel(sales, min_sale_days=9)
    with pytest.raises(ValueError, match="no sale is left"):
        daily_panel(sales[sales["cancelled"]])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Quantity", "six", "column 'Quantity', row 3: 'six'; expected a finite number"),
        ("InvoiceDate", "31/12/2010 8:26", "column 'InvoiceDate', row 3: '31/12/2010 8:26'; expected a time"),
        ("UnitPrice", "", "column 'UnitPrice', row 3: nothing"),
        ("StockCode", "", "column 'StockCode', row 3: nothing"),
    ],
)
def test_bad_files_name_column_and_row(tmp_path, column, value, message):
    table = small().astype(object)
    table.loc[2, column] = value
    table.to_csv(tmp_path / "raw.csv", index=False)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "raw.csv")


def test_wrong_files(tmp_path):
    with pytest.raises(ValueError, match="holds no Online Retail file; expected one of online_retail_raw"):
        load(tmp_path)
    small().drop(columns="UnitPrice").to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(ValueError, match="column 'UnitPrice': missing"):
        load(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"a\.xlsx: not readable as xlsx"):
        load(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match="unknown file type"):
        load(tmp_path / "a.rda")


@real
def test_real_report_and_agreement_with_the_published_panel():
    sales, report = load(SHARED, KEY)
    assert report["rows"].sum() == 541_909
    assert report["rows"].tolist() == [5270, 9251, 2406, 1324, 1156, 2955, 699, 518_848]
    panel, ready = daily_panel(sales), load_panel(SHARED / "online_retail_daily_panel.parquet")
    assert panel.items == ready.items
    assert len(panel.items) == 2726
    assert panel.dates.equals(ready.dates)
    for name in ("promo", "closed", "holiday"):
        np.testing.assert_array_equal(getattr(panel, name), getattr(ready, name))
    # The published panel was made from rows with their Description: two lines more are no duplicates
    # there, of which one is a sale of 300 units.
    differs = ~np.isclose(panel.units, ready.units, equal_nan=True)
    assert differs.sum() == 1
    assert ready.units[differs] - panel.units[differs] == 300
    price = ~np.isclose(panel.price, ready.price, rtol=1e-5, equal_nan=True)  # float32 there
    np.testing.assert_array_equal(price, differs)


@pytest.mark.parametrize("item", ["item", "sku"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_ready_panel_is_taken_as_it_is(tmp_path, item, kind):
    days = pd.date_range("2011-03-01", periods=3).astype(str)
    table = pd.DataFrame({item: "0040", "date": days, "units": [2, 0, 1], "price": 1.5, "promo": [False, True, False]})
    path = tmp_path / f"ready.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    panel = load_panel(path)
    assert panel.items == ["0040"]
    np.testing.assert_array_equal(panel.units[:, 0], table["units"])
    np.testing.assert_array_equal(panel.promo[:, 0], table["promo"])


def test_orders_are_counted_by_invoice(tmp_path):
    small().to_parquet(tmp_path / "raw.parquet")
    sales, _ = load(tmp_path / "raw.parquet", KEY)
    panel = daily_panel(sales, min_sale_days=1)
    orders = order_panel(sales, panel)
    assert orders.items == panel.items
    assert orders.dates.equals(panel.dates)
    counts = orders.units[:, panel.items.index("22002")]
    assert counts.tolist() == [2, 0, 0]  # 21 lines of two invoices
    assert orders.units[:, panel.items.index("85123A")][-1] == 1  # of two, one of which was cancelled
    assert (np.isnan(orders.units) == np.isnan(panel.units)).all()
    assert ((orders.units > 0) == (panel.units > 0)).all()
