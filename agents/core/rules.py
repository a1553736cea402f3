"""The heuristics of a model: which ones there are, and their tuning on training scenarios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...envs.core.contract import Model, Policy, Rule, Rules
from ...envs.core.rollout import rollout
from ...envs.core.task import Task
from ...envs.registry import environment_of
from ...errors import FieldError
from ...plugins import Environment, load, plugins
from .tuner import Score, bar, coordinates, halved, neighbourhood, pattern_search

HERE = __name__.partition(".core.")[0]  # storelab.agents
ENVIRONMENTS = f"{HERE.rpartition('.')[0]}.envs."  # storelab's own
ROWS = 2048  # candidates x scenarios run in one batch
GRID, POINTS = 1000, 21  # candidates of a declared rule's first grid, and values of each of its numbers, at the most
FINEST = 1 / 256  # share of its range that a number is tuned to
DIAGONALS = 4  # numbers up to which a search tries all neighbours of a point
Parameters = Mapping[str, Any]  # name -> list of numbers; while it is tuned, an array with a row per row of the batch
FACTORS = (-3, -1, 1, 3)  # of the step, tried of each number where there are more


def rules_of(model: Model) -> Rules:
    """Return the heuristics of a model: its environment's, and those that plug-ins add to it.

    Raises:
        FieldError: a model of an unknown environment, or a plug-in's heuristic whose name is taken.
    """
    environment = environment_of(model)
    added = [plugin.rules[environment.name] for plugin in plugins().values() if environment.name in plugin.rules]
    parts = [own_rules(environment), *(DeclaredRules(load(place)) for place in added)]
    return parts[0] if len(parts) == 1 else JoinedRules(parts)


def own_rules(environment: Environment) -> Rules:
    """Return an environment's own heuristics, without those of plug-ins."""
    module = f"{HERE}.heuristics.{environment.name}"
    if environment.package.startswith(ENVIRONMENTS) and find_spec(module) is not None:
        return load(module)
    rules = load(environment.rules, environment.package) if environment.rules else {}
    return DeclaredRules(rules) if isinstance(rules, Mapping) else rules


def available(model: Model) -> list[str]:
    """Return the names of the heuristics that fit a model."""
    return rules_of(model).available(model)


def tune(kind: str, task: Task, seeds, progress: bool = False) -> Policy:
    """Return a heuristic of a task's model, with its best parameters on training scenarios.

    Args:
        kind: one of `available(task.model())`, or another heuristic of the environment that fits.
        task: only its training split is used.
        seeds: of the scenarios, integers (n,) or keys (n, 2).
        progress: show a bar.

    Raises:
        FieldError: a model of an unknown environment, or a kind that is unknown or does not fit the model; the error
            lists those that fit.
    """
    return rules_of(task.model("train")).tune(kind, task, seeds, progress)


@dataclass
class DeclaredHeuristic:
    """A rule with its parameters, a list of numbers each: plain data, so that it can be kept as JSON."""

    kind: str
    params: Parameters
    model: Model
    rule: Rule = field(repr=False)

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see `envs.core.contract.Policy`."""
        arrays = {name: np.asarray(value, dtype=np.float64) for name, value in self.params.items()}
        values = {name: array[None] if array.ndim == 1 else array for name, array in arrays.items()}
        return self.rule.act(self.model, self.model.features(observation), seed=seed, **values), policy_state


class DeclaredRules:
    """Heuristics that are declared as data (`envs.core.contract.Rule`), as `Rules`."""

    def __init__(self, rules: Mapping[str, Rule]):
        self.rules, self.HEURISTICS = rules, tuple(rules)

    def Heuristic(self, kind: str, params: Parameters, model: Model) -> DeclaredHeuristic:
        """Return a heuristic of known parameters; raises FieldError for an unknown kind."""
        check_kind(kind, self.HEURISTICS)
        return DeclaredHeuristic(kind, params, model, self.rules[kind])

    def available(self, model: Model) -> list[str]:
        """Return the kinds that fit a model."""
        return [kind for kind, rule in self.rules.items() if rule.fits(model)]

    def tune(self, kind: str, task: Task, seeds, progress: bool = False) -> DeclaredHeuristic:
        """Return a heuristic with the best parameters in their box, by the mean profit of the training scenarios.

        A coarse grid, then a pattern search from the rule's own steps on, which are halved until they are one for whole
        numbers, and else a small share of the range. The profit is that per period after the task's warm-up, or
        that of the season with its salvage.

        Raises:
            FieldError: an unknown kind, or one that does not fit the task's model.
        """
        model = task.model("train")
        check_kind(kind, self.available(model), "for this task")
        scenario = model.scenarios(np.asarray(seeds))
        box = _Box(self.rules[kind].parameters(model, scenario))
        if not box.names:
            return self.Heuristic(kind, {}, model)

        def earned(act: Policy, scenario: dict) -> np.ndarray:
            reward = rollout(model, act, scenario)["reward"]
            continuing = model.params.continuing
            profit = reward[:, task.warmup :].mean(axis=1, dtype=float) if continuing else reward.sum(1, dtype=float)
            return profit[:, None]

        policy = lambda values: self.Heuristic(kind, box.named(values["all"]), model)
        score = Score(["all"], policy, earned, scenario, ROWS, bar(None, f"tune {kind}", progress))
        best = box.search(lambda candidates: score(candidates[:, None, :, 0]))
        return self.Heuristic(kind, {name: value.tolist() for name, value in box.named(best[:, 0]).items()}, model)


class JoinedRules:
    """The heuristics of several `Rules`, as one."""

    def __init__(self, parts: Sequence[Rules]):
        self._home: dict[str, Rules] = {}
        for rules in parts:
            for kind in rules.HEURISTICS:
                if kind in self._home:
                    raise FieldError("rules", kind, "a name that is not taken")
                self._home[kind] = rules
        self.parts, self.HEURISTICS = parts, tuple(self._home)
        self.RETUNED, self.REMEMBERS = (
            tuple(kind for rules in parts for kind in getattr(rules, name, ())) for name in ("RETUNED", "REMEMBERS")
        )

    def Heuristic(self, kind: str, params: Parameters, model: Model) -> Policy:
        """Return a heuristic of known parameters; raises FieldError for an unknown kind."""
        check_kind(kind, self.HEURISTICS)
        return self._home[kind].Heuristic(kind, params, model)

    def available(self, model: Model) -> list[str]:
        """Return the kinds that fit a model."""
        return [kind for rules in self.parts for kind in rules.available(model)]

    def tune(self, kind: str, task: Task, seeds, progress: bool = False) -> Policy:
        """Return a heuristic with its best parameters on training scenarios; see `tune`."""
        check_kind(kind, self.HEURISTICS)
        return self._home[kind].tune(kind, task, seeds, progress)


class _Box:
    """Where the numbers of a declared rule are looked for: all of its parameters, one after the other."""

    def __init__(self, parameters: Mapping[str, tuple]):
        rows = {name: np.broadcast_arrays(*map(np.atleast_1d, box)) for name, box in parameters.items()}
        for name, (low, high, step) in rows.items():
            if not ((low <= high) & (step > 0)).all():
                raise FieldError(f"rules.{name}", parameters[name], "lowest <= highest, and a step above 0")
        self.names, self._ends = list(rows), np.cumsum([len(low) for low, *_ in rows.values()])[:-1]
        if not rows:
            return
        self.low, self.high, self.step = (np.concatenate(part) for part in zip(*rows.values(), strict=True))
        kinds = [np.full(len(row[0]), all(part.dtype.kind in "iu" for part in row)) for row in rows.values()]
        self.whole = np.concatenate(kinds)

    def named(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Split numbers (..., all) up by parameter."""
        return dict(zip(self.names, np.split(values, self._ends, axis=-1), strict=True))

    def search(self, score) -> np.ndarray:
        """Return the best numbers (all, 1) by a score (count, 1) of candidates (count, all, 1)."""
        size = len(self.low)
        allowed = lambda values: np.clip(self._rounded(values), self.low[:, None], self.high[:, None])
        smallest = np.where(self.whole, 1, (self.high - self.low) * FINEST)
        smallest = np.where(smallest > 0, smallest, self.step)  # of a number that is fixed
        steps = [*(self._rounded(np.maximum(step, smallest)[:, None]) for step in halved(self.step, smallest))]
        joint = 0 if size <= DIAGONALS else len(FACTORS)
        moves = coordinates([size], FACTORS) if joint else neighbourhood(size)
        return pattern_search(score, allowed(self._grid()), [moves], [*steps, smallest[:, None]], allowed, joint=joint)

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.whole[:, None], np.floor(values + 0.5), values)

    def _grid(self) -> np.ndarray:
        """Return candidates (count, all, 1) all over the box; its middle where it has too many corners."""
        points = min(POINTS, int(GRID ** (1 / len(self.low)) + 1e-9))
        share = np.linspace(0, 1, points) if points > 1 else np.array([0.5])
        mesh = np.stack(np.meshgrid(*[share] * len(self.low), indexing="ij"), axis=-1).reshape(-1, len(self.low))
        return (self.low + mesh * (self.high - self.low))[:, :, None]


def check_kind(kind: str, kinds: Sequence[str], where: str = "") -> None:
    """Raise a FieldError that lists what there is, unless a kind of heuristic is one of them."""
    if kind not in kinds:
        expected = f"one of {', '.join(kinds)}" if kinds else "none: there are no heuristics"
        raise FieldError("kind", kind, expected, where)
