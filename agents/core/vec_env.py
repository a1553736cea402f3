"""A model as Stable-Baselines3's `VecEnv`: the third adapter, which learners run on."""

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from ...envs.core.batch import Batch
from ...errors import FieldError
from .checkpoints import check_arrays
from .views import RawView


class StoreVecEnv(VecEnv):
    """Environments in one batch for Stable-Baselines3, as a view shows them (see `views`; by default as they are).

    Environment i walks through the scenarios `(seed + i, 0)`, `(seed + i, 1)`, ... Where an episode ends, its info has
    `terminal_observation`, `TimeLimit.truncated` and `episode` (reward `r`, length `l`, as SB3's own Monitor), so
    that no wrapper is needed (with a row per item, the first one has the store's); the other infos are empty.
    """

    def __init__(self, model, num_envs: int, view: RawView | None = None):
        self.model, self.render_mode = model, None
        self.view = view or RawView(model)
        super().__init__(num_envs * self.view.rows, self.view.observation_space, self.view.action_space)
        self._split = self.view.rows > 1  # rewards are of items: they are taken from the flow, which no kernel keeps
        self._batch = Batch(model, num_envs, "numpy" if self._split else "auto")
        self._returns = np.zeros(num_envs)
        self._none = np.zeros(self.num_envs, bool)
        self._started = False
        self._actions: Any = None
        self._observation: Any = None

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Set the seeds of the environments for the next reset: seed, seed + 1, ..."""
        base = secrets.randbits(62) if seed is None else int(seed)
        self._seeds = [base + i // self.view.rows for i in range(self.num_envs)]
        return list(self._seeds)

    def reset(self) -> np.ndarray:
        """Start the first episodes after `seed`, else the next ones; return the observations (num_envs, f)."""
        if not self._started and self._seeds[0] is None:
            self.seed()
        if self._seeds[0] is not None:
            self._batch.reset(np.array([[seed, 0] for seed in self._seeds[:: self.view.rows]], np.uint64))
        else:
            self._batch.restart(np.ones(self._batch.num_envs, bool))
        self._reset_seeds()
        self._started = True
        self._returns[:] = 0
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self._observe()

    def _observe(self) -> np.ndarray:
        self._observation = self._batch.observe()
        return self.view.observe(self._observation)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions."""
        self._actions = actions

    def step_wait(self):
        """Move one period on; return observations, rewards (num_envs,) float32, dones and infos."""
        batch, view, infos = self._batch, self.view, [{} for _ in range(self.num_envs)]
        flow, rewards, ended, _ = batch.turn(view.act(self._actions, self._observation))
        self._returns += rewards
        if self._split:
            rewards = view.rewards(rewards, flow, batch.state, ended)
        observations = self._observe()
        if not np.any(ended):
            return observations, rewards, self._none.copy(), infos
        ended = np.broadcast_to(ended, (batch.num_envs,)).copy()
        dones = np.repeat(ended, view.rows)
        for row in np.flatnonzero(dones):
            infos[row] = {
                "terminal_observation": observations[row],
                "TimeLimit.truncated": self.model.params.continuing,
            }
        for i in np.flatnonzero(ended):
            infos[i * view.rows]["episode"] = {"r": float(self._returns[i]), "l": self.model.horizon, "t": 0.0}
        self._returns[ended] = 0
        batch.restart(ended)
        return self._observe(), rewards, dones, infos

    @property
    def action_masks(self):
        """Tell sb3-contrib that actions are masked, where the model masks them."""
        return self.model.action_masks

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def get_attr(self, attr_name: str, indices=None) -> list[Any]:
        """Return an attribute of this object, once per row."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def has_attr(self, attr_name: str) -> bool:
        """Tell whether this object has the attribute."""
        return hasattr(self, attr_name)

    def set_attr(self, attr_name: str, value: Any, indices=None) -> None:
        """Refuse: the rows are one object."""
        raise FieldError(attr_name, value, "attributes of the model", "for single rows")

    def env_method(self, method_name: str, *args, indices=None, **kwargs) -> list[Any]:
        """Return the rows' `action_masks`, which sb3-contrib asks for; refuse all else: the rows are one object."""
        if method_name == "action_masks":
            return list(self.model.action_masks(self._observation)[list(self._get_indices(indices))])
        raise FieldError("method", method_name, "calls of the whole batch", "for single rows")

    def env_is_wrapped(self, wrapper_class, indices=None) -> list[bool]:
        """Tell that no row is wrapped (the batch writes Monitor's `episode` itself)."""
        return [False] * len(list(self._get_indices(indices)))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `load_state_dict` goes on exactly."""
        return self._batch.state_dict() | {"returns": self._returns.copy()}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict`."""
        self._batch.load_state_dict(arrays)
        check_arrays({"returns": arrays["returns"]}, {"returns": self._returns})
        self._returns[:] = arrays["returns"]
        self._observation = self._batch.observe()
        self._started = True
        self._reset_seeds()
