"""A supply chain as data: nodes, arcs and what they cost, each number with its unit, checked where it is made."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ...errors import FieldError
from ..core.checks import LARGEST, check_choice, check_episode, check_flag, check_list, check_number
from ..core.demand import DemandParams


@dataclass
class Node:
    """A node of the network. Without arcs into it, it is a supplier that never runs out; with `demand`, it is a shop.

    "Per item": a number for all items or a list with one for each.
    """

    demand: DemandParams | None = None  # of customers, per item; None: no customers come here
    backorders: bool = True  # unmet demand and unfilled orders wait here, or they are lost
    price: Any = 0.0  # money per unit sold to customers, per item
    holding_cost: Any = 0.0  # money per unit on hand at the end of a period, per item
    backorder_cost: Any = 0.0  # money per unit that customers or nodes wait for at the end of a period, per item
    lost_sale_cost: Any = 0.0  # money per unit of demand or of an order lost, per item
    salvage_value: Any = 0.0  # money per unit on hand or on the way here when a season ends, per item
    initial_stock: Any = 0.0  # units on hand at the start, per item
    capacity: float = math.inf  # units of all items together that are sent on to other nodes per period
    storage: float = math.inf  # units of all items together that may be on hand and on the way here

    def __post_init__(self):
        if isinstance(self.demand, dict):
            self.demand = DemandParams(**self.demand)


@dataclass
class Arc:
    """An arc: goods move along it from one node to another. Two nodes may have several (regular and express)."""

    source: str
    target: str
    lead_time: Any = 1  # periods, per item
    lead_time_pmf: list[float] = field(default_factory=list)  # P(1), P(2), ... if random; orders never cross
    order_delay: int = 0  # periods until the source knows of an order
    unit_cost: Any = 0.0  # money per unit shipped: purchase, production, transport; per item
    fixed_cost: Any = 0.0  # money per item and period in which something is shipped, per item
    pipeline_cost: Any = 0.0  # money per unit on the way at the end of a period, per item
    ratio: float = 1.0  # units that arrive per unit shipped: yield, or a bill of materials (1 / units needed)
    max_order: Any = 100.0  # units per order, per item
    initial_pipeline: Any = 0.0  # units due in each of the periods that lead time and order delay cover, per item


MONEY = ("price", "holding_cost", "backorder_cost", "lost_sale_cost", "salvage_value", "initial_stock")
ARC_NUMBERS = ("unit_cost", "fixed_cost", "pipeline_cost", "initial_pipeline")


@dataclass
class SupplyChainParams:
    """Parameters of a supply chain: a directed acyclic network of `nodes` by name, joined by `arcs` by name.

    Both may be given as dicts of their fields, as a configuration does. `network` writes the names of the arcs.
    """

    items: int = 1
    horizon: int = 200  # periods in an episode
    continuing: bool = True  # the horizon cuts an endless problem (truncated), or it ends a season (terminated)
    nodes: Any = field(default_factory=lambda: dict(_DEFAULT_NODES))  # name -> Node
    arcs: Any = field(default_factory=lambda: dict(_DEFAULT_ARCS))  # name -> Arc; their order is that of priority
    allocation: str = "proportional"  # proportional | priority | learned: who gets what when stock is short
    ships_arrivals: bool = True  # what has arrived is shipped on in the same period; false: from the next one on
    lot_size: float = 1.0  # orders are rounded to multiples of it, units; 0: divisible goods
    action: str = "continuous"  # continuous | base_stock: units to order, or echelon base-stock levels

    def __post_init__(self):
        check_number("items", self.items, 1, 100_000, integer=True)
        check_number("horizon", self.horizon, 1, 100_000, integer=True)
        check_flag("continuing", self.continuing)
        check_choice("allocation", self.allocation, ("proportional", "priority", "learned"))
        check_flag("ships_arrivals", self.ships_arrivals)
        check_number("lot_size", self.lot_size, 0, LARGEST)
        check_choice("action", self.action, ("continuous", "base_stock"))
        self.nodes = {name: _made("nodes", name, node, Node) for name, node in _dict("nodes", self.nodes).items()}
        self.arcs = {name: _made("arcs", name, arc, Arc) for name, arc in _dict("arcs", self.arcs).items()}
        for name, node in self.nodes.items():
            self._check_node(f"nodes.{name}", node)
        for name, arc in self.arcs.items():
            self._check_arc(f"arcs.{name}", arc)
        self._check_network()
        check_episode("horizon", self.horizon, self.numbers)

    def _check_node(self, at: str, node: Node):
        if node.demand is not None:
            for name in ("mean", "std", "dispersion"):
                check_number(f"{at}.demand.{name}", getattr(node.demand, name), 0, LARGEST, items=self.items)
        check_flag(f"{at}.backorders", node.backorders)
        for name in MONEY:
            check_number(f"{at}.{name}", getattr(node, name), 0, LARGEST, items=self.items)
        for name in ("capacity", "storage"):
            check_number(f"{at}.{name}", getattr(node, name), 0, math.inf, exclusive=True)

    def _check_arc(self, at: str, arc: Arc):
        for end in ("source", "target"):
            if getattr(arc, end) not in self.nodes:
                known = ", ".join(self.nodes)
                raise FieldError(f"{at}.{end}", getattr(arc, end), f"one of {known}")
        check_number(f"{at}.lead_time", arc.lead_time, 0, 100, integer=True, items=self.items)
        check_list(f"{at}.lead_time_pmf", arc.lead_time_pmf, 0, 1, least=0, most=100, total=1)
        check_number(f"{at}.order_delay", arc.order_delay, 0, 100, integer=True)
        for name in ARC_NUMBERS:
            check_number(f"{at}.{name}", getattr(arc, name), 0, LARGEST, items=self.items)
        check_number(f"{at}.ratio", arc.ratio, 1e-3, 1e3)
        check_number(f"{at}.max_order", arc.max_order, max(self.lot_size, 1e-3), LARGEST, items=self.items)

    def _check_network(self):
        left, placed = dict(self.nodes), set()
        while left:  # take the nodes whose suppliers are taken (Kahn 1962)
            free = [n for n in left if all(a.source in placed for a in self.arcs.values() if a.target == n)]
            if not free:
                raise FieldError("arcs", list(left), "an acyclic network", "as a cycle")
            placed.update(free)
            for name in free:
                del left[name]
        for name, node in self.nodes.items():
            if node.demand is not None and name in self.suppliers:
                raise FieldError(f"nodes.{name}.demand", node.demand, f"an arc into {name}", "for a supplier")
        if not any(node.demand for node in self.nodes.values()):
            raise FieldError("nodes", list(self.nodes), "a node with demand", "without customers")

    @property
    def suppliers(self) -> list[str]:
        """Return the names of the nodes without an arc into them."""
        supplied = {arc.target for arc in self.arcs.values()}
        return [name for name in self.nodes if name not in supplied]

    @property
    def numbers(self) -> int:
        """Return how many numbers an episode holds: what is drawn over its periods, and the state."""
        arcs, shops = self.arcs.values(), sum(node.demand is not None for node in self.nodes.values())
        random = any(np.size(arc.lead_time_pmf) for arc in arcs)
        lead = max(max(np.size(arc.lead_time_pmf), int(np.max(arc.lead_time))) + arc.order_delay for arc in arcs)
        drawn = shops + 2 * random * len(arcs)
        return self.items * ((self.horizon + 1) * drawn + (lead + 3) * len(arcs) + 2 * len(self.nodes))

    @property
    def earns(self) -> bool:
        """Return whether there is revenue: what is reported then is profit, else cost."""
        return any(np.any(node.price) for node in self.nodes.values())


def _dict(group: str, value) -> dict:
    if not isinstance(value, dict) or not value:
        raise FieldError(group, value, f"a mapping from names to {group}")
    return value


def _made(group: str, name: str, value, kind: type):
    """A node or arc, from one or from a dict of its fields."""
    if isinstance(value, kind):
        return value
    known = [f.name for f in fields(kind)]
    if not isinstance(value, dict):
        raise FieldError(f"{group}.{name}", value, f"a mapping of {', '.join(known)}")
    for key in value:
        if key not in known:
            raise FieldError(f"{group}.{name}.{key}", value[key], f"one of {', '.join(known)}")
    for key in ("source", "target"):
        if kind is Arc and key not in value:
            raise FieldError(f"{group}.{name}.{key}", None, "the name of a node")
    return kind(**value)


def network(nodes: dict[str, Node], arcs: list[Arc], **rest) -> SupplyChainParams:
    """Return parameters of the nodes and arcs; an arc is named `source-target`, further ones `source-target-2`, ...

    >>> from storelab.envs import Arc, DemandParams, Node, network
    >>> params = network(
    ...     {"factory": Node(), "shop": Node(DemandParams(mean=20), holding_cost=1, backorder_cost=9)},
    ...     [Arc("factory", "shop", lead_time=2)],
    ... )
    >>> list(params.arcs)
    ['factory-shop']
    """
    named: dict[str, Arc] = {}
    for arc in arcs:
        name = base = f"{arc.source}-{arc.target}"
        while name in named:
            name = f"{base}-{1 + sum(key.startswith(base) for key in named)}"
        named[name] = arc
    return SupplyChainParams(nodes=nodes, arcs=named, **rest)


_DEFAULT_NODES = {"supplier": Node(), "shop": Node(DemandParams(), holding_cost=1.0, backorder_cost=9.0)}
_DEFAULT_ARCS = {"supplier-shop": Arc("supplier", "shop")}
