"""The generalist: one network per family of problems that acts on any of them without training or tuning.

It was trained once, over problems drawn from `RANGES` (`training`), and sees a problem's own parameters. NumPy alone.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from ...envs import Inventory, SupplyChain, Task
from ...envs.core.contract import Policy
from ...envs.core.demand import DemandParams, TableDemand
from ...envs.inventory.params import CLASSICAL
from ...envs.supply_chain.tasks import check_dual_sources
from ...errors import FieldError
from ...reading import read_weights
from . import families

CHECKPOINTS = Path(__file__).parent / "checkpoints"
NAME, TASKS = "generalist", ("LostSales", "DualSourcing")  # in whose tables it stands
ROWS = 8192  # observations that are acted on at once
RANGES: dict[str, dict[str, tuple[float, float]]] = {  # family -> what it was trained for and is allowed
    "lost_sales": {
        "demand.mean": (2.0, 200.0),  # units per period; Poisson, negative binomial or geometric
        "demand.dispersion": (0.5, 10.0),
        "lead_time": (0, 8),
        "lost_sale_cost": (1.0, 100.0),  # with price less purchase cost, in holding costs of a unit and period
        "max_order": (1.5, math.inf),  # mean demands
    },
    "dual_sourcing": {
        "demand.mean": (2.0, 200.0),
        "demand.dispersion": (0.5, 10.0),
        "lead_time": (0, 8),
        "saved": (1, 6),  # periods from the express to the regular lead time
        "express": (0, 3),  # express lead time
        "backorder_cost": (2.0, 100.0),  # in holding costs
        "premium": (0.1, 10.0),  # of an express unit, in holding costs per period of lead time saved
        "max_order": (2.0, math.inf),
    },
}
KINDS = ("poisson", "negative_binomial", "geometric")


def generalist(task: Task) -> Policy:
    """Return the pre-trained policy for a task's lost-sales or dual-sourcing problem, in the task's action mode.

    Args:
        task: `LostSales`, `DualSourcing`, or another with the same kind of model: `Inventory` with lost sales, any
            number of items without shared limits, or a shop with two suppliers; stationary demand, continuing.

    Raises:
        FieldError: another kind of problem, or parameters outside `RANGES`.
    """
    model: Any = task.model("test")
    if isinstance(model, Inventory):
        return _lost_sales(model)
    if isinstance(model, SupplyChain):
        return _dual_sourcing(model)
    raise FieldError("task", task.name, "one of Inventory with lost sales, or of two suppliers", "for the generalist")


def pretrained(task: Task) -> dict[str, Policy]:
    """Return the generalist by its name for the tasks it was made for; else, or outside its range, nothing.

    Says in a line why it has none for one of `TASKS`.
    """
    if task.name not in TASKS:
        return {}
    try:
        return {NAME: generalist(task)}
    except FieldError as error:
        print(f"no {NAME}: {error}")
        return {}


def _lost_sales(model: Inventory) -> Policy:
    p, within = model.params, _within("lost_sales")
    needs = {"lead_time_pmf": [], "capacity": np.inf, "budget": np.inf, "backorder_share": 0, "fixed_cost": 0}
    needs |= CLASSICAL | {"lot_size": 1, "continuing": True}
    _check_needs(p, needs)
    _check_source(model)
    underage = p.per_item("lost_sale_cost") + p.per_item("price") - p.per_item("purchase_cost")
    pmfs, problems = _pmfs(p.demand, p.items, within), []
    for i, pmf in enumerate(pmfs):
        within("lead_time", lead := int(model.lead[i]))
        mean, holding = float(pmf @ np.arange(len(pmf))), float(p.per_item("holding_cost")[i])
        ratio, top = _ratio(float(underage[i]), holding), float(model.per_order()[i])
        within("lost_sale_cost", ratio, "as a multiple of the holding cost")
        within("max_order", top / mean, "as a multiple of the mean demand")
        problems.append(families.lost_sales(pmf, lead, ratio, top, np.random.default_rng(0)))
    problem, network = families.stacked(problems), read("lost_sales")

    def orders(observation):
        named = model.features(observation)
        pipeline = np.zeros((*named["on_hand"].shape, families.LONGEST), np.float32)
        if "pipeline" in named:
            pipeline[..., : model.max_lead - 1] = np.moveaxis(named["pipeline"], 1, -1)
        asked, _ = families.lost_sales_orders(np, network, problem, named["on_hand"], pipeline)
        return model.action_of(named, np.floor(np.clip(asked[..., 0], 0, problem["top"]) + 0.5))

    return _policy(orders)


def _dual_sourcing(model: SupplyChain) -> Policy:
    p, within = model.params, _within("dual_sourcing")
    check_dual_sources(model)
    _check_needs(p, {"continuing": True})
    _check_source(model)
    fast, slow = np.argsort(model.lead[:, 0])
    leads = (int(model.lead[slow, 0]), int(model.lead[fast, 0]))
    within("lead_time", leads[0])
    within("express", leads[1])
    within("saved", leads[0] - leads[1])
    (pmf,) = _pmfs(p.nodes[model.shops[0]].demand, 1, within)
    holding, waits = (float(model.per_node(name)[0, 0]) for name in ("holding_cost", "backorder_cost"))
    dear, cheap = (float(model.per_arc("unit_cost")[arc, 0]) for arc in (fast, slow))
    ratio, premium = _ratio(waits, holding), _ratio(dear - cheap, holding)
    within("backorder_cost", ratio, "as a multiple of the holding cost")
    within("premium", premium / (leads[0] - leads[1]), "in holding costs per period of lead time saved")
    tops = (float(model.max_order[slow, 0]), float(model.max_order[fast, 0]))
    within("max_order", min(tops) / float(pmf @ np.arange(len(pmf))), "as a multiple of the mean demand")
    problem = families.stacked([families.dual_sourcing(pmf, leads, ratio, premium, tops)])
    problem, network = {name: values[0] for name, values in problem.items()}, read("dual_sourcing")

    def orders(observation):
        named = model.features(observation)
        stock = np.asarray(named["on_hand"][:, 0, 0] - named["backlog"][:, 0, 0], dtype=np.float32)
        pipeline = np.zeros((len(stock), families.LONGEST), np.float32)
        for k, units in enumerate(model.seen_state(named).pipeline):
            pipeline[:, k] = units.sum(axis=1)[:, 0]
        asked, _ = families.dual_sourcing_orders(np, network, problem, stock, pipeline)
        order = np.zeros((len(stock), 2, 1))
        order[:, [slow, fast], 0] = np.floor(np.clip(asked, 0, problem["tops"]) + 0.5)
        return model.action_of(named, order)

    return _policy(orders)


def _policy(orders) -> Policy:
    def act(observation, policy_state, seed: int):
        parts = [orders(observation[k : k + ROWS]) for k in range(0, len(observation), ROWS)]
        return np.concatenate(parts), policy_state

    return act


def read(family: str) -> dict[str, np.ndarray]:
    """Return the weights of a family's network, as they ship."""
    return read_weights(CHECKPOINTS / f"{family}.safetensors")


def _within(family: str):
    """Return what raises a FieldError for a value outside a family's range."""

    def check(name: str, value: float, what: str = "") -> None:
        low, high = RANGES[family][name]
        if not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
            expected = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
            raise FieldError(name, value, expected, f"for the generalist{what and f', {what}'}")

    return check


def _check_needs(params, needs: dict) -> None:
    for name, value in needs.items():
        given = getattr(params, name)
        if not (given == value if isinstance(value, list) else np.all(np.asarray(given) == value)):
            raise FieldError(name, given, f"{value!r}", "for the generalist")


def _check_source(model) -> None:
    if not isinstance(model.source, TableDemand):
        raise FieldError("demand", type(model.source).__name__, "a stationary one of parameters", "for the generalist")


def _pmfs(demand: DemandParams, items: int, within) -> list[np.ndarray]:
    if demand.kind not in KINDS:
        raise FieldError("demand.kind", demand.kind, f"one of {', '.join(KINDS)}", "for the generalist")
    for name in ("mean", "dispersion") if demand.kind == "negative_binomial" else ("mean",):
        for value in np.ravel(getattr(demand, name)):
            within(f"demand.{name}", float(value))
    return demand.pmfs(items)


def _ratio(cost: float, holding: float) -> float:
    if holding <= 0:
        raise FieldError("holding_cost", holding, "more than 0", "for the generalist")
    return cost / holding
