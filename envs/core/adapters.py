"""A model as `gymnasium.Env`: thin, and the same for every model."""

import copy
import secrets
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from ...errors import FieldError
from .batch import Batch
from .contract import RENDERING, Model


def seed_or_entropy(seed) -> int:
    """Return a seed as a number of at most 63 bits, a fresh one for None; raises FieldError for what is no seed."""
    if seed is None:
        return secrets.randbits(62)
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise FieldError("seed", seed, "an integer >= 0")
    return int(seed) % 2**63


def check_options(options: dict | None, known: tuple[str, ...] = ()) -> dict:
    """Return the options of a reset as a dict; raises FieldError for one that there is none of."""
    for name, value in (options or {}).items():
        if name not in known:
            raise FieldError("options", {name: value}, " or ".join(known) or "none")
    return options or {}


def copied(env: Any) -> Any:
    """Return an adapter that goes on exactly as this one does, on the same model: what their `clone` gives."""
    other = copy.copy(env)
    shared = {id(part): part for part in (env.model, getattr(env, "spec", None))}
    for name, value in vars(env).items():
        if isinstance(value, Batch):
            setattr(other, name, value.clone())
        elif value is not env.model:
            setattr(other, name, copy.deepcopy(value, shared))
    return other


class Made:
    """What single and vector environments share: the spec that they were made from, and copies that go on."""

    model: Model
    _spec: EnvSpec | None = None

    @property
    def longest(self) -> int:
        """Steps after which an episode ends at the latest."""
        return self.model.horizon

    @property
    def spec(self) -> EnvSpec | None:
        """What `gymnasium.make` or `make_vec` made this from, with `max_episode_steps`; None: it was made otherwise."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec = copy.copy(spec)
            spec.max_episode_steps = spec.max_episode_steps or self.longest
        self._spec = spec

    def clone(self) -> Self:
        """Return an environment that goes on exactly as this one does: the same model, and episodes as they stand.

        It costs microseconds, as the scenarios are shared. A wrapped environment is copied by `copy.deepcopy`.
        """
        return copied(self)


class StoreEnv(Made, gym.Env):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A single environment: a batch of one row.

    `reset(seed=s)` starts the scenario `(s, 0)`, each further `reset()` the next one, `(s, 1)` and so on. A row of a
    vector environment with the seed s has the same scenarios. `clone()`, `copy.deepcopy(env)` and a pickle copy the
    environment, also in the middle of an episode, for planning. The copy continues exactly as the original.
    """

    metadata: ClassVar[dict[str, Any]] = RENDERING

    def __init__(self, model: Model, render_mode: str | None = None, kernel: str = "auto"):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise FieldError("render_mode", render_mode, "rgb_array, human or ansi")
        self.model, self.render_mode = model, render_mode
        self.observation_space, self.action_space = model.observation_space, model.action_space
        self._batch = Batch(model, 1, "numpy" if render_mode else kernel)  # pictures are of flows
        self._started = self._over = False
        self._viewer = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode. Returns the observation (F,) and an empty info; raises FieldError for any options."""
        check_options(options)
        super().reset(seed=seed)
        if seed is None and self._started:
            self._batch.restart(np.ones(1, bool))
        else:
            self._batch.reset(np.array([[seed_or_entropy(seed), 0]], np.uint64))
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
        flow, reward, ended, info = batch.turn(action)
        info = {name: value.item() for name, value in info.items()}
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

    def enter(self, batch: Batch, started: bool, viewer) -> None:
        """Go on as a row of a vector environment: with its episode as a batch of one, and its viewer."""
        self._batch, self._started, self._viewer = batch, started, viewer
        self._over = started and batch.clock == self.model.horizon
        self._np_random_seed = int(batch.keys[0, 0]) if started else None

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
