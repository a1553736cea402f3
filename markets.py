"""Markets that a store sells in: currency, value-added tax, duty, delivery and language; for data and environments.

What a customer pays, the gross price, is the net price with duty on it and value-added tax on both (delivered duty
paid; the tax's base is goods and duty, as in the EU's VAT Directive 2006/112/EC, articles 85 and 86). Whatever has no
currency beside it is in the store's own: home money.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from .errors import FieldError

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Market:
    """A country that the store sells to."""

    name: str
    currency: str = "GBP"  # ISO 4217
    rate: float = 1.0  # home money for one unit of the currency, at the start
    vat: float = 0.0  # value-added or sales tax, share of goods and duty
    duty: float = 0.0  # share of the net price
    days: float = 0.0  # of delivery, more than at home
    postage: float = 0.0  # home money per unit sent there, beside the tour
    volatility: float = 0.0  # standard deviation of a day's change of the log of the rate
    language: str = "en"  # of its reviews and tickets: one of LANGUAGES

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.strip():
            raise FieldError("markets.name", self.name, "a name")
        code = self.currency
        if not (isinstance(code, str) and len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
            raise FieldError(f"markets.{self.name}.currency", code, "three capital letters (ISO 4217)")
        if self.language not in LANGUAGES:
            raise FieldError(f"markets.{self.name}.language", self.language, f"one of {', '.join(LANGUAGES)}")
        for name, high in (("vat", 1), ("duty", 2), ("days", 60), ("postage", 1e6), ("volatility", 0.1)):
            self._check(name, 0, high)
        self._check("rate", 1e-9, 1e9)

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high:
            raise FieldError(f"markets.{self.name}.{name}", value, f"a number from {low:g} to {high:g}")

    @property
    def factor(self) -> float:
        """Return the gross price over the net price."""
        return (1 + self.duty) * (1 + self.vat)

    def taxes(self, net):
        """Return the duty and the value-added tax on net prices or revenue, money of the same kind each."""
        return net * self.duty, net * (1 + self.duty) * self.vat


# A shop for clothes in Great Britain. Taxes are standard rates, duties near the tariffs of cotton T-shirts (heading
# 6109), the US tax near the mean of the states' sales taxes; rates of exchange, days and postage are round figures.
# Examples, no advice on taxes.
MARKETS = {
    market.name: market
    for market in (
        Market("gb", "GBP", 1.0, 0.20),
        Market("ie", "EUR", 0.85, 0.23, 0.12, 3, 2.0, 0.004),
        Market("us", "USD", 0.78, 0.07, 0.165, 5, 3.0, 0.006),
        Market("au", "AUD", 0.52, 0.10, 0.05, 8, 4.0, 0.006),
        Market("cn", "CNY", 0.11, 0.13, 0.06, 7, 3.0, 0.005, "zh"),
    )
}


def markets_of(given: Sequence[Any]) -> list[Market]:
    """Return markets from names of `MARKETS`, dicts of `Market`'s fields, or themselves; the first one is home.

    Raises:
        FieldError: what is none of these, a value out of its bounds, or a name twice.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise FieldError("markets", given, f"a list of names ({', '.join(MARKETS)}) or of a market's fields")
    found = [_market(one) for one in given]
    names = [market.name for market in found]
    for name in names:
        if names.count(name) > 1:
            raise FieldError("markets", name, "each market once")
    return found


def _market(given: Any) -> Market:
    if isinstance(given, Market):
        return given
    if isinstance(given, str):
        if given not in MARKETS:
            near = get_close_matches(given, MARKETS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise FieldError("markets", given, f"one of {', '.join(MARKETS)}, or a market's fields{hint}")
        return MARKETS[given]
    known = [field.name for field in fields(Market)]
    if not isinstance(given, dict) or "name" not in given:
        raise FieldError("markets", given, f"a name, or the fields of a market: {', '.join(known)}")
    for name in given:
        if name not in known:
            raise FieldError(f"markets.{given['name']}.{name}", given[name], f"one of {', '.join(known)}")
    return Market(**given)
