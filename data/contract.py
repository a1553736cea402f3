"""The column contract of what a user brings, and the reading of tables under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .privacy import default_key, id_text, pseudonymise


@dataclass(frozen=True)
class Column:
    """One column of a table's contract."""

    name: str
    kind: str  # text | customer | number | bool | day | timestamp
    required: bool = True
    nullable: bool = False
    minimum: float | None = None  # numbers only
    above: float | None = None  # numbers only, strict
    unique: bool = False  # the columns so marked identify a row together

    @property
    def expected(self) -> str:
        kinds = {
            "text": "text",
            "customer": "a customer id",
            "number": "a finite number",
            "bool": "true or false (or 1 or 0)",
            "day": "a day as YYYY-MM-DD, without time or zone",
            "timestamp": "a time as YYYY-MM-DD HH:MM:SS, without zone",
        }
        bound = "" if self.minimum is None else f" >= {self.minimum:g}"
        bound += "" if self.above is None else f" > {self.above:g}"
        return kinds[self.kind] + bound + (", or nothing" if self.nullable else "")


Schema = tuple[Column, ...]

PANEL: Schema = (
    Column("item", "text", unique=True),
    Column("date", "day", unique=True),
    Column("units", "number", nullable=True, minimum=0),  # null: not observed, which is not zero
    Column("price", "number", above=0),
    Column("promo", "bool", required=False),
    Column("closed", "bool", required=False),
    Column("holiday", "bool", required=False),
    Column("category", "text", required=False),
    Column("stocked_out", "bool", required=False),  # ran out that day: demand was at least the units sold
)

TRANSACTIONS: Schema = (
    Column("invoice", "text"),
    Column("item", "text"),
    Column("customer", "customer", nullable=True),
    Column("timestamp", "timestamp"),
    Column("quantity", "number", above=0),  # sales only: returns and cancellations are left out
    Column("price", "number", above=0),
    Column("country", "text", required=False),
)


def read(source: str | Path | pd.DataFrame, schema: Schema, key: bytes | None = None) -> pd.DataFrame:
    """Read a CSV file, a Parquet file or a DataFrame under a column contract.

    Columns that the contract doesn't name are dropped; customer ids are replaced by pseudonyms
    under `key` (default: `privacy.default_key()`). Returns a new frame, columns in the contract's order.

    Raises ValueError naming the column, the first bad row, the value there and what is expected.
    Rows are counted from 1; a file's header is not counted.
    """
    frame = _load(source, [column.name for column in schema])
    for name in frame.columns[frame.columns.duplicated()]:
        raise ValueError(f"column {name!r}: appears more than once; expected once")
    result = {}
    for column in schema:
        if column.name in frame.columns:
            result[column.name] = _checked(frame[column.name].reset_index(drop=True), column, key)
        elif column.required:
            raise ValueError(
                f"column {column.name!r}: missing; expected {column.expected}. "
                f"Columns found under the contract: {', '.join(map(str, frame.columns)) or 'none'}"
            )
    table = pd.DataFrame(result)
    _check_unique(table, [column.name for column in schema if column.unique])
    return table


def _load(source: str | Path | pd.DataFrame, names: list[str]) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source.loc[:, source.columns.isin(names)]
    if not isinstance(source, str | Path):
        raise ValueError(f"source is {type(source).__name__}; expected a path or a pandas DataFrame")
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path.name}: unknown file type {suffix!r}; expected .csv or .parquet")
    try:
        if suffix == ".csv":
            return read_csv_text(path, names)
        present = [name for name in parquet_columns(path) if name in names]
        return pd.read_parquet(path, columns=present)
    except ValueError as error:  # pandas' parser, pyarrow's and the decoder's errors are all ValueErrors
        raise ValueError(f"{path.name}: not readable as {suffix[1:]}: {error}") from error


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns; a ModuleNotFoundError says which extra reads such files."""
    try:
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        need = "Parquet files need pyarrow: pip install 'storelab[parquet]'"
        raise ModuleNotFoundError(f"{path.name}: {need}", name="pyarrow") from error
    return pq.read_schema(path).names


def read_csv_text(path: Path, names: Sequence[str], encoding: str = "utf-8-sig") -> pd.DataFrame:
    """The named columns of a CSV file, all as text: items keep leading zeros, errors show what the file says."""
    # The header is read as a row: a row with more fields is then an error, not a silent index column.
    frame = pd.read_csv(
        path,
        header=None,
        dtype=str,
        keep_default_na=False,
        na_values=[""],
        encoding=encoding,
        skipinitialspace=True,
    )
    frame = frame.iloc[1:].set_axis(frame.iloc[0].str.strip(), axis=1).rename_axis(None, axis=1)
    return frame.loc[:, frame.columns.isin(names)]


def _checked(values: pd.Series, column: Column, key: bytes | None) -> pd.Series:
    try:
        parsed = _PARSERS[column.kind](values)
    except (TypeError, ValueError) as error:  # unhashable objects, years beyond pandas' range
        raise ValueError(f"column {column.name!r}: {error}; expected {column.expected}") from error
    null = values.isna()
    if column.kind in ("text", "customer", "number"):
        null |= values.isin(_NULLS[column.kind])
    bad = parsed.isna() & ~(null & column.nullable)
    if column.kind == "number":
        bad |= np.isinf(parsed)
        if column.minimum is not None:
            bad |= parsed < column.minimum
        if column.above is not None:
            bad |= parsed <= column.above
    elif column.kind == "day":
        bad |= parsed.notna() & (parsed != parsed.dt.normalize())
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        value = "nothing" if pd.isna(values.iloc[row]) else shown(values.iloc[row])
        raise ValueError(f"column {column.name!r}, row {row + 1}: {value}; expected {column.expected}")
    if column.kind == "customer":
        return pseudonymise(parsed, default_key() if key is None else key)
    return parsed.astype(bool) if column.kind == "bool" else parsed


def shown(value: object) -> str:
    """A value of a table, as errors show it."""
    return repr(value.item() if isinstance(value, np.generic) else value)


_NULLS = {
    "text": ("",),  # an item may well be called NA
    "customer": ("",),
    "number": ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"),
}


def _texts(values: pd.Series) -> pd.Series:
    text = id_text(values)
    return text.mask(text == "", None)


def _numbers(values: pd.Series) -> pd.Series:
    if values.dtype == bool or isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind in "mM":
        return pd.Series(np.nan, index=values.index)
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if values.dtype == object:
        numbers[[isinstance(value, bool) for value in values]] = np.nan
    return numbers


def _booleans(values: pd.Series) -> pd.Series:
    if values.dtype == bool:
        return values
    codes, unique = pd.factorize(values)
    words = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
    table = [words.get(str(value).strip().lower(), np.nan) for value in unique]
    return pd.Series(np.array([*table, np.nan])[codes], index=values.index)


def _times(values: pd.Series) -> pd.Series:
    if values.dtype.kind == "M" and not isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.astype("datetime64[ns]")
    codes, unique = pd.factorize(values)
    text = pd.Series([str(value).strip() for value in unique], dtype=object)
    # Only year-first text without a zone: 03/04/2024 and a bare 20240403 can be read two ways.
    shaped = text.str.fullmatch(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?")
    times = pd.to_datetime(text.where(shaped.astype(bool)), format="ISO8601", errors="coerce")
    table = np.append(times.to_numpy("datetime64[ns]"), np.datetime64("NaT"))
    return pd.Series(table[codes], index=values.index)


_PARSERS = {
    "text": _texts,
    "customer": _texts,
    "number": _numbers,
    "bool": _booleans,
    "day": _times,
    "timestamp": _times,
}


def _check_unique(table: pd.DataFrame, names: list[str]) -> None:
    if not names:
        return
    repeated = table.duplicated(names).to_numpy()
    if repeated.any():
        second = int(np.flatnonzero(repeated)[0])
        values = table.loc[second, names]
        first = int(np.flatnonzero((table[names] == values).all(axis=1))[0])
        shown = ", ".join(str(value).removesuffix(" 00:00:00") for value in values)
        raise ValueError(
            f"columns {', '.join(map(repr, names))}, rows {first + 1} and {second + 1}: "
            f"both hold ({shown}); expected one row each"
        )
