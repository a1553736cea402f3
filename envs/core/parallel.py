"""A model for several learners: a PettingZoo parallel environment. It needs the extra `multi`."""

from abc import abstractmethod
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from pettingzoo import ParallelEnv

from ...errors import FieldError
from .adapters import check_options, copied, seed_or_entropy
from .batch import Batch
from .contract import Model

TAKEN = ("options",)  # an option without meaning that PettingZoo's own `parallel_api_test` hands in


class StoreParallel(ParallelEnv):
    """What the parallel environments share: episodes, their end, and the checks of what agents hand in.

    `reset(seed=s)` starts the scenario `(s, 0)`, each further `reset()` the next, `(s, 1)` and so on. `clone()`,
    `copy.deepcopy(env)` and a pickle of it go on exactly as it does, from the middle of an episode too.
    """

    model: Any
    render_mode = None

    def __init__(self, model: Model, agents: list[str]):
        self.model, self.possible_agents = model, agents
        self.agents: list[str] = []
        self._batch, self._started = Batch(model, 1), False

    @abstractmethod
    def _observe(self) -> dict[str, np.ndarray]:
        """Return the observations by agent."""

    @abstractmethod
    def _move(self, actions: dict) -> tuple[dict, dict]:
        """Move one period on; return rewards and infos by agent."""

    def clone(self) -> "StoreParallel":
        """Return an environment that goes on exactly as this one does: the same model, and the episode as it stands."""
        return copied(self)

    def reset(self, seed: int | None = None, options: dict | None = None):
        """Start an episode; return observations and empty infos by agent. Raises FieldError for any options."""
        check_options(options, TAKEN)
        if seed is None and self._started:
            self._batch.restart(np.ones(1, bool))
        else:
            self._batch.reset(np.array([[seed_or_entropy(seed), 0]], np.uint64))
        self._started, self.agents = True, list(self.possible_agents)
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict):
        """Move one period on; return observations, rewards, terminations, truncations and infos by agent.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset, or after the end of an episode.
            FieldError: an agent without an action, an action of an agent that there is none of, or one of another
                shape or not finite.
        """
        if not self.agents:
            raise ResetNeeded("the episode has ended: call reset" if self._started else "call reset before step")
        if not isinstance(actions, dict):
            raise FieldError("actions", actions, "a dict of an action per agent")
        for agent in (*self.agents, *actions):
            if agent not in actions or agent not in self.agents:
                expected = f"an action for each of {', '.join(self.agents)}, and no other"
                raise FieldError(f"actions[{agent!r}]", actions.get(agent), expected)
        rewards, infos = self._move(actions)
        observations, agents = self._observe(), self.agents
        over, season = self._batch.clock == self.model.horizon, not self.model.params.continuing
        if over:
            self.agents = []
        return (
            observations,
            rewards,
            dict.fromkeys(agents, over and season),
            dict.fromkeys(agents, over and not season),
            infos,
        )
