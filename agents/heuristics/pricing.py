"""Classical pricing rules, batched, and their tuning on training scenarios.

A rule is a policy, `act(observation, policy_state, seed) -> (action, policy_state)`, for a grid of prices as well (the
nearest one is taken). `fluid`, `resolved_fluid` and `myopic` know the demand curve; `fixed_price` and `markdown` are
tuned by simulation alone; `thompson` learns the curve within the season, `simulated_dp` a table of prices before it.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ...envs import Pricing, Task
from ...envs.core.rollout import rollout
from ...envs.pricing.references import mnl
from ..core.rules import Parameters, check_kind
from ..core.tuner import Score, halved, neighbourhood, pattern_search
from . import simulated_dp

ROWS = 2048  # candidates x scenarios run in one batch
PRIOR_FACTOR, PRIOR_POINTS = 4.0, 15  # of Thompson sampling: the curve lies within this factor of the task's, each way


def cost(model: Pricing) -> np.ndarray:
    """Return what a sold unit costs (items,): its purchase, and in a season the salvage value that it forgoes."""
    p = model.params
    forgone = p.per_item("salvage_value") if model.limited and not p.continuing else 0
    return p.per_item("purchase_cost") + forgone


def periods_left(model: Pricing, named: dict):
    """Return the periods left (n, 1); the horizon where the problem is endless."""
    return np.round(named["time_left"] * model.horizon) if "time_left" in named else model.horizon


def myopic_price(model: Pricing, size, slope):
    """Return the price that earns most per period where stock is no limit, of any shape that the arguments give."""
    kind, c, top = model.params.demand.kind, cost(model), model.prices[-1]
    if kind == "exponential":
        return c + 1 / slope
    if kind == "linear":
        return (size / slope + c) / 2
    return np.where(slope > 1, np.minimum(c * slope / np.maximum(slope - 1, 1e-9), top), top)


def fluid_price(model: Pricing, stock, left, size, slope):
    """Return the best constant price for demand at its mean: the myopic one, or the one that just sells the stock.

    Gallego and van Ryzin 1994, section 3; `stock` is (n, items), `left` (n, 1) or a number, periods.
    """
    if model.params.demand.kind == "mnl":
        return _mnl_fluid(model, stock, left, size)
    rate, listed = np.maximum(stock, 1e-9) / left, model.params.per_item("demand.list_price")
    clears = {
        "exponential": lambda: listed + np.log(np.maximum(size, 1e-9) / rate) / slope,
        "elastic": lambda: listed * (size / rate) ** (1 / slope),
        "linear": lambda: (size - rate) / slope,
    }[model.params.demand.kind]()
    return np.maximum(myopic_price(model, size, slope), clears)


def _mnl_fluid(model: Pricing, stock, left, size):
    """The same for substitutes: shares q_i <= stock_i / customers; all uncapped items have the markup 1 / (b q_0).

    q_0, the share of those who buy nothing, is where all shares sum to 1; their sum rises with it: bisection.
    """
    p, b = model.params, float(model.params.per_item("demand.sensitivity")[0])
    utility, cap = p.per_item("demand.utility"), stock / np.maximum(size * left, 1e-9)
    low, high = np.full((len(stock), 1), 1e-6), np.ones((len(stock), 1))
    for _ in range(40):
        nothing = (low + high) / 2
        bought = np.minimum(cap, nothing * np.exp(utility - b * cost(model) - 1 / nothing))
        more = nothing + bought.sum(axis=1, keepdims=True) > 1
        low, high = np.where(more, low, nothing), np.where(more, nothing, high)
    return (utility - np.log(np.maximum(bought, 1e-12) / nothing)) / b


# -- the rules: (model, named features, parameters (items,)) -> prices (n, items) --------------------------------------


def fixed_price(model: Pricing, named: dict, price):
    """The same price in every period."""
    return price


def markdown(model: Pricing, named: dict, first, last):
    """A price that falls (or rises) evenly from a first to a last one over the season."""
    return last + (first - last) * named.get("time_left", 1.0)


def fluid(model: Pricing, named: dict, size):
    """The fluid price of the season's start, kept."""
    start = np.broadcast_to(model.params.per_item("initial_stock"), (1, model.params.items))
    return fluid_price(model, start, model.horizon, size, model.params.per_item("demand.sensitivity"))


def resolved_fluid(model: Pricing, named: dict, size):
    """The fluid price, solved again in every period for the stock and the time left.

    Jasin and Kumar 2012, Mathematics of Operations Research 37(2). Where a forecast is observed, the mean of its
    quantiles stands for the demand at the list price.
    """
    if "forecast" in named:
        size = np.maximum(named["forecast"].mean(axis=2) / model.params.forecast_periods, 1e-6)
    left, slope = np.maximum(periods_left(model, named), 1), model.params.per_item("demand.sensitivity")
    return fluid_price(model, named["on_hand"], left, size, slope)


def myopic(model: Pricing, named: dict, size):
    """The price that earns most in the period, as if stock were no limit; logit items in stock by Lambert's W."""
    slope = model.params.per_item("demand.sensitivity")
    if model.params.demand.kind != "mnl":
        return myopic_price(model, size, slope)
    c = cost(model) if "on_hand" not in named else np.where(named["on_hand"] > 0, cost(model), np.inf)
    return mnl.best_prices(model.params.per_item("demand.utility"), float(slope[0]), c)[0]


RULES: dict[str, tuple[Any, tuple[str, ...]]] = {  # name -> the rule (None: the class has it), its parameters
    "fixed_price": (fixed_price, ("price",)),
    "markdown": (markdown, ("first", "last")),
    "fluid": (fluid, ("size",)),
    "resolved_fluid": (resolved_fluid, ("size",)),
    "myopic": (myopic, ("size",)),
    "thompson": (None, ("size", "sensitivity")),
    "simulated_dp": (None, ("table",)),
    "random": (None, ()),
}
HEURISTICS = tuple(RULES)
REMEMBERS = ("thompson",)  # kinds whose action depends on more than the observation


@dataclass
class Heuristic:
    """A rule with its parameters, lists of numbers (one per item, but a table's): plain data, to be kept as JSON."""

    kind: str
    params: Parameters
    model: Pricing

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        model, named = self.model, self.model.features(observation)
        shape, rng = (len(observation), model.params.items), np.random.default_rng(seed)
        values = {name: np.asarray(value, dtype=np.float64) for name, value in self.params.items()}
        if self.kind == "random":
            price = rng.uniform(model.prices[0], model.prices[-1], shape)
        elif self.kind == "simulated_dp":
            price = simulated_dp.look_up(model, named, values["table"])
        elif self.kind == "thompson":
            price, policy_state = _thompson(model, named, policy_state, rng, **values)
        else:
            price = RULES[self.kind][0](model, named, **values)
        return to_action(model, np.broadcast_to(price, shape)), policy_state


def to_action(model: Pricing, price: np.ndarray) -> np.ndarray:
    """Turn prices (n, items) into actions (n, items) of the model's mode: the nearest price of a grid."""
    if model.params.on_grid:
        return np.searchsorted((model.prices[1:] + model.prices[:-1]) / 2, price)
    return np.clip(price, model.action_low, model.action_high)


def _thompson(model: Pricing, named: dict, memory, rng, size, sensitivity):
    """Thompson sampling on the demand curve: draw a curve from what sales say of it, price by its re-solved fluid.

    Ferreira, Simchi-Levi and Wang 2018, Operations Research 66(6). The prior is uniform over a grid of the logs of
    size and sensitivity; the likelihood is Poisson. Memory: log posterior (n, items, K), the last stock and mean (K).
    """
    stock, n, items = named["on_hand"].astype(float), len(named["on_hand"]), model.params.items
    factors = np.geomspace(1 / PRIOR_FACTOR, PRIOR_FACTOR, PRIOR_POINTS)
    grid = np.array(list(product(factors, factors)))  # (K, 2)
    sizes, slopes = size[:, None] * grid[:, 0], sensitivity[:, None] * grid[:, 1]  # (items, K)
    log = np.zeros((n, items, len(grid)))
    if memory is not None:
        log, before, last = memory
        sold, mean = before - stock, _means(model, last, sizes, slopes)
        # A period that sold all says that at least as much was wanted: nothing is left to price then.
        log = log + np.where(stock > 0, 1, 0)[..., None] * (sold[..., None] * np.log(mean) - mean)
    weight = np.exp(log - log.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    drawn = (weight < rng.random((n, items, 1)) * weight[..., -1:]).sum(axis=-1)
    item = np.arange(items)
    left = np.maximum(periods_left(model, named), 1)
    price = fluid_price(model, stock, left, sizes[item, drawn], slopes[item, drawn])
    price = np.clip(price, model.prices[0], model.prices[-1])
    if model.params.on_grid:
        price = model.prices[to_action(model, price)]
    return price, (log, stock, price)


def _means(model: Pricing, price, sizes, slopes):
    """Return the mean demand (n, items, K) at prices (n, items) under curves (items, K)."""
    listed = model.params.per_item("demand.list_price")
    if model.params.demand.kind == "elastic":
        return sizes * (price / listed)[..., None] ** -slopes
    return sizes * np.exp(slopes * (listed - price)[..., None])


def available(model: Pricing) -> list[str]:
    """Return the rules that fit a model, by its stock limit, season and demand curve."""
    p = model.params
    curve = p.demand.kind in ("exponential", "elastic") and model.source is None and p.demand.noise == "poisson"
    needs = {
        "markdown": not p.continuing, "simulated_dp": simulated_dp.fits(model), "fluid": model.limited,
        "resolved_fluid": model.limited, "thompson": model.limited and curve,
    }  # fmt: skip
    return [kind for kind in HEURISTICS if needs.get(kind, True)]


# -- tuning -----------------------------------------------------------------------------------------------------------


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a rule with its best parameters on training scenarios.

    `fixed_price` and `markdown` are searched for: a grid, then steps to neighbours, halved until they are a hundredth
    of the range, as long as they help. The size of demand that the others take is the task's own, or where a source
    gives the demand, its mean over the training scenarios.

    Args:
        kind: one of `HEURISTICS`.
        task: its training split is used, and no other.
        seeds: of the scenarios, integers.
        progress: not shown: this takes seconds.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
    """
    model = task.model("train")
    check_kind(kind, available(model), "for this task")
    names, scenario = RULES[kind][1], model.scenarios(np.asarray(seeds))
    if kind == "simulated_dp":
        return Heuristic(kind, {"table": simulated_dp.learn(model, scenario).ravel().tolist()}, model)
    if kind in ("fixed_price", "markdown"):
        values = _search(kind, model, scenario)
        return Heuristic(kind, dict(zip(names, values.tolist(), strict=True)), model)
    known = {name: model.params.per_item(f"demand.{name}") for name in names}
    seen = scenario.get("customers", scenario.get("demand"))
    if model.source is not None and "size" in known:
        known["size"] = np.maximum(np.broadcast_to(seen.mean(axis=(0, 1)), (model.params.items,)), 1e-6)
    return Heuristic(kind, {name: value.tolist() for name, value in known.items()}, model)


def _search(kind: str, model: Pricing, scenario: dict) -> np.ndarray:
    """Return the best parameters (parameters, items); items are searched one by one where they are substitutes."""
    names, items, substitutes = RULES[kind][1], model.params.items, model.params.demand.kind == "mnl"
    low, high = model.prices[[0, -1]]
    points = model.prices if kind == "fixed_price" and model.params.on_grid else np.linspace(low, high, 11)
    grid = np.array(list(product(points, repeat=len(names))))[:, :, None].repeat(items, axis=2)

    earned = lambda act, scenario: _season_profit(model, rollout(model, act, scenario, trace=True))
    score = Score(names, lambda values: Heuristic(kind, values, model), earned, scenario, ROWS)
    moves = [neighbourhood(len(names)) * group for group in (np.eye(items) if substitutes else np.ones((1, items)))]
    steps = halved((high - low) / 20, (high - low) / 200)
    of_all = lambda candidates: score(candidates).sum(axis=1, keepdims=True)
    allowed = lambda candidates: np.clip(candidates, low, high)
    return pattern_search(of_all if substitutes else score, grid, moves, steps, allowed)


def _season_profit(model: Pricing, run: dict) -> np.ndarray:
    """Return the profit (n, items) of a traced run, with what is left of a season worth its salvage."""
    profit = run["item_profit"].sum(axis=1, dtype=np.float64)
    if model.limited and not model.params.continuing:
        profit = profit + model.params.per_item("salvage_value") * run["flow.on_hand"][:, -1]
    return profit
