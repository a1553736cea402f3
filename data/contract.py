"""The column contract of what a user brings, and the reading of tables under it."""

import codecs
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError
from .files import load, named
from .privacy import default_key, id_text, pseudonymise
from .values import NO_NUMBER, Undecided, absent, currency, decimal_mark, numbers, plain, stripped, times


@dataclass(frozen=True)
class Column:
    """One column of a table's contract."""

    name: str
    kind: str  # text | customer | number | bool | day | timestamp | split
    required: bool = True
    nullable: bool = False
    minimum: float | None = None  # numbers only
    above: float | None = None  # numbers only, strict
    unique: bool = False  # the columns so marked identify a row together
    instead: str = ""  # what may be said where the column is missing

    @property
    def expected(self) -> str:
        kinds = {
            "text": "text",
            "customer": "a customer id",
            "number": "a finite number",
            "bool": "true or false (or 1 or 0)",
            "day": "a day as YYYY-MM-DD, without time or zone",
            "timestamp": "a time as YYYY-MM-DD HH:MM:SS, without zone",
            "split": f"one of {', '.join(SPLIT_NAMES)}",
        }
        bound = "" if self.minimum is None else f" >= {self.minimum:g}"
        bound += "" if self.above is None else f" > {self.above:g}"
        return kinds[self.kind] + bound + (", or nothing" if self.nullable else "")


Schema = tuple[Column, ...]
SPLITS = ("train", "validation", "test")  # of a table's own column `split`; test rows are never trained on
SPLIT_NAMES = {name: name for name in SPLITS}  # what tables call them, in any case
SPLIT_NAMES |= {"training": "train", "valid": "validation", "val": "validation", "dev": "validation"}
SPLIT_NAMES |= {"development": "validation", "testing": "test"}
SPLIT = Column("split", "split", required=False)

PANEL: Schema = (
    Column("item", "text", unique=True),
    Column("date", "day", unique=True),
    Column("units", "number", nullable=True, minimum=0),  # null: not observed, which is not zero
    Column("price", "number", above=0, instead="price: that of all items"),
    Column("promo", "bool", required=False),
    Column("closed", "bool", required=False),
    Column("holiday", "bool", required=False),
    Column("category", "text", required=False),
    Column("stocked_out", "bool", required=False),  # ran out that day: demand was at least the units sold
    Column("stockout_hours", "number", required=False, nullable=True, minimum=0),  # hours of the day without stock
    Column("open_hours", "number", required=False, above=0),  # of the day, in which it could have been sold
    Column("cost", "number", required=False, nullable=True, minimum=0),  # money per unit that the shop buys
    Column("lead_time", "number", required=False, nullable=True, minimum=0),  # days from order to delivery
    SPLIT,
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


@dataclass
class Reading:
    """What is said of a table that the table itself may not tell."""

    columns: dict[str, str] = field(default_factory=dict)  # name in the contract -> name in the table
    day_first: bool | None = None  # the order of day and month, where no row tells
    encoding: str = ""  # of a file of text, such as shift_jis; "": told from its bytes

    def __post_init__(self) -> None:
        for name, other in self.columns.items():
            if not isinstance(other, str) or not other.strip():
                raise FieldError(f"columns.{name}", other, "the name of a column of the table")
        try:
            codecs.lookup(self.encoding or "utf-8")
        except (LookupError, ValueError):
            raise FieldError("encoding", self.encoding, "a name of Python's codecs, such as shift_jis") from None


class TableNote(UserWarning):
    """What was understood of a table that is not in the contract's own form: no error, and never in silence."""


def read(
    source: str | Path | pd.DataFrame,
    schema: Schema,
    key: bytes | None = None,
    day_first: bool | None = None,
    aliases: dict[str, str] | None = None,
    columns: dict[str, str] | None = None,
    encoding: str = "",
) -> pd.DataFrame:
    """Read a CSV, Excel or Parquet file or a DataFrame under a column contract.

    Columns that the contract does not name are dropped. Customer ids are replaced by pseudonyms under `key` (default:
    `privacy.default_key()`). Returns a new frame with the columns in the contract's order.

    Separator, encoding, decimal mark and the order of day and month are decided over the whole table. Each decision is
    a warning of the category TableNote, and is in the list `attrs["notes"]` of the frame. `day_first` decides where no
    row shows the order. `aliases` has other names of columns, alias -> name; the contract's own name takes precedence.
    `columns` has the table's own names: contract's name -> table's name. `encoding` is that of a text file.

    Raises ValueError naming the column, the first bad row, its value and what is expected. Rows are counted from 1,
    without a file's header.
    """
    names = [column.name for column in schema]
    own = columns or {}
    for name, other in own.items():
        if name not in names:
            raise FieldError(f"columns.{name}", other, f"one of the contract's columns, {', '.join(names)}", "here")
    frame = _load(source, [*names, *(aliases or {}), *own.values()], encoding)
    columns, notes = matched(frame, names, aliases or {}, own)
    notes = [*frame.attrs["notes"], *notes]
    for column in schema:
        if column.name not in columns and (column.required or column.name in own):
            found = ", ".join(map(str, frame.attrs["found"])) or "none"
            called = f"column {own.get(column.name, column.name)!r}"
            hint = f", or its name here as columns.{column.name}" + (f", or {column.instead}" if column.instead else "")
            raise ValueError(f"{called}: missing; expected {column.expected}{hint}. Columns found: {found}")
    numeric = [columns[column.name] for column in schema if column.kind == "number" and column.name in columns]
    expected = {column.name: column.expected for column in schema}
    try:
        mark, note = decimal_mark(numeric)
    except Undecided as error:
        row = frame.index[error.position] + 1
        raise ValueError(
            f"column {error.column!r}, row {row}: {error.words}; expected {expected[error.column]}"
        ) from None
    notes += [note] if note else []
    result = {}
    for column in schema:
        if column.name in columns:
            values = columns[column.name]
            result[column.name], note = _checked(values, column, key, mark, day_first)
            notes += [f"column {column.name!r}: {note}"] if note else []
    table = pd.DataFrame(result)
    _check_unique(table, [column.name for column in schema if column.unique])
    table = table.reset_index(drop=True)
    table.attrs["notes"] = notes
    if notes:
        warnings.warn(f"{frame.attrs['name']}: {'; '.join(notes)}", TableNote, stacklevel=2)
    return table


def _load(source: str | Path | pd.DataFrame, names: list[str], encoding: str) -> pd.DataFrame:
    """The asked columns and their file's `attrs` (see `files.load`), which a frame that came from there has already."""
    if isinstance(source, str | Path):
        return load(Path(source), names, encoding)
    if not isinstance(source, pd.DataFrame):
        raise ValueError(f"source is {type(source).__name__}; expected a path or a pandas DataFrame")
    if "found" in source.attrs:
        return source
    frame = source.loc[:, named(source.columns, names)].reset_index(drop=True)
    frame.attrs = {"name": "table", "found": list(source.columns), "notes": []}
    return frame


def matched(
    frame: pd.DataFrame, names: Sequence[str], aliases: dict[str, str], columns: dict[str, str] | None = None
) -> tuple[dict[str, pd.Series], list]:
    """The columns of a frame under `names`, as far as they are there, and notes.

    An exact name comes first, then the name in another case, then an alias (alias -> name). Where `columns` has the
    frame's name of a column (name -> the frame's) no other stands for it. Raises ValueError where two columns stand
    for one.
    """
    loose = [str(name).strip().casefold() for name in frame.columns]
    result, notes = {}, []
    for name in names:
        called = (columns or {}).get(name, name)
        other = [alias.casefold() for alias, of in aliases.items() if of == name == called]
        exact = [place for place, found in enumerate(frame.columns) if found == called]
        near = [place for place, found in enumerate(loose) if found == called.strip().casefold() and place not in exact]
        alias = [place for place, found in enumerate(loose) if found in other and place not in (*exact, *near)]
        chosen = exact or near or alias
        called = [frame.columns[place] for place in chosen]
        if len(exact) > 1:
            raise ValueError(f"column {name!r}: appears more than once; expected once")
        if len(chosen) > 1:
            raise ValueError(f"column {name!r}: {' and '.join(map(repr, called))} stand for it; expected one of them")
        if not chosen:
            continue
        result[name] = plain(frame.iloc[:, chosen[0]]).rename(name)
        if chosen is not alias and (called[0] != name):
            notes.append(f"column {called[0]!r} is read as {name!r}")
        unread = [frame.columns[place] for place in (*near, *alias) if place not in chosen]
        notes += [f"column {unused!r} is not read, as {called[0]!r} is there" for unused in unread]
    return result, notes


def splits(values: pd.Series) -> pd.Series:
    """Values of a column `split` under our names, `SPLITS`; None for what is no name of one."""
    names = {name: SPLIT_NAMES.get(str(name).strip().lower()) for name in values.dropna().unique()}
    return pd.Series([names.get(value) for value in values], index=values.index, name=values.name, dtype=object)


def _checked(
    values: pd.Series, column: Column, key: bytes | None, mark: str, day_first: bool | None
) -> tuple[pd.Series, str]:
    """The column's values as its kind has them, and a note."""
    note = ""
    try:
        if column.kind in ("day", "timestamp"):
            parsed, note = times(values, day_first)
        elif column.kind in ("text", "customer", "split"):
            parsed, note = stripped(id_text(values))
            parsed = splits(parsed) if column.kind == "split" else parsed
        else:
            parsed = numbers(values, mark) if column.kind == "number" else _booleans(values)
            sign = currency(values) if column.kind == "number" and values.dtype == object else ""
            note = f"the sign {sign} is left out" if sign else ""
    except Undecided as error:
        row = values.index[error.position] + 1
        settle = f"{column.expected}, or day_first=True or False"
        raise ValueError(f"column {column.name!r}, row {row}: {error.words}; expected {settle}") from None
    except (TypeError, ValueError) as error:  # unhashable objects, years beyond pandas' range
        raise ValueError(f"column {column.name!r}: {error}; expected {column.expected}") from error
    null = values.isna()
    if column.kind == "number":
        null |= values.isin(NO_NUMBER)
    elif column.kind == "text":
        null |= parsed.isna()
    elif column.kind == "customer":
        null, words = absent(parsed)
        parsed = parsed.mask(null, None)
        note = "; ".join(filter(None, (note, words)))
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
        note = "numbers are read with decimal commas" if column.kind == "number" and mark == "," else note
        beside = f" ({note})" if note else ""
        raise ValueError(
            f"column {column.name!r}, row {values.index[row] + 1}: {value}; expected {column.expected}{beside}"
        )
    if column.kind == "customer":
        parsed = pseudonymise(parsed, default_key() if key is None else key)
    if column.kind == "bool":
        parsed = parsed.astype("boolean" if parsed.isna().any() else bool)  # the former may be nothing
    return parsed, note


def shown(value: object) -> str:
    """A value of a table, as errors show it."""
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value!r:.80}"


def _booleans(values: pd.Series) -> pd.Series:
    if values.dtype == bool:
        return values
    codes, unique = pd.factorize(values)
    words = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
    table = [words.get(str(value).strip().lower(), np.nan) for value in unique]
    return pd.Series(np.array([*table, np.nan])[codes], index=values.index)


def _check_unique(table: pd.DataFrame, names: list[str]) -> None:
    if not names:
        return
    repeated = table.duplicated(names).to_numpy()
    if repeated.any():
        second = int(np.flatnonzero(repeated)[0])
        values = table[names].iloc[second]
        first = int(np.flatnonzero((table[names] == values).all(axis=1))[0])
        first, second = table.index[first], table.index[second]
        shown = ", ".join(str(value).removesuffix(" 00:00:00") for value in values)
        raise ValueError(
            f"columns {', '.join(map(repr, names))}, rows {first + 1} and {second + 1}: "
            f"both hold ({shown}); expected one row each"
        )
