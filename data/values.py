"""Dates, numbers and missing ids as tables write them, each read by one rule for the whole column.

A rule that is not the contract's own form is said: the functions return the values and a note, "" for the plain form.
"""

import calendar
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

NO_ID = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "-1", "-1.0")  # words for "no id", in any case
NO_NUMBER = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")

CURRENCIES = "$£€¥₹"
_MONTHS = {name.lower(): month for month, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name[:3]: month for name, month in _MONTHS.items()} | {"sept": 9}
_DAY, _MONTH, _SPLIT = r"(?P<d>\d{1,2})(?:st|nd|rd|th)?\.?", r"(?P<m>[a-z]{3,9})\.?", "[ ./-]{1,4}"
_NAMED = [  # 3 Mar 2024, 03-MAR-24; March 3rd, 2024; 2024 Mar 3
    re.compile(f"{date}(?P<clock>[ t]\\d{{2}}:\\d{{2}}(?::\\d{{2}})?)?")
    for date in (
        rf"{_DAY}{_SPLIT}{_MONTH},?{_SPLIT}(?P<y>\d{{4}}|\d{{2}})",
        rf"{_MONTH}{_SPLIT}{_DAY}(?:, {{0,4}}|{_SPLIT})(?P<y>\d{{4}})",
        rf"(?P<y>\d{{4}}){_SPLIT}{_MONTH}{_SPLIT}{_DAY}",
    )
]
_ISO = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"
_CLOCK = r"(?:[ T]{1,4}(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(?: ?([AaPp])\.?[Mm]\.?)?)?"
_PARTS = r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})" + _CLOCK
_ZONE = re.compile(r"\d{1,2}:\d{2}\S{0,20}\s{0,4}(Z|[A-Z]{3,4}|[+-]\d{2}:?(\d{2})?)$")
_ORDERS = {"year first": (0, 1, 2), "day first": (2, 1, 0), "month first": (2, 0, 1)}  # places of year, month, day
_COUNTED = (  # what a number can be as a time: words, its bounds, unit, origin
    ("Excel's serial days (of 1900)", 2e4, 8e4, "D", "1899-12-30"),
    ("seconds since 1970 (UTC)", 3e8, 5e9, "s", "1970-01-01"),
    ("milliseconds since 1970 (UTC)", 3e11, 5e12, "ms", "1970-01-01"),
    ("microseconds since 1970 (UTC)", 3e14, 5e15, "us", "1970-01-01"),
    ("nanoseconds since 1970 (UTC)", 3e17, 5e18, "ns", "1970-01-01"),
)
_POINT = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?|[+-]?\.\d+")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d*)?|[+-]?,\d+")


class Undecided(ValueError):
    """A value that can be read in two ways, where no other row tells which. `position`: of its row, from 0."""

    def __init__(self, position: int, words: str, column: str | None = None):
        self.position, self.words, self.column = position, words, column
        super().__init__(words)


def plain(values: pd.Series) -> pd.Series:
    """The same values with NumPy's types: from Arrow's, and from pandas' text, whose gaps become None."""
    if isinstance(values.dtype, pd.ArrowDtype):
        array = values.array.__arrow_array__().to_pandas(integer_object_nulls=True)
        return pd.Series(np.asarray(array) if array.dtype == object else array.array, values.index, name=values.name)
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype(object).where(values.notna(), None)
    return values


def refuse_zone(values, name: str) -> None:
    """Raise ValueError where times have a zone: which day and hour it is would depend on who reads them."""
    if isinstance(getattr(values, "dtype", None), np.dtype) and values.dtype.kind == "M":
        return
    for row, value in enumerate(np.atleast_1d(np.asarray(values, dtype=object))):
        if getattr(value, "tzinfo", None) is not None or (isinstance(value, str) and _ZONE.search(value)):
            raise ValueError(
                f"column {name!r}, row {row + 1}: {str(value)!r} has a zone; "
                "expected a time without (dt.tz_localize(None) keeps the wall clock)"
            )


def absent(ids: pd.Series) -> tuple[pd.Series, str]:
    """Where ids are missing or a word for it (see NO_ID), bool, and a note.

    0 is no id either, unless the ids are numbered from 0: then 1 is among them.
    """
    codes, unique = pd.factorize(ids)
    words = [str(value).strip().lower() for value in unique]
    missing = np.array([word in NO_ID for word in words] + [True], dtype=bool)
    if not {"1", "1.0"} & set(words):
        missing[:-1] |= np.isin(words, ("0", "0.0"))
    mask = missing[codes]
    said = [f"{value!r}" for value, gone in zip(map(str, unique), missing, strict=False) if gone and value.strip()]
    count = int((mask & (codes >= 0)).sum())
    note = f"{count} rows with {' and '.join(said)} have no id" if said else ""
    return pd.Series(mask, index=ids.index), note


def stripped(values: pd.Series) -> tuple[pd.Series, str]:
    """Text without blanks around it, empty text as None, 7.0 as 7 where both are there.

    The note counts the ids that became another's.
    """
    codes, unique = pd.factorize(values)
    text = [value.strip().strip("\ufeff\u200b") if isinstance(value, str) else value for value in unique]
    known = set(text)
    text = [word[:-2] if isinstance(word, str) and word[-2:] == ".0" and word[:-2] in known else word for word in text]
    joined = len(unique) - len(set(text))
    result = pd.Series(np.array([*(word or None if isinstance(word, str) else word for word in text), None], object))
    result = pd.Series(result.to_numpy()[codes], index=values.index, name=values.name)
    note = f"{joined} values differ from others only by blanks around them or a final .0, and are read as the same"
    return result, note if joined else ""


def times(values: pd.Series, day_first: bool | None = None) -> tuple[pd.Series, str]:
    """Times of a column (datetime64[ns], NaT where a value is none) and a note.

    Text is year first, or day and month in the order that fits every row; numbers are 20240131, or days, seconds and
    so on, told by their size. `day_first` settles the order where no row does. Raises Undecided where that is open.
    """
    if values.dtype.kind == "M" and not isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.astype("datetime64[ns]"), ""
    codes, unique = pd.factorize(values)
    text = pd.Series([str(value).strip() for value in unique], dtype=object)
    named = text.map(_by_name)
    text = named.where(named.notna(), text)
    rows = np.bincount(codes[codes >= 0], minlength=len(text))
    iso, number = (_matches(text, pattern) for pattern in (_ISO, r"\d+(\.\d+)?([eE]\+?\d+)?"))
    parts = _matches(text, _PARTS)
    year = parts & _matches(text, r"\d{4}\D.*")
    kinds = {"iso": iso | year, "order": parts & ~year, "number": number}
    kind = max(kinds, key=lambda name: rows[kinds[name]].sum())  # the most rows; the others are then errors
    text = text.where(kinds[kind])
    if kind == "number":
        table, note = _counted(text)
    elif kind == "iso" and not (year & ~iso).any():
        table = pd.to_datetime(text, format="ISO8601", errors="coerce")
        note = "months are read by their English names" if named.notna().any() else ""
    elif kind == "iso":
        table, note = _in_order(text, "year first"), "dates are written year first, not all as YYYY-MM-DD"
    else:
        table, note = _ordered(text, day_first, codes)
    table = np.append(table.to_numpy("datetime64[ns]"), np.datetime64("NaT"))
    return pd.Series(table[codes], index=values.index), note


def _by_name(text: str) -> str | None:
    """A date with the English name of a month as YYYY-MM-DD, and its time of day; None where it is none."""
    found = next(filter(None, (form.fullmatch(text.lower()) for form in _NAMED)), None)
    if found is None or found["m"] not in _MONTHS:
        return None
    year = int(found["y"]) + (0 if len(found["y"]) == 4 else 1900 if int(found["y"]) >= 69 else 2000)  # as POSIX
    return f"{year}-{_MONTHS[found['m']]:02d}-{int(found['d']):02d}{(found['clock'] or '').upper()}"


def readings(values: pd.Series) -> dict[str, pd.Series]:
    """Order of day and month -> the times, for each order that fits all rows; {} where dates are not so written."""
    text = pd.Series([str(value).strip() for value in values.dropna().unique()], dtype=object)
    if not _matches(text, _PARTS).all() or _matches(text, r"\d{4}\D.*").any():
        return {}
    dates = {order: _in_order(text, order) for order in _ORDERS}
    return {order: read for order, read in dates.items() if read.notna().all()}


def _matches(text: pd.Series, pattern: str) -> np.ndarray:
    return text.str.fullmatch(pattern).fillna(False).to_numpy(bool) if len(text) else np.zeros(0, bool)


def _ordered(text: pd.Series, day_first: bool | None, codes: np.ndarray) -> tuple[pd.Series, str]:
    """Unique dates as text in the one order that fits them all; see `times`."""
    dates = {order: _in_order(text, order) for order in _ORDERS}
    given = {None: list(dates), True: ["day first"], False: ["month first"]}[day_first]
    fitting = max(dates[order].notna().sum() for order in given)
    fits = [order for order in given if dates[order].notna().sum() == fitting]
    order = fits[0]
    if fitting == text.notna().sum():  # else a row fits no order: it is the error
        for other in fits[1:]:
            differs = np.flatnonzero((dates[order] != dates[other]) & text.notna())
            if len(differs):
                row = int(np.flatnonzero(np.isin(codes, differs))[0])
                one, two = (f"{dates[name][codes[row]]:%Y-%m-%d} {name}" for name in (order, other))
                raise Undecided(row, f"{text[codes[row]]!r} is {one} and {two}, and no row tells which")
    proof = [text[dates[order].notna() & dates[other].isna()] for other in dates if other not in (order, "year first")]
    noted = "as asked" if day_first is not None else "as in every row"
    if day_first is None and len(proof) == 1 and len(proof[0]):
        noted = f"as {proof[0].iloc[0]!r} can be read in no other way"
    return dates[order], f"dates are read {order}, {noted}"


def _in_order(text: pd.Series, order: str) -> pd.Series:
    """Dates of three numbers in one order, NaT where there is no such day."""
    parts = text.str.extract(_PARTS)
    year, month, day = (parts[(0, 2, 3)[place]] for place in _ORDERS[order])
    short = year.str.len() == 2
    century = np.where(pd.to_numeric(year, errors="coerce") >= 69, "19", "20")  # as POSIX
    year = year.where(~short, century + year.fillna(""))
    good = (year.str.len() == 4) & (month.str.len() <= 2) & (day.str.len() <= 2)
    if order == "year first":
        good &= ~short | (parts[1] == "-")  # nobody writes 24.12.31 or 24/12/31 for a year's last day
    whole = (year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2)).where(good)
    dates = pd.to_datetime(whole, format="%Y-%m-%d", errors="coerce")
    clock = parts[4].where(parts[4].str.count(":") != 1, parts[4] + ":00")
    clock = pd.to_timedelta(clock.str.zfill(8), errors="coerce")
    half = parts[5].str.lower()
    hours = (half == "p").astype(int) - (half.notna() & (clock >= pd.Timedelta(hours=12))).astype(int)  # 12 AM is 0 h
    limit = pd.Timedelta(hours=13).to_timedelta64() if half.notna().any() else pd.Timedelta(days=1).to_timedelta64()
    good = parts[4].isna() | (clock < limit) | (half.isna() & (clock < pd.Timedelta(days=1)))
    clock = (clock + pd.to_timedelta(12 * hours, unit="h")).fillna(pd.Timedelta(0))
    return (dates + clock).where(good)


def _counted(text: pd.Series) -> tuple[pd.Series, str]:
    """Times that are numbers: what they count is told by the size of the middle one."""
    if _matches(text.dropna(), r"\d{8}").all():
        return pd.to_datetime(text, format="%Y%m%d", errors="coerce"), "dates are read as YYYYMMDD"
    number = pd.to_numeric(text)
    for words, low, high, unit, origin in _COUNTED:
        if low <= number.median() <= high:
            good = number.where((number >= low) & (number <= high))
            whole = (good % 1 == 0) | good.isna()
            if unit != "D" and whole.all():  # exact: floats hold no nanoseconds of today
                integer = [int(value) if value.isdigit() else int(float(value)) for value in text.fillna("0")]
                counted = pd.Series(pd.to_datetime(integer, unit=unit, errors="coerce")).where(good.notna())
            else:
                counted = pd.Timestamp(origin) + pd.to_timedelta(good, unit=unit)
                counted = counted.dt.round("s" if unit == "D" else "us")
            return counted, f"times are read as {words}"
    return pd.Series(pd.NaT, index=text.index), ""


def numbers(values: pd.Series, mark: str = ".") -> pd.Series:
    """Numbers of a column (float64, NaN where a value is none), text with the decimal mark "." or ","."""
    if values.dtype == bool or isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind in "mM":
        return pd.Series(np.nan, index=values.index)
    if values.dtype != object:
        return pd.to_numeric(values, errors="coerce").astype(float)
    truth = np.array([isinstance(value, bool) for value in values], dtype=bool)
    if mark == ",":
        text = values.map(lambda value: _digits(value, _COMMA, ".").replace(",", "."), na_action="ignore")
    else:
        text = values.map(lambda value: _digits(value, _POINT, ",") if isinstance(value, str) else value)
    return pd.to_numeric(text, errors="coerce").astype(float).mask(truth)


def _digits(value, form: re.Pattern, grouping: str) -> str:
    """The number's text without its thousands' marks; "" where a decimal comma is due and it is another form."""
    text = str(value).strip()
    packed = _packed(text)
    if form.fullmatch(packed):
        return packed.replace(grouping, "")
    return text if form is _POINT or not re.search(r"\d", text) else ""


def _packed(text: str) -> str:
    if text[-1:] in CURRENCIES or text.lstrip("+-")[:1] in CURRENCIES:
        text = re.sub(rf"^([+-]?)[{CURRENCIES}]\s*|\s*[{CURRENCIES}]$", r"\1", text, count=1)
    return re.sub(r"(?<=\d)[ \u00a0\u202f'](?=\d{3}(\D|$))", "", text)


def currency(values: pd.Series) -> str:
    """The sign of money beside a column's numbers, "" for none. Raises ValueError where they have several."""
    signs = {sign for value in values.unique() if isinstance(value, str) for sign in CURRENCIES if sign in value}
    if len(signs) > 1:
        raise ValueError(f"the signs {' and '.join(sorted(signs))} stand beside its numbers: which rate?")
    return "".join(signs)


def decimal_mark(columns: Sequence[pd.Series]) -> tuple[str, str]:
    """The decimal mark of the columns of numbers of one table, and a note.

    Decided by what can be read in one way alone, 4,5 or 4.5. Raises Undecided for 1,234 where nothing else tells.
    """
    tally, open_at = {".": 0, ",": 0}, None
    grouped = False
    for column in columns:
        if column.dtype != object:
            tally["."] += int(column.dtype.kind == "f")
            continue
        codes, unique = pd.factorize(column)
        rows = np.bincount(codes[codes >= 0], minlength=len(unique))
        for place, value in enumerate(unique):
            text = _packed(str(value).strip())
            point, comma = _POINT.fullmatch(text), _COMMA.fullmatch(text)
            if bool(point) != bool(comma):
                tally["." if point else ","] += rows[place]
            elif point and "," in text and open_at is None:
                open_at = (column, int(np.flatnonzero(codes == place)[0]), text)
            grouped |= bool(point) and "," in text
    if tally[","] > tally["."]:
        return ",", "numbers are read with decimal commas"
    if open_at and not tally["."]:
        column, row, text = open_at
        words = f"{text!r} is {text.replace(',', '.')} and {text.replace(',', '')}, and no row tells which"
        raise Undecided(row, words, column.name)
    return ".", "commas in numbers are read as marks of thousands" if grouped and tally["."] else ""
