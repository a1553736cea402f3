"""Residual policies: a learner's actions say how much more or less is ordered than a tuned rule orders.

A residual policy (Silver et al. 2018, arXiv:1812.06298) equals the rule as long as its actions are 0. A learner thus
starts at the best rule that it knows, and its result does not depend on how wide the action space is.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from gymnasium import spaces

from ...envs.core.batch import admit
from ...envs.core.contract import Model
from ...envs.registry import environment_of
from ...errors import FieldError
from ...reading import read_json
from .rules import Parameters, check_kind, own_rules, rules_of

TENSORS = (  # kinds that are there as tensors too
    "base_stock",
    "myopic",
    "capped_base_stock",
    "newsvendor",
    "lost_sales_newsvendor",
    "shrunk_newsvendor",
)
NARROW, WIDE = 0.1, 0.9  # quantiles between which a forecast's spread is measured, where it has them
Z = 2.563  # standard deviations of a normal distribution between these two
LEAST = 0.1  # share of its usual deviation that a forecast's is taken for, at the least


@dataclass
class StartRule:
    """A tuned rule, with what an action of 1 orders in addition: plain data that a checkpoint can keep."""

    kind: str
    params: Parameters  # name -> list of numbers
    spread: list[float]  # of each order, units; or of each parameter of the day

    @classmethod
    def of(cls, heuristic: Any, model: Model, seeds: np.ndarray) -> "StartRule":
        """Return a tuned heuristic as a start; its spread is taken from training scenarios (seeds, integers).

        Of a kind that no action is a residual of, it has none.
        """
        rules = _residual(model)
        if rules is None or (_box(model) and heuristic.kind not in rules.starts(model)):
            return cls(heuristic.kind, dict(heuristic.params), [])
        spread = rules.spread(heuristic, model.scenarios(seeds))
        return cls(heuristic.kind, dict(heuristic.params), np.maximum(np.ravel(spread), 1e-3).tolist())

    @classmethod
    def kept(cls, folder: Path, model: Model) -> "StartRule | None":
        """Return the start of a checkpoint; None where it has none.

        Raises:
            FieldError: it does not fit the model.
        """
        given = rule_of(folder)
        if given is None:
            return None
        if not isinstance(given, Mapping) or set(given) != {"kind", "params", "spread"}:
            raise FieldError("rule", given, "a mapping of kind, params and spread")
        check_kind(given["kind"], starts(model), "to start from")
        if not orders(model):
            rule = cls(**given)
            rule.check(model)
            return rule
        sizes = _sizes(model, given["kind"])
        if not isinstance(given["params"], Mapping) or set(given["params"]) != set(sizes):
            raise FieldError("rule.params", given["params"], f"a mapping of {', '.join(sorted(sizes))}")
        sizes["spread"] = len(model.action_low)
        for name, values in {**given["params"], "spread": given["spread"]}.items():
            fits = isinstance(values, list) and len(values) == sizes[name]
            if not fits or not all(type(x) in (int, float) and math.isfinite(x) for x in values):
                raise FieldError(f"rule.{name}", values, f"{sizes[name]} finite numbers")
        return cls(**given)

    def check(self, model: Model) -> None:
        """Raise a FieldError unless the numbers are finite and the rule acts at the start of an episode."""
        if not isinstance(self.params, Mapping):
            raise FieldError("rule.params", self.params, "a mapping of names to numbers")
        for name, value in {**self.params, "spread": self.spread}.items():
            if not np.isfinite(np.asarray(value, float)).all():
                raise FieldError(f"rule.{name}", value, "finite numbers")
        if len(self.spread) not in (0, len(model.action_low)) or min(self.spread, default=1) < 0:
            raise FieldError("rule.spread", self.spread, f"{len(model.action_low)} numbers >= 0, or none")
        now = {name: block[:, 0] for name, block in model.scenarios([0]).items()}
        rule = rules_of(model).Heuristic(self.kind, self.params, model)
        admit(model, rule(model.observation(model.initial(1), now), None, 0)[0], 1)  # parameters of another shape


def plain(rule: StartRule | None) -> dict | None:
    """Return a rule as a checkpoint keeps it."""
    return None if rule is None else json.loads(json.dumps(asdict(rule)))


def rule_of(folder: Path) -> Any:
    """Return what a checkpoint keeps as the rule that its learner started from; None where there is none."""
    file = folder / "policy.json"
    return read_json(file).get("rule") if file.is_file() else None


def starts(model: Model) -> list[str]:
    """Return the kinds of heuristics that a learner's actions can be residuals of.

    Of continuous orders some of those that order; elsewhere all but random ones and those that remember.
    """
    rules = _residual(model)
    if orders(model):
        return [kind for kind in rules.available(model) if kind in rules.starts(model)]
    try:
        known = rules_of(model)
    except FieldError:  # a model that no environment declares
        return []
    others = {"random", *getattr(known, "REMEMBERS", ())}
    return [kind for kind in known.available(model) if kind not in others]


def orders(model: Model) -> bool:
    """Return whether actions are continuous and the heuristics say what more they would order (`Residual`)."""
    return _box(model) and _residual(model) is not None


def _box(model: Model) -> bool:
    return isinstance(model.action_space, spaces.Box)


def _residual(model: Model) -> Any:
    """Return the module of an environment's heuristics that say what they would order; None of the others."""
    try:
        rules = own_rules(environment_of(model))
    except FieldError:  # a model that no environment declares
        return None
    return rules if hasattr(rules, "starts") else None


def _sizes(model: Model, kind: str) -> dict[str, int]:
    """Return how many numbers each parameter of a kind of rule has: one per order, where its module says nothing."""
    rules = _residual(model)
    if hasattr(rules, "sizes"):
        return rules.sizes(model, kind)
    return dict.fromkeys([*rules.RULES[kind][1], *rules.KNOWN.get(kind, ())], len(model.action_low))


class Residual:
    """Actions as residuals of a rule: what is ordered in addition, in the rule's spreads. In the whole store they are
    added to the rule's parameters of the day.

    With forecasts, a newsvendor's spread is that of the observed forecast: the standard deviation of a normal
    distribution by two of its quantiles.
    """

    def __init__(self, model: Any, start: StartRule):
        self.model, self.kind = model, start.kind
        self.rule: Any = _residual(model).Heuristic(start.kind, start.params, model)
        self._spread = np.asarray(start.spread, dtype=np.float64)
        quantiles = np.asarray(getattr(model.params, "quantiles", []))
        self._seen = "fractile" in start.params and "forecast" in model.layout and len(quantiles) > 1
        if self._seen:
            ends = [int(np.abs(quantiles - q).argmin()) for q in (NARROW, WIDE)]
            self._ends = ends if ends[0] < ends[1] else [0, len(quantiles) - 1]
            low, high = (NormalDist().inv_cdf(float(quantiles[k])) for k in self._ends)
            self._z = high - low

    def __call__(self, actions: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """Return the model's actions (n, A) of a learner's (n, A) at a model's observations."""
        named = self.model.features(observation)
        return self.rule.act(named, actions * self._width(named, self._spread, np.maximum))

    def _width(self, named: dict, spread, maximum):
        if not self._seen:
            return spread
        low, high = (named["forecast"][..., k] for k in self._ends)
        return maximum((high - low) / self._z, LEAST * spread)

    def to_torch(self, device) -> None:
        """From now on `tensors` works, of the kinds in `TENSORS`."""
        import torch

        values: Any = {name: np.asarray(value, dtype=float) for name, value in self.rule.params.items()}
        if "fractile" in values:  # what each quantile counts for, between two of them
            quantiles = np.asarray(self.model.params.quantiles)
            unit = np.eye(len(quantiles))
            for name in values.keys() & {"fractile", "cap"}:
                values[f"{name} weights"] = np.stack([np.interp(values[name], quantiles, row) for row in unit], axis=-1)
        values["spread"] = self._spread
        self._values = {k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in values.items()}

    def tensors(self, observation):
        """Return what the rule orders and its spread, of tensors (n, A) each, differentiable in the observation."""
        import torch

        named, values = self.model.features(observation), self._values
        level, cap = values.get("level"), values.get("cap")
        if "fractile" in values:
            ahead = values.get("multiplier", 1.0) * (named["forecast"] * values["fractile weights"]).sum(-1)
            level = ahead if level is None else (1 - values["weight"]) * level + values["weight"] * ahead
        if "multiplier" in values:
            last = values["multiplier"] * (named["arrival"] * values["cap weights"]).sum(-1)
            cap = torch.where(values["cap"] < 1, last, math.inf)
        order = torch.clamp(level - self.model.seen_position(named), min=0)
        order = order if cap is None else torch.minimum(order, cap)
        return order, self._width(named, values["spread"], torch.maximum).expand(order.shape)
