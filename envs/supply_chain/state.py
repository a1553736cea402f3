"""The state of a network and the flow of a period: the arrays of `SupplyChain`."""

from dataclasses import dataclass

from ..core.contract import Array

# What a period's info holds of the flow, summed over its rows.
UNITS = ("demand", "sales", "unmet", "backlog", "ordered", "shipped", "received", "on_hand", "in_transit", "overflow")


@dataclass(slots=True)
class State:
    """The network before orders are placed. N stocking nodes, A arcs, S shops, I items; units."""

    on_hand: Array  # (num_envs, N, I)
    arriving: Array  # (num_envs, N, I) arrived, but not to be shipped on yet; None if it may at once
    in_transit: Array  # (num_envs, A, I) the sum of the pipeline, as shipped
    pipeline: tuple  # (num_envs, A, I) each: entry k arrives k + 1 periods ahead (fixed), or is k + 1 old (random)
    orders: tuple  # (num_envs, A, I) each: orders that their source will know of k periods ahead
    owed: Array  # (num_envs, A, I) orders that wait at their source; None where none ever does
    backlog: Array  # (num_envs, S * I) what customers wait for; None where none ever does


@dataclass(slots=True)
class Flow:
    """What moved in one period, units: (num_envs, S * I) at shops, (num_envs, A, I) on arcs, (num_envs, N, I) else."""

    demand: Array
    sales: Array
    unmet: Array  # demand of this period that stock did not serve: it is lost or waits
    lost: Array  # None where all unmet demand waits
    backlog: Array  # None where none ever waits
    ordered: Array  # after the limits
    overflow: Array  # asked for, but over the storage; None without such limits
    shipped: Array
    refused: Array  # ordered but lost, on arcs; None where unfilled orders wait
    owed: Array  # None where none ever is
    received: Array
    on_hand: Array  # left at the end of the period, before the next one's arrivals
    in_transit: Array  # on the way at the end of the period, before the next one's arrivals
