"""The inventory tasks, and which reference fits which parameters."""

import numpy as np

from ...errors import FieldError
from ..core.contract import Policy, Reference
from ..core.demand import DemandParams
from ..core.task import Task, override
from .model import Inventory
from .params import CLASSICAL, InventoryParams
from .references import fixed_cost, lost_sales, newsvendor, perishable


def _one_item(task: str, params: InventoryParams, **needs) -> None:
    """Check that a task's reference fits: one item, and the parameters that it presupposes."""
    needs = {"items": 1, "lead_time_pmf": [], "capacity": np.inf, "budget": np.inf} | CLASSICAL | needs
    for name, value in needs.items():
        if getattr(params, name) != value:
            raise FieldError(name, getattr(params, name), f"{value!r} for the reference of {task}")


def _by_position(model: Inventory, order_up_to) -> Policy:
    """Return the policy that orders `order_up_to(position) - position` units, the inventory position being (n, 1)."""

    def act(observation, policy_state, seed):
        named = model.features(observation)
        position = model.seen_position(named)
        return model.action_of(named, np.maximum(order_up_to(position) - position, 0)), policy_state

    return act


def _by_states(model: Inventory, states_of, solution) -> Policy:
    """Return the policy of a dynamic program: `solution.act(states)` orders (n,) at states (n, k) of named features."""

    def act(observation, policy_state, seed):
        named = model.features(observation)
        return model.action_of(named, solution.act(states_of(named).astype(int))[:, None]), policy_state

    return act


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
        largest = int(params.per_item("max_order")[0])
        solution = lost_sales.solve(pmf, int(lead), holding, lost, max_order=largest)
        model = Inventory(params)
        policy = _by_states(model, lambda named: _lost_sales_states(model, named), solution)
        return Reference.average_optimum(solution.cost, policy, "Zipkin 2008, Operations Research 56(5)")

    return Task("LostSales", params, Inventory, reference, warmup=50)


def _lost_sales_states(model: Inventory, named: dict) -> np.ndarray:
    """Return the states (n, max(L, 1)) of the lost-sales program: stock on hand, then what is on order by arrival."""
    stock = named["on_hand"]
    return np.concatenate([stock, named["pipeline"][..., 0]], axis=1) if "pipeline" in named else stock


def _perishable_states(model: Inventory, named: dict) -> np.ndarray:
    """Return the states (n, m + L - 1) of the perishables' program: stock by remaining life, then what is on order."""
    shelf = named["shelf"] if model.max_lead else named["shelf"][:, :-1]  # the freshest are about to be ordered
    return np.concatenate([shelf, named.get("pipeline", shelf[:, :0])], axis=1)[..., 0]


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
            policy=_by_position(Inventory(params), lambda position: np.where(position <= low, high, position)),
            levels={"s": [float(low)], "S": [float(high)]},
        )

    return Task("FixedCost", params, Inventory, reference, warmup=50)


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
            policy=_by_position(Inventory(params), lambda position: np.full_like(position, level)),
            levels={"level": [float(level)]},
        )

    return Task("Newsvendor", params, Inventory, reference)


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
            raise FieldError("shelf_life", float(life), "an integer for the reference of Perishable")
        problem = perishable.Perishable(pmf, int(life), int(lead), issuing=params.issuing, **costs)
        largest = int(params.per_item("max_order")[0])
        solution = perishable.solve(problem, max_order=min(largest, problem.largest_order()))
        model = Inventory(params)
        policy = _by_states(model, lambda named: _perishable_states(model, named), solution)
        return Reference.average_optimum(solution.cost, policy, "De Moor, Gijsbrechts and Boute 2022, EJOR 301(2)")

    return Task("Perishable", params, Inventory, reference, warmup=50)


def inventory_task(**changes) -> Task:
    """Any inventory problem on a stationary demand, by its parameters; no reference."""
    return Task("Inventory", override(InventoryParams(), changes), Inventory)
