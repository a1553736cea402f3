"""The score of a game in InventoryBench."""

import numpy as np


def score(reward: np.ndarray, scenario: dict) -> np.ndarray:
    """Return the scores (n,) of games: max(0, profit earned / (profit per unit x all demand)); 0 without demand.

    Args:
        reward: (n, T) of the periods, money.
        scenario: of `InventoryGame.scenarios`.
    """
    demand = scenario["demand"][:, : reward.shape[1], 0].sum(axis=1, dtype=float)
    most = scenario["profit"][:, 0, 0] * demand
    return np.maximum(reward.sum(axis=1, dtype=float), 0) / np.where(most > 0, most, np.inf)
