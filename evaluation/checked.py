"""Checks of what a policy returns: one error with its name, what it returned, and the action space."""

import traceback
from pathlib import Path

import numpy as np

from ..envs.core.contract import Model, Policy
from ..errors import FieldError, Unavailable


def checked(name: str, act: Policy, model: Model) -> Policy:
    """Return a policy that checks what `act` returns.

    Finite actions outside the space pass; they are clipped to it and counted, as everywhere. `act` gets copies of the
    observations and may change them.

    Args:
        name: of the policy, for the error.
        act: `act(observation, policy_state, seed) -> (action, policy_state)`.
        model: has the action space.

    Raises:
        FieldError: when the policy is called, if `act` raised, returned no pair, or no finite numbers (n, A) for
            observations (n, F). (n,) is allowed if A is 1.
    """
    field, size = f"policy {name}", len(model.action_low)

    def play(observation, policy_state, seed: int):
        rows = len(observation)
        expected = f"actions ({rows}, {size}) of {space_line(model)} at observations {observation.shape}"
        try:
            returned = act(observation.copy(), policy_state, seed)
        except Unavailable:  # not the policy's own fault
            raise
        except Exception as error:
            shown = _Shown(f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise FieldError(field, shown, expected, f"(raised at {_place(error)})") from error
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise FieldError(field, returned, "a pair (actions, policy_state)", "as what it returned")
        action, kept = returned
        try:
            array = np.asarray(action)
        except Exception as error:  # whatever library's array it is
            raise FieldError(field, action, expected, f"as its actions ({error})") from error
        if array.dtype.kind not in "biuf":
            shown = action if array.ndim == 0 else array.ravel()[0] if array.size else array.dtype
            raise FieldError(field, shown, expected, "as an action")
        if array.shape != (rows, size) and not (size == 1 and array.shape == (rows,)):
            raise FieldError(field, array.shape, expected, "as the shape of its actions")
        bad = ~np.isfinite(array)
        if bad.any():
            at = tuple(int(place) for place in np.argwhere(bad)[0])
            raise FieldError(field, float(array[at]), expected, f"as an action (row {at[0]})")
        return array.reshape(rows, size), kept

    return play


def space_line(model: Model) -> str:
    """Return a model's action space in a line, such as `Box from 0 to 60`."""
    kind = type(model.action_space).__name__
    low, high = (_bound(end) for end in (model.action_low, model.action_high))
    return f"{kind} from {low} to {high}"


def _bound(end: np.ndarray) -> str:
    low, high = float(end.min()), float(end.max())
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"


def _place(error: BaseException) -> str:
    """The file and line that raised, in the caller's code rather than in a library that it calls."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in frames[:0:-1] if "site-packages" not in frame.filename), frames[-1])
    return f"{Path(last.filename).name}:{last.lineno}"


class _Shown(str):
    """Text that is shown without quotes."""

    def __repr__(self) -> str:
        return str(self)
