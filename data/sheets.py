"""CSV files that we write: what is text is no formula in a spreadsheet, and is read back as it was."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..reading import read_bytes

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of one


def write_csv(table: pd.DataFrame, index: bool = True) -> bytes:
    """Return a table as CSV; text that begins as a formula, or with an apostrophe, has an apostrophe before it.

    Text is in quotes, so that a line break within it ends no cell.
    """
    table = table.reset_index() if index else table.copy()
    for name in table:
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].map(_apart)
    return table.rename(columns=_apart).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode()


def read_csv(path: str | Path, texts: Sequence[str], dates: Sequence[str] = ()) -> pd.DataFrame:
    """Read what `write_csv` wrote without an index: columns of text as it was, of days or times, all others numbers."""
    content = io.BytesIO(read_bytes(path))
    table = pd.read_csv(content, dtype=str, keep_default_na=False, lineterminator="\n").rename(columns=_whole)
    for name in table:
        if name in texts:
            table[name] = table[name].map(_whole)
        else:
            values = table[name].where(table[name] != "")
            table[name] = pd.to_datetime(values) if name in dates else _numbers(values)
    return table


def _numbers(values: pd.Series) -> pd.Series:
    """Numbers as they were written: pandas' own parser can miss a float by its last bit."""
    numbers = pd.to_numeric(values)
    return values.astype(object).astype(float) if pd.api.types.is_float_dtype(numbers) else numbers


def _apart(value):
    return f"'{value}" if isinstance(value, str) and value.startswith((*FORMULA, "'")) else value


def _whole(value):
    return value[1:] if isinstance(value, str) and value.startswith("'") else value
