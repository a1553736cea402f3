"""The pricing tasks, and which reference fits which parameters."""

import math
from typing import Any

import numpy as np

from ...errors import FieldError
from ..core.contract import Reference
from ..core.task import Task, override
from .model import Pricing
from .params import PriceDemandParams, PricingParams
from .references import mnl, price_dp, reference_price

FINE = 201  # prices by which a continuous price is approximated, and every second one of them for the tolerance


def pricing_task(**changes) -> Task:
    """A stock sold over a season (Gallego and van Ryzin 1994): 10 units, 40 customers in 20 periods by default."""
    return _task("Pricing", PricingParams(), changes)


def pricing_mnl_task(**changes) -> Task:
    """Two substitutes with stocks and logit customers, one every other period on average."""
    demand = PriceDemandParams(kind="mnl", size=0.5, noise="bernoulli", utility=[1.0, 1.5])
    base = PricingParams(items=2, horizon=40, demand=demand, initial_stock=5.0, prices=[1.0, 6.0], action="continuous")
    return _task("PricingMNL", base, changes)


def pricing_reference_task(**changes) -> Task:
    """Customers who remember prices: linear demand with a reference price, a season of 20 periods."""
    demand = PriceDemandParams(kind="linear", size=10.0, gain=2.0, loss=2.0, memory=0.7, initial_reference=4.5)
    base = PricingParams(
        demand=demand, initial_stock=math.inf, purchase_cost=1.0, prices=[3.5, 5.5], action="continuous"
    )
    return _task("PricingReference", base, changes)


def _task(name: str, base: PricingParams, changes: dict) -> Task:
    params = override(base, changes)
    return Task(name, params, Pricing, lambda: reference(params))


def reference(params: PricingParams) -> Reference:
    """Return the optimum of a pricing problem.

    Raises:
        FieldError: parameters for which none is known; it names the one that does not fit.
    """
    if params.continuing:
        raise FieldError("continuing", True, "False for a reference")
    return {"mnl": _mnl, "linear": _linear}.get(params.demand.kind, _counts)(params)


def _need(params: PricingParams, **needs) -> None:
    for name, value in needs.items():
        of_demand = name.startswith("demand_")
        given = getattr(params.demand, name.removeprefix("demand_")) if of_demand else getattr(params, name)
        if not np.all(np.asarray(given) == value):
            raise FieldError(name.replace("_", ".", 1) if of_demand else name, given, f"{value!r} for a reference")


def _whole_stock(params: PricingParams) -> np.ndarray:
    stock = params.per_item("initial_stock")
    if not np.isfinite(stock).all() or (stock != np.rint(stock)).any() or (stock < 1).any():
        raise FieldError("initial_stock", params.initial_stock, "whole numbers >= 1")
    return stock.astype(int)


def _counts(params: PricingParams) -> Reference:
    """Exponential or elastic demand of one item: backward induction over the grid, or a fine one."""
    _need(params, items=1)
    (stock,), model = _whole_stock(params), Pricing(params)
    names = ("purchase_cost", "holding_cost", "salvage_value")
    money: dict[str, Any] = {name: float(params.per_item(name)[0]) for name in names}
    money |= {name: getattr(params, name) for name in ("price_change_cost", "markdown", "max_changes")}

    def solve(prices) -> price_dp.Solution:
        pmfs = [params.demand.pmf(float(model.curve(np.array([p]))[0])) for p in prices.tolist()]
        return price_dp.solve(prices, pmfs, int(stock), params.horizon, **money)

    grid, tolerance = model.prices, 1e-9
    if params.action == "continuous":
        grid = np.linspace(grid[0], grid[-1], FINE)
        tolerance = 1e-9 + abs(
            solve(grid).value - solve(grid[::2]).value
        )  # the error falls with the square of the step
    solution = solve(grid)

    def act(observation, memory, seed):
        named = model.features(observation)
        last = np.abs(named["price"] - grid).argmin(axis=1) if "price" in named else None
        left = named["changes_left"][:, 0] if "changes_left" in named else None
        choice = solution.act(_period(named, params), named["on_hand"][:, 0], last, left)
        return (choice if params.on_grid else grid[choice])[:, None], memory

    return _exact("optimal prices", solution.value, tolerance, "Talluri and van Ryzin 2004; backward induction", act)


def _mnl(params: PricingParams) -> Reference:
    """Substitutes with stocks, at most one customer in a period and any price."""
    _need(params, demand_noise="bernoulli", action="continuous", holding_cost=0, markdown=False)
    _need(params, price_change_cost=0, max_changes=math.inf)
    d, model, stocks = params.demand, Pricing(params), _whole_stock(params)
    cost, salvage = params.per_item("purchase_cost"), params.per_item("salvage_value")
    utility, arrival = params.per_item("demand.utility"), float(np.ravel(d.size)[0])
    b = float(np.ravel(d.sensitivity)[0])
    solution = mnl.solve(utility, b, arrival, stocks, params.horizon, cost, salvage)
    optimal = solution.prices[np.isfinite(solution.prices)]
    if optimal.min() < model.prices[0] or optimal.max() > model.prices[-1]:
        bounds = f"from {optimal.min():.3f} to {optimal.max():.3f}"
        raise FieldError("prices", params.prices, f"a range of optimal prices, {bounds}")

    def act(observation, memory, seed):
        named = model.features(observation)
        prices = solution.act(_period(named, params), named["on_hand"])
        return np.minimum(prices, model.prices[-1]), memory

    source = "Dong, Kouvelis and Tian 2009, MSOM 11(2); backward induction"
    return _exact("optimal prices", solution.value, 1e-9, source, act)


def _linear(params: PricingParams) -> Reference:
    """A reference price without noise: linear-quadratic where no bound binds, else on a grid of reference prices."""
    _need(params, items=1, initial_stock=math.inf, demand_std=0, markdown=False, price_change_cost=0)
    _need(params, max_changes=math.inf)
    d, model = params.demand, Pricing(params)
    size, slope, cost = (float(params.per_item(n)[0]) for n in ("demand.size", "demand.sensitivity", "purchase_cost"))
    low, high = model.prices[[0, -1]]
    start = d.initial_reference if d.has_reference else float(low)
    lowest, highest = min(low, start), max(high, start)
    if d.gain == d.loss and params.action == "continuous":
        policy = reference_price.solve(size, slope, d.gain, d.memory, cost, 1.0, params.horizon)
        at, path = start, []
        for constant, gain in zip(policy.constant, policy.slope, strict=True):
            path.append(constant + gain * at)
            at = d.memory * at + (1 - d.memory) * path[-1]
        never_zero = size - slope * high + d.gain * (lowest - high) >= 0
        if never_zero and min(path) >= low and max(path) <= high:

            def linear(observation, memory, seed):
                t = _period(model.features(observation), params)
                at = model.features(observation).get("reference", np.full((len(observation), 1), start))
                return policy.constant[t] + policy.slope[t] * at, memory

            source = "Popescu and Wu 2007, Operations Research 55(3); linear-quadratic"
            return _exact("optimal prices", policy.value(start), 1e-9 * abs(policy.value(start)), source, linear)
    prices = model.prices if params.on_grid else np.linspace(low, high, 2 * FINE - 1)

    def solve(points: int):
        at = np.linspace(lowest, highest, points)
        value, policy = reference_price.solve_grid(
            size, slope, d.gain, d.loss, d.memory, prices, params.horizon, cost, references=at
        )
        return at, float(np.interp(start, at, value)), policy

    (_, coarse, _), (at, value, policy) = solve(FINE), solve(2 * FINE - 1)

    def act(observation, memory, seed):
        named = model.features(observation)
        now = named["reference"] if "reference" in named else np.full((len(observation), 1), start)
        price = np.interp(now, at, policy[_period(named, params)])
        return (np.abs(price[..., None] - prices).argmin(axis=-1) if params.on_grid else price), memory

    return _exact("optimal prices, on a grid", value, 1e-9 + 2 * abs(value - coarse), "backward induction", act)


def _period(named: dict, params: PricingParams) -> int:
    """Return the period of observations, which are all in step."""
    return int(np.round((1 - named["time_left"][0, 0]) * params.horizon))


def _exact(name: str, value: float, tolerance: float, source: str, act) -> Reference:
    return Reference(name, value, "finite horizon", "exact", tolerance, source, act, unit="profit per episode")
