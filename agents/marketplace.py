"""Rules for the whole store, batched, and their tuning on training seasons.

A rule is a policy, `act(observation, policy_state, seed) -> (action, policy_state)`, for whatever the agent decides.
"""

from dataclasses import dataclass

import numpy as np

from ..envs import Marketplace, Task, rollout
from ..envs.marketplace_params import WEIGHTS

KINDS = ("composite", "textbook", "random")
GENERATIONS, CANDIDATES = 40, 12  # of the composite's search


@dataclass
class Heuristic:
    """A rule with its parameters, a list of numbers per decision: plain data, so that it can be kept as JSON.

    Every decision is made by its own heuristic: newsvendor restocking, the Lambert-W markup, a fixed share of zones,
    a fixed ranking, a fraud threshold, a marketing budget. `textbook` takes their parameters from costs and models
    alone, `composite` tunes all of them together, `random` draws actions.
    """

    kind: str
    params: dict[str, list[float]]
    model: Marketplace

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see the module."""
        model, n = self.model, len(observation)
        if self.kind == "random":
            return np.random.default_rng(seed).uniform(
                model.action_low, model.action_high, (n, len(model.action_low))
            ), policy_state
        named, parts = model.features(observation), []
        for name in model.params.decides:
            value = np.broadcast_to(np.asarray(self.params[name], np.float64), (n, np.shape(self.params[name])[-1]))
            if model.params.resolution == "item" and name == "restock":
                value = model.restock_levels(named["demand"], value, named.get("forecast"))
            elif model.params.resolution == "item" and name == "price":
                value = model.cost + value * model.markup
            parts.append(value)
        return np.clip(np.concatenate(parts, axis=1), model.action_low, model.action_high), policy_state


def available(model: Marketplace) -> list[str]:
    """Return the kinds of `Heuristic` that a model has what they need for: all."""
    return list(KINDS)


def textbook(model: Marketplace) -> dict[str, list[float]]:
    """Return the heuristics' parameters by costs and models alone.

    Restocking by the critical ratio of margin against holding and capital (Snyder and Shen 2019, section 4.3), the
    price by Lambert's W, fraud by the threshold of least expected cost, half the zones, ranking by relevance, and
    marketing as the environment's parameters say.
    """
    p = model.params
    over = p.holding_cost * (p.lead_time + 1) + (1 - p.salvage_share) * p.mean_cost / p.horizon
    ratio = model.markup / (model.markup + over)
    safety = float(np.clip(_normal_quantile(ratio), -4, 8))
    weights = [1.0] + [0.0] * (len(WEIGHTS) - 1)
    return {
        "restock": [safety], "price": [1.0], "dispatch": [0.5], "recommendation": weights,
        "fraud": [cost_threshold(model)], "marketing": [p.marketing],
    }  # fmt: skip


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def cost_threshold(model: Marketplace) -> float:
    """Return the fraud score from which on a mean order costs more to ship than to refuse, in expectation (Elkan 2001,
    The foundations of cost-sensitive learning)."""
    p, models = model.params, model.models
    fraud, cost = p.fraud_share, float(model.cost.mean())
    lost = (1 - fraud) * models.legitimate * model.markup + fraud * (1 - models.fraudulent) * (cost + p.chargeback_fee)
    lost = lost + p.refusal_cost * ((1 - fraud) * models.legitimate + fraud * models.fraudulent)
    return float(np.linspace(0, 1, len(lost))[lost.argmin()])


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a rule with its best parameters on training seasons.

    `composite`: covariance matrix adaptation (Hansen 2016, arXiv:1604.00772) over all its parameters at once, from
    `textbook`'s; every generation runs its candidates on the same seasons. Only what the agent decides is tuned.

    Args:
        kind: one of `KINDS`.
        task: its training split is used, and no other.
        seeds: of the seasons, integers.
        progress: show a bar.

    Raises:
        ValueError: an unknown kind.
        ImportError: without cma.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is not allowed, expected one of {', '.join(KINDS)}")
    model = task.model("train")
    start = {name: value for name, value in textbook(model).items() if name in model.params.decides}
    if kind != "composite":
        return Heuristic(kind, start if kind == "textbook" else {}, model)
    try:
        from cma import CMAEvolutionStrategy
    except ImportError as error:
        raise ImportError("tuning the composite needs cma: pip install 'storelab[dispatch]'") from error

    bounds = {name: _bounds(model, name) for name in start}
    low = np.concatenate([np.full(len(start[name]), bounds[name][0]) for name in start])
    high = np.concatenate([np.full(len(start[name]), bounds[name][1]) for name in start])
    first = (np.concatenate(list(start.values())) - low) / (high - low)
    scenario = model.scenarios(np.asarray(seeds))
    options = {"seed": 1, "popsize": CANDIDATES, "bounds": [0, 1], "verbose": -9}
    search = CMAEvolutionStrategy(np.clip(first, 0.02, 0.98), 0.15, options)
    steps = range(GENERATIONS)
    if progress:
        from tqdm import tqdm

        steps = tqdm(steps, desc="tune composite", leave=False)
    for _ in steps:
        asked = search.ask()
        profit = _profits(model, start, low + np.array(asked) * (high - low), scenario)
        search.tell(asked, (-profit).tolist())
    return Heuristic(kind, _unpack(start, low + search.result.xfavorite * (high - low)), model)


def _bounds(model: Marketplace, name: str) -> tuple[float, float]:
    """Return where a decision's parameter is looked for."""
    return {"restock": (-1.0, 4.0), "price": (0.4, 2.0)}.get(name, model.controls[name][1:])


def _unpack(like: dict[str, list[float]], values: np.ndarray) -> dict[str, list[float]]:
    parts = np.split(np.asarray(values, float), np.cumsum([len(v) for v in like.values()])[:-1])
    return {name: part.tolist() for name, part in zip(like, parts, strict=True)}


def _profits(model: Marketplace, like: dict, candidates: np.ndarray, scenario: dict) -> np.ndarray:
    """Return the mean profit per season (count,) of candidates (count, numbers), all on the same seasons."""
    n = len(scenario["factor"])
    tiled = {name: np.concatenate([block] * len(candidates)) for name, block in scenario.items()}
    sizes = np.cumsum([len(value) for value in like.values()])[:-1]
    rows = np.repeat(candidates, n, axis=0)
    params = dict(zip(like, np.split(rows, sizes, axis=1), strict=True))
    run = rollout(model, Heuristic("composite", params, model), tiled)
    return run["reward"].sum(axis=1).reshape(len(candidates), n).mean(axis=1)
