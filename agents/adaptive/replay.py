"""How a policy with a memory acts on observations that hold the whole history: they make its memory anew."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...envs.core.contract import Policy
from ...envs.inventory_game.model import InventoryGame

SERIES = ("demand", "ordered", "arrived")


def period_of(named: dict) -> int:
    """Return the period, from 0 on, of observations that are all of one period."""
    return int(np.rint((1 - float(named["time_left"][0, 0])) * named["demand"].shape[1]))


def earlier(named: dict) -> Iterator[dict]:
    """Yield the named observations of the periods before that of `named`, the first one first."""
    now, size = period_of(named), named["demand"].shape[1]
    rows, fixed = len(named["demand"]), {name: named[name] for name in named if name not in SERIES}
    on_hand, transit = np.zeros((rows, 1), np.float32), np.zeros((rows, 1), np.float32)
    for t in range(now):
        series = {name: np.zeros((rows, size), np.float32) for name in SERIES}
        for name, values in series.items():
            values[:, size - t :] = named[name][:, size - now : size - now + t]
        left = np.full((rows, 1), 1 - t / size, np.float32)
        yield fixed | series | {"on_hand": on_hand, "in_transit": transit, "time_left": left}
        demand, order, came = (named[name][:, size - now + t, None] for name in SERIES)
        on_hand, transit = np.maximum(on_hand + came - demand, 0), transit + order - came


def stateful(model: InventoryGame, begin: Callable[[dict], Any], step: Callable[[dict, Any, int], tuple]) -> Policy:
    """Return the policy that carries a memory from period to period, and makes it anew where it is handed none.

    Args:
        model: whose features are named.
        begin: named observations -> the memory before them.
        step: named observations, memory, seed -> orders (n, 1), units, and the memory after them.
    """

    def act(observation, policy_state, seed: int):
        named = model.features(np.asarray(observation, np.float32))
        clock = np.concatenate([named["time_left"], named["history_end"]], axis=1)
        left, (first, *others) = named["time_left"], np.unique(clock, axis=0)
        if others:  # episodes that are not in step
            orders = np.zeros((len(clock), 1))
            for value in (first, *others):
                rows = (clock == value).all(axis=1)
                orders[rows] = act(observation[rows], None, seed)[0]
            return orders, None
        period = period_of(named)
        at, memory = policy_state or (None, None)
        orders, memory = step(named, memory if at == (period, len(left)) else begin(named), seed)
        return np.clip(orders, model.action_low, model.action_high), ((period + 1, len(left)), memory)

    return act
