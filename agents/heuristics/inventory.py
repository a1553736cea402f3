"""Restocking heuristics and their tuning on training scenarios.

A heuristic is a policy, `act(observation, policy_state, seed) -> (action, policy_state)`, in every action mode. Its
parameters are per item; items without shared limits are independent, so all of them are tuned at the same time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from ...envs import HistoryDemand, Inventory, Task
from ...envs.core.rollout import rollout
from ...envs.inventory.params import CLASSICAL
from ...envs.inventory.references import lost_sales
from ..core.rules import Parameters, check_kind
from ..core.tuner import Score, bar, coordinates, halved, neighbourhood, pattern_search
from .inventory_rules import HEURISTICS, RULES, available

__all__ = ["HEURISTICS", "DemandStatistics", "Heuristic", "available", "tune"]

FORECAST = ("newsvendor", "lost_sales_newsvendor", "shrunk_newsvendor")  # kinds that use forecasts
KNOWN = {"ewa": ("mean",), "bsp_low_ew": ("mean",)}  # parameters that are not tuned
RETUNED = ("myopic",)  # kinds that may be a table, which their parameters do not hold: tuned again, not restored
ROWS = 512  # candidates x scenarios run in one batch
FINE = {"newsvendor": 0.01, "lost_sales_newsvendor": 0.02, "projected_inventory_level": 0.1}  # not rounded to lots
PARTS = 4  # of the training days: levels are tuned without one of them, and weights judged on it
STARTS = 7  # days on which an episode can begin, in a part, at the least
SHRUNK = [  # weight, fractile, multiplier and cap: what `shrunk_newsvendor` is chosen from
    (0.0, 0.5, 1.0, 1.0),
    *(
        (weight, *ahead, cap)
        for weight, ahead, cap in product(
            (0.25, 0.5, 0.75, 1.0),
            [*product((0.5,), (1.0, 1.5, 2.0, 2.5)), *product((0.75,), (1.0, 1.3, 1.6)), *product((0.9,), (1.0, 1.3))],
            (0.75, 0.9, 1.0),
        )
    ),
]
BY_CLASS = ("lost_sales_newsvendor",)  # kinds whose parameters are tuned for all items of a demand class together
LEAST_OF_CLASS = 5  # items: a smaller class is tuned with the largest
LARGEST = {"newsvendor": 0.999, "lost_sales_newsvendor": [[0.999], [np.inf], [1.0]]}  # of their parameters


@dataclass
class Heuristic:
    """A rule with its parameters, each a list of one number per item: plain data, so that it can be kept as JSON."""

    kind: str
    params: Parameters
    model: Inventory
    exact: Callable | None = None  # states (n, lead time) -> orders (n,): the exact myopic policy

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        named = self.model.features(observation)
        if self.exact is not None:
            order = self.exact(observation[:, : max(1, self.model.max_lead)].astype(int))[:, None]
            return self.model.action_of(named, order), policy_state
        return self.act(named, seed=seed), policy_state

    def act(self, named: dict, more=0.0, seed: int = 0) -> np.ndarray:
        """Return the model's actions (n, items) at named features that order `more` than the rule, units (n, items)."""
        values = {name: np.asarray(value, dtype=np.float64) for name, value in self.params.items()}
        order = RULES[self.kind][0](self.model, named, **values, seed=seed) + more
        return self.model.action_of(named, np.maximum(order, 0))


def starts(model: Inventory) -> tuple[str, ...]:
    """Return the kinds that residual policies can start from: those whose orders change gradually with the state."""
    return ("base_stock", "capped_base_stock", *FORECAST, "myopic", *KNOWN)


def spread(rule: Heuristic, scenario: dict) -> np.ndarray:
    """Return the standard deviation (items,) of the demand over the protection interval, units; or a share of it."""
    demand = DemandStatistics(rule.model, scenario)
    return np.maximum(demand.std, demand.centre / 20)


# -- tuning -----------------------------------------------------------------------------------------------------------


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a heuristic with its best parameters on training scenarios.

    A coarse grid around the demand over the protection interval, then steps to neighbours, halved until they are one
    lot, as long as they help. `myopic` and `random` have nothing to tune. Myopic is exact for one item with lost
    sales, a stationary demand and lead times 1 to 4 (Zipkin 2008); elsewhere it orders up to the critical fractile
    of the demand over the protection interval, as seen in the training scenarios. What is in `BY_CLASS` has the same
    parameters for all items of a demand class (`DemandStatistics.classes`), tuned by the class's profit: one item's
    lumpy days say little of its own best fractile.

    Args:
        kind: one of `HEURISTICS`.
        task: its training split is used, and no other.
        seeds: of the scenarios, integers.
        progress: show a bar.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
    """
    model = task.model("train")
    check_kind(kind, available(model), "for this task")
    if not RULES[kind][1]:
        return Heuristic(kind, {}, model)
    scenario = model.scenarios(np.asarray(seeds))
    demand = DemandStatistics(model, scenario)
    if kind == "myopic":
        return Heuristic(kind, {"level": demand.fractile_level().tolist()}, model, _exact_myopic(task, model))
    if kind == "shrunk_newsvendor":
        return _shrunk(task, model, seeds, demand, progress)
    return Heuristic(kind, _searched(kind, task, model, demand, scenario, progress), model)


def _searched(kind: str, task: Task, model: Inventory, demand: "DemandStatistics", scenario: dict, progress: bool):
    """Return the parameters of a kind, each a list, that earn most in scenarios, of which `demand` has statistics."""
    names = RULES[kind][1]
    known = {"mean": demand.mean.tolist()} if kind in KNOWN else {}
    score = _score(kind, task, model, scenario, known, progress)
    classes, smallest = demand.classes() if kind in BY_CLASS else None, demand.smallest(kind)
    steps = [*(np.maximum(step, smallest) for step in halved(demand.step(kind), smallest)), smallest]
    allowed = lambda candidates: demand.allowed(kind, candidates)
    scored = score if classes is None else lambda candidates: score(candidates) @ (classes[:, None] == classes)
    moves = neighbourhood(len(names)) if classes is None else coordinates([len(names)], (-1, 1))
    best = pattern_search(scored, demand.grid(kind), [moves], steps, allowed)
    return dict(zip(names, best.tolist(), strict=True)) | known


def _score(kind: str, task: Task, model: Inventory, scenario: dict, known: dict, progress: bool) -> Score:
    """What a kind's candidates earn in scenarios; `known` are parameters that are not tuned."""
    return Score(
        RULES[kind][1],
        policy=lambda values: Heuristic(kind, values | known, model),
        earned=lambda act, scenario: item_profit(task, model, rollout(model, act, scenario, trace=True)),
        scenario=scenario,
        rows=ROWS,
        bar=bar(None, f"tune {kind}", progress),
    )


def _shrunk(task: Task, model: Inventory, seeds, demand: "DemandStatistics", progress: bool) -> Heuristic:
    """Tune `shrunk_newsvendor`: levels as those of `base_stock`; the other parameters by demand class.

    A level tuned on the very days that it is judged on would leave no weight for any forecast. So what is chosen from
    `SHRUNK` earns most on parts of the days whose levels were tuned on the other parts (cross-fitting, as in stacked
    regressions: Breiman 1996, Machine Learning 24).
    """
    kind, earned = "shrunk_newsvendor", 0
    for others, part in _parts(task, model, np.asarray(seeds)):
        level = _searched("base_stock", task, model, DemandStatistics(model, others), others, progress)["level"]
        tried = np.array([[level, *(np.full(len(level), x) for x in row)] for row in SHRUNK])
        earned = earned + _score(kind, task, model, part, {}, progress)(tried)
    classes = demand.classes()
    chosen = np.array(SHRUNK)[(earned @ (classes[:, None] == classes)).argmax(axis=0)]  # (I, 4)
    scenario = model.scenarios(np.asarray(seeds))
    level = _searched("base_stock", task, model, demand, scenario, progress)["level"]
    return Heuristic(kind, dict(zip(RULES[kind][1], [level, *chosen.T.tolist()], strict=True)), model)


def _parts(task: Task, model: Inventory, seeds: np.ndarray) -> Iterator[tuple[dict, dict]]:
    """Yield scenarios twice, to tune on and to judge on: those of other days, or draws where they are drawn afresh.

    Recorded days are cut into `PARTS` of the same length, fewer where these would be too short for episodes.
    """
    source, least = task.train, model.horizon + 1 + model.max_lead
    if not isinstance(source, HistoryDemand):
        scenario = model.scenarios(seeds)
        for rows in np.array_split(np.arange(len(seeds)), min(PARTS, len(seeds))):
            chosen = np.isin(np.arange(len(seeds)), rows)
            others, part = ({name: values[of] for name, values in scenario.items()} for of in (~chosen, chosen))
            yield others, part
        return
    edges = np.linspace(0, source.days, max(1, min(PARTS, source.days // (least + STARTS))) + 1).astype(int)

    def drawn(first: int, last: int, share: float) -> dict:  # windows overlap: a share of the seeds says it
        of = model if last - first == source.days else type(model)(model.params, source.part(first, last))
        return of.scenarios(seeds[: max(1, round(share * len(seeds)))])

    for first, last in pairwise(edges):
        others = [pair for pair in ((0, first), (last, source.days)) if pair[1] - pair[0] >= least] or [(first, last)]
        days = sum(b - a for a, b in others)
        made = [drawn(a, b, 0.5 * (b - a) / days) for a, b in others]
        yield {name: np.concatenate([each[name] for each in made]) for name in made[0]}, drawn(first, last, 1 / PARTS)


def item_profit(task: Task, model: Inventory, run: dict) -> np.ndarray:
    """Return the profit per period (n, items) of a traced run, with what is left of a season worth its salvage."""
    p = model.params
    if p.continuing:
        return run["item_profit"][:, task.warmup :].mean(axis=1, dtype=np.float64)
    gone = run["flow.sales"] + run.get("flow.waste", 0) + run.get("flow.shrinkage", 0)
    start = p.per_item("initial_stock") + sum(np.asarray(units, dtype=float) for units in p.initial_pipeline)
    left = start + (run["flow.ordered"] - gone).sum(axis=1, dtype=np.float64)
    profit = run["item_profit"].sum(axis=1, dtype=np.float64) + p.per_item("salvage_value") * left
    return profit / model.horizon


class DemandStatistics:
    """Statistics of the items' demand in training scenarios, and the grids that follow from them."""

    def __init__(self, model: Inventory, scenario: dict):
        self.model, p = model, model.params
        demand = scenario["demand"].astype(np.float64)
        self.mean, self._demand = np.maximum(demand.mean(axis=(0, 1)), 1e-3), demand
        total = np.pad(np.cumsum(demand, axis=1), ((0, 0), (1, 0), (0, 0)))
        self.protected = []  # per item: sums over the protection interval
        for i, lead in enumerate(model.lead):
            window = min(int(lead) + 1, demand.shape[1])
            self.protected.append((total[:, window:, i] - total[:, :-window, i]).ravel() * (lead + 1) / window)
        self.std = np.array([max(x.std(), 1e-3) for x in self.protected])
        self.centre = np.array([x.mean() for x in self.protected])
        price = scenario["price"].mean(axis=(0, 1)) if "price" in scenario else p.per_item("price")
        margin = np.maximum(price - p.per_item("purchase_cost"), 0)
        lost, wait = p.per_item("lost_sale_cost") + margin, p.per_item("backorder_cost")
        under = (1 - p.backorder_share) * lost + p.backorder_share * wait
        over = p.per_item("holding_cost")
        if not p.continuing:
            over = over + np.maximum(p.per_item("purchase_cost") - p.per_item("salvage_value"), 0) / model.horizon
        self.ratio = np.clip(under / np.maximum(under + over, 1e-9), 0.01, 0.999)

    def classes(self) -> np.ndarray:
        """Return each item's demand class (items,): 0 smooth, 1 erratic, 2 intermittent, 3 lumpy.

        By periods per period with demand (1.32) and squared coefficient of variation of the demand in these (.49):
        Syntetos, Boylan and Croston 2005, Journal of the Operational Research Society 56(5). A class of few items
        counts as the one with most.
        """
        share = np.maximum((self._demand > 0).mean(axis=(0, 1)), 1e-9)
        size = self.mean / share
        varied = (self._demand**2).mean(axis=(0, 1)) / share / size**2 - 1
        found = 2 * (share <= 1 / 1.32) + (varied >= 0.49)
        count = np.bincount(found, minlength=4)
        return np.where(count[found] < LEAST_OF_CLASS, count.argmax(), found)

    def fractile_level(self) -> np.ndarray:
        return np.array([np.quantile(x, r) for x, r in zip(self.protected, self.ratio, strict=True)])

    def grid(self, kind: str) -> np.ndarray:
        """Return candidates (count, parameters, items)."""
        levels = [self.centre + z * self.std for z in np.linspace(-1.5, 4, 23)]
        coarse = [self.centre + z * self.std for z in np.linspace(-1.5, 3.5, 11)]
        largest, one = self.model.per_order(), self.std / np.sqrt(self.model.lead + 1)
        caps = [np.minimum(f * self.mean, largest) for f in (0.8, 1, 1.25, 1.6, 2.5, 4, 1e9)]
        axes = {
            "base_stock": [levels],
            "capped_base_stock": [coarse, caps],
            "s_S": [coarse, [f * self.mean for f in (0.1, 1, 2, 4, 7, 12, 20)]],
            "lost_sales_newsvendor": [
                [np.full_like(self.mean, f) for f in values]
                for values in ((0.5, 0.7, 0.85, 0.95), (1.0,), (0.5, 0.75, 0.9, 1.0))
            ],
            "newsvendor": [[np.full_like(self.mean, f) for f in (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)]],
            "projected_inventory_level": [[self.mean + z * one for z in np.linspace(-1, 4, 21)]],
            "ewa": [levels],
            "bsp_low_ew": [coarse[::2], coarse, [f * self.mean for f in (0.0, 0.5, 1, 2)]],
            "constant_order": [[f * self.mean for f in np.linspace(0.5, 1.2, 29)]],
        }[kind]
        return self.allowed(kind, np.array([np.stack(point) for point in product(*axes)]))

    def allowed(self, kind: str, candidates: np.ndarray) -> np.ndarray:
        """Return the nearest allowed parameters: whole lots of at least 0, fractiles below 1."""
        lot = self.model.params.lot_size
        if kind in FINE or not lot:
            return np.clip(candidates, 0, LARGEST.get(kind))
        return np.maximum(np.round(candidates / lot) * lot, 0)

    def step(self, kind: str) -> np.ndarray:
        """Return the first step of the refinement (parameters, items): half the grid's spacing."""
        rows = len(RULES[kind][1])
        if kind == "newsvendor":
            return np.full((1, len(self.mean)), 0.04)
        if kind == "lost_sales_newsvendor":
            return np.broadcast_to([[0.08], [0.16], [0.08]], (3, len(self.mean)))
        first = 0.25 * self.std if kind != "constant_order" else 0.02 * self.mean
        second = {"s_S": self.mean, "bsp_low_ew": first}.get(kind, 0.2 * self.mean)
        return np.maximum(np.stack([first, second, 0.5 * self.mean][:rows]), self.smallest(kind))

    def smallest(self, kind: str) -> np.ndarray:
        lot = self.model.params.lot_size
        size = FINE.get(kind) or lot or 0.02 * self.mean
        return np.broadcast_to(size, (len(RULES[kind][1]), len(self.mean)))


def _exact_myopic(task: Task, model: Inventory) -> Callable | None:
    """Return Zipkin's myopic policy where it is defined and small enough to tabulate, else None."""
    p = model.params
    simple = p.items == 1 and task.train is None and not p.lead_time_pmf and p.backorder_share == 0 and p.continuing
    simple = simple and all(getattr(p, name) == value for name, value in CLASSICAL.items())
    costs = {name: float(p.per_item(name)[0]) for name in ("holding_cost", "lost_sale_cost", "fixed_cost", "price")}
    if not simple or costs["fixed_cost"] or costs["price"] or not costs["holding_cost"] or not costs["lost_sale_cost"]:
        return None
    if not 1 <= model.max_lead <= 4:
        return None
    (pmf,) = p.demand.pmfs(1)
    try:
        return lost_sales.myopic(pmf, model.max_lead, costs["holding_cost"], costs["lost_sale_cost"])[1]
    except ValueError:  # too many states
        return None
