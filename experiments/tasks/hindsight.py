"""The most that anyone could have earned who knew a scenario beforehand: what a store's policies are held against."""

import numpy as np

from ...errors import FieldError


def hindsight_bound(model, scenario: dict) -> np.ndarray:
    """Return an upper bound on each scenario's profit (n,), money per episode, for lost sales.

    With perfect information every unit arrives in the period that sells it, so that none of it is ever held: a unit
    of demand in period t >= lead time earns max(price - purchase cost, -lost sale cost). Before that, only the
    initial stock can serve; each unit of it goes where it is worth most, to a sale, in place of a purchase, or to the
    end's salvage, less its holding cost until then.

    Exact where prices are constant, the lead time fixed, the largest order does not bind and there are no fixed
    costs, capacity, budget or lots; a bound otherwise, as all of these only take choices away (a store can't keep a
    unit from a customer for a better day; random lead times count with their shortest), as yield and disruptions do.

    Raises:
        FieldError: backorders (demand that waits earns another day's price), substitution (another item's), perishables
            (waste can be cheaper than holding), a pipeline at the start, or a salvage value above the purchase cost
            (whoever buys to salvage has no bound).
    """
    p = model.params
    for name in ("backorder_share", "substitution_share"):
        if share := getattr(p, name):
            raise FieldError(name, share, "0 for the bound in hindsight")
    if np.isfinite(p.per_item("shelf_life")).any():
        raise FieldError("shelf_life", p.shelf_life, "inf for the bound in hindsight")
    if p.initial_pipeline:
        raise FieldError("initial_pipeline", p.initial_pipeline, "[] for the bound in hindsight")
    salvage = p.per_item("salvage_value") if not p.continuing else np.zeros(p.items)
    cost, holding, goodwill = (p.per_item(name) for name in ("purchase_cost", "holding_cost", "lost_sale_cost"))
    if (salvage > cost).any():
        raise FieldError("salvage_value", float(salvage.max()), "at most the purchase cost")
    lead = model.lead if not model.random_lead else np.full(p.items, 1 + np.flatnonzero(p.lead_time_pmf)[0])
    demand = scenario["demand"][:, : model.horizon].astype(float)  # (n, T, I)
    price = scenario["price"][:, : model.horizon].astype(float) if "price" in scenario else p.per_item("price")
    day = np.arange(model.horizon)[:, None]
    served = np.broadcast_to(price + goodwill, demand.shape)  # money a sold unit makes more than a lost one
    bought = np.where(day >= lead, np.maximum(served - cost, 0), 0)
    profit = (demand * (bought - goodwill)).sum(axis=(1, 2))

    end = salvage - holding * model.horizon  # (I,) of a unit that is never sold
    gain = np.maximum(served - bought - holding * day - end, 0)  # of a unit of initial stock sold on the day
    best = np.argsort(-gain, axis=1, kind="stable")
    gain, units = np.take_along_axis(gain, best, axis=1), np.take_along_axis(demand, best, axis=1)
    stock = p.per_item("initial_stock")
    taken = np.minimum(np.cumsum(units, axis=1), stock)
    taken = np.diff(taken, axis=1, prepend=0)
    return profit + (taken * gain).sum(axis=(1, 2)) + (stock * end).sum()
