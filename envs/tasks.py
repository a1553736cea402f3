"""The named problems, and the environments made of them."""

from collections.abc import Callable

import numpy as np

from . import pricing_tasks, supply_chain_tasks
from .adapters import StoreEnv, StoreVectorEnv
from .demand import DemandParams
from .dispatch import Dispatch
from .dispatch_params import DispatchParams
from .inventory import InventoryParams
from .marketplace import Marketplace
from .marketplace_params import MarketplaceParams
from .params import CLASSICAL
from .references import fixed_cost, lost_sales, marketplace, newsvendor, perishable
from .references.base import Reference
from .task import Task, override


def _one_item(task: str, params: InventoryParams, **needs) -> None:
    """Check that a task's reference fits: one item, and the parameters that it presupposes."""
    needs = {"items": 1, "lead_time_pmf": [], "capacity": np.inf, "budget": np.inf} | CLASSICAL | needs
    for name, value in needs.items():
        found = getattr(params, name)
        if found != value:
            raise ValueError(f"{name}: {found!r} is not allowed, expected {value!r} for the reference of {task}")


def lost_sales_task(**changes) -> Task:
    """Lost sales with a lead time (Zipkin 2008): Poisson(5), L=4, holding cost 1, lost sale 9 by default."""
    base = InventoryParams(
        lead_time=4, lost_sale_cost=9.0, max_order=12.0, action="multi_discrete", horizon=200, initial_stock=20.0
    )
    params = override(base, changes)

    def reference() -> Reference:
        _one_item("LostSales", params, backorder_share=0, fixed_cost=0, price=0, purchase_cost=0)
        (pmf,) = params.demand.pmfs(1)
        lead, holding, lost = (float(params.per_item(n)[0]) for n in ("lead_time", "holding_cost", "lost_sale_cost"))
        solution = lost_sales.solve(pmf, int(lead), holding, lost)
        return Reference.average_optimum(solution, "Zipkin 2008, Operations Research 56(5)")

    return Task("LostSales", params, reference, warmup=50)


def fixed_cost_task(**changes) -> Task:
    """Fixed order cost with backorders, solved by (s, S): Poisson(10), K=64, holding 1, backorder 9 by default."""
    base = InventoryParams(
        demand=DemandParams(mean=10.0), lead_time=0, backorder_share=1.0, backorder_cost=9.0, fixed_cost=64.0,
        max_order=80.0, action="multi_discrete", horizon=200, initial_stock=20.0,
    )  # fmt: skip
    params = override(base, changes)

    def reference() -> Reference:
        _one_item("FixedCost", params, backorder_share=1, price=0, purchase_cost=0)
        (pmf,) = params.demand.pmfs(1)
        names = ("holding_cost", "backorder_cost", "fixed_cost")
        holding, backorder, fixed = (float(params.per_item(n)[0]) for n in names)
        low, high, cost = fixed_cost.solve(pmf, int(params.per_item("lead_time")[0]), holding, backorder, fixed)
        return Reference(
            name=f"optimal (s, S) = ({low}, {high})",
            value=cost,
            criterion="average cost per period",
            kind="exact",
            tolerance=1e-4,
            source="Zheng and Federgruen 1991, Operations Research 39(4)",
            policy=lambda position: np.where(position <= low, high - position, 0),
        )

    return Task("FixedCost", params, reference, warmup=50)


def newsvendor_task(**changes) -> Task:
    """One order, one season: normal demand N(50, 8) in whole units, overage .18, underage .70 by default."""
    base = InventoryParams(
        demand=DemandParams(kind="normal", mean=50.0, std=8.0), lead_time=0, holding_cost=0.18, lost_sale_cost=0.70,
        max_order=100.0, horizon=1, continuing=False,
    )  # fmt: skip
    params = override(base, changes)

    def reference() -> Reference:
        _one_item("Newsvendor", params, backorder_share=0, fixed_cost=0, price=0, horizon=1, lead_time=0)
        (pmf,) = params.demand.pmfs(1)
        names = ("holding_cost", "lost_sale_cost", "purchase_cost", "salvage_value")
        holding, lost, purchase, salvage = (float(params.per_item(n)[0]) for n in names)
        level, cost = newsvendor.solve(pmf, holding + purchase - salvage, lost - purchase)
        return Reference(
            name=f"optimal order {level}",
            value=cost + purchase * float(pmf @ np.arange(len(pmf))),
            criterion="finite horizon",
            kind="exact",
            tolerance=1e-6,
            source="Snyder and Shen 2019, section 4.3",
            policy=lambda position: np.maximum(level - position, 0),
        )

    return Task("Newsvendor", params, reference)


def perishable_task(**changes) -> Task:
    """Perishables with lost sales (De Moor et al. 2022, m = 2, experiment 2): gamma demand of mean 4 and deviation 2,
    two periods of life, FIFO, L=1, purchase 3, holding 1, lost sale 5, waste 7 by default."""
    base = InventoryParams(
        demand=DemandParams(kind="gamma", mean=4.0, std=2.0), shelf_life=2, lead_time=1, purchase_cost=3.0,
        lost_sale_cost=5.0, waste_cost=7.0, max_order=10.0, action="multi_discrete", horizon=200,
    )  # fmt: skip
    params = override(base, changes)

    def reference() -> Reference:
        needs = {"backorder_share": 0, "fixed_cost": 0, "price": 0, "lot_size": 1}
        _one_item("Perishable", params, shelf_life=params.shelf_life, **needs)
        (pmf,) = params.demand.pmfs(1)
        names = ("holding_cost", "lost_sale_cost", "waste_cost", "purchase_cost")
        costs = {name: float(params.per_item(name)[0]) for name in names}
        life, lead = (params.per_item(name)[0] for name in ("shelf_life", "lead_time"))
        if not np.isfinite(life):
            raise ValueError("shelf_life: inf is not allowed, expected an integer for the reference of Perishable")
        problem = perishable.Perishable(pmf, int(life), int(lead), issuing=params.issuing, **costs)
        most = int(params.per_item("max_order")[0])
        solution = perishable.solve(problem, max_order=min(most, problem.largest_order()))
        return Reference.average_optimum(solution, "De Moor, Gijsbrechts and Boute 2022, EJOR 301(2)")

    return Task("Perishable", params, reference, warmup=50)


def inventory_task(**changes) -> Task:
    """Any inventory problem on a stationary demand, by its parameters; no reference."""
    return Task("Inventory", override(InventoryParams(), changes))


def dispatch_task(**changes) -> Task:
    """Same-day delivery in waves (Kool et al. 2022), in generated cities or in `instances`; no reference."""
    return Task("Dispatch", override(DispatchParams(), changes), environment=Dispatch)


def marketplace_task(**changes) -> Task:
    """The whole store, on generated visits; a bound on its profit, given the visits."""
    params = override(MarketplaceParams(), changes)
    return Task("Marketplace", params, hindsight=marketplace.bounds, environment=Marketplace)


TASKS: dict[str, Callable[..., Task]] = {
    "Inventory": inventory_task,
    "LostSales": lost_sales_task,
    "FixedCost": fixed_cost_task,
    "Newsvendor": newsvendor_task,
    **pricing_tasks.TASKS,
    **supply_chain_tasks.TASKS,
    "Dispatch": dispatch_task,
    "Perishable": perishable_task,
    "Marketplace": marketplace_task,
}


def _model(task, source, split, registry, changes):
    if not isinstance(task, Task):
        if task not in registry:
            raise ValueError(f"task: {task!r} is not allowed, expected one of {', '.join(registry)}")
        task = registry[task](**changes)
    elif changes:
        raise ValueError(f"{next(iter(changes))}: not allowed beside a Task, expected it in the task's parameters")
    if split not in ("train", "test"):
        raise ValueError(f"split: {split!r} is not allowed, expected train or test")
    return task.model(split) if source is None else task.environment(task.params, source)


def make_env(task="Inventory", source=None, split="train", render_mode=None, registry=None, **changes) -> StoreEnv:
    """Make a `gymnasium.Env`.

    Args:
        task: a name of the registry or a `Task`.
        source: a `DemandSource` in place of the task's own.
        split: the task's demand to take, `train` or `test`.
        render_mode: None, `rgb_array`, `human` or `ansi`.
        registry: name -> task; by default `TASKS`.
        changes: parameters that differ from the task's (see `InventoryParams` and the like).
    """
    return StoreEnv(_model(task, source, split, registry or TASKS, changes), render_mode)


def make_vector_env(task="Inventory", num_envs=1, source=None, split="train", registry=None, **changes):
    """Make a `gymnasium.vector.VectorEnv` (`StoreVectorEnv`); arguments as in `make_env`."""
    return StoreVectorEnv(_model(task, source, split, registry or TASKS, changes), num_envs)
