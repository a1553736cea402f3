"""How good scores of fraud are: ranking, a budget of reviews, money, calibration, and for which customers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import FieldError
from ..learning.base import needs
from .synthetic import DAY


@dataclass
class Costs:
    """What fraud and its review cost. Declined payments and what is reviewed lose nothing but the review."""

    review: float = 5.0  # money per transaction that a person looks at
    fee: float = 15.0  # money per fraud that goes through, beside its amount

    def at_stake(self, amount: np.ndarray, declined: np.ndarray) -> np.ndarray:
        """Money (n,) lost if a transaction is a fraud and goes through."""
        return (amount + self.fee) * ~np.asarray(declined, bool)

    def worth_review(self, probability: np.ndarray, amount: np.ndarray, declined: np.ndarray) -> np.ndarray:
        """The rule of least expected cost (Elkan 2001, IJCAI; per transaction): the threshold falls with the amount."""
        return probability * self.at_stake(amount, declined) > self.review

    def total(self, reviewed: np.ndarray, fraud: np.ndarray, amount: np.ndarray, declined: np.ndarray) -> float:
        """Money for reviews and for fraud that went through, per 1,000 transactions."""
        lost = self.at_stake(amount, declined) * (fraud & ~reviewed)
        return float(1000 * (self.review * reviewed + lost).mean())


def threshold_of_least_cost(
    costs: Costs, probability: np.ndarray, fraud: np.ndarray, amount: np.ndarray, declined: np.ndarray
) -> float:
    """The one threshold, the same for all amounts, above which reviewing would have cost least on these rows (n,)."""
    order = np.argsort(-probability, kind="stable")
    saved = (costs.at_stake(amount, declined) * fraud - costs.review)[order]
    best = int(np.argmax(np.r_[0.0, np.cumsum(saved)]))
    return float(probability[order][best]) if best < len(order) else -1.0


def average_precision(fraud: np.ndarray, score: np.ndarray) -> float:
    """Area under precision by recall, AUPRC, as average precision (no interpolation); NaN where there is no fraud."""
    if not np.any(fraud):
        return np.nan
    return float(needs("sklearn.metrics", "risk").average_precision_score(fraud, score))


def within_budget(score: np.ndarray, time: np.ndarray, budget: float) -> np.ndarray:
    """Which transactions (n,) are reviewed where each day the share `budget` with the highest scores is (rounded up).

    Ties go to the earlier one. Raises ValueError unless 0 < budget <= 1.
    """
    if not 0 < budget <= 1:
        raise FieldError("budget", budget, "a share above 0, up to 1")
    day = np.asarray(time) // DAY
    order = np.lexsort((np.arange(len(day)), -np.asarray(score), day))
    begins = np.searchsorted(day[order], day[order], side="left")
    ends = np.searchsorted(day[order], day[order], side="right")
    chosen = np.empty(len(day), bool)
    chosen[order] = np.arange(len(day)) - begins < np.ceil(budget * (ends - begins) - 1e-9)
    return chosen


def calibration_error(fraud: np.ndarray, probability: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins that hold equally many of the expected frauds.

    Bins of equally many rows would be nine of transactions that nobody suspects.
    """
    order = np.argsort(probability, kind="stable")
    mass = np.cumsum(probability[order])
    bin_of = np.minimum((bins * mass / mass[-1]).astype(int), bins - 1)
    gaps = np.bincount(bin_of, (probability - fraud)[order], bins)
    return float(np.abs(gaps).sum() / fraud.sum())


def by_group(group: np.ndarray, fraud: np.ndarray, reviewed: np.ndarray) -> pd.DataFrame:
    """Per group: transactions, frauds, recall, and the share of honest ones that are reviewed (false alarms)."""
    rows = pd.DataFrame({"group": group, "fraud": fraud, "caught": fraud & reviewed, "alarm": ~fraud & reviewed})
    table = rows.groupby("group").agg(transactions=("fraud", "size"), frauds=("fraud", "sum"), caught=("caught", "sum"))
    alarms = rows.groupby("group")["alarm"].sum()
    table["recall"] = table.pop("caught") / table["frauds"].replace(0, np.nan)
    table["false_alarms"] = alarms / (table["transactions"] - table["frauds"]).replace(0, np.nan)
    return table
