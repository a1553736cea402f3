"""What a network is in, and what moves in a period: the arrays of `SupplyChain`."""

from dataclasses import dataclass

import numpy as np


@dataclass(slots=True)
class State:
    """What the network is in, before orders are placed. N stocking nodes, A arcs, S shops, I items; units."""

    on_hand: np.ndarray  # (num_envs, N, I)
    arriving: np.ndarray | None  # (num_envs, N, I) arrived, but not to be shipped on yet; None if it may at once
    in_transit: np.ndarray  # (num_envs, A, I) the sum of the pipeline, as shipped
    pipeline: tuple  # (num_envs, A, I) each: entry k arrives k + 1 periods ahead (fixed), or is k + 1 old (random)
    orders: tuple  # (num_envs, A, I) each: orders that their source will know of k periods ahead
    owed: np.ndarray | None  # (num_envs, A, I) orders that wait at their source; None where none ever does
    backlog: np.ndarray | None  # (num_envs, S * I) what customers wait for; None where none ever does


@dataclass(slots=True)
class Flow:
    """What moved in one period, units: (num_envs, S * I) at shops, (num_envs, A, I) on arcs, (num_envs, N, I) else."""

    demand: np.ndarray
    sales: np.ndarray
    unmet: np.ndarray  # demand of this period that stock did not serve: it is lost or waits
    lost: np.ndarray | None  # None where all unmet demand waits
    backlog: np.ndarray | None
    ordered: np.ndarray  # after the limits
    overflow: np.ndarray | None  # asked for, but over the storage; None without such limits
    shipped: np.ndarray
    refused: np.ndarray | None  # ordered but lost, on arcs; None where unfilled orders wait
    owed: np.ndarray | None
    received: np.ndarray
    on_hand: np.ndarray  # left at the end of the period, before the next one's arrivals
    in_transit: np.ndarray  # on the way at the end of the period, before the next one's arrivals
