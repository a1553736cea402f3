"""Pricing rules against a rival: what theory says of one period, and the best constant price."""

from dataclasses import dataclass

import numpy as np

from ...envs import Duopoly, Task
from ...envs.core.rollout import rollout
from ...envs.duopoly import references as reference
from ..core.rules import Parameters, check_kind

RULES = {"nash": ("price",), "monopoly": ("price",), "fixed_price": ("price",), "best_response": (), "random": ()}
HEURISTICS = tuple(RULES)


@dataclass
class Heuristic:
    """A rule with its parameters: plain data, so that it can be kept as JSON."""

    kind: str
    params: Parameters
    model: Duopoly

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: observations (n, 2) to actions (n, 1)."""
        model, n = self.model, len(observation)
        if self.kind == "random":
            price = np.random.default_rng(seed).uniform(model.prices[0], model.prices[-1], (n, 1))
        elif self.kind == "best_response":
            logit = model.params.logit()
            quality, cost = logit.pop("quality"), model.cost[0]
            price = reference.best_response(observation[:, 1:], quality[0], quality[1], **logit, cost=cost)
        else:
            price = np.full((n, 1), self.params["price"][0])
        if model.params.on_grid:
            return np.abs(price - model.prices).argmin(axis=1)[:, None], policy_state
        return np.clip(price, model.action_low, model.action_high), policy_state


def available(model: Duopoly) -> list[str]:
    """Return the rules: all of them, on any duopoly."""
    return list(HEURISTICS)


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Heuristic:
    """Return a rule with its price: Nash's or the monopoly's of one period, or the best constant one of the grid.

    Args:
        kind: one of `HEURISTICS`: `nash` and `monopoly` prices, `best_response` to the rival's last price.
        task: its training split is used, and no other.
        seeds: of the scenarios, integers.
        progress: not shown: this takes seconds.

    Raises:
        FieldError: a kind that is unknown or does not fit the task's model; it lists what there is.
    """
    model = task.model("train")
    check_kind(kind, available(model), "for this task")
    if not RULES[kind]:
        return Heuristic(kind, {}, model)
    if kind in ("nash", "monopoly"):
        prices, _ = getattr(reference, kind)(**model.params.logit(), cost=model.cost)
        return Heuristic(kind, {"price": [float(prices[0])]}, model)
    scenario = model.scenarios(np.asarray(seeds))
    rules = [Heuristic(kind, {"price": [price]}, model) for price in model.prices.tolist()]
    return max(rules, key=lambda rule: rollout(model, rule, scenario)["reward"].mean())
