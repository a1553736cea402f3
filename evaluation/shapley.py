"""Shapley values: what each of a few players adds to a game, over all orders in which they could come in."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import numpy as np

from ..errors import FieldError

MOST = 12  # players: 4,096 coalitions


def coalitions(players: Sequence[str]) -> list[frozenset[str]]:
    """Return all subsets of the players, the empty one first.

    Raises:
        FieldError: a player twice, none at all, or more than 12.
    """
    if not 1 <= len(players) <= MOST or len(set(players)) < len(players):
        raise FieldError("players", list(players), f"1 to {MOST} different names")
    return [frozenset(some) for size in range(len(players) + 1) for some in combinations(players, size)]


def shapley(players: Sequence[str], worth: Callable[[frozenset[str]], np.ndarray]) -> dict[str, np.ndarray]:
    """Return each player's Shapley value in every scenario, exactly, by all subsets.

    Efficient: the values sum to what all players earn less what none does (Shapley 1953, A value for n-person games).

    Args:
        players: their names, 12 at the most.
        worth: coalition -> its worth on common scenarios (n,), each asked once.
    """
    known = {some: np.asarray(worth(some), float) for some in coalitions(players)}
    count, values = len(players), {}
    for player in players:
        parts = [
            (known[some | {player}] - without) / (count * comb(count - 1, len(some)))
            for some, without in known.items()
            if player not in some
        ]
        values[player] = np.sum(parts, axis=0)
    return values
