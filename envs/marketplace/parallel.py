"""The whole store for several learners: a PettingZoo parallel environment. It needs the extra `multi`."""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from ..core.adapters import check_actions
from ..core.batch import Batch, admit
from .model import Marketplace
from .params import MarketplaceParams


class MarketplaceParallel(ParallelEnv):
    """One agent per decision of `decides` (`restock`, `price`, ...), all of whom see the store's whole observation.

    They share the store's profit as their reward, money per day (a team): what is good for one decision may harm
    another, and only the sum counts.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "storelab_marketplace_v0", "render_modes": []}

    def __init__(self, params: MarketplaceParams | None = None, source=None):
        self.model = Marketplace(params or MarketplaceParams(), source)
        self.possible_agents = list(self.model.params.decides)
        self.agents: list[str] = []
        self.render_mode = None
        self._batch = Batch(self.model, 1)
        self._spaces = {
            name: spaces.Box(np.float32(low), np.float32(high), (size,), np.float32)
            for name, (size, low, high) in self.model.controls.items()
            if name in self.possible_agents
        }

    def observation_space(self, agent):
        """Return the observations' space of an agent: the store's."""
        return self.model.observation_space

    def action_space(self, agent):
        """Return the actions' space of an agent: the bounds of its decision."""
        return self._spaces[agent]

    def _observe(self) -> dict:
        observation = self._batch.observe()[0]
        return {agent: observation.copy() for agent in self.agents}

    def reset(self, seed: int | None = None, options: dict | None = None):
        """Start an episode; return observations and empty infos by agent."""
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._batch.reset(np.array([[seed, 0]], np.uint64))
        self.agents = list(self.possible_agents)
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict):
        """Move one day on; return observations, rewards, terminations, truncations and infos by agent."""
        check_actions(self.agents, actions)
        action = np.concatenate([np.ravel(actions[agent]) for agent in self.possible_agents])
        flow, terms, reward, ended = self._batch.step(admit(self.model, action[None], 1)[0])
        info = {name: value.item() for name, value in self.model.info(flow, terms).items()}
        observations, agents = self._observe(), self.agents
        over, season = bool(ended), not self.model.params.continuing
        if over:
            self.agents = []
        return (
            observations,
            dict.fromkeys(agents, reward.item()),
            dict.fromkeys(agents, over and season),
            dict.fromkeys(agents, over and not season),
            {agent: dict(info) for agent in agents},
        )
