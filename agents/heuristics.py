"""Classical restocking rules, batched, and their tuning on training scenarios.

A heuristic is a policy, `act(observation, policy_state, seed) -> (action, policy_state)`, in every action mode. Its
parameters are per item; items without shared limits are independent, so all of them are tuned at the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..envs import Inventory, Task, rollout
from ..envs.params import CLASSICAL
from ..envs.references import lost_sales

ROWS = 512  # candidates x scenarios run in one batch


def position(named: dict) -> np.ndarray:
    """Return the inventory position (n, items) of named features: on hand + on order - backlog, units."""
    on_order = named["pipeline"].sum(axis=1) if "pipeline" in named else 0
    return named["on_hand"] + on_order - named.get("backlog", 0)


# -- the rules: (model, named features, parameters, seed) -> units to order (n, items) --------------------------------


def base_stock(model: Inventory, named: dict, level, seed: int):
    """Order up to a level of the inventory position (Snyder and Shen 2019, section 4.3)."""
    return np.maximum(level - position(named), 0)


def capped_base_stock(model: Inventory, named: dict, level, cap, seed: int):
    """Order up to a level, but never more than a cap (Xin 2021, Operations Research 69(1))."""
    return np.clip(level - position(named), 0, cap)


def s_S(model: Inventory, named: dict, s, Q, seed: int):
    """Order up to S = s + Q whenever the inventory position is s or less (Scarf 1960)."""
    x = position(named)
    return np.where(x <= s, s + Q - x, 0)


def newsvendor(model: Inventory, named: dict, fractile, seed: int):
    """Order up to a quantile of the forecast demand over the protection interval (lead time + 1 periods)."""
    quantiles, forecast = np.asarray(model.params.quantiles), named["forecast"]
    fractile = np.clip(np.broadcast_to(fractile, forecast.shape[:2]), quantiles[0], quantiles[-1])
    upper = np.clip(np.searchsorted(quantiles, fractile), 1, max(1, len(quantiles) - 1))
    if len(quantiles) == 1:
        level = forecast[..., 0]
    else:
        low, high = (np.take_along_axis(forecast, k[..., None], axis=-1)[..., 0] for k in (upper - 1, upper))
        weight = (fractile - quantiles[upper - 1]) / (quantiles[upper] - quantiles[upper - 1])
        level = low + weight * (high - low)
    return np.maximum(level - position(named), 0)


def constant_order(model: Inventory, named: dict, quantity, seed: int):
    """Order the same in every period (near-optimal for long lead times: Goldberg et al. 2016)."""
    return np.broadcast_to(quantity, named["on_hand"].shape)


def random(model: Inventory, named: dict, seed: int):
    """Order uniformly between nothing and the most allowed."""
    most = model.per_order()
    return np.random.default_rng(seed).uniform(0, 1, named["on_hand"].shape) * most


RULES: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "base_stock": (base_stock, ("level",)),
    "capped_base_stock": (capped_base_stock, ("level", "cap")),
    "s_S": (s_S, ("s", "Q")),
    "newsvendor": (newsvendor, ("fractile",)),
    "myopic": (base_stock, ("level",)),
    "constant_order": (constant_order, ("quantity",)),
    "random": (random, ()),
}
HEURISTICS = tuple(RULES)


@dataclass
class Heuristic:
    """A rule with its parameters, each a list of one number per item: plain data, so that it can be kept as JSON."""

    kind: str
    params: dict[str, list[float]]
    model: Inventory
    exact: Callable | None = None  # states (n, lead time) -> orders (n,): the exact myopic policy

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        named = self.model.features(observation)
        if self.exact is not None:
            order = self.exact(observation[:, : max(1, self.model.max_lead)].astype(int))[:, None]
        else:
            values = {name: np.asarray(value, dtype=np.float64) for name, value in self.params.items()}
            order = RULES[self.kind][0](self.model, named, **values, seed=seed)
        return to_action(self.model, named, order), policy_state


def to_action(model: Inventory, named: dict, order: np.ndarray) -> np.ndarray:
    """Turn units to order (n, items) into actions (n, items) of the model's mode, inside its bounds."""
    p = model.params
    order = np.minimum(order, model.per_order())
    if p.action == "multi_discrete":
        return np.round(order / p.lot_size)
    if p.action == "base_stock":
        order = np.maximum(order + np.where(order > 0, position(named), 0), 0)
    return np.minimum(order, model.action_high)


def available(model: Inventory) -> list[str]:
    """Return the heuristics that a model has what they need for: `newsvendor` needs forecasts."""
    return [kind for kind in HEURISTICS if kind != "newsvendor" or "forecast" in model.layout]


# -- tuning -----------------------------------------------------------------------------------------------------------


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a heuristic with its best parameters on training scenarios.

    A coarse grid around the demand over the protection interval, then steps to neighbours, halved until they are one
    lot, as long as they help. `myopic` and `random` have nothing to tune. Myopic is exact for one item with lost
    sales, a stationary demand and lead times 1 to 4 (Zipkin 2008); elsewhere it orders up to the critical fractile
    of the demand over the protection interval, as seen in the training scenarios.

    Args:
        kind: one of `HEURISTICS`.
        task: its training split is used, and no other.
        seeds: of the scenarios, integers.
        progress: show a bar.

    Raises:
        ValueError: an unknown kind, or `newsvendor` without forecasts.
    """
    if kind not in RULES:
        raise ValueError(f"kind: {kind!r} is not allowed, expected one of {', '.join(HEURISTICS)}")
    model = task.model("train")
    if kind not in available(model):
        raise ValueError(f"kind: {kind!r} is not allowed with forecast={model.params.forecast}, expected another one")
    names = RULES[kind][1]
    if not names:
        return Heuristic(kind, {}, model)
    scenario = model.scenarios(np.asarray(seeds))
    demand = _Demand(model, scenario)
    if kind == "myopic":
        return Heuristic(kind, {"level": demand.fractile_level().tolist()}, model, _exact_myopic(task, model))
    search = _Search(kind, names, task, model, scenario, progress)
    best = search.best(demand.grid(kind))
    step = demand.step(kind)
    while True:
        best, moved = search.neighbours(best, step)
        if not moved and (step <= demand.smallest(kind)).all():
            return Heuristic(kind, dict(zip(names, best.tolist(), strict=True)), model)
        if not moved:
            step = np.maximum(step / 2, demand.smallest(kind))


class _Demand:
    """What training scenarios tell of the items' demand, and the grids that follow from it."""

    def __init__(self, model: Inventory, scenario: dict):
        self.model, p = model, model.params
        demand = scenario["demand"].astype(np.float64)
        self.mean = np.maximum(demand.mean(axis=(0, 1)), 1e-3)
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

    def fractile_level(self) -> np.ndarray:
        return np.array([np.quantile(x, r) for x, r in zip(self.protected, self.ratio, strict=True)])

    def grid(self, kind: str) -> np.ndarray:
        """Return candidates (count, parameters, items)."""
        levels = [self.centre + z * self.std for z in np.linspace(-1.5, 4, 23)]
        coarse = [self.centre + z * self.std for z in np.linspace(-1.5, 3.5, 11)]
        most = self.model.per_order()
        axes = {
            "base_stock": [levels],
            "capped_base_stock": [coarse, [np.minimum(f * self.mean, most) for f in (0.8, 1, 1.25, 1.6, 2.5, 4, 1e9)]],
            "s_S": [coarse, [f * self.mean for f in (0.1, 1, 2, 4, 7, 12, 20)]],
            "newsvendor": [[np.full_like(self.mean, f) for f in (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)]],
            "constant_order": [[f * self.mean for f in np.linspace(0.5, 1.2, 29)]],
        }[kind]
        return self.whole(kind, np.array([np.stack(point) for point in product(*axes)]))

    def whole(self, kind: str, candidates: np.ndarray) -> np.ndarray:
        lot = self.model.params.lot_size
        if kind == "newsvendor" or not lot:
            return np.maximum(candidates, 0)
        return np.maximum(np.round(candidates / lot) * lot, 0)

    def step(self, kind: str) -> np.ndarray:
        """Return the first step of the refinement (parameters, items): half the grid's spacing."""
        rows = len(RULES[kind][1])
        if kind == "newsvendor":
            return np.full((1, len(self.mean)), 0.04)
        first = 0.25 * self.std if kind != "constant_order" else 0.02 * self.mean
        second = self.mean if kind == "s_S" else 0.2 * self.mean
        return np.maximum(np.stack([first, second][:rows]), self.smallest(kind))

    def smallest(self, kind: str) -> np.ndarray:
        lot = self.model.params.lot_size
        size = 0.01 if kind == "newsvendor" else (lot or 0.02 * self.mean)
        return np.broadcast_to(size, (len(RULES[kind][1]), len(self.mean)))


class _Search:
    """Runs candidates on the training scenarios and keeps the best one of each item."""

    def __init__(self, kind, names, task, model, scenario, progress):
        self.kind, self.names, self.task, self.model, self.scenario = kind, names, task, model, scenario
        self.bar = None
        if progress:
            from tqdm import tqdm

            self.bar = tqdm(desc=f"tune {kind}", unit="candidate", leave=False)
        self.value = None

    def score(self, candidates: np.ndarray) -> np.ndarray:
        """Return the mean profit per period (count, items) of candidates (count, parameters, items)."""
        n = len(self.scenario["demand"])
        rows = max(1, ROWS // n)
        scores = []
        for part in (candidates[i : i + rows] for i in range(0, len(candidates), rows)):
            tiled = {name: np.concatenate([block] * len(part)) for name, block in self.scenario.items()}
            values = {name: np.repeat(part[:, k], n, axis=0) for k, name in enumerate(self.names)}
            run = rollout(self.model, Heuristic(self.kind, values, self.model), tiled, trace=True)
            scores.append(self._item_profit(run).reshape(len(part), n, -1).mean(axis=1))
            if self.bar is not None:
                self.bar.update(len(part))
        return np.concatenate(scores)

    def _item_profit(self, run: dict) -> np.ndarray:
        p = self.model.params
        if p.continuing:
            return run["item_profit"][:, self.task.warmup :].mean(axis=1, dtype=np.float64)
        gone = run["flow.sales"] + run.get("flow.waste", 0) + run.get("flow.shrinkage", 0)
        left = p.per_item("initial_stock") + (run["flow.ordered"] - gone).sum(axis=1, dtype=np.float64)
        profit = run["item_profit"].sum(axis=1, dtype=np.float64) + p.per_item("salvage_value") * left
        return profit / self.model.horizon

    def best(self, candidates: np.ndarray) -> np.ndarray:
        """Return each item's best candidate (parameters, items)."""
        scores = self.score(candidates)
        choice, items = scores.argmax(axis=0), np.arange(scores.shape[1])
        self.value = scores[choice, items]
        return candidates[choice, :, items].T

    def neighbours(self, best: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return the best of each item's neighbours at a step, and whether any item moved."""
        moves = np.array([m for m in product((-1, 0, 1), repeat=len(best)) if any(m)], dtype=float)
        around = best + moves[:, :, None] * step
        around = np.maximum(around, 0)
        if self.kind == "newsvendor":
            around = np.minimum(around, 0.999)
        elif self.model.params.lot_size:
            around = np.round(around / self.model.params.lot_size) * self.model.params.lot_size
        old, kept = self.value, best
        found = self.best(around)
        better = self.value > old + 1e-9 * np.abs(old)
        self.value = np.where(better, self.value, old)
        return np.where(better, found, kept), bool(better.any())


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
