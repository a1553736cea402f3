"""Checks of what users hand in: every error is a `FieldError` with the field, the value and what is allowed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import FieldError

LARGEST = 1e6  # units or money: float32 counts units exactly up to 1.6e7


def check_choice(name: str, value, allowed: Sequence[str]) -> None:
    """Raise a FieldError unless `value` is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise FieldError(name, value, "one of " + ", ".join(allowed))


def check_number(name: str, value, low: float, high: float, *, integer=False, exclusive=False, items=1) -> None:
    """Raise a FieldError unless `value` is a number in [low, high] (or (low, high]), or a list of `items` such.

    A list is allowed wherever `items` is more than one or the list has one entry; `integer` asks for whole numbers.
    """
    kind = "an integer" if integer else "a number"
    bound = f"{kind} {'>' if exclusive else '>='} {low:g}" + ("" if high == math.inf else f" and <= {high:g}")
    try:
        array = np.asarray(value)
        values = np.asarray([] if array.dtype.kind not in "iuf" else array, dtype=float)
    except (ValueError, OverflowError):
        values = np.empty(0)
    if values.ndim > 1 or values.size == 0 or (values.ndim == 1 and values.size != items):
        per_item = f" or a list of {items} (one per item)" if items > 1 else ""
        raise FieldError(name, value, bound + per_item)
    bad = ~((values > low if exclusive else values >= low) & (values <= high))
    if integer:
        bad |= values != np.round(values)
    if bad.any():
        raise FieldError(name, value if values.ndim == 0 else values[bad][0].item(), bound)


def check_flag(name: str, value) -> None:
    """Raise a FieldError unless `value` is a bool."""
    if not isinstance(value, bool):
        raise FieldError(name, value, "true or false")


def check_quantiles(value) -> None:
    """Raise a FieldError unless `value` is a list of increasing levels between 0 and 1, both excluded."""
    check_number("quantiles", value, 0, 1, exclusive=True, items=max(1, np.size(value)))
    if list(np.ravel(value)) != sorted(set(np.ravel(value))) or np.max(value) >= 1:
        raise FieldError("quantiles", value, "increasing numbers < 1")


def check_forecast(params, known: Mapping[str, tuple[int, ...]], items: int) -> None:
    """Raise a FieldError where `forecast="model"` meets a source without such quantiles (items, Q)."""
    wanted = (items, len(params.quantiles))
    if params.forecast == "model" and known.get("forecast") != wanted:
        given = known.get("forecast", "none")
        raise FieldError("forecast", params.forecast, f"a source with forecasts of shape {wanted}, not {given}")
