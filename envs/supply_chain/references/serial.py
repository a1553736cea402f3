"""Serial systems with backorders at the last stage: the optimal echelon base-stock levels, exactly, and their bounds.

Stage 1 serves the customers, stage N is supplied from outside. Stage j's lead time demand is that of L_j periods;
echelon holding cost h_j is charged per unit at stage j and everything downstream of it, backorder cost p per unit of
customers' backlog. This is the book's convention (continuous review, or orders placed after the period's demand); see
`from_network` for how a `SupplyChain` maps to it. Sources: Clark and Scarf (1960), Management Science 6(4); Chen and
Zheng (1994), Management Science 40(11); Shang and Song (2003), Management Science 49(5); Snyder and Shen (2019),
section 6.2.
"""

from dataclasses import dataclass

import numpy as np

from ....errors import FieldError
from ...core.pmf import check, normal, require_lead_time, require_positive, total
from ...inventory.references.newsvendor import critical_level

STEP = 0.01  # of the standard deviation of a period's demand: the grid of `solve_normal`


@dataclass
class Solution:
    """Echelon and local base-stock levels (units, stage 1 first) and the expected cost per period."""

    echelon: np.ndarray  # (N,)
    local: np.ndarray  # (N,) differences of the levels that bind
    cost: float


def solve(pmf: np.ndarray, lead_times, echelon_holding, backorder_cost: float) -> Solution:
    """The optimal echelon base-stock levels, by the recursion (Snyder and Shen 2019, equations 6.24 to 6.28).

    Args:
        pmf: P(D = k) of one period's demand at index k.
        lead_times: (N,) integers >= 0, stage 1 first, in total >= 1.
        echelon_holding: (N,) money per unit and period, > 0.
        backorder_cost: money per unit that customers wait for at the end of a period, > 0.

    Raises:
        FieldError: values out of range.
    """
    pmf, leads, holding = _checked(pmf, lead_times, echelon_holding, backorder_cost)
    levels: list[int] = []
    # f(x), x = -1, 0, ..., is what stage j's echelon costs downstream of it when it starts from x. It is linear below
    # 0 (all demand then waits) and beyond the grid.
    slope = backorder_cost + holding.sum()
    f = slope * np.array([1.0, 0.0])
    for lead, h in zip(leads, holding, strict=True):
        lead_demand = total(pmf, lead) if lead else np.ones(1)
        top = (levels[-1] if levels else 0) + len(lead_demand)
        x = np.arange(-1, top + 1)
        cost = h * x + np.where(x < len(f) - 1, f[np.minimum(x + 1, len(f) - 1)], f[-1])
        below = cost[0] + (cost[0] - cost[1]) * np.arange(len(lead_demand) - 1, 0, -1)
        expected = np.convolve(np.concatenate([below, cost]), lead_demand, mode="valid")
        best = int(np.argmin(expected[1:]))  # a level below 0 is never optimal with h, p > 0
        levels.append(best)
        f = expected[: best + 2]  # from the best level on, stock is kept upstream
    echelon = np.array(levels, dtype=float)
    return Solution(echelon, local_levels(echelon), float(f[-1]))


def solve_normal(mean: float, std: float, lead_times, echelon_holding, backorder_cost: float) -> Solution:
    """The same for continuous normal demand, on a grid of `STEP` standard deviations; what is below 0 is cut off."""
    require_positive("mean", mean)
    require_positive("std", std)
    unit = STEP * std
    pmf = normal(mean / unit, std / unit)
    grid = solve(pmf, lead_times, np.asarray(echelon_holding, float) * unit, backorder_cost * unit)
    return Solution(grid.echelon * unit, grid.local * unit, grid.cost)


def shang_song(pmf: np.ndarray, lead_times, echelon_holding, backorder_cost: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds on the optimal echelon base-stock levels, (N,) each, by newsvendors (Shang and Song 2003).

    Stage j's newsvendor has the demand of lead times 1 .. j and the critical ratio (p + sum of h_i, i > j) over
    p + sum of h_i, of all i (lower) or of i >= j (upper). Arguments as in `solve`.
    """
    pmf, leads, holding = _checked(pmf, lead_times, echelon_holding, backorder_cost)
    bounds = []
    for j in range(len(leads)):
        lead_demand = total(pmf, int(leads[: j + 1].sum())) if leads[: j + 1].sum() else np.ones(1)
        under = backorder_cost + holding[j + 1 :].sum()
        bounds.append([critical_level(lead_demand, over, under) for over in (holding[: j + 1].sum(), holding[j])])
    low, high = np.array(bounds, dtype=float).T
    return low, high


def shang_song_levels(pmf: np.ndarray, lead_times, echelon_holding, backorder_cost: float) -> np.ndarray:
    """The heuristic's echelon base-stock levels (N,): the mean of the bounds, rounded down (Shang and Song 2003)."""
    low, high = shang_song(pmf, lead_times, echelon_holding, backorder_cost)
    return np.floor((low + high) / 2)


def local_levels(echelon: np.ndarray) -> np.ndarray:
    """Local base-stock levels (N,) that act as the echelon ones do (Snyder and Shen 2019, section 6.2.3)."""
    binding = np.minimum.accumulate(np.asarray(echelon, float)[::-1])[::-1]
    return np.diff(binding, prepend=0.0)


@dataclass
class SerialProblem:
    """A serial supply chain in the book's terms, and what its costs differ by."""

    nodes: list[int]  # rows of the model's nodes, stage 1 first
    arcs: list[int]  # rows of the arcs into them
    lead_times: np.ndarray
    echelon_holding: np.ndarray
    backorder_cost: float
    pipeline_per_unit: float  # money per unit of mean demand, to add to the recursion's cost


def from_network(model) -> SerialProblem:
    """Read a serial `SupplyChain` of one item as a problem of `solve`.

    In the model the last stage's order comes before the period's demand: its lead time demand is that of lead time + 1
    periods. The stages upstream ship before the demand and are charged after it, with what arrives at night still on
    the way: each unit of mean demand costs h_j less than in the book, and pipelines cost what the arcs say instead of
    the holding cost of their source.

    Raises:
        FieldError: another network, another cost, or a lead time of 0 upstream.
    """
    p, arcs = model.params, list(model.params.arcs.values())
    order = list(range(len(model.nodes)))[::-1]
    into = [[a for a in range(len(arcs)) if model.target_of[a] == n] for n in order]
    chain = all(len(rows) == 1 for rows in into) and all(
        model.source_of[rows[0]] == order[k + 1] for k, rows in enumerate(into[:-1])
    )
    shop, because = p.nodes[model.shops[-1]], "for this reference"
    if not chain or len(model.shops) != 1:
        raise FieldError("arcs", list(p.arcs), "a series of stages that ends at one shop", because)
    if p.items != 1 or model.random_lead or model.max_delay or not shop.backorders or not p.ships_arrivals:
        expected = "one item, fixed lead times, no order delay and backorders at the shop"
        raise FieldError("nodes", list(p.nodes), expected, because)
    rows = [arc for (arc,) in into]
    limits = [v for node in p.nodes.values() for v in (node.capacity, node.storage)]
    priced = any(model.per_arc(name)[a, 0] for name in ("unit_cost", "fixed_cost") for a in rows) or shop.price
    if np.isfinite(limits).any() or priced or any(arc.ratio != 1 for arc in arcs):
        raise FieldError("arcs", list(p.arcs), "no limits, ratios, prices, unit and fixed costs", because)
    leads = model.lead[rows, 0].copy()
    if (leads[1:] == 0).any():
        raise FieldError("arcs.lead_time", leads.tolist(), "at least 1 upstream", because)
    local = model.per_node("holding_cost")[order, 0]
    echelon = local - np.append(local[1:], 0.0)
    pipeline = model.per_arc("pipeline_cost")[rows, 0] @ leads - local[1:] @ leads[:-1] - echelon[1:].sum()
    leads[0] += 1
    return SerialProblem(order, rows, leads, echelon, float(np.asarray(shop.backorder_cost)), float(pipeline))


def _checked(pmf, lead_times, echelon_holding, backorder_cost):
    leads, holding = np.atleast_1d(np.asarray(lead_times)), np.atleast_1d(np.asarray(echelon_holding, dtype=float))
    if leads.ndim != 1 or leads.shape != holding.shape:
        raise FieldError("echelon_holding", holding.shape, f"one for each of {leads.shape} stages")
    for lead in leads.tolist():
        require_lead_time(lead)
    if not leads.sum():
        raise FieldError("lead_times", leads.tolist(), "at least one period in total")
    for h in holding.tolist():
        require_positive("echelon_holding", h)
    require_positive("backorder_cost", backorder_cost)
    return check(pmf), leads.astype(int), holding
