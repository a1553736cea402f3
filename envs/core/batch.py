"""What the three adapters share: a batch of episodes of one model, each with its own clock and scenario."""

import copy
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ...errors import FieldError
from .contract import Model
from .kernels import WARM, Stepper, check_kernel, installed
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
    """Return `state` with the rows where `rows` (num_envs,) is true taken from `fresh`; fields as in the dataclass.

    `fresh` has as many rows, or one.
    """

    def pick(old, new):
        if isinstance(old, tuple):
            return tuple(map(pick, old, new))
        return old if old is None else np.where(rows.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    return type(state)(*(pick(getattr(state, f.name), getattr(fresh, f.name)) for f in fields(state)))


def row_of(data, row: int):
    """Return the state or flow of one row, a batch of one: arrays (1, ...), as views."""
    if is_dataclass(data):
        return type(data)(*(row_of(getattr(data, f.name), row) for f in fields(data)))
    if isinstance(data, tuple):
        return tuple(row_of(part, row) for part in data)
    return None if data is None else data[row : row + 1]


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
        if not np.can_cast(packed[name].dtype, array.dtype, "same_kind"):
            raise FieldError(f"state.{name}", packed[name].dtype, f"{array.dtype}")
        if array.dtype.kind == "f" and np.isnan(packed[name]).any() and not np.isnan(array).any():
            raise FieldError(f"state.{name}", np.nan, "numbers")
    values = []
    for f in fields(template):
        old = getattr(template, f.name)
        if isinstance(old, tuple):
            values.append(tuple(packed[f"{f.name}.{i}"].copy() for i in range(len(old))))
        else:
            values.append(None if old is None else packed[f.name].copy())
    return type(template)(*values)


class Batch:
    """Episodes of a model, `num_envs` at a time, in NumPy or by the model's compiled kernel (see `kernels`)."""

    def __init__(self, model: Model, num_envs: int, kernel: str = "auto"):
        self.model, self.num_envs = model, num_envs
        self._wait = {"auto": WARM, "numpy": math.inf, "numba": 0}[check_kernel(kernel)]  # steps until it is loaded
        self._stepper: Stepper | None = None
        self._packed: np.ndarray | None = None  # the state, as the stepper has it
        self.keys = np.zeros((num_envs, 2), np.uint64)
        self.clock: int | np.ndarray = 0  # one number while all rows are in step, else (num_envs,)
        self._all = np.arange(num_envs)
        self.scenario: dict[str, np.ndarray] = {}
        self._state: Any = None  # None: not unpacked yet
        self._shock: dict[str, np.ndarray] | None = None  # the period's slice of the scenario, once it is cut

    @property
    def state(self) -> Any:
        """The state of all rows, before the period."""
        if self._state is None and self._packed is not None and self._stepper is not None:
            self._state = self._stepper.unpack(self._packed)
        return self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state, self._packed = state, None

    def reset(self, keys, rows: np.ndarray | None = None) -> None:
        """Start the episodes `keys` (n, 2) in all rows, or in those where `rows` (num_envs,) is true."""
        self._shock = None
        if rows is None or rows.all():
            self.keys, self.clock = as_keys(keys), 0
            self.scenario = self.model.scenarios(self.keys)
            self.state = self.model.initial(self.num_envs)
            return
        self._put(rows, keys, self.model.scenarios(keys), self.model.initial(self.num_envs), 0)

    def _put(self, rows: np.ndarray, keys, scenario: dict, state, clock) -> None:
        """Take over episodes in the rows where `rows` (num_envs,) is true."""
        self.keys[rows] = keys
        for name, block in self.scenario.items():
            if not block.flags.writeable:
                block = self.scenario[name] = block.copy()
            block[rows] = scenario[name]
        self.state = merge(self.state, state, rows)
        clock = np.where(rows, clock, self.clock)
        self.clock, self._shock = int(clock[0]) if (clock == clock[0]).all() else clock, None

    def row(self, row: int) -> "Batch":
        """Return the episode of one row, as it stands, in a batch of its own."""
        alone = Batch(self.model, 1)
        alone.keys = self.keys[row : row + 1].copy()
        alone.clock = int(np.broadcast_to(self.clock, (self.num_envs,))[row])
        alone.scenario = {name: block[row : row + 1].copy() for name, block in self.scenario.items()}
        alone.state = None if self.state is None else row_of(self.state, row)
        return alone

    def take_back(self, row: int, alone: "Batch") -> None:
        """Go on in a row with the episode of a batch of one: see `row`."""
        self._put(self._all == row, alone.keys, alone.scenario, alone.state, alone.clock)

    def clone(self) -> "Batch":
        """Return a batch that goes on exactly as this one does. Both share what neither changes in place."""
        other = copy.copy(self)
        other.keys, other.scenario = self.keys.copy(), dict(self.scenario)
        for block in self.scenario.values():
            block.flags.writeable = False  # whoever starts other episodes in some rows copies it first
        return other

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
        if self._packed is not None and self._stepper is not None:
            return self._stepper.observe(self._packed, self._now)
        return self.model.observation(self.state, self._now())

    def action_masks(self) -> np.ndarray:
        """Return which discrete actions make sense (num_envs, sum of the choices), where the model masks actions."""
        return self.model.action_masks(self.observe())

    def advance(self, state):
        """Take the state of the next period; returns whether episodes ended: one bool for all, or (num_envs,)."""
        self.state, self.clock, self._shock = state, self.clock + 1, None
        return self.clock == self.model.horizon

    def step(self, action):
        """Move one period on.

        Args:
            action: (num_envs, A) of `admit`.

        Returns:
            The flow, the money terms, the rewards (num_envs,) and whether episodes ended: one bool for all, or
            (num_envs,).
        """
        model = self.model
        state, flow = model.transition(self.state, action, self._now())
        ended = self.advance(state)
        terms = model.money(flow) if ended is False else model.terms(flow, self.state, ended)
        return flow, terms, model.reward(terms), ended

    def turn(self, action) -> tuple[Any, np.ndarray, Any, dict]:
        """Move one period on by actions as they were given: see `admit`.

        Returns:
            The flow (None: the kernel keeps none), the rewards (num_envs,), whether episodes ended: one bool for all,
            or (num_envs,), and the info by name, each (num_envs,).
        """
        played = self._by_kernel(action) if self._wait <= 0 else None
        if played is not None:
            packed, rewards, info, clipped = played
            self._state, self._packed, self._shock, self.clock = None, packed, None, self.clock + 1
            flow, ended = None, self.clock == self.model.horizon
        else:
            self._wait -= 1
            action, clipped = admit(self.model, action, self.num_envs)
            flow, terms, rewards, ended = self.step(action)
            info = self.model.info(flow, terms)
        info["clipped_actions"] = np.zeros(self.num_envs, int) if clipped is None else clipped
        return flow, rewards, ended, info

    def _by_kernel(self, action) -> tuple | None:
        """Return what the stepper says of a period; None where NumPy has to step it."""
        model, given = self.model, np.asarray(action)
        stepper = self._stepper or self._load()
        if stepper is None:
            return None
        fits = given.size == self.num_envs * len(model.action_low) and given.dtype.kind in "iuf"
        if not fits or (given.ndim == 2 and len(given) != self.num_envs) or not isinstance(self.clock, int):
            return None
        if not model.params.continuing and self.clock == model.horizon - 1:  # what is left is salvaged
            return None
        if self._packed is None:
            self._packed = stepper.pack(self._state)
        actions = np.ascontiguousarray(given, np.float64)
        return stepper.step(self._packed, actions, self.scenario, self.clock)

    def _load(self) -> Stepper | None:
        """Load the model's stepper where numba is installed and the model has one; never ask again where not."""
        self._stepper = self.model.stepper() if installed() else None
        if self._stepper is None:
            self._wait = math.inf
        return self._stepper

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return all that a later `load_state_dict` needs to go on exactly: plain arrays; scenarios are drawn again."""
        clock = np.broadcast_to(self.clock, (self.num_envs,))
        return {"keys": self.keys.copy(), "clock": clock.copy()} | {
            f"state.{name}": array.copy() for name, array in pack(self.state).items()
        }

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict` of the same model and number of environments (else a FieldError)."""
        keys, clock = arrays["keys"], arrays["clock"]
        if keys.shape != (self.num_envs, 2) or keys.dtype != np.uint64:
            raise FieldError("keys", f"{keys.dtype} {keys.shape}", f"uint64, shape ({self.num_envs}, 2)")
        if clock.shape != (self.num_envs,) or clock.dtype.kind not in "iu":
            raise FieldError("clock", f"{clock.dtype} {clock.shape}", f"integers, shape ({self.num_envs},)")
        if clock.min() < 0 or clock.max() > self.model.horizon:
            raise FieldError("clock", [clock.min(), clock.max()], f"periods from 0 to {self.model.horizon}")
        self.reset(keys)
        state = {name.removeprefix("state."): a for name, a in arrays.items() if name.startswith("state.")}
        self.state = unpack(self.state, state)
        self.clock, self._shock = int(clock[0]) if (clock == clock[0]).all() else clock.copy(), None
