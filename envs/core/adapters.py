"""A model as `gymnasium.Env` and as `gymnasium.vector.VectorEnv`: thin, and the same for every model."""

import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ...errors import FieldError
from .batch import Batch, admit
from .contract import Model


def _seed_or_entropy(seed) -> int:
    if seed is None:
        return secrets.randbits(62)
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise FieldError("seed", seed, "an integer >= 0")
    return int(seed) % 2**63


def check_actions(agents: list[str], actions: dict) -> None:
    """Raise ResetNeeded where no episode of a parallel environment runs, FieldError where an agent's action lacks."""
    if not agents:
        raise gym.error.ResetNeeded("call reset before step")
    for agent in agents:
        if agent not in actions:
            raise FieldError(f"actions[{agent!r}]", None, f"an action for each of {', '.join(agents)}")


class StoreEnv(gym.Env):
    """One environment: a batch of one.

    `reset(seed=s)` starts the scenario `(s, 0)`, each further `reset()` the next, `(s, 1)` and so on: the same
    scenarios that a row of a vector environment with the seed s walks through. `copy.deepcopy(env)` and a pickle of
    it go on exactly as it does, from the middle of an episode too: for planning by trying things out.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 8}

    def __init__(self, model: Model, render_mode: str | None = None):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise FieldError("render_mode", render_mode, "rgb_array, human or ansi")
        self.model, self.render_mode = model, render_mode
        self.observation_space, self.action_space = model.observation_space, model.action_space
        self._batch = Batch(model, 1)
        self._started = self._over = False
        self._viewer = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode. Returns the observation (F,) and an empty info; raises FieldError for any options."""
        super().reset(seed=seed)
        if options:
            raise FieldError("options", options, "none")
        if seed is None and self._started:
            self._batch.restart(np.ones(1, bool))
        else:
            self._batch.reset(np.array([[_seed_or_entropy(seed), 0]], np.uint64))
        self._started, self._over = True, False
        if self.render_mode:
            self._watch(None, self.render_mode)
        return self._batch.observe()[0], {}

    def step(self, action):
        """Move one period on; `info` names the period's money and units (see `model.info`).

        Raises:
            gymnasium.error.ResetNeeded: before the first reset, or after the end of an episode.
            FieldError: an action of another shape, or that is not finite.
        """
        if not self._started or self._over:
            raise gym.error.ResetNeeded("the episode has ended: call reset" if self._over else "call reset before step")
        batch = self._batch
        action, clipped = admit(self.model, action, 1)
        flow, terms, reward, ended = batch.step(action)
        info = {name: value.item() for name, value in self.model.info(flow, terms).items()}
        info["clipped_actions"] = 0 if clipped is None else int(clipped[0])
        if self.render_mode:
            self._watch(flow, self.render_mode)
        ended, finite = bool(ended), not self.model.params.continuing
        self._over = ended
        return batch.observe()[0], reward.item(), ended and finite, ended and not finite, info

    @property
    def action_masks(self):
        """What sb3-contrib asks for, where the model masks actions: a function that returns (sum of choices,) bool."""
        self.model.action_masks  # noqa: B018 an AttributeError where it does not
        return lambda: self._batch.action_masks()[0]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `load_state_dict` goes on exactly."""
        return self._batch.state_dict()

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict`."""
        self._batch.load_state_dict(arrays)
        self._started, self._over = True, self._batch.clock == self.model.horizon

    def _watch(self, flow, mode: str) -> None:
        if self._viewer is None:
            self._viewer = self.model.viewer(mode)
        self._viewer.add(flow)
        if mode == "human":
            self.render()

    def render(self):
        """Return the picture (H, W, 3) uint8 (`rgb_array`), a line of text (`ansi`), or show a window (`human`)."""
        if self._viewer is None:
            gym.logger.warn("render needs a render_mode at construction and a reset")
            return None
        return self._viewer.render()

    def close(self) -> None:
        """Close the viewer."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None


class StoreVectorEnv(gym.vector.VectorEnv):
    """Many environments in one batch, with `AutoresetMode.SAME_STEP`.

    `reset(seed=s)` starts the scenarios `(s + i, 0)`. Where an episode ends, the observation returned is the first
    of the next, and `info` has `final_obs` and `final_info`, as in Gymnasium's own vector environments.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(self, model: Model, num_envs: int = 1, render_mode: str | None = None):
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise FieldError("num_envs", num_envs, "an integer >= 1")
        self.model, self.num_envs, self.render_mode = model, num_envs, render_mode
        self.single_observation_space, self.single_action_space = model.observation_space, model.action_space
        self.observation_space = batch_space(model.observation_space, num_envs)
        self.action_space = batch_space(model.action_space, num_envs)
        self._batch = Batch(model, num_envs)
        self._started = False
        self._yes, self._no = np.ones(num_envs, bool), np.zeros(num_envs, bool)

    def reset(self, *, seed: int | list[int | None] | None = None, options: dict | None = None):
        """Start episodes in all rows, or where `options["reset_mask"]` (num_envs,) bool is true.

        Returns:
            The observations (num_envs, F) and an empty info.
        """
        rows = (options or {}).get("reset_mask")
        if rows is not None and (np.shape(rows) != (self.num_envs,) or np.asarray(rows).dtype.kind != "b"):
            raise FieldError("reset_mask", rows, f"bools of shape ({self.num_envs},)")
        rows = self._yes if rows is None or not self._started else np.asarray(rows)
        if seed is None and self._started:
            self._batch.restart(rows)
        else:
            keys = np.array([[s, 0] for s in self._seeds(seed)], np.uint64)
            self._batch.reset(keys[rows], rows)
        self._started = True
        return self._batch.observe(), {}

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        """Return a seed for each row: those of a list, or so many from one number on."""
        if isinstance(seed, (list, tuple)):
            if len(seed) != self.num_envs:
                raise FieldError("seed", seed, f"{self.num_envs} of them, not {len(seed)}")
            return [_seed_or_entropy(s) for s in seed]
        base = _seed_or_entropy(seed)
        return [_seed_or_entropy(base + i) for i in range(self.num_envs)]

    def step(self, actions):
        """Move all rows one period on; `info` arrays (num_envs,) as in `model.info`, each with its `_mask`."""
        if not self._started:
            raise gym.error.ResetNeeded("call reset before step")
        batch, finite = self._batch, not self.model.params.continuing
        actions, clipped = admit(self.model, actions, self.num_envs)
        flow, terms, rewards, ended = batch.step(actions)
        info = self.model.info(flow, terms)
        info["clipped_actions"] = np.zeros(self.num_envs, int) if clipped is None else clipped
        if not isinstance(ended, np.ndarray):
            ended = self._yes if ended else self._no
        observations = batch.observe()
        if ended.any():
            last = np.full(self.num_envs, None, dtype=object)
            for row in np.flatnonzero(ended):
                last[row] = observations[row]
            final = info | {f"_{name}": ended for name in info}
            info |= {f"_{name}": ~ended for name in info}
            info |= {"final_obs": last, "_final_obs": ended, "final_info": final, "_final_info": ended}
            batch.restart(ended)
            observations = batch.observe()
        else:
            info |= {f"_{name}": self._yes for name in info}
        terminated, truncated = (ended, self._no) if finite else (self._no, ended)
        return observations, rewards.astype(np.float64), terminated.copy(), truncated.copy(), info

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `load_state_dict` goes on exactly."""
        return self._batch.state_dict()

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict`."""
        self._batch.load_state_dict(arrays)
        self._started = True
