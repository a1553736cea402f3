"""Loaders keep the columns that their contract names: a name, a phone and a birthday beside them are in nothing."""

import numpy as np
import pandas as pd
import pytest
from storelab.data import PANEL, TRANSACTIONS, Panel, complete_journey, files, online_retail, read
from storelab.experiments.fitting import tables as fitting
from storelab.language import tables
from storelab.risk.transactions import read_labelled, read_transactions

EXTRA = {"name": "Ann Lee 7431", "phone": "secret-7431", "birthday": "1990-07-31", "notes": "7431"}
WHEN = pd.date_range("2024-01-01", periods=60, freq="D")
LINES = pd.DataFrame({"invoice": "1", "item": "tea", "customer": "c1", "timestamp": WHEN, "quantity": 1, "price": 2.0})
BOUGHT = pd.DataFrame({"customer": "c1", "item": "tea", "timestamp": WHEN, "rating": 4})
PAID = pd.DataFrame({"timestamp": WHEN, "customer": "c1", "amount": 5.0, "fraud": False})
RAW = pd.DataFrame({"InvoiceNo": "1", "StockCode": "85123A", "Quantity": np.arange(1, 61), "InvoiceDate": WHEN})
RAW = RAW.assign(UnitPrice=2.0, CustomerID=17850, Country="UK")
WEEKS = pd.DataFrame(
    {"product_id": 1, "quantity": 1, "sales_value": 2.0, "retail_disc": 0.0, "household_id": 7}, index=range(60)
)
WEEKS = WEEKS.assign(transaction_timestamp=WHEN)
DAYS = pd.DataFrame({"item": "tea", "date": WHEN, "units": 1, "price": 2.0})
NAMES = [column.name for column in PANEL]

CASES = {  # table, what loads it from a path, the columns that may be there
    "read, sales": (LINES, lambda path: read(path, TRANSACTIONS), [c.name for c in TRANSACTIONS]),
    "read, days": (DAYS, lambda path: read(path, PANEL), NAMES),
    "purchases": (BOUGHT, lambda path: fitting._read(path, fitting.PURCHASES, fitting.Reading()), list(BOUGHT)[:3]),
    "ratings": (BOUGHT, lambda path: fitting._read(path, fitting.RATINGS, fitting.Reading()), list(BOUGHT)),
    "online retail": (RAW, lambda path: online_retail.load(path)[0], online_retail.COLUMNS),
    "reviews": (pd.DataFrame({"text": ["good"], "stars": [5]}), tables.read, ["text", "stars", "positive"]),
    "questions": (pd.DataFrame({"text": ["where"], "intent": ["a"]}), tables.read, ["text", "intent"]),
}


def saved(table: pd.DataFrame, path) -> str:
    table = table.assign(**EXTRA)
    table.to_parquet(path, index=False) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", CASES)
def test_no_other_column_is_kept(name, suffix, tmp_path):
    table, load, columns = CASES[name]
    loaded = load(saved(table, tmp_path / f"t{suffix}"))
    assert set(loaded) <= set(columns)
    assert "7431" not in loaded.to_csv()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_transactions(suffix, tmp_path):
    path = saved(PAID, tmp_path / f"t{suffix}")
    for loaded in (read_transactions(path), read_labelled(path).transactions):
        assert "7431" not in loaded.to_csv()
        assert not set(EXTRA) & set(loaded)


def test_panels(tmp_path):
    """A panel has its fields and what was asked for; Complete Journey's households are not even read."""
    kept = vars(Panel.from_frame(pd.read_parquet(saved(DAYS, tmp_path / "p.parquet"))))
    assert "7431" not in repr(kept)
    saved(WEEKS, tmp_path / complete_journey.TRANSACTIONS_FILES[0])
    goods = pd.DataFrame({"product_id": [1], "department": ["GROCERY"], "product_type": ["TEA"]})
    saved(goods, tmp_path / complete_journey.PRODUCTS_FILE)
    assert "7431" not in repr(vars(complete_journey.load_panel(tmp_path)))
    assert "household_id" not in [column.name for column in complete_journey.LINES]


def test_columns_that_nobody_asked_for_are_not_decoded(tmp_path, monkeypatch):
    """Of a Parquet file the columns that are read are those of the contract."""
    path, asked = saved(LINES, tmp_path / "t.parquet"), []
    table = files._table
    monkeypatch.setattr(files, "_table", lambda path, columns: asked.append(columns) or table(path, columns))
    read(path, TRANSACTIONS)
    assert asked == [list(LINES)]
