"""Whom to win back: vouchers by mail, and what they earn."""

from dataclasses import dataclass

import numpy as np

from ..errors import FieldError
from .histories import AHEAD, Samples
from .synthetic import Customers


@dataclass
class Campaign:
    """A mailing to customers, with its costs. A voucher is used at a customer's next purchase."""

    mail: float = 1.0  # money per letter
    voucher: float = 8.0  # money off a purchase
    margin: float = 0.35  # share of an amount that is profit
    returns: float = 0.2  # share of customers who had left that a voucher brings back

    def __post_init__(self):
        for name, high in (("mail", np.inf), ("voucher", np.inf), ("margin", 1.0), ("returns", 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
                raise FieldError(name, value, f"a number from 0 to {high:g}")

    def expected(self, rows: Samples, churn: np.ndarray) -> np.ndarray:
        """Return what a letter to each customer (N,) is expected to earn, money, by a probability of churn (N,).

        A customer who churns and returns buys once with the voucher and then at the rate of before; one who stays
        uses it on a purchase that would have been made anyway.
        """
        count, tenure, amount = (rows.feature(name).astype(float) for name in ("count", "tenure", "mean_amount"))
        gain = self.returns * (self._kept(amount, count / np.maximum(tenure, 30.0)) - self.voucher)
        return churn * gain - (1 - churn) * self.voucher - self.mail

    def earned(self, truth: Customers, names: np.ndarray, day: float) -> np.ndarray:
        """Return what a letter to each customer (N,) earns in truth, money, expected on a day since the first event."""
        number = np.array([int(name[1:]) for name in names])
        staying, rate = truth.staying(day + truth.first)[number], truth.rate[number]
        back = self.returns * (self._kept(truth.amount[number], rate) - self.voucher)
        stays = (1 - np.exp(-rate * AHEAD)) * self.voucher
        return np.where(staying, -stays, back) - self.mail

    def _kept(self, amount: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Profit of a returned customer in the 90 days: one purchase, and the usual ones of half of the time."""
        return self.margin * amount * (1 + rate * AHEAD / 2)
