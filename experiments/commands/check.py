"""`storelab check`: what is understood of a file of sales, and what looks wrong in it, before anything runs."""

import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ...data import files
from ...data.contract import PANEL, Column, Reading, Schema, TableNote, matched, read
from ...data.gaps import LEAST_OBSERVED, monthly
from ...data.online_retail import BULK_FENCE, in_one_month
from ...data.panel import Panel

USAGE = """usage: storelab check FILE [day_first=true|false] [encoding=NAME] [columns.item=NAME ...]

Shows how a CSV, Excel or Parquet file of sales is read, and what looks wrong in it, with row numbers (the header is not
counted). FILE has a row per item and day (item, date, units, price), or a row per line of an order (invoice, item,
timestamp, quantity, price, or the names of Online Retail). day_first, encoding and columns (storelab's name = the
file's name) are keys of data=panel too. Exit status: 0 nothing looks wrong, 1 something does, 2 the file is not
readable."""
DAYS: Schema = tuple(  # PANEL's columns, but what the numbers may be is looked at here
    Column(
        column.name, column.kind, required=column.name in ("item", "date", "units"), nullable=column.kind == "number"
    )
    for column in PANEL
)
LINES: Schema = (
    Column("invoice", "text", required=False),
    Column("item", "text"),
    Column("timestamp", "timestamp"),
    Column("quantity", "number", nullable=True),
    Column("price", "number", required=False, nullable=True),
)
ALIASES = {
    **{"InvoiceNo": "invoice", "Invoice": "invoice", "StockCode": "item"},
    **{"InvoiceDate": "timestamp", "UnitPrice": "price"},
}
FAR_PRICE = 10.0  # times an item's median price, or as much below it
LEAST_SALES = 8  # of an item, from which on its outliers are looked for
SHOWN = 5  # row numbers
_KEY = re.compile(r"(day_first|encoding|columns\.\w+)=")


def check(args: list[str]) -> int:
    """Print what was found; return the exit status of `USAGE`."""
    if args in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    keys = dict(arg.split("=", 1) for arg in args if _KEY.match(arg))
    paths = [arg for arg in args if not _KEY.match(arg)]
    if len(paths) != 1 or keys.get("day_first", "true") not in ("true", "false"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        names = {key.partition(".")[2]: value for key, value in keys.items() if "." in key}
        order = {None: None, "true": True, "false": False}[keys.get("day_first")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TableNote)  # they are printed
            table, notes, wrong = look(Path(paths[0]), Reading(names, order, keys.get("encoding", "")))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        print(f"{paths[0]}: {told.removeprefix(f'{Path(paths[0])}: ')}", file=sys.stderr)
        return 2
    wrong += troubles(table) or _refusal(paths[0], Reading(names, order, keys.get("encoding", "")), table)
    print(paths[0])
    for name, value in [*(("read", note) for note in notes), *facts(table)]:
        print(f"  {name:12} {value}")
    print("\n".join(["looks wrong", *(f"  {line}" for line in wrong)]) if wrong else "nothing looks wrong")
    return 1 if wrong else 0


def look(path: Path, how: Reading | None = None) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Read what can be read of a file.

    Returns the table, with the columns item, day, units and price as far as they are readable and the row numbers as
    its index; notes on how it was read; and the errors of the columns that were not. Raises ValueError where the file
    is not readable at all, or has neither the columns of days nor those of lines.
    """
    how = how or Reading()
    own, day_first = how.columns, how.day_first
    frame = files.load(path, [*(c.name for c in (*DAYS, *LINES)), *ALIASES, *own.values()], how.encoding)
    schema, aliases = max(((DAYS, {}), (LINES, ALIASES)), key=lambda one: _known(frame, *one, own))
    if _known(frame, schema, aliases, own) < 2:
        raise ValueError(
            f"expected the columns {', '.join(c.name for c in DAYS if c.required)}, price, or those of lines of "
            f"orders; found: {', '.join(map(str, frame.attrs['found'])) or 'none'}"
        )
    when = next((name for name in frame if str(name).strip().casefold() in ("timestamp", "invoicedate")), None)
    if schema is LINES and day_first is None and when is not None:
        day_first = in_one_month(frame[when])
    wrong = []
    while True:
        try:
            table = read(frame, schema, day_first=day_first, aliases=aliases, columns=own)
            break
        except ValueError as error:
            bad = re.match(r"column '(\w+)'", str(error))
            if bad is None:
                raise
            wrong.append(str(error))
            gone = next((name for name, other in own.items() if other == bad[1]), bad[1])
            schema = tuple(column for column in schema if column.name != gone)
            own = {name: other for name, other in own.items() if name != gone}
    notes = _plain(path, table) + table.attrs["notes"]
    table = table.set_axis(frame.index + 1, axis=0).rename(columns={"quantity": "units"})
    times = table.get("timestamp", table.get("date"))
    if times is not None:
        table["day"] = times.dt.normalize()
    table.attrs = {"lines": "timestamp" in table}
    return table, notes, wrong


def _refusal(path: str, how: Reading, table: pd.DataFrame) -> list[str]:
    """Why a table of days whose rows look right is still no panel: it is made as `data=panel` makes it."""
    if table.attrs["lines"]:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TableNote)
            Panel.from_frame(path, **asdict(how))
    except ValueError as error:
        return [str(error)]
    return []


def _plain(path: Path, table: pd.DataFrame) -> list[str]:
    """What is as usual in a file: no note tells of it."""
    said = "; ".join(table.attrs["notes"])
    usual = {"the encoding": "is UTF-8", "columns are separated": "by ','", "numbers are read": "with decimal points"}
    usual = usual if path.suffix.lower() in files.TEXT else {}
    if {"date", "timestamp"} & set(table):
        usual |= {"dates are": "as the contract has them, YYYY-MM-DD or the file's own type"}
    return [
        f"{what} {how}" for what, how in usual.items() if what not in re.sub("times are|months are", "dates are", said)
    ]


def _known(frame: pd.DataFrame, schema: Schema, aliases: dict[str, str], own: dict[str, str]) -> int:
    names = [column.name for column in schema if column.required or column.name == "price"]
    return len(matched(frame, names, aliases, own)[0])


def facts(table: pd.DataFrame) -> list[tuple[str, str]]:
    """What the table holds, in words."""
    found = [("rows", f"{len(table):,}, " + ("lines of orders" if table.attrs["lines"] else "one per item and day"))]
    if "item" in table:
        found.append(("items", _named(table["item"].unique())))
    if "day" in table and len(table):
        days = np.sort(table["day"].unique())
        apart = _apart(days)
        every = {1: "daily", 7: "weekly"}.get(apart, f"most days with rows lie {apart} days apart")
        every = f"monthly or rarer, {apart} days apart" if monthly(days) else every
        whole = (days[-1] - days[0]) // np.timedelta64(7 if apart == 7 else 1, "D") + 1
        found.append(("days", f"{_date(days[0])} to {_date(days[-1])}, {every}; rows on {len(days):,} of {whole:,}"))
        if {"item", "units"} <= set(table):
            share = observed(table, 7 if apart == 7 else 1)
            found.append(
                ("observed", f"{share:.1%} of the {'weeks' if apart == 7 else 'days'} since each item's first")
            )
    for name in ("units", "price", "cost", "lead_time"):
        if name in table and table[name].notna().any():
            values = table[name].dropna()
            part = f"{values.min():g} to {values.max():g}, mean {values.mean():.4g}, median {values.median():g}"
            found.append((name, part + (f"; 0 in {(values == 0).mean():.1%} of the rows" if name == "units" else "")))
    if "units" in table:
        found.append(("returns", f"{(table['units'] < 0).sum():,} rows of less than 0 units"))
        sold = (
            table["units"].gt(0).groupby(table["item"], sort=False).any() if "item" in table else pd.Series(dtype=bool)
        )
        if not sold.all():
            found.append(("never sold", _named(sold.index[~sold])))
    if "split" in table:
        counts = table["split"].value_counts()
        found.append(("split", ", ".join(f"{counts[name]:,} rows {name}" for name in counts.index)))
    return found


def troubles(table: pd.DataFrame) -> list[str]:
    """What looks wrong in a table, a line each, with the numbers of the rows."""
    found = []

    def note(bad: pd.Series, words: str) -> None:
        if bad.any():
            found.append(f"{_rows(table.index[bad.to_numpy(bool)])}: {words}")

    if table.empty:
        return ["the table has no rows"]
    if "units" in table:
        note(table["units"] < 0, "less than 0 units: returns are not sales, leave them out")
        note(np.isinf(table["units"]), "infinitely many units")
        if not (table["units"] > 0).any():
            found.append("no row with more than 0 units")
    if "price" in table:
        note(table["price"] <= 0, "a price of 0 or less")
        note(table["price"].isna(), "no price")
    if "item" in table:
        key = ["item", "day"] if not table.attrs["lines"] else [name for name in table if name != "day"]
        if set(key) <= set(table):
            note(table.duplicated(key), f"the same {' and '.join(key)} as an earlier row")
        for name, words in (
            ("units", "far more units than the item's other days"),
            ("price", "far from its usual price"),
        ):
            if name in table:
                note(_far(table, name), words)
    return found + (_gaps(table) if "day" in table else [])


def _far(table: pd.DataFrame, name: str) -> pd.Series:
    """(rows,) bool. Units: beyond the far-out fence, as `online_retail.clean`; prices: far from the median."""
    value = np.log(table[name].where(table[name] > 0))
    item = value.groupby(table["item"])
    if name == "price":
        return (value - item.transform("median")).abs() > np.log(FAR_PRICE)
    low, high = item.transform("quantile", 0.25), item.transform("quantile", 0.75)
    fence = high + BULK_FENCE * (high - low).clip(lower=np.log(2))
    return (value > fence) & (item.transform("count") >= LEAST_SALES)


def _gaps(table: pd.DataFrame) -> list[str]:
    """Days without rows, and items seen on few days."""
    days = pd.DatetimeIndex(np.sort(table["day"].unique()))
    step = 7 if _apart(days.to_numpy()) == 7 else 1
    whole = pd.date_range(days[0], days[-1], freq=f"{step}D")
    missing = whole.difference(days)
    found = []
    if monthly(days.to_numpy()):
        found.append("dates lie months apart: demand is forecast and replayed by days or by weeks")
    elif not days.isin(whole).all():
        row = table.index[~table["day"].isin(whole)][0]
        found.append(f"row {row}: {_date(table['day'][row])} is no whole number of weeks after {_date(days[0])}")
    elif len(missing) > 0:
        first = _date(missing[0])
        found.append(
            f"no row on {len(missing):,} of {len(whole):,} dates, the first {first}: not observed, or no_row=zero"
        )
    if not table.attrs["lines"] and {"item", "units"} <= set(table):
        share = observed(table, step)
        first = table.groupby("item")["day"].min()
        cells = int((len(days) - days.searchsorted(first)).sum())
        absent = cells - len(table[["item", "day"]].drop_duplicates())
        if share < LEAST_OBSERVED:
            found.append(f"{share:.1%} of the days are observed: if no row means no sale, set data.no_row=zero")
        elif absent:
            found.append(
                f"no row on {absent:,} of the items' {cells:,} days with rows since their first: not observed; "
                "if no row means no sale, set data.no_row=zero"
            )
    return found


def observed(table: pd.DataFrame, step: int) -> float:
    """The share of the days (each `step` days) from each item's first on that have a row with units."""
    seen = table[table["units"].notna()].groupby("item")["day"].nunique()
    first = table.groupby("item")["day"].min()
    return float(seen.sum() / ((table["day"].max() - first).dt.days // step + 1).sum())


def _apart(days: np.ndarray) -> int:
    """How many days apart most of the sorted days with rows are."""
    return int(np.median(np.diff(days) / np.timedelta64(1, "D"))) if len(days) > 1 else 1


def _date(day) -> str:
    return str(pd.Timestamp(day).date())


def _named(items: Sequence[str]) -> str:
    return f"{len(items):,}: {', '.join(items[:SHOWN])}{', ...' if len(items) > SHOWN else ''}"


def _rows(numbers: pd.Index) -> str:
    more = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
    return f"row{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:SHOWN]))}{more}"
