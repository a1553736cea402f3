"""A model as `gymnasium.vector.VectorEnv`: one batch, with the interface of Gymnasium's own vector environments."""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ...errors import FieldError
from .adapters import Made, StoreEnv, check_options, seed_or_entropy
from .batch import Batch, row_of
from .contract import RENDERING, Model

RENDER_MODES = ["rgb_array", "ansi"]


class StoreVectorEnv(Made, gym.vector.VectorEnv):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Many environments in one batch. Its numbers equal those of `gymnasium.vector.SyncVectorEnv` of single ones.

    `reset(seed=s)` starts the scenario `(s + i, 0)` in row i. `autoreset_mode` says what follows the end of an episode:

    - `NEXT_STEP` (the default, as Gymnasium's): the next `step` ignores the row's action and returns the first
      observation of the next episode, with reward 0.
    - `SAME_STEP`: the returned observation is the first of the next episode, and `info` has `final_obs` and
      `final_info`.
    - `DISABLED`: ended rows need a `reset`, by `options={"reset_mask": ...}`, before the next `step`.

    `render` returns a tuple of one picture or text per row.
    """

    metadata: dict[str, Any] = RENDERING | {"render_modes": RENDER_MODES, "autoreset_mode": AutoresetMode.NEXT_STEP}
    OPTIONS: ClassVar = ("reset_mask",)  # of `reset`

    def __init__(
        self,
        model: Model,
        num_envs: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        kernel: str = "auto",
    ):
        """Make `num_envs` environments of a model.

        Args:
            model: of the environments.
            num_envs: rows.
            render_mode: None, `rgb_array` or `ansi`.
            autoreset_mode: a member of `AutoresetMode`, or its value: `SameStep`, `NextStep`, `Disabled`.
            max_episode_steps: truncates episodes after so many steps, as `gymnasium.wrappers.TimeLimit`; None or -1: no
                limit but the model's horizon.
            kernel: what steps the rows, bit for bit the same: `numpy`, `numba`, or `auto` (see `core.kernels`).

        Raises:
            FieldError: a value that is not allowed.
        """
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise FieldError("num_envs", num_envs, "an integer >= 1")
        if render_mode not in (None, *RENDER_MODES):
            expected = f"{' or '.join(RENDER_MODES)}, a picture or a text per row"
            raise FieldError("render_mode", render_mode, expected, "for a vector environment")
        limit = None if max_episode_steps == -1 else max_episode_steps
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise FieldError("max_episode_steps", max_episode_steps, "an integer >= 1, or -1 for the horizon alone")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            values = ", ".join(mode.value for mode in AutoresetMode)
            raise FieldError("autoreset_mode", autoreset_mode, f"a gymnasium.vector.AutoresetMode: {values}") from None
        self.metadata = type(self).metadata | {"autoreset_mode": self.autoreset_mode}
        self.model, self.num_envs, self.render_mode, self._limit = model, num_envs, render_mode, limit
        self.single_observation_space, self.single_action_space = model.observation_space, model.action_space
        self.observation_space = batch_space(model.observation_space, num_envs)
        self.action_space = batch_space(model.action_space, num_envs)
        self._batch = Batch(model, num_envs, "numpy" if render_mode else kernel)  # pictures are of flows
        self._viewers = [model.viewer(render_mode) for _ in range(num_envs)] if render_mode else []
        self._started = False
        self._yes, self._no = np.ones(num_envs, bool), np.zeros(num_envs, bool)
        self._over = self._no  # rows whose episode has ended and is not followed by another one yet
        self._singles: list[StoreEnv] = []  # the rows as `call` sees them, once it has
        self._set: set[str] = set()  # names that `set_attr` has given

    @property
    def longest(self) -> int:
        """Steps after which an episode ends at the latest."""
        return min(self._limit or self.model.horizon, self.model.horizon)

    # -- episodes ---------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict | None = None):
        """Start episodes in all rows, or where `options["reset_mask"]` (num_envs,) bool is true.

        A row without a seed starts its next episode.

        Returns:
            The observations (num_envs, F) and an empty info.

        Raises:
            FieldError: another option or mask, or what is no seed.
        """
        rows = self._mask(check_options(options, self.OPTIONS).get("reset_mask"))
        seeds = self._seeds(seed)
        given = rows & np.array([s is not None for s in seeds])
        if not self._started:
            base = seed_or_entropy(None) if seed is None else 0
            seeds = [seed_or_entropy(base + i if seed is None else s) for i, s in enumerate(seeds)]
            given = rows
        if (rows & ~given).any():
            self._batch.restart(rows & ~given)
        if given.any():
            keys = np.array([[s, 0] for s, used in zip(seeds, given, strict=True) if used], np.uint64)
            self._batch.reset(keys, given)
        self._started, self._over = True, self._over & ~rows
        self._watch(None, rows)
        return self._batch.observe(), {}

    def _mask(self, rows) -> np.ndarray:
        """Return the rows to reset (num_envs,) bool of a mask, None: all."""
        if rows is None:
            return self._yes
        if np.shape(rows) != (self.num_envs,) or np.asarray(rows).dtype.kind != "b" or not np.any(rows):
            raise FieldError("reset_mask", rows, f"bools of shape ({self.num_envs},), one of them true")
        if not self._started and not np.all(rows):
            raise FieldError("reset_mask", rows, "all rows", "at the first reset")
        return np.asarray(rows)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """Return a seed for each row, or None: those of a list, or so many from one number on."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (list, tuple)):
            if len(seed) != self.num_envs:
                raise FieldError("seed", seed, f"{self.num_envs} of them, not {len(seed)}")
            return [None if s is None else seed_or_entropy(s) for s in seed]
        base = seed_or_entropy(seed)
        return [seed_or_entropy(base + i) for i in range(self.num_envs)]

    def step(self, actions):
        """Move all rows one period on; `info` arrays (num_envs,) as in `model.info`, each with its `_mask`.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset, and with `DISABLED` where a row's episode has ended.
            FieldError: actions of another shape, or that are not finite.
        """
        if not self._started:
            raise gym.error.ResetNeeded("call reset before step")
        over = self._over if self._over.any() else None
        if over is None:
            return self._advance(actions)
        if self.autoreset_mode != AutoresetMode.NEXT_STEP:
            rows = np.flatnonzero(over).tolist()
            raise gym.error.ResetNeeded(f"the episodes of rows {rows} have ended: reset them by options['reset_mask']")
        self._batch.restart(over)
        self._over = self._no
        if over.all():
            self._watch(None, over)
            return self._batch.observe(), np.zeros(self.num_envs), self._no.copy(), self._no.copy(), {}
        return self._advance(actions, over)

    def _advance(self, actions, begun: np.ndarray | None = None):
        """Move the rows on, but for those that have just `begun` (num_envs,) an episode: see `step`."""
        batch, n = self._batch, self.num_envs
        if begun is not None:
            actions = np.array(actions, float).reshape(n, -1)
            actions[begun] = self.model.action_low  # whatever it was: it is not played
        flow, rewards, ended, info = batch.turn(actions)
        cut = self._limit is not None and batch.clock >= self._limit
        finite = not self.model.params.continuing
        terminated, truncated = self._flags(ended if finite else False), self._flags(cut if finite else ended | cut)
        rewards, stepped = rewards.astype(np.float64), self._yes
        if begun is not None:
            stepped = ~begun
            batch.reset(batch.keys[begun], begun)
            rewards[begun], terminated[begun], truncated[begun] = 0, False, False
            self._watch(None, begun)
        self._watch(flow, stepped)
        over = terminated | truncated
        if not over.any():
            return batch.observe(), rewards, terminated, truncated, _masked(info, stepped)
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            self._over = over
            return batch.observe(), rewards, terminated, truncated, _masked(info, stepped)
        last, seen = np.full(n, None, dtype=object), batch.observe()
        for row in np.flatnonzero(over):
            last[row] = seen[row]
        final = {"final_obs": last, "_final_obs": over, "final_info": _masked(info, over), "_final_info": over}
        batch.restart(over)
        self._watch(None, over)
        return batch.observe(), rewards, terminated, truncated, _masked(info, ~over) | final

    def _flags(self, value) -> np.ndarray:
        return np.broadcast_to(value, (self.num_envs,)).copy()

    # -- pictures ---------------------------------------------------------------------------------------------------

    def _watch(self, flow, rows: np.ndarray) -> None:
        """Show the rows' viewers what moved, or with None that an episode starts."""
        if self._viewers:
            for row in np.flatnonzero(rows).tolist():
                self._viewers[row].add(None if flow is None else row_of(flow, row))

    def render(self):
        """Return a picture (H, W, 3) uint8 (`rgb_array`) or a line of text (`ansi`) of each row, as a tuple."""
        if not self._viewers:
            gym.logger.warn("render needs a render_mode at construction")
            return None
        return tuple(viewer.render() for viewer in self._viewers)

    def close_extras(self, **kwargs) -> None:
        """Close the viewers."""
        for viewer in self._viewers:
            viewer.close()

    # -- the rows as single environments ----------------------------------------------------------------------------

    def call(self, name: str, *args, **kwargs) -> tuple:
        """Call a method of each row as a `StoreEnv`, or get an attribute of it; returns a tuple of one result per row.

        What a call changes in a row's episode (`reset`, `step`, `load_state_dict`) is changed here.
        """
        results = []
        for row, single in enumerate(self._as_singles()):
            batch = single._batch
            state, clock = batch.state, batch.clock
            found = single.get_wrapper_attr(name)
            results.append(found(*args, **kwargs) if callable(found) else found)
            if batch.state is not state or batch.clock != clock:
                self._batch.take_back(row, batch)
                self._started = True
                self._over = self._over.copy()
                self._over[row] = single._over
        return tuple(results)

    def get_attr(self, name: str) -> tuple:
        """Return an attribute of each row as a `StoreEnv`, as a tuple."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each row: a list or tuple has one value per row, anything else is for all.

        Raises:
            FieldError: an attribute that `StoreEnv` has itself (all rows are one model), or another number of values.
        """
        values = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise FieldError(f"values of {name}", values, f"{self.num_envs} of them, not {len(values)}")
        singles = self._as_singles()
        if name not in self._set and hasattr(singles[0], name):
            raise FieldError(name, values, "attributes of your own", "to set: the rows share one model")
        self._set.add(name)
        for single, value in zip(singles, values, strict=True):
            setattr(single, name, value)

    def _as_singles(self) -> list[StoreEnv]:
        """Return the rows as single environments, as they stand."""
        if not self._singles:
            self._singles = [StoreEnv(self.model, self.render_mode) for _ in range(self.num_envs)]
        for row, single in enumerate(self._singles):
            viewer = self._viewers[row] if self._viewers else None
            single.enter(self._batch.row(row), self._started, viewer)
        return self._singles

    # -- resuming ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `load_state_dict` goes on exactly."""
        return self._batch.state_dict()

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict`."""
        self._batch.load_state_dict(arrays)
        self._started = True
        last = min(self._limit or self.model.horizon, self.model.horizon)
        self._over = self._flags(self._batch.clock >= last)


def _masked(info: dict, rows: np.ndarray) -> dict:
    """Return an info with a mask `_name` for each name: 0 outside of the rows (num_envs,), empty without any."""
    if rows.all():
        return info | {f"_{name}": rows for name in info}
    if not rows.any():
        return {}
    return {name: np.where(rows, value, 0) for name, value in info.items()} | {f"_{name}": rows for name in info}
