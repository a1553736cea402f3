"""Checks of what users hand in: every error names the field, the value and what is allowed."""

import math
from collections.abc import Sequence

import numpy as np


def _refuse(name: str, value, expected: str):
    raise ValueError(f"{name}: {value!r} is not allowed, expected {expected}")


def check_choice(name: str, value, allowed: Sequence[str]) -> None:
    """Raise a ValueError unless `value` is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        _refuse(name, value, "one of " + ", ".join(allowed))


def check_number(name: str, value, low: float, high: float, *, integer=False, exclusive=False, items=1) -> None:
    """Raise a ValueError unless `value` is a number in [low, high] (or (low, high]), or a list of `items` such.

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
        _refuse(name, value, bound + per_item)
    bad = ~((values > low if exclusive else values >= low) & (values <= high))
    if integer:
        bad |= values != np.round(values)
    if bad.any():
        _refuse(name, value if values.ndim == 0 else values[bad][0].item(), bound)


def check_flag(name: str, value) -> None:
    """Raise a ValueError unless `value` is a bool."""
    if not isinstance(value, bool):
        _refuse(name, value, "true or false")
