"""Checks of what users hand in: every error is a `FieldError` with the field, the value and what is allowed.

The checks are also the data on what is allowed: `bounds_of` asks them, for docs, tests and the fuzz.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np

from ...errors import FieldError

LARGEST = 1e6  # units or money: float32 counts units exactly up to 1.6e7
EXACT = 2.0**24  # float32 counts whole units exactly up to here
LARGEST_EPISODE = 50_000_000  # numbers that one episode holds: 200 MB in float32, and a few times that while drawn


@dataclass(frozen=True)
class Bound:
    """What is allowed of a parameter."""

    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    exclusive: bool = False  # whether `low` itself is not allowed
    endless: bool = False  # whether inf is allowed beside [low, high]
    optional: bool = False  # whether None is allowed
    items: int = 1  # a list of so many is allowed in place of one number
    length: tuple[int, int] | None = None  # of a list, at least and at most; None: no list
    rising: bool = False  # of a list: strictly
    total: float | None = None  # of a list: what it sums to
    choices: tuple = ()  # in place of numbers

    def words(self) -> str:
        """Return what is allowed, as words: `a number >= 0 and <= 1`."""
        low = "" if self.low == -math.inf else f" {'>' if self.exclusive else '>='} {self.low:g}"
        high = "" if self.high == math.inf else f"{low and ' and'} <= {self.high:g}"
        return f"{'an integer' if self.integer else 'a number'}{low}{high}{', or inf' * self.endless}"


_asked: list[tuple[str, Bound]] | None = None  # what checks allow, while `bounds_of` listens


def bounds_of(params) -> dict[str, Bound]:
    """Return what is allowed of each parameter by its dotted name, such as `demand.mean`, as the checks say.

    Args:
        params: a dataclass that checks itself in `__post_init__`. What it allows may depend on its other values.
    """
    global _asked
    _asked, before = [], _asked
    try:
        _ask(params, "")
        asked = _asked
    finally:
        _asked = before
    bounds: dict[str, Bound] = {}
    for name, bound in asked:
        old = bounds.get(name, bound)  # of two checks both hold; the later one knows the number of items
        low, high = max(bound.low, old.low), min(bound.high, old.high)
        bounds[name] = replace(bound, low=low, high=high, exclusive=bound.exclusive or old.exclusive)
    return bounds


def _ask(params, prefix: str) -> None:
    """Let parameters check themselves, their groups first, each part of a dict under its own name."""
    for f in fields(params):
        value = getattr(params, f.name)
        if is_dataclass(value):  # its checks name the group themselves
            _ask(value, prefix)
        for key, part in value.items() if isinstance(value, dict) else ():
            if is_dataclass(part):
                _ask(part, f"{prefix}{f.name}.{key}.")
    start = len(_asked or ())
    replace(params)
    if _asked is not None:
        _asked[start:] = [(prefix + name, bound) for name, bound in _asked[start:]]


def _note(name: str, bound: Bound) -> Bound:
    if _asked is not None:
        _asked.append((name, bound))
    return bound


def check_choice(name: str, value, allowed: Sequence[str]) -> None:
    """Raise a FieldError unless `value` is one of `allowed`."""
    _note(name, Bound(choices=tuple(allowed)))
    if not isinstance(value, str) or value not in allowed:
        raise FieldError(name, value, "one of " + ", ".join(allowed))


def check_number(
    name: str, value, low: float, high: float, *, integer=False, exclusive=False, endless=False, optional=False, items=1
) -> None:
    """Raise a FieldError unless `value` is a number in [low, high] (or (low, high]), or a list of `items` such.

    A list is allowed wherever `items` is more than one or the list has one entry; `integer` asks for whole numbers,
    `endless` allows inf beside them, `optional` None.
    """
    _require(name, value, Bound(low, high, integer, exclusive, endless, optional, items))


def check_list(
    name: str, value, low: float, high: float, *, least=1, most=1000, exclusive=False, endless=False, rising=False,
    total: float | None = None,
) -> None:  # fmt: skip
    """Raise a FieldError unless `value` is a list of `least` to `most` numbers in [low, high] (or (low, high]).

    `rising` asks that each is larger than the one before it, `total` what they sum to (within 1e-6), `endless` allows
    inf beside the range.
    """
    bound = Bound(low, high, False, exclusive, endless, length=(least, most), rising=rising, total=total)
    try:
        size = len(value) if np.ndim(value) == 1 else -1
    except ValueError:  # lists of several lengths
        size = -1
    if least <= size <= most:
        if size:
            _require(name, value, replace(bound, items=size))
        rises = not rising or (np.diff(np.asarray(value, float)) > 0).all()
        if rises and (total is None or not size or abs(np.sum(value) - total) <= 1e-6):
            _note(name, bound)
            return
    _note(name, bound)
    order, sums = ", rising" * rising, "" if total is None else f", that sum to {total:g}"
    count = f"a list of {least}" if least == most else f"{least} to {most}"
    raise FieldError(name, value, f"{count} numbers{order}{sums}")


def _require(name: str, value, bound: Bound) -> None:
    """Raise a FieldError unless `value` is within the bound: a number, or a list of `bound.items`."""
    if bound.length is None:
        _note(name, bound)
    if value is None and bound.optional:
        return
    if type(value) is float or type(value) is int:  # what is most of them needs no array
        above = value > bound.low if bound.exclusive else value >= bound.low
        if above and value <= bound.high and (not bound.integer or value == math.inf or value == round(value)):
            return
    items, words = bound.items, bound.words()
    try:
        array = np.asarray(value)
        values = np.asarray([] if array.dtype.kind not in "iuf" else array, dtype=float)
    except (ValueError, OverflowError):
        values = np.empty(0)
    if values.ndim > 1 or values.size == 0 or (values.ndim == 1 and values.size != items):
        per_item = f" or a list of {items} (one per item)" if items > 1 else ""
        raise FieldError(name, value, words + per_item)
    bad = ~((values > bound.low if bound.exclusive else values >= bound.low) & (values <= bound.high))
    if bound.integer:
        bad |= values != np.round(values)
    if bound.endless:
        bad &= values != math.inf
    if bad.any():
        raise FieldError(name, value if values.ndim == 0 else values[bad][0].item(), words)


def check_flag(name: str, value) -> None:
    """Raise a FieldError unless `value` is a bool."""
    _note(name, Bound(choices=(False, True)))
    if not isinstance(value, bool):
        raise FieldError(name, value, "true or false")


def check_quantiles(value) -> None:
    """Raise a FieldError unless `value` is a list of increasing levels between 0 and 1, both excluded."""
    check_list("quantiles", value, 0, 1, exclusive=True, rising=True)
    if np.max(value) >= 1:
        raise FieldError("quantiles", value, "increasing numbers < 1")


def check_episode(field: str, value, numbers: float) -> None:
    """Raise a FieldError where an episode would hold more than `LARGEST_EPISODE` numbers, for their memory."""
    if numbers > LARGEST_EPISODE:
        raise FieldError(field, value, f"at most {LARGEST_EPISODE:,} numbers in an episode, not {numbers:.3g}", "here")


def check_forecast(params, known: Mapping[str, tuple[int, ...]], items: int) -> None:
    """Raise a FieldError where `forecast="model"` meets a source without such quantiles (items, Q)."""
    wanted = (items, len(params.quantiles))
    if params.forecast == "model" and known.get("forecast") != wanted:
        given = known.get("forecast", "none")
        raise FieldError("forecast", params.forecast, f"a source with forecasts of shape {wanted}, not {given}")
    if params.forecast == "model" and known.get("arrival", wanted) != wanted:
        raise FieldError("arrival", known["arrival"], f"quantiles of shape {wanted}, as in forecast")
