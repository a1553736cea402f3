"""What a store is in, and what moves in a period: the arrays of `Inventory`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.contract import Array


@dataclass(slots=True)
class State:
    """The store before it orders. All arrays (num_envs, items), units, except the history."""

    on_hand: Array
    pipeline: tuple  # on order: entry k arrives k + 1 periods ahead (fixed), or was ordered k + 1 periods ago (random)
    backlog: Array  # customers' units that wait; None where nobody ever does
    history: Array  # (num_envs, history_days * 2 * items), see `Inventory`; None where it is not observed
    shelf: Any  # stock on hand by remaining life, a tuple: entry k expires k + 1 periods ahead; None: nothing perishes


@dataclass(slots=True)
class Flow:
    """What moved in one period. All arrays (num_envs, items), units unless said."""

    price: Array  # money per unit; None: the constant of the parameters
    demand: Array
    ordered: Array  # after the limits
    overflow: Array  # asked for, but over a limit or of a supplier who is down; None where neither can be
    received: Array
    sales: Array  # also to customers who wanted a neighbour
    unmet: Array  # demand of this period that stock did not serve: it is lost or waits
    lost: Array  # None where all unmet demand waits
    on_hand: Array  # left at the end of the period, less what expired, before the next one's receipts
    backlog: Array  # None where nobody ever waits
    shrinkage: Array = None  # ordered and due, but lost by the yield; None where all of an order arrives
    waste: Array = None  # expired at the end of the period; None where nothing perishes
    substituted: Array = None  # of the unmet demand: served by a neighbour; None without substitution


def balances(before: State, flow: Flow, after: State) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what units (num_envs, items) and customers (num_envs,) came, and what has become of them."""

    def added(*parts) -> np.ndarray:
        return sum((np.asarray(part, float) for part in parts if part is not None), np.zeros(flow.ordered.shape))

    units = added(before.on_hand, *before.pipeline, flow.ordered)
    known = added(flow.sales, flow.waste, flow.shrinkage, after.on_hand, *after.pipeline)
    asked, answered = added(before.backlog, flow.demand), added(flow.sales, flow.lost, after.backlog)
    shelf = {} if after.shelf is None else {"shelf": (added(*after.shelf), added(after.on_hand))}
    return {"units": (units, known), "customers": (asked.sum(axis=1), answered.sum(axis=1))} | shelf
