"""Named supply chains of the literature, as tasks."""

from typing import Any

import numpy as np

from ...errors import FieldError
from ..core.contract import Policy, Reference
from ..core.demand import DemandParams, PathDemand
from ..core.task import Task, override
from .model import SupplyChain
from .params import Arc, Node, SupplyChainParams, network
from .references import dual_sourcing, hindsight, serial


def _task(name: str, params: SupplyChainParams, **rest) -> Task:
    return Task(name, params, SupplyChain, **rest)


def _echelon_base_stock(model: SupplyChain, levels: np.ndarray) -> Policy:
    """Return the policy that orders up to levels (A,) of the echelon inventory position; each node has one arc."""

    def act(observation, policy_state, seed):
        named = model.features(observation)
        position = model.seen_position(named)[:, model.target_of]
        return model.action_of(named, np.clip(levels[:, None] - position, 0, model.max_order)), policy_state

    return act


def _dual_sourcing_policy(model: SupplyChain, solution: dual_sourcing.Solution) -> Policy:
    """Return the policy of the dynamic program for two arcs into one shop."""
    fast, slow = np.argsort(model.lead[:, 0])
    express = int(model.lead[fast, 0])

    def act(observation, policy_state, seed):
        named = model.features(observation)
        due = [units.sum(axis=1)[:, 0] for units in model.seen_state(named).pipeline]  # by period of arrival
        position = named["on_hand"][:, 0, 0] - named["backlog"][:, 0, 0] + sum(due[:express], 0)
        later = np.stack(due[express:], axis=1) if due[express:] else np.zeros((len(position), 0))
        order = np.zeros((len(position), 2, 1))
        order[:, fast, 0], order[:, slow, 0] = solution.act(position, later)
        return model.action_of(named, order), policy_state

    return act


def supply_chain_task(**changes) -> Task:
    """Any supply chain on stationary demand, by its parameters (a supplier and a shop by default); no reference."""
    return _task("SupplyChain", override(SupplyChainParams(), changes), warmup=20)


def serial_task(**changes) -> Task:
    """Three stages in series (Clark and Scarf 1960): Snyder and Shen 2019, example 6.1, divisible goods.

    The book's lead time of L periods is L - 1 at the last stage, since its order comes before the demand here. The book
    counts a stage's arrivals at night as stock; here they are in the pipeline until the morning. The pipeline costs are
    set so that costs agree with the book's.
    """
    nodes = {
        "supplier": Node(),
        "stage-3": Node(holding_cost=2.0, initial_stock=5.0, backorders=False),
        "stage-2": Node(holding_cost=4.0, initial_stock=5.0, backorders=False),
        "stage-1": Node(DemandParams("normal", 5.0, 1.0), holding_cost=7.0, backorder_cost=37.12, initial_stock=6.0),
    }
    arcs = [
        Arc("supplier", "stage-3", lead_time=2, pipeline_cost=1.0, max_order=20.0, initial_pipeline=5.0),
        Arc("stage-3", "stage-2", lead_time=1, pipeline_cost=4.0, max_order=20.0, initial_pipeline=5.0),
        Arc("stage-2", "stage-1", lead_time=0, max_order=20.0),
    ]
    params = override(network(nodes, arcs, lot_size=0.0), changes)

    def reference() -> Reference:
        model = SupplyChain(params)
        problem, demand = serial.from_network(model), params.nodes[model.shops[0]].demand
        rest = (problem.lead_times, problem.echelon_holding, problem.backorder_cost)
        if demand.kind == "normal" and not params.lot_size:
            mean, solution = demand.mean, serial.solve_normal(demand.mean, demand.std, *rest)
        else:
            (pmf,) = demand.pmfs(1)
            mean, solution = float(pmf @ np.arange(len(pmf))), serial.solve(pmf, *rest)
        shown = ", ".join(f"{level:g}" for level in solution.echelon.round(2))
        levels = np.zeros(len(model.arcs))
        levels[problem.arcs] = solution.echelon
        return Reference(
            name=f"optimal echelon base-stock levels {shown} (last stage first)",
            value=solution.cost + problem.pipeline_per_unit * mean,
            criterion="average cost per period",
            kind="exact",
            tolerance=0.02,
            source="Clark and Scarf 1960, Management Science 6(4); Snyder and Shen 2019, section 6.2",
            policy=_echelon_base_stock(model, levels),
            levels={"level": levels.tolist()},
        )

    return _task("Serial", params, reference=reference, warmup=50)


def beer_game_task(**changes) -> Task:
    """The beer game (Sterman 1989, Management Science 35(3)): four stages, demand 4 a week, from the fifth week on 8.

    Orders take 2 weeks to the next stage (the brewery's 1) and goods 2 weeks back. Unfilled orders wait.
    """
    costs: dict[str, Any] = {"holding_cost": 0.5, "backorder_cost": 1.0, "initial_stock": 12.0}
    stages = ["retailer", "wholesaler", "distributor", "brewery"]
    nodes = {"fields": Node()} | {name: Node(**costs) for name in reversed(stages)}
    nodes["retailer"].demand = DemandParams(mean=8.0)
    arcs = [Arc("fields", "brewery", lead_time=2, order_delay=1, max_order=50.0, initial_pipeline=4.0)]
    for target, source in zip(stages[2::-1], stages[:0:-1], strict=True):
        arcs.append(Arc(source, target, lead_time=2, order_delay=2, max_order=50.0, initial_pipeline=4.0))
    params = override(network(nodes, arcs, horizon=36, continuing=False), changes)
    demand = np.full((params.horizon + 1, 1), 8.0)
    demand[:4] = 4.0
    source = PathDemand(demand[None])
    return _task("BeerGame", params, train=source, test=source, hindsight=hindsight.bounds)


def one_warehouse_task(**changes) -> Task:
    """One warehouse and ten shops (Federgruen and Zipkin 1984): Poisson demand, backorders at the shops."""
    shops = [f"shop-{k}" for k in range(1, 11)]
    nodes = {"supplier": Node(), "warehouse": Node(holding_cost=0.5, initial_stock=60.0, backorders=False)}
    for k, name in enumerate(shops):
        nodes[name] = Node(DemandParams(mean=2.0 + k), holding_cost=1.0, backorder_cost=9.0, initial_stock=8.0 + 2 * k)
    arcs = [Arc("supplier", "warehouse", lead_time=2, max_order=150.0, initial_pipeline=65.0)]
    arcs += [Arc("warehouse", name, lead_time=1, max_order=40.0) for name in shops]
    return _task("OneWarehouse", override(network(nodes, arcs), changes), warmup=50)


def inv_management_task(**changes) -> Task:
    """The serial chain of or-gym's InvManagement-v0 (Hubbs et al. 2020, arXiv:2008.06319), undiscounted.

    Lost sales (v1): `nodes={"retailer": {"backorders": False}}`. Orders that a stage cannot fill are dropped at no
    cost, as or-gym's code does.
    """
    nodes = {
        "plant": Node(capacity=80.0, backorders=False),
        "stage-2": Node(holding_cost=0.05, initial_stock=200.0, capacity=90.0, backorders=False),
        "stage-1": Node(holding_cost=0.10, initial_stock=100.0, capacity=100.0, backorders=False),
        "retailer": Node(
            DemandParams(mean=20.0), price=2.0, holding_cost=0.15, backorder_cost=0.10, lost_sale_cost=0.10,
            initial_stock=100.0,
        ),
    }  # fmt: skip
    arcs = [
        Arc("stage-1", "retailer", lead_time=3),
        Arc("stage-2", "stage-1", lead_time=5),
        Arc("plant", "stage-2", lead_time=10, unit_cost=0.5),
    ]
    return _or_gym("InvManagement", nodes, arcs, changes)


def network_management_task(**changes) -> Task:
    """The network of or-gym's NetworkManagement-v1 (Perez et al. 2021, Processes 9(1)), also gym-invmgmt's.

    Lost sales: `nodes={"retailer": {"backorders": False}}`. Prices between the nodes cancel out. A plant's operating
    cost is part of the cost of what it ships.
    """

    def factory(holding_cost, initial_stock, capacity):
        return Node(holding_cost=holding_cost, initial_stock=initial_stock, capacity=capacity, backorders=False)

    nodes = {
        "retailer": Node(
            DemandParams(mean=20.0), price=2.0, holding_cost=0.03, backorder_cost=0.1, lost_sale_cost=0.1,
            initial_stock=100.0,
        ),
        "distributor-2": Node(holding_cost=0.02, initial_stock=110.0, backorders=False),
        "distributor-3": Node(holding_cost=0.015, initial_stock=80.0, backorders=False),
        "factory-4": factory(0.012, 400.0, 90.0),
        "factory-5": factory(0.013, 350.0, 90.0),
        "factory-6": factory(0.011, 380.0, 80.0),
        "materials-7": Node(),
        "materials-8": Node(),
    }  # fmt: skip
    arcs = [
        Arc("distributor-2", "retailer", 5, pipeline_cost=0.010),
        Arc("distributor-3", "retailer", 3, pipeline_cost=0.015),
        Arc("factory-4", "distributor-2", 8, unit_cost=0.010, pipeline_cost=0.008),
        Arc("factory-4", "distributor-3", 10, unit_cost=0.010, pipeline_cost=0.006),
        Arc("factory-5", "distributor-2", 9, unit_cost=0.015, pipeline_cost=0.005),
        Arc("factory-6", "distributor-2", 11, unit_cost=0.012, pipeline_cost=0.007),
        Arc("factory-6", "distributor-3", 12, unit_cost=0.012, pipeline_cost=0.004),
        Arc("materials-7", "factory-4", 0, unit_cost=0.15),
        Arc("materials-7", "factory-5", 1, unit_cost=0.05, pipeline_cost=0.005),
        Arc("materials-8", "factory-5", 2, unit_cost=0.07, pipeline_cost=0.002),
        Arc("materials-8", "factory-6", 0, unit_cost=0.20),
    ]
    return _or_gym("NetworkManagement", nodes, arcs, changes)


def _or_gym(name: str, nodes: dict, arcs: list, changes: dict) -> Task:
    """A season of 30 periods in which arrivals are shipped on from the next period on and stock goes by priority."""
    base = network(nodes, arcs, horizon=30, continuing=False, ships_arrivals=False, allocation="priority")
    return _task(name, override(base, changes), hindsight=hindsight.bounds)


def dual_sourcing_task(**changes) -> Task:
    """A cheap slow supplier and a costly fast one (Veeraraghavan and Scheller-Wolf 2008, Operations Research 56(4))."""
    nodes = {
        "regular": Node(),
        "express": Node(),
        "shop": Node(DemandParams(mean=3.0), holding_cost=1.0, backorder_cost=19.0, initial_stock=8.0),
    }
    arcs = [
        Arc("express", "shop", lead_time=0, unit_cost=3.0, max_order=10.0),
        Arc("regular", "shop", lead_time=2, unit_cost=1.0, max_order=10.0),
    ]
    params = override(network(nodes, arcs), changes)

    def reference() -> Reference:
        model = SupplyChain(params)
        check_dual_sources(model)
        fast, slow = np.argsort(model.lead[:, 0])
        holding, backorder = (float(model.per_node(name)[0, 0]) for name in ("holding_cost", "backorder_cost"))
        dear, cheap = (float(model.per_arc("unit_cost")[arc, 0]) for arc in (fast, slow))
        (pmf,) = params.nodes[model.shops[0]].demand.pmfs(1)
        largest = int(model.per_arc("max_order")[slow, 0])
        leads = (int(model.lead[slow, 0]), int(model.lead[fast, 0]))
        solution = dual_sourcing.solve(pmf, *leads, holding, backorder, cheap, dear, min(largest, len(pmf) - 1))
        policy = _dual_sourcing_policy(model, solution)
        return Reference.average_optimum(
            solution.cost, policy, "Veeraraghavan and Scheller-Wolf 2008, Operations Research 56(4)"
        )

    return _task("DualSourcing", params, reference=reference, warmup=50)


def check_dual_sources(model: SupplyChain) -> None:
    """Check that the dynamic program fits: one item and shop, two suppliers, and the costs that it knows."""
    p, arcs = model.params, model.params.arcs.values()
    given, because = list(p.arcs), "for this reference"
    if len(model.arcs) != 2 or len(model.nodes) != 1 or len(p.suppliers) != 2 or p.items != 1 or p.lot_size != 1:
        raise FieldError("arcs", given, "two suppliers and one shop, one item in whole units", because)
    if model.random_lead or model.max_delay or model.lead[0, 0] == model.lead[1, 0] or not p.ships_arrivals:
        raise FieldError("arcs", given, "two different fixed lead times and no order delay", because)
    costs = [arc.fixed_cost or arc.pipeline_cost or arc.ratio != 1 for arc in arcs]
    shop = p.nodes[model.shops[0]]
    if any(costs) or not shop.backorders or shop.price or np.isfinite([n.storage for n in p.nodes.values()]).any():
        expected = "no fixed and pipeline costs, ratios, prices, lost sales and storage"
        raise FieldError("nodes", list(p.nodes), expected, because)
    capacity = [node.capacity for node in p.nodes.values()]
    if np.isfinite(capacity).any():
        raise FieldError("nodes.capacity", capacity, "inf", because)


def many_items_task(**changes) -> Task:
    """Many items in three echelons that share storage and capacity, in the manner of MABIM (Yang et al. 2023).

    With `items=2000` as large as MABIM's largest: Poisson demand of 1 to 10 units, lost sales, lead times 1 to 4.
    """
    items = changes.get("items", 100)
    rng = np.random.default_rng(0)
    mean = rng.uniform(1, 10, items).round(1)
    price = rng.uniform(5, 50, items).round(2)
    total = float(mean.sum())
    stock = {"initial_stock": np.ceil(3 * mean).tolist(), "backorders": False, "storage": 10 * total}
    cost = {name: (share * price).round(4).tolist() for name, share in (("low", 0.002), ("mid", 0.004), ("high", 0.01))}
    demand = DemandParams(mean=mean.tolist())
    nodes = {
        "plants": Node(),
        "centre": Node(holding_cost=cost["low"], capacity=1.5 * total, **stock),
        "depot": Node(holding_cost=cost["mid"], capacity=1.5 * total, **stock),
        "shop": Node(demand, price=price.tolist(), holding_cost=cost["high"], **stock),
    }
    limit = {"max_order": np.ceil(4 * mean).tolist()}
    arcs = [
        Arc("plants", "centre", rng.integers(1, 5, items).tolist(), unit_cost=(0.5 * price).tolist(), **limit),
        Arc("centre", "depot", rng.integers(1, 4, items).tolist(), **limit),
        Arc("depot", "shop", 1, **limit),
    ]
    base = network(nodes, arcs, items=items, horizon=100)
    return _task("ManyItems", override(base, changes), warmup=20)
