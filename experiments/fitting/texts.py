"""Texts that `storelab fit` trains on: reviews and customers' questions, with what it measures and explains."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from ...data.contract import Reading
from ...data.sheets import write_csv
from ...envs.core.checks import check_choice, check_number
from ...errors import FieldError
from ...language import CLASSIFIERS
from ...language.self_training import self_train
from ...language.tables import held_rows
from .groups import Groups, of_texts

UNLABELLED = ("refuse", "leave_out", "self_training")  # what becomes of rows whose label is empty


@dataclass
class Texts(Reading):
    """Texts with labels: the column `split` says what is the test, else a permutation's last fifth is.

    A file's column `group`, of who wrote them, is what errors are told by too.
    """

    path: str = ""  # Parquet or CSV file; "": made up
    rows: int = 0  # training rows, the first of the split; 0: all
    examples: int = 0  # training rows per label, drawn by the seed; 0: all
    test_rows: int = 0  # the first of the split; 0: all
    unlabelled: str = "refuse"  # a file's rows whose label is empty: refuse, leave_out, self_training

    models: ClassVar = CLASSIFIERS
    figure: ClassVar = "accuracy"
    split: ClassVar = "The column `split`, else a permutation's last fifth is the test."
    use: ClassVar = "Reading texts of the same kind and language, in simulation and research."
    limits: ClassVar = "Other languages, topics and ways of writing were not measured."
    target: str = "positive"

    def __post_init__(self):
        super().__post_init__()
        for name in ("rows", "examples", "test_rows"):
            check_number(name, getattr(self, name), 0, 2**31 - 1, integer=True)
        check_choice("unlabelled", self.unlabelled, UNLABELLED)

    def load(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows that train, those of the split `validation` last, which calibrate alone; and rows of the test."""
        from ...language.evaluate import per_class
        from ...language.tables import read, split

        how = (self.columns, self.day_first, self.encoding, self.unlabelled != "refuse")
        table = read(self.path, *how) if self.path else self.made_up()
        train, test = split(table, held=True)
        for name, part in (("train", train), ("test", test)):
            if part.empty:
                raise ValueError(f"split: no row is {name!r}; expected rows of train and of test")
        if self.target not in train:
            raise FieldError("target", self.target, f"a column of the table, {', '.join(train.columns)}")
        train = train[: self.rows or None]
        if self.examples:
            train = train.iloc[per_class(train[self.target].tolist(), self.examples, seed)]
        train = pd.concat([train, held_rows(table)])
        train.attrs["unlabelled"] = table.attrs.get("unlabelled", [])
        return train, test[: self.test_rows or None]

    def train(self, model, data):
        train = data[0]
        held = range(len(train) - len(held_rows(train)), len(train))
        texts, labels, others = train["text"].tolist(), train[self.target].tolist(), train.attrs["unlabelled"]
        if others:
            print(f"dataset: {len(others)} rows without a label: {self.unlabelled}, beside {len(texts)} with one")
        if self.unlabelled != "self_training":
            return model.fit(texts, labels, held)
        return self_train(model, texts, labels, others, held)

    def figures(self, name: str, model, data) -> dict[str, dict[str, float]]:
        from ...language.evaluate import by_member

        return by_member(name, model, data[1]["text"].tolist(), data[1][self.target].tolist())

    def groups(self, name: str, model, data) -> Groups:
        test = data[1]
        group = test["group"].tolist() if "group" in test else None
        return of_texts(model, test["text"].tolist(), test[self.target].tolist(), group=group)

    def explain(self, model, data) -> pd.DataFrame:
        from ...language.text import has_words

        text = next(text for text in data[1]["text"] if has_words(text))
        (label,) = model.predict([text])
        rows = [(label, part.piece, part.value) for part in model.attribute(text, label)]
        return pd.DataFrame(rows, columns=["label", "piece", "log-odds"])


@dataclass
class Reviews(Texts):
    """Reviews with `positive` (0, 1) or stars."""

    target: str = "positive"  # positive, stars

    def __post_init__(self):
        super().__post_init__()
        if self.target not in ("positive", "stars"):
            raise FieldError("target", self.target, "positive or stars")

    def more(self, model, data) -> dict[str, bytes]:
        """What the test rows say of which aspect, by item and over months, as far as they have items and days: a table
        and a picture of each, by name of the file."""
        from ...language.aspects import picture, report

        test, files = data[1], {}
        if self.target != "positive" or "item" not in test:
            return files
        dated = "date" in test and test["date"].notna().any()
        for name, rows, period in (
            ("by_item", test, ""),
            ("by_month", test[test["date"].notna()] if dated else test[:0], "M"),
        ):
            if len(rows):
                shares = report(model, rows.reset_index(drop=True), period=period)
                files |= {f"{name}.csv": write_csv(shares, index=False), f"{name}.png": picture(shares)}
        return files

    def made_up(self) -> pd.DataFrame:
        from ...language.synthetic import synthetic_reviews

        return synthetic_reviews(1000)


@dataclass
class Questions(Texts):
    """Customers' questions with their intents."""

    target: str = "intent"  # intent alone
    writer: str = ""  # generative checkpoint that words help pages where the model is served; "": they are quoted

    def __post_init__(self):
        super().__post_init__()
        if self.target != "intent":
            raise FieldError("target", self.target, "intent")

    def made_up(self) -> pd.DataFrame:
        from ...language.answers import read_answers

        texts, intents = read_answers().examples()
        return pd.DataFrame({"text": texts, "intent": intents})
