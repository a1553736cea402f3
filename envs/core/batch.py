"""What the three adapters share: a batch of episodes of one model, each with its own clock and scenario."""

import math
from dataclasses import fields
from typing import Any

import numpy as np

from ...errors import FieldError
from .contract import Model
from .random import as_keys


def admit(model: Model, action, num_envs: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Apply the one rule for actions: finite values outside the space are clipped to it, all else raises.

    Args:
        model: gives `action_low` and `action_high` (A,), and `action_space`.
        action: numbers, `num_envs` x A of them.
        num_envs: rows.

    Returns:
        The actions (num_envs, A) float32 inside the space (integers for discrete spaces, rounded), and how many were
        clipped in each row (num_envs,), or None where none was.

    Raises:
        FieldError: another shape, or a value that is no finite number; it names the row, the column and the value.
    """
    size = len(model.action_low)
    try:
        given = np.asarray(action)
        if given.size == num_envs * size == 1 and given.dtype.kind in "iuf":  # the fast path of a single small store
            value, (low, high, whole) = given.item(), model.first_bounds
            if low <= value <= high:
                return np.array([[math.floor(value + 0.5) if whole else value]], np.float32), None
        action = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise FieldError("action", action, f"{size} finite numbers per row") from None
    if action.size != num_envs * size or (action.ndim == 2 and len(action) != num_envs):
        raise FieldError("action", action.shape, f"shape ({num_envs}, {size})")
    if action.ndim != 2:
        action = action.reshape(num_envs, size)
    inside = np.minimum(np.maximum(action, model.action_low), model.action_high)
    changed = inside != action  # true for NaN as well
    clipped = None
    if np.count_nonzero(changed):
        bad = ~np.isfinite(action)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise FieldError(f"action[{row}, {column}]", float(action[row, column]), "a finite number")
        clipped = changed.sum(axis=1)
    if given.dtype.kind == "f" and model.action_space.dtype.kind == "i":
        inside = np.floor(inside + 0.5)
    return inside.astype(np.float32), clipped


def merge(state, fresh, rows: np.ndarray):
    """Return `state` with the rows where `rows` (num_envs,) is true taken from `fresh`; fields as in the dataclass."""

    def pick(old, new):
        if isinstance(old, tuple):
            return tuple(map(pick, old, new))
        return old if old is None else np.where(rows[:, None], new, old)

    return type(state)(*(pick(getattr(state, f.name), getattr(fresh, f.name)) for f in fields(state)))


def pack(state) -> dict[str, np.ndarray]:
    """Return a state's arrays by name, tuples numbered (`pipeline.0`, ...): what a checkpoint holds."""
    packed = {}
    for f in fields(state):
        value = getattr(state, f.name)
        if isinstance(value, tuple):
            packed.update({f"{f.name}.{i}": array for i, array in enumerate(value)})
        elif value is not None:
            packed[f.name] = value
    return packed


def unpack(template, packed: dict[str, np.ndarray]):
    """Return a state like `template` with the arrays of `pack`. Raises a FieldError that names a wrong array."""
    for name, array in pack(template).items():
        if name not in packed or packed[name].shape != array.shape:
            given = packed[name].shape if name in packed else None
            raise FieldError(f"state.{name}", given, f"an array of shape {array.shape}")
    values = []
    for f in fields(template):
        old = getattr(template, f.name)
        if isinstance(old, tuple):
            values.append(tuple(packed[f"{f.name}.{i}"].copy() for i in range(len(old))))
        else:
            values.append(None if old is None else packed[f.name].copy())
    return type(template)(*values)


class Batch:
    """Episodes of a model, `num_envs` at a time, in NumPy."""

    def __init__(self, model: Model, num_envs: int):
        self.model, self.num_envs = model, num_envs
        self.keys = np.zeros((num_envs, 2), np.uint64)
        self.clock: int | np.ndarray = 0  # one number while all rows are in step, else (num_envs,)
        self._all = np.arange(num_envs)
        self.scenario: dict[str, np.ndarray] = {}
        self.state: Any = None
        self._shock: dict[str, np.ndarray] | None = None  # the period's slice of the scenario, once it is cut

    def reset(self, keys, rows: np.ndarray | None = None) -> None:
        """Start the episodes `keys` (n, 2) in all rows, or in those where `rows` (num_envs,) is true."""
        self._shock = None
        if rows is None or rows.all():
            self.keys, self.clock = as_keys(keys), 0
            self.scenario = self.model.scenarios(self.keys)
            self.state = self.model.initial(self.num_envs)
            return
        self.keys[rows] = keys
        fresh = self.model.scenarios(keys)
        for name, block in self.scenario.items():
            if not block.flags.writeable:
                block = self.scenario[name] = block.copy()
            block[rows] = fresh[name]
        self.state = merge(self.state, self.model.initial(self.num_envs), rows)
        clock = np.where(rows, 0, self.clock)
        self.clock = int(clock[0]) if (clock == clock[0]).all() else clock

    def restart(self, rows: np.ndarray) -> None:
        """Start the next episode in the rows where `rows` is true: key (seed, k) becomes (seed, k + 1)."""
        self.reset(self.keys[rows] + np.array([0, 1], np.uint64), rows)

    def _now(self) -> dict[str, np.ndarray]:
        """Return the period's slice of the scenarios, cut once for the observation and the step after it."""
        if self._shock is None:
            rows = slice(None) if isinstance(self.clock, int) else self._all
            self._shock = {name: block[rows, self.clock] for name, block in self.scenario.items()}
        return self._shock

    def observe(self) -> np.ndarray:
        """Return the observations (num_envs, F)."""
        return self.model.observation(self.state, self._now())

    def action_masks(self) -> np.ndarray:
        """Return which discrete actions make sense (num_envs, sum of the choices), where the model masks actions."""
        return self.model.action_masks(self.observe())

    def step(self, action):
        """Move one period on.

        Args:
            action: (num_envs, A) of `admit`.

        Returns:
            The flow, the money terms, the rewards (num_envs,) and whether episodes ended: one bool for all, or
            (num_envs,).
        """
        model = self.model
        self.state, flow = model.transition(self.state, action, self._now())
        self.clock, self._shock = self.clock + 1, None
        ended = self.clock == model.horizon
        terms = model.money(flow) if ended is False else model.terms(flow, self.state, ended)
        return flow, terms, model.reward(terms), ended

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return all that a later `load_state_dict` needs to go on exactly: plain arrays; scenarios are drawn again."""
        clock = np.broadcast_to(self.clock, (self.num_envs,))
        return {"keys": self.keys.copy(), "clock": clock.copy()} | {
            f"state.{name}": array.copy() for name, array in pack(self.state).items()
        }

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict` of the same model and number of environments (else a FieldError)."""
        if arrays["keys"].shape != (self.num_envs, 2):
            raise FieldError("keys", arrays["keys"].shape, f"shape ({self.num_envs}, 2)")
        self.reset(arrays["keys"])
        state = {name.removeprefix("state."): a for name, a in arrays.items() if name.startswith("state.")}
        self.state = unpack(self.state, state)
        clock = arrays["clock"]
        self.clock, self._shock = int(clock[0]) if (clock == clock[0]).all() else clock.copy(), None
