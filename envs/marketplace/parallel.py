"""The whole store for several learners: a PettingZoo parallel environment. It needs the extra `multi`."""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.batch import admit
from ..core.parallel import StoreParallel
from .model import Marketplace
from .params import MarketplaceParams


class MarketplaceParallel(StoreParallel):
    """One agent per decision of `decides` (`restock`, `price`, ...), all of whom see the store's whole observation.

    They share the store's profit as their reward, money per day (a team): what is good for one decision may harm
    another, and only the sum counts.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "storelab_marketplace_v0", "render_modes": []}

    def __init__(self, params: MarketplaceParams | Marketplace | None = None, source=None):
        """Take the parameters and a source of visits, or the model itself."""
        model = params if isinstance(params, Marketplace) else Marketplace(params or MarketplaceParams(), source)
        super().__init__(model, list(model.params.decides))
        self._spaces = {
            name: spaces.Box(np.float32(low), np.float32(high), (size,), np.float32)
            for name, (size, low, high) in model.controls.items()
            if name in self.possible_agents
        }

    def observation_space(self, agent):
        """Return the observations' space of an agent: the store's."""
        return self.model.observation_space

    def action_space(self, agent):
        """Return the actions' space of an agent: the bounds of its decision."""
        return self._spaces[agent]

    def _observe(self) -> dict[str, np.ndarray]:
        observation = self._batch.observe()[0]
        return {agent: observation.copy() for agent in self.agents}

    def _move(self, actions: dict) -> tuple[dict, dict]:
        for agent in self.agents:
            if np.size(actions[agent]) != self._spaces[agent].shape[0]:
                raise FieldError(f"actions[{agent!r}]", actions[agent], f"{self._spaces[agent].shape[0]} numbers")
        action = np.concatenate([np.ravel(actions[agent]) for agent in self.agents])
        flow, terms, reward, _ = self._batch.step(admit(self.model, action[None], 1)[0])
        info = {name: value.item() for name, value in self.model.info(flow, terms).items()}
        return dict.fromkeys(self.agents, reward.item()), {agent: dict(info) for agent in self.agents}
