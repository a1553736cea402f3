"""Checks of checkpoints: one that the learner would not have written itself is refused."""

import copy
import math
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...errors import FieldError

WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, AssertionError)

Arrays = Mapping[str, np.ndarray]
SAME = {(a, b) for kinds in ("b", "iu", "f", "M", "m") for a in kinds for b in kinds}  # kinds of NumPy's types


@contextmanager
def reading(folder: Path):
    """Turn any error that a checkpoint's content causes into a FieldError that names its folder."""
    try:
        yield
    except FieldError:
        raise
    except WRONG as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise FieldError("checkpoint", str(folder), "one that this learner wrote", f"({said})") from error


def check_arrays(given: Arrays, own: Arrays, optional: tuple[str, ...] = ()) -> None:
    """Raise FieldError where arrays have another name, shape or kind than a learner's own, or are not finite.

    Args:
        given: of the checkpoint, by name.
        own: arrays such as they have to be.
        optional: names that need not be given.
    """
    for name, like in own.items():
        if name not in given and name in optional:
            continue
        array = given.get(name)
        if array is None or array.shape != like.shape or (array.dtype.kind, like.dtype.kind) not in SAME:
            found = None if array is None else f"{array.dtype} {array.shape}"
            raise FieldError(name, found, f"an array of {like.dtype}, shape {like.shape}")
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise FieldError(name, math.nan, "numbers")
    if more := sorted(set(given) - set(own)):
        raise FieldError(more[0], "an array", f"one of {', '.join(own)}")


def check_plain(name: str, given: Any, own: Any) -> None:
    """Raise FieldError where a value of plain types is not made as a learner's own: numbers, texts, lists, mappings."""
    if isinstance(own, Mapping) and isinstance(given, Mapping) and set(own) == set(given):
        parts = [(f".{key}", given[key], own[key]) for key in own]
    elif isinstance(own, list | tuple) and isinstance(given, list) and len(own) == len(given):
        parts = [(f"[{index}]", *pair) for index, pair in enumerate(zip(given, own, strict=True))]
    else:
        number = isinstance(own, int | float) and isinstance(given, int | type(own))
        if isinstance(own, bool) or isinstance(given, bool) or not number:
            fits = type(given) is type(own) and given == own
        else:
            fits = abs(cast("float", given)) < 2**53  # NaN is not
        if not fits:
            raise FieldError(name, given, f"such as {own!r}")
        return
    for key, inner, like in parts:
        check_plain(f"{name}{key}", inner, like)


def check_finite(tensors: Mapping[str, Any]) -> None:
    """Raise FieldError where a torch tensor of a network has a number that is not finite."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise FieldError(name, math.nan, "finite numbers")


def check_optimizer(optimizer) -> None:
    """Raise, as torch does, where an optimiser cannot step: what it remembers is not of its weights' shapes."""
    trial = copy.deepcopy(optimizer)
    for group in trial.param_groups:
        for weight in group["params"]:
            weight.grad = weight.detach().clone().zero_()
    trial.step()
