"""The parameters of the duopoly, each with its unit, checked where they are made."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import FieldError
from ..core.checks import LARGEST, check_choice, check_list, check_number
from . import references as reference

RIVALS = ("fixed", "undercut", "best_response", "q_learner")


@dataclass
class DuopolyParams:
    """Parameters of the duopoly; the agent is the first firm, its rival the second."""

    horizon: int = 100  # periods in an episode, of an endless game (truncated)
    quality: list[float] = field(default_factory=lambda: [2.0, 2.0])  # a_i, utility at price 0
    outside: float = 0.0  # a_0, utility of buying nothing
    differentiation: float = 0.25  # mu: the higher, the less customers mind prices
    unit_cost: list[float] = field(default_factory=lambda: [1.0, 1.0])  # money per customer served
    customers: float = 1.0  # per period; shares of them are the units
    grid: int = 15  # prices, from below Nash to above monopoly
    margin: float = 0.1  # xi: how far the grid goes beyond them, in shares of their distance
    action: str = "grid"  # grid: an index of the prices | discrete: as one number | continuous: a price
    rival: str = "best_response"  # fixed | undercut | best_response | q_learner
    rival_price: Any = None  # money: of a fixed rival, and at the start; None: the Nash price
    undercut: float = 0.05  # money below the agent's last price, undercut only
    floor: float = 1.1  # money: an undercutting rival goes no lower
    learning_rate: float = 0.15  # alpha of the Q-learner
    exploration_decay: float = 4e-6  # beta: it explores with probability exp(-beta t)
    discount: float = 0.95  # delta of the Q-learner

    def __post_init__(self):
        check_number("horizon", self.horizon, 1, 100_000, integer=True)
        for name in ("quality", "unit_cost"):
            check_list(name, getattr(self, name), 0, 100, least=2, most=2)
        check_number("outside", self.outside, -100, 100)
        check_number("differentiation", self.differentiation, 1e-3, 100)
        check_number("customers", self.customers, 0, LARGEST, exclusive=True)
        check_number("grid", self.grid, 2, 1000, integer=True)
        check_number("margin", self.margin, 0, 10)
        check_choice("action", self.action, ("grid", "discrete", "continuous"))
        check_choice("rival", self.rival, RIVALS)
        if self.rival == "q_learner" and (not self.on_grid or self.grid > 50):
            raise FieldError("rival", self.rival, "action=grid and a grid of at most 50", "here")
        check_number("rival_price", self.rival_price, 0, LARGEST, optional=True)
        for name in ("undercut", "floor"):
            check_number(name, getattr(self, name), 0, LARGEST)
        check_number("learning_rate", self.learning_rate, 0, 1)
        check_number("exploration_decay", self.exploration_decay, 0, 1)
        check_number("discount", self.discount, 0, 1)
        lowest = float(self.prices()[0])
        if lowest < 0:
            expected = "less, so that no price of the grid is below 0"
            raise FieldError("margin", self.margin, expected, f"with a lowest price of {lowest:.4g}")
        if self.discount == 1:
            raise FieldError("discount", self.discount, "a number below 1")

    continuing = True  # the game is endless
    earns = True
    items = 2  # firms: what tables and pictures count by

    @property
    def on_grid(self) -> bool:
        """Return whether an action is an index of the prices."""
        return self.action != "continuous"

    def logit(self) -> dict:
        """Return the arguments of the functions of `references`."""
        return {"quality": np.array(self.quality, float), "outside": self.outside, "mu": self.differentiation}

    def prices(self) -> np.ndarray:
        """Return the grid of prices (grid,), money: of unequal firms from the lower Nash to the higher monopoly one."""
        cost = np.array(self.unit_cost, float)
        nash, _ = reference.nash(**self.logit(), cost=cost)
        monopoly, _ = reference.monopoly(**self.logit(), cost=cost)
        return reference.price_grid(nash.min(), monopoly.max(), self.grid, self.margin)
