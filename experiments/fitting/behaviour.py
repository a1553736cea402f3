"""Customers' purchases as a dataset of `storelab fit`: what they do next, and whom it pays to win back."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ...customers import BEHAVIOUR_MODELS
from ...data.contract import Reading
from ...data.sheets import write_csv
from ...envs.core.checks import check_number
from .groups import Groups, by_group, thirds


@dataclass
class CustomerEvents(Reading):
    """Purchases of made-up customers, each seed other ones, or a file's: customer, timestamp, category, amount, rating.

    A file may do without `rating`. Told are the 90 days after a day: the next category, its rating, churn and spend.
    """

    path: str = ""  # CSV, Excel or Parquet file; "": made-up customers
    customers: int = 2000
    days: int = 730

    models: ClassVar = BEHAVIOUR_MODELS
    figure: ClassVar = "churn, AUC"
    split: ClassVar = (
        "By time: the last 90 days are told in the test, the 90 days before them validate, training days end earlier."
    )
    use: ClassVar = "Ranking whom to win back, in simulation and research."
    limits: ClassVar = "Takes no purchase in 90 days for having left. Not for decisions about people."

    def __post_init__(self):
        super().__post_init__()
        check_number("customers", self.customers, 10, 1_000_000, integer=True)
        check_number("days", self.days, 400, 10_000, integer=True)

    def load(self, seed: int) -> tuple:
        """Return training, validation and test samples, and the categories."""
        from ...customers import CustomerParams, generate, read_events
        from ...customers.evaluate import split

        if self.path:
            events = read_events(self.path, self.columns or None)
        else:
            events = generate(CustomerParams(customers=self.customers, days=self.days, seed=seed)).events
        training, validation, test, categories = split(events)
        for name, samples in (("training", training), ("validation", validation), ("test", test)):
            if len(np.unique(samples.target["churn"])) < 2:
                raise ValueError(f"{name}: all customers buy within 90 days, or none does; expected some of either")
        return training, validation, test, categories

    def train(self, model, data):
        training, validation, _, categories = data
        return model.fit(training, validation, categories)

    def figures(self, name: str, model, data) -> dict[str, dict[str, float]]:
        from ...customers.evaluate import figures
        from ...customers.trees import rules

        training, _, test, categories = data
        told = {name: model.predict(test), "rules": rules(training, test, len(categories))}
        return {key: figures(answer, test) for key, answer in told.items()}

    def groups(self, name: str, model, data) -> Groups:
        test = data[2]
        error = np.abs(model.predict(test)["churn"] - test.target["churn"])
        count, recency = test.feature("count"), test.feature("recency")
        return by_group({"error": error}, thirds(count, "purchases"), thirds(recency, "days since the last"))

    def more(self, model, data) -> dict[str, bytes]:
        """Return `win_back.csv`: customers by what a letter with a voucher is expected to earn (`Campaign`), money."""
        from ...customers import Campaign

        test = data[2]
        churn = model.predict(test)["churn"]
        table = pd.DataFrame({"customer": test.customer, "churn": churn, "worth": Campaign().expected(test, churn)})
        table = table.sort_values("worth", ascending=False, kind="stable").round({"churn": 4, "worth": 2})
        return {"win_back.csv": write_csv(table, index=False)}

    def explain(self, model, data) -> pd.DataFrame:
        """Of the customer most likely to churn: what it would be without each of the purchases."""
        test = data[2]
        churn = model.predict(test)["churn"]
        row = int(churn.argmax())
        shown = np.flatnonzero(~test.absent[row])
        one = _take(test, np.full(len(shown), row))
        one.absent[np.arange(len(shown)), shown] = len(shown) > 1  # of a single purchase nothing would be left
        ago = np.expm1(test.tokens[row, shown, 0] + 3)
        without = model.predict(one)["churn"]
        columns = {"purchase, days ago": np.round(ago, 1), "churn": np.full(len(shown), churn[row])}
        return pd.DataFrame(columns | {"churn without it": without})


def _take(samples: Any, rows: np.ndarray) -> Any:
    """Return some rows of samples, as copies."""
    arrays = ("customer", "day", "tokens", "category", "absent", "table")
    target = {name: values[rows] for name, values in samples.target.items()}
    return replace(samples, target=target, **{name: getattr(samples, name)[rows] for name in arrays})
