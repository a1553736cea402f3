"""The UCI "Online Retail" transactions (Chen, Sain and Guo 2012, doi:10.1057/dbm.2012.17): a year or two of a
UK giftware web shop, cleaned with an account of every row, and made into a daily panel."""

import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError
from . import files
from .contract import PANEL, TRANSACTIONS, Column, Schema, read
from .holidays import bank_holidays
from .panel import Panel
from .values import readings

# The columns as UCI names them; Description is dropped, as nothing here needs it.
RAW: Schema = (
    Column("InvoiceNo", "text"),
    Column("StockCode", "text"),
    Column("Quantity", "number"),
    Column("InvoiceDate", "timestamp"),
    Column("UnitPrice", "number"),
    Column("CustomerID", "customer", nullable=True),
    Column("Country", "text", required=False),
)
ALIASES = {"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID"}  # UCI's names in Online Retail II
RAW_FILES = (
    "online_retail_raw.parquet",
    "Online Retail.xlsx",
    "online_retail.xlsx",
    "Online_Retail.csv",
    "OnlineRetail.csv",
    "online_retail.csv",
    "online_retail_II.xlsx",
    "online_retail_II.csv",
    "online_retail_II.parquet",
    "data.csv",
)
PANEL_FILES = ("online_retail_daily_panel.parquet", "online_retail_ii_daily.parquet")

BULK_UNITS = 100  # units: a smaller line is never called bulk
BULK_FENCE = 3.0  # interquartile ranges above the third quartile: Tukey 1977, "far out"
PROMO_WINDOW = 56  # days
PROMO_SHARE = 0.9  # of the trailing median price


def load(
    path: str | Path, key: bytes | None = None, day_first: bool | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and clean UCI's xlsx (all its sheets) or CSV, the raw Parquet, or a folder that holds one of `RAW_FILES`.

    The names of columns are Online Retail's or Online Retail II's. Returns the sales under the TRANSACTIONS contract,
    with `cancelled` and `bulk` (bool) beside, and the report: columns reason, action (dropped, flagged or kept) and
    rows, which add up to the rows read, and the list `attrs["notes"]`, what was understood of the file.
    Each row has one reason, the first that holds in the report's order. Customer ids are
    pseudonymised under `key`. Dates whose order of day and month no row tells are read in the order in which they lie
    in one month, or as `day_first` says. Raises ValueError naming column and row where the file is not as UCI's.
    """
    return _cleaned(_read(_find(Path(path), RAW_FILES)), key, day_first)


def _read(file: Path) -> pd.DataFrame:
    """The columns of a raw file or of a ready panel, whichever it is."""
    names = [*(column.name for column in (*RAW, *PANEL)), *ALIASES, "sku"]
    return files.load(file, names)


def _cleaned(
    frame: pd.DataFrame, key: bytes | None = None, day_first: bool | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    for name in frame.columns.intersection(["CustomerID", "Customer ID"]):  # the raw Parquet writes "no id" as -1
        frame[name] = frame[name].astype(object).mask(frame[name].isin([-1, "-1"]), None)
    if day_first is None and "InvoiceDate" in frame:
        day_first = in_one_month(frame["InvoiceDate"])
        if day_first is not None:
            frame.attrs["notes"].append("day and month are read in the order in which all days lie in one month")
    raw = read(frame, RAW, key, day_first, ALIASES)
    sales, report = clean(raw)
    sales.attrs["notes"] = report.attrs["notes"] = raw.attrs["notes"]
    return sales, report


def in_one_month(dates: pd.Series) -> bool | None:
    """Whether day first is the one of two possible orders in which a shop's days follow each other in one month."""
    found = readings(dates)
    months = {order: times.dt.to_period("M").nunique() for order, times in found.items() if order != "year first"}
    near = [order for order, count in months.items() if count == 1]
    return near[0] == "day first" if len(months) > 1 and len(near) == 1 else None


def load_panel(path: str | Path, no_row: str = "unobserved") -> Panel:
    """The daily panel from a raw file (cleaned first), a folder, or a ready panel's file.

    A ready panel has the columns item (or sku), date, units and price, and any others of the contract PANEL; of
    `no_row` see `Panel.from_frame`. In a folder a raw file comes first.
    """
    frame = _read(_find(Path(path), (*RAW_FILES, *PANEL_FILES)))
    if {"date", "units"} <= {str(name).strip().casefold() for name in frame.columns}:
        return Panel.from_frame(frame.rename(columns={"sku": "item"}), no_row=no_row)
    transactions, _ = _cleaned(frame)
    return daily_panel(transactions)


def hold_out(data: str | Path | Panel, days: int) -> tuple[Panel, int]:
    """The panel of a path as `load_panel` reads it, or the one given, and its first held-out day, of `days`.

    Raises ValueError for neither path nor panel, or where no more than as many days are left before them.
    """
    if not isinstance(data, Panel):
        if not isinstance(data, str | Path) or not str(data):
            raise FieldError("data", data, "the path of the Online Retail file or a Panel")
        data = load_panel(data)
    first = data.first_test(days)
    if first == len(data.dates) - days and first <= days:
        raise ValueError(f"data: {len(data.dates)} days are not allowed, expected more than {2 * days}")
    return data, first


def _find(path: Path, names: tuple[str, ...]) -> Path:
    if not path.is_dir():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    raise ValueError(f"folder {path.name!r} holds no Online Retail file; expected one of {', '.join(names)}")


COLUMNS = [*(column.name for column in TRANSACTIONS), "cancelled", "bulk"]


def clean(raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every row of a table under the RAW contract one reason and an action; see `load`."""
    table = raw.rename(
        columns={
            "InvoiceNo": "invoice",
            "StockCode": "item",
            "Quantity": "quantity",
            "InvoiceDate": "timestamp",
            "UnitPrice": "price",
            "CustomerID": "customer",
            "Country": "country",
        }
    )
    duplicate = table.duplicated()
    # The shop typed some codes in both cases (85123a, 85123A): one product.
    table["item"] = _per_value(table["item"], str.upper)
    # Prices have at most three decimals; the Parquet's float32 shows more.
    table["price"] = table["price"].round(3)
    cancellation = _per_value(table["invoice"], lambda text: text.startswith("C"))
    product = _per_value(table["item"], lambda text: text[:5].isdecimal() and len(text) >= 5)
    rules = [
        ("exact duplicate of an earlier row", "dropped", duplicate),
        ("cancellation (invoice C...)", "dropped", cancellation),
        ("not a product (code without five leading digits)", "dropped", ~product),
        ("quantity of zero or less", "dropped", table["quantity"] <= 0),
        ("price of zero or less", "dropped", table["price"] <= 0),
    ]
    reason = np.select([rule[2] for rule in rules], np.arange(len(rules)), default=len(rules))
    sale = reason == len(rules)
    cancelled = _cancelled(table, sale, (reason == 1) & product.to_numpy())
    sales = table[sale].assign(cancelled=cancelled[sale])
    sales["bulk"] = _bulk(sales)
    sales = sales[[name for name in COLUMNS if name in sales]]
    rows = np.bincount(reason, minlength=len(rules)).tolist()[: len(rules)]
    flags = [
        ("sale cancelled later, line for line", "flagged", int(sales["cancelled"].sum())),
        ("bulk quantity", "flagged", int((sales["bulk"] & ~sales["cancelled"]).sum())),
        ("sale", "kept", int((~sales["bulk"] & ~sales["cancelled"]).sum())),
    ]
    counted = [(name, action, count) for (name, action, _), count in zip(rules, rows, strict=True)] + flags
    return sales.reset_index(drop=True), pd.DataFrame(counted, columns=["reason", "action", "rows"])


def _per_value(column: pd.Series, function) -> pd.Series:
    """`function` of each distinct value, laid out over the column: much faster than row by row."""
    codes, unique = pd.factorize(column)
    return pd.Series(np.array([function(value) for value in unique])[codes], index=column.index)


def _cancelled(table: pd.DataFrame, sale: np.ndarray, cancellation: np.ndarray) -> np.ndarray:
    """(rows,) bool: sales that a later cancellation of the same customer, item and quantity takes back.

    A cancellation takes back the latest such sale not yet taken back. Customers without an id count
    as one: there, it may be another's sale, but that many units did come back.
    """
    event = sale | (cancellation & (table["quantity"] < 0).to_numpy())
    keys = pd.DataFrame(
        {
            "customer": table["customer"].fillna(""),
            "item": table["item"],
            "quantity": table["quantity"].abs(),
        }
    )
    group = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    wanted = np.isin(group, group[event & cancellation])
    rows = np.flatnonzero(event & wanted)
    rows = rows[np.argsort(table["timestamp"].to_numpy()[rows], kind="stable")]
    open_sales = defaultdict(list)
    result = np.zeros(len(table), dtype=bool)
    for row in rows:
        stack = open_sales[group[row]]
        if sale[row]:
            stack.append(row)
        elif stack:
            result[stack.pop()] = True
    return result


def _bulk(sales: pd.DataFrame) -> pd.Series:
    """Lines whose log quantity is far out for their item: wholesale orders in a shop's data.

    The interquartile range counts as at least log 2, for items nearly always sold in one quantity.
    """
    log = np.log(sales["quantity"])
    per_item = log.groupby(sales["item"])
    upper = per_item.quantile(0.75)
    fence = upper + BULK_FENCE * (upper - per_item.quantile(0.25)).clip(lower=np.log(2))
    return (sales["quantity"] >= BULK_UNITS) & (log > sales["item"].map(fence))


def daily_panel(transactions: pd.DataFrame, min_sale_days: int = 20) -> Panel:
    """Units and prices per item and day of the items sold on at least `min_sale_days` days.

    Sales flagged `cancelled` are left out, `bulk` ones are in (filter them beforehand for a smoother
    series). A day without a sale has 0 units from the item's first sale on. Price is the day's
    quantity-weighted mean, the last one known on days without a sale. Promo: price below 0.9 of its
    trailing 56-day median, today included; the launch price stands for the days before the launch.
    Closed: no item was sold at all.
    """
    sales = transactions
    if "cancelled" in sales:
        sales = sales[~sales["cancelled"]]
    day = sales["timestamp"].dt.normalize()
    if sales.empty:
        raise ValueError("transactions: no sale is left to make a panel of")
    dates = pd.date_range(day.min(), day.max(), freq="D")
    closed = ~dates.isin(day.unique())
    amounts = pd.DataFrame(
        {
            "item": sales["item"],
            "day": (day - dates[0]).dt.days,
            "units": sales["quantity"],
            "revenue": sales["quantity"] * sales["price"],
        }
    )
    cells = amounts.groupby(["item", "day"])[["units", "revenue"]].sum().reset_index()
    cells = cells[cells.groupby("item")["day"].transform("size") >= min_sale_days]
    if cells.empty:
        raise FieldError("min_sale_days", min_sale_days, "so few that some item was sold on as many days")
    column, items = pd.factorize(cells["item"], sort=True)
    units, price = np.zeros((len(dates), len(items))), np.full((len(dates), len(items)), np.nan)
    units[cells["day"], column] = cells["units"]
    price[cells["day"], column] = cells["revenue"] / cells["units"]
    filled = pd.DataFrame(price).ffill()
    before = filled.isna().to_numpy()
    median = filled.bfill().rolling(PROMO_WINDOW, min_periods=1).median()
    return Panel(
        items=list(items),
        dates=dates,
        units=np.where(before, np.nan, units),
        price=filled.to_numpy(),
        promo=(filled < PROMO_SHARE * median).to_numpy(),
        closed=closed,
        holiday=bank_holidays(dates),
    )


def order_panel(transactions: pd.DataFrame, panel: Panel) -> Panel:
    """A copy of the panel whose units are orders: invoices of the day with the item, none of them cancelled later.

    `transactions` are those that `daily_panel` made the panel of. Where units are not observed, orders are not.
    """
    sales = transactions[~transactions["cancelled"]] if "cancelled" in transactions else transactions
    day = (sales["timestamp"].dt.normalize() - panel.dates[0]).dt.days
    column = pd.Index(panel.items).get_indexer(sales["item"])
    cells = pd.DataFrame({"day": day, "column": column, "invoice": sales["invoice"]}).drop_duplicates()
    cells = cells[(cells["column"] >= 0) & cells["day"].between(0, len(panel.dates) - 1)]
    orders = np.zeros(panel.units.shape)
    np.add.at(orders, (cells["day"].to_numpy(), cells["column"].to_numpy()), 1)
    orders[np.isnan(panel.units)] = np.nan
    return dataclasses.replace(panel.until(len(panel.dates)), units=orders)
