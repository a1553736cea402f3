"""The duopoly for two learners: a PettingZoo parallel environment. It needs the extra `multi`."""

import copy
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ..core.batch import admit
from ..core.parallel import StoreParallel
from .model import Duopoly, DuopolyParams


class DuopolyParallel(StoreParallel):
    """Both firms of `Duopoly` as agents, `firm_0` and `firm_1`: each sees its own and its rival's last price.

    Spaces are the duopoly's, `rival` is ignored: both prices come from the agents. Rewards are profits of a
    period, money; after `horizon` periods both agents are truncated. The game has no chance of its own, so that a seed
    changes nothing.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "storelab_pricing_duopoly_v0", "render_modes": []}

    def __init__(self, params: DuopolyParams | Duopoly | None = None):
        """Take the parameters, or the model itself."""
        model = params if isinstance(params, Duopoly) else Duopoly(params or DuopolyParams(rival="fixed"))
        super().__init__(model, ["firm_0", "firm_1"])
        pair = model.observation_space, model.action_space
        self._spaces = {agent: copy.deepcopy(pair) for agent in self.possible_agents}  # each samples by itself

    def observation_space(self, agent):
        """Return the observations' space of an agent: Box (2,), money."""
        return self._spaces[agent][0]

    def action_space(self, agent):
        """Return the actions' space of an agent."""
        return self._spaces[agent][1]

    def _observe(self) -> dict[str, np.ndarray]:
        price = self._batch.state.price[0]
        return {"firm_0": price.copy(), "firm_1": price[::-1].copy()}

    def _move(self, actions: dict) -> tuple[dict, dict]:
        given = np.concatenate([admit(self.model, actions[agent], 1)[0] for agent in self.agents], axis=1)
        price = (self.model.prices[given.astype(int)] if self.model.params.on_grid else given).astype(np.float32)
        self._batch.advance(replace(self._batch.state, price=price))
        profit = self.model.profits(price[0].astype(float))
        return dict(zip(self.agents, profit.tolist(), strict=True)), {agent: {} for agent in self.agents}
