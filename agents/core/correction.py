"""Learners of prices, dispatch and orders in lots start at a tuned rule's action, which their actions move.

As in `residual`, an action of 0 (or the middle one of a discrete space) is the rule's action. Here the rule's action
is moved, not the order: by a share of the distance to the bounds, or by a number of indices.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from ...envs.core.batch import admit
from ...envs.core.contract import Policy
from .residual import StartRule
from .rules import rules_of

SPAN = 4.0  # continuous actions lie in [-S, S], see `views`
STEPS = 20  # moves on either side of a rule's place in a menu, at the most: near it every place, further away fewer


def moves(reach: int) -> np.ndarray:
    """Return by how many indices the actions 0 .. 2K move (2K + 1,), K = min(reach, `STEPS`); the middle one by 0.

    They are each other's mirror images, grow by one place near the middle, and end at `reach` places.
    """
    count = min(reach, STEPS)
    up = np.arange(count + 1)
    up = up + np.round((reach - count) * (up / max(count, 1)) ** 2).astype(int)
    return np.concatenate([-up[:0:-1], up])


class Correction:
    """A model's actions, moved from those of a rule.

    Attributes:
        space: the learner's actions. For a Box, a Box [-S, S] per number: a share of the distance from the rule's
            action to the lower or the upper bound. For a discrete space, the moves of `moves`: of orders in lots up to
            `SPAN` spreads of the rule, otherwise over the whole space.
    """

    def __init__(self, model: Any, start: StartRule):
        self.model, self.kind = model, start.kind
        self.rule: Policy = rules_of(model).Heuristic(start.kind, start.params, model)
        self.low, self.high = np.asarray(model.action_low), np.asarray(model.action_high)
        self.space: Any = spaces.Box(-SPAN, SPAN, self.low.shape, np.float32)
        self.moves: Any = None
        if not isinstance(model.action_space, spaces.Box):
            whole = (self.high - self.low).astype(int)
            lot = getattr(model.params, "lot_size", 1.0) or 1.0
            near = np.ceil(SPAN * np.array(start.spread) / lot).astype(int) if start.spread else whole
            tables = [moves(reach) for reach in np.clip(near, 1, np.maximum(whole, 1)).tolist()]
            most = max(map(len, tables)) // 2
            self.moves = np.stack([np.pad(table, most - len(table) // 2, mode="edge") for table in tables])
            sizes = [2 * most + 1] * len(tables)
            self.space = spaces.Discrete(sizes[0]) if len(sizes) == 1 else spaces.MultiDiscrete(sizes)

    def __call__(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Return the model's actions (n, A) of a learner's (n, A) at a model's observations."""
        own = admit(self.model, self.rule(observation, None, 0)[0], len(observation))[0]
        if self.moves is not None:
            moved = own + self.moves[np.arange(len(self.low)), actions.astype(int)]
        else:
            share = actions / SPAN
            moved = own + share * np.where(share < 0, own - self.low, self.high - own)
        return np.clip(moved, self.low, self.high)
