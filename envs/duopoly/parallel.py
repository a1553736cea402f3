"""The duopoly for two learners: a PettingZoo parallel environment. It needs the extra `multi`."""

from typing import Any, ClassVar

import numpy as np
from pettingzoo import ParallelEnv

from ..core.adapters import check_actions
from ..core.batch import admit
from .model import Duopoly, DuopolyParams


class DuopolyParallel(ParallelEnv):
    """Both firms of `Duopoly` as agents, `firm_0` and `firm_1`: each sees its own and its rival's last price.

    Spaces are the duopoly's, `rival` is of no account: both prices come from the agents. Rewards are profits of a
    period, money; after `horizon` periods both agents are truncated. The game has no chance of its own, so that a seed
    changes nothing.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "storelab_pricing_duopoly_v0", "render_modes": []}

    def __init__(self, params: DuopolyParams | None = None):
        self.model = Duopoly(params or DuopolyParams(rival="fixed"))
        self.possible_agents = ["firm_0", "firm_1"]
        self.agents: list[str] = []
        self.render_mode = None

    def observation_space(self, agent):
        """Return the observations' space of an agent: Box (2,), money."""
        return self.model.observation_space

    def action_space(self, agent):
        """Return the actions' space of an agent."""
        return self.model.action_space

    def _observe(self) -> dict:
        return {"firm_0": self._price.copy(), "firm_1": self._price[::-1].copy()}

    def reset(self, seed: int | None = None, options: dict | None = None):
        """Start an episode at both firms' first prices; return observations and empty infos by agent."""
        self.agents, self._period = list(self.possible_agents), 0
        self._price = self.model.initial(1).price[0]
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict):
        """Set both prices; return observations, rewards, terminations, truncations and infos by agent."""
        check_actions(self.agents, actions)
        prices = []
        for agent in self.agents:
            action, _ = admit(self.model, actions[agent], 1)
            grid = self.model.params.action == "grid"
            prices.append(self.model.prices[int(action[0, 0])] if grid else float(action[0, 0]))
        self._price = np.array(prices, np.float32)
        profit = self.model.profits(self._price.astype(float))
        self._period += 1
        over, agents = self._period >= self.model.horizon, self.agents
        if over:
            self.agents = []
        return (
            self._observe(),
            {agent: float(profit[i]) for i, agent in enumerate(agents)},
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, over),
            {agent: {} for agent in agents},
        )
