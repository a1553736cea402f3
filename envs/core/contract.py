"""The contract of the house: what a model, a policy, a reference, heuristics and a learner are.

Shapes: `num_envs` or n rows of a batch, T periods of an episode, F numbers of an observation, A of an action, I items.
Arrays are NumPy's; where a model says so with `xp`, they may be torch's, so that gradients flow.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from .kernels import Stepper
from .seeds import imagined_keys

Array = Any  # a NumPy array, or a tensor where the model's `xp` is torch
GAINS = ("revenue", "salvage")  # the money terms that are earned; all others are costs
CRITERIA = ("average cost per period", "discounted", "finite horizon")
RENDERING = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 8}  # metadata of a single environment
KINDS = ("exact", "bound", "heuristic", "best known")


@dataclass(frozen=True)
class Part:
    """A named part of an action: what is decided together."""

    numbers: int  # of the action that it takes
    unit: str  # what the numbers are, in words
    names: Sequence[str] = ()  # of each number, such as an arc's; (): they are counted from 0


class Policy(Protocol):
    """A policy: a function of a batch of observations.

    `policy_state` is None in the first period of an episode, then what the previous call returned. Most policies leave
    it None. `seed` differs from period to period, and makes random policies repeatable.

    A policy that keeps accounts has two more methods, which `evaluate` calls: `begin(seeds, split)` before the episodes
    of these scenarios, and after them `tally()`, which returns columns of the table, name -> numbers (n,).
    """

    def __call__(self, observation: Array, policy_state: Any, seed: int, /) -> tuple[Array, Any]:
        """Return the actions (n, A) at observations (n, F), and the policy's state."""
        ...


class Model(ABC):
    """A problem as pure batched functions: the equations of an environment.

    All randomness is in the scenario, which `scenarios` draws before the episode; `transition` is deterministic. States
    and flows are dataclasses of arrays (num_envs, ...).

    Attributes:
        version: of the dynamics, such as `v0`.
        params: the parameters. Their `continuing` is True where the horizon truncates an infinite-horizon problem, and
            False where it ends a season.
        horizon: periods in an episode, T.
        layout: feature -> shape of one row, in the order of the observation vector.
        observation_space: Box (F,), of one row.
        action_space: Box, MultiDiscrete or (with one number, on request) Discrete, of one row.
        action_low, action_high: (A,) float64, the bounds of an action.
        action_parts: name -> part of the action, in the order of its numbers; by default one part, `decision`.
        axis_names: feature -> names along each axis of its shape, () where they are counted; only where there are some.
        action_masks: only where a model has it: which discrete actions make sense at observations (num_envs, F), as
            bools (num_envs, sum of the choices).
        xp: the array library, `numpy` or `torch`.
    """

    version: ClassVar[str] = "v0"
    xp: Any = np
    params: Any
    horizon: int
    layout: dict[str, tuple[int, ...]]
    observation_space: spaces.Box
    action_space: spaces.Box | spaces.MultiDiscrete | spaces.Discrete
    action_low: np.ndarray
    action_high: np.ndarray
    axis_names: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType({})
    action_masks: Callable[[np.ndarray], np.ndarray]  # declared, not defined: an AttributeError where there is none

    @abstractmethod
    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw every random quantity of the episodes with the given seeds (n,) or keys (n, 2).

        Returns:
            name -> (n, T + 1, ...): one slice per period, and one for the last observation. A row depends on its own
            key alone.
        """

    @abstractmethod
    def initial(self, num_envs: int) -> Any:
        """Return the state at the start of an episode."""

    @abstractmethod
    def transition(self, state, action: Array, shock: dict) -> tuple[Any, Any]:
        """Move one period on; draws nothing.

        Args:
            state: before the period.
            action: (num_envs, A), inside the bounds.
            shock: the period's slice of the scenario, name -> (num_envs, ...).

        Returns:
            The next state, and the flow: what moved in the period.
        """

    @abstractmethod
    def money(self, flow) -> dict[str, Array]:
        """Return the period's money by name, each (num_envs,): `revenue`, and the costs, all of them positive."""

    @abstractmethod
    def info(self, flow, terms: dict) -> dict[str, Array]:
        """Return what a period's `info` holds, each (num_envs,): the money of `terms`, units and key figures."""

    @abstractmethod
    def observe(self, state, signal: dict) -> dict[str, Any]:
        """Return the named features, each an array (num_envs, *shape), shapes and order as in `layout`.

        A feature may also be a tuple of arrays, its parts along the first axis of its shape. This saves a copy.

        Args:
            state: before the period.
            signal: the period's slice of the scenario.
        """

    @abstractmethod
    def viewer(self, mode: str) -> Any:
        """Return the picture of an environment of this model: see `core.picture.Viewer`."""

    def stepper(self) -> Stepper | None:
        """Return the compiled kernel that steps this model; by default None: NumPy does. It needs numba."""
        return None

    # -- what follows from these --------------------------------------------------------------------------------------

    def salvage(self, state) -> Array | None:
        """Return what is left worth (num_envs,) money once a season has ended; by default None: nothing ever is."""
        return None

    def balances(self, before, flow, after) -> dict[str, tuple[Array, Array]]:
        """Return the laws of conservation of a period by name: what was there and came in, and what it has become.

        Both arrays are of one shape; they are equal, up to the rounding of float32 where goods are divisible.
        By default none. `core.fuzz` holds a model to them.
        """
        return {}

    def item_profit(self, flow) -> Array:
        """Return the profit of the period by item (num_envs, I): it sums to `reward` before salvage. By default as one
        item."""
        return self.reward(self.money(flow))[:, None]

    @cached_property
    def action_parts(self) -> dict[str, Part]:
        """The parts of an action by name, in order; a model with names for them sets its own."""
        return {"decision": Part(len(self.action_low), "as the action space says")}

    @cached_property
    def first_bounds(self) -> tuple[float, float, bool]:
        """The bounds of an action's first number, and whether actions are whole numbers: plain, as they are faster."""
        return float(self.action_low[0]), float(self.action_high[0]), self.action_space.dtype.kind == "i"

    def terms(self, flow, state, ended) -> dict[str, Array]:
        """Return the money of a period by name, with the salvage of the seasons that end with it.

        Args:
            flow: of the period.
            state: after it.
            ended: whether episodes ended: one bool for all rows, or (num_envs,).
        """
        terms = self.money(flow)
        if self.params.continuing or ended is False:
            return terms
        if ended is not True and not ended.any():
            return terms
        worth = self.salvage(state)
        if worth is not None:
            terms["salvage"] = worth if ended is True else np.where(ended, worth, 0).astype(np.float32)
        return terms

    def reward(self, terms: Mapping[str, Array]) -> Array:
        """Return the profit (num_envs,): the gains less the costs, in the order of `terms`."""
        profit = None
        for name, value in terms.items():
            if name in GAINS:
                profit = value if profit is None else profit + value
            else:
                profit = -value if profit is None else profit - value
        return profit

    def observation(self, state, signal: dict) -> Array:
        """Return the observations (num_envs, F): the features of `observe`, flattened in the order of `layout`."""
        features, parts = self.observe(state, signal), []
        for name in self.layout:
            value = features[name]
            if type(value) is tuple:
                parts.extend(value)
            else:
                parts.append(value if value.ndim == 2 else value.reshape(len(value), -1))
        return parts[0] if len(parts) == 1 else self.xp.concatenate(parts, axis=1)

    def features(self, observation: Array) -> dict[str, Array]:
        """Split observations (num_envs, F) into named features (num_envs, *shape), as `layout` lists them."""
        named, start = {}, 0
        for name, shape in self.layout.items():
            stop = start + math.prod(shape)
            named[name] = observation[:, start:stop].reshape(-1, *shape)
            start = stop
        return named

    def sketch(self) -> "Model":
        """Return a model of the same problem that is cheaper to simulate; by default the model itself."""
        return self

    def period(self, observation: Array) -> np.ndarray:
        """Return the period (num_envs,) of the season at which observations are made; 0 where they do not tell."""
        if "time_left" not in self.layout:
            return np.zeros(len(observation), int)
        return np.rint((1 - self.features(observation)["time_left"][:, 0]) * self.horizon).astype(int)

    def recall(self, observation: Array) -> tuple[Any, dict]:
        """Return a state with the given observations (num_envs, F), and what they tell of the period's slice of the
        scenario: what a policy that plans with the model starts from.

        Raises:
            FieldError: they do not hold all of the state, or show something that the scenario draws (a forecast, say),
                which futures would have to agree with.
        """
        template, named = self.initial(len(observation)), self.features(observation)
        values = {f.name: _recalled(f.name, getattr(template, f.name), named, self) for f in fields(template)}
        drawn = [name for name in named if name not in values and name != "time_left"]
        if drawn:
            raise FieldError("observation", ", ".join(drawn), "nothing that is drawn", "where futures are imagined")
        return type(template)(**values), {name: named[name] for name in ("time_left",) if name in named}

    def futures(self, observation: Array, seed: int, count: int, periods: int) -> dict[str, np.ndarray]:
        """Draw what may come from the period of observations (num_envs, F) on, which are all of one period.

        Args:
            observation: at the start of the first period.
            seed: of the scenarios that are imagined: none of them is ever played.
            count: futures.
            periods: at most, from the first one on.

        Returns:
            name -> (num_envs or 1, count, periods, ...): the slices of the scenarios, the same futures for all rows
            where the first axis is 1.
        """
        first = int(self.period(observation[:1])[0])
        last = min(first + periods, self.horizon)
        return {name: block[None, :, first:last] for name, block in self.scenarios(imagined_keys(seed, count)).items()}

    def time_left(self, rows: int, dtype: Any = np.float32) -> np.ndarray:
        """Return the share of the season that is left (rows, T + 1, 1) float32, computed in `dtype`."""
        left = (1 - np.arange(self.horizon + 1, dtype=dtype) / self.horizon).astype(np.float32)
        return np.broadcast_to(left[:, None], (rows, self.horizon + 1, 1))

    def box_of(self, layout: Mapping[str, tuple[int, ...]], bounds: Mapping[str, tuple] | None = None) -> spaces.Box:
        """Return the space of observations of a layout.

        Args:
            layout: feature -> shape.
            bounds: feature -> lowest and highest value, numbers or arrays of the feature's shape or its last axes; a
                feature that is not in it is at least 0, `time_left` at most 1, and a `calendar` has no bounds.
        """
        bounds = {"calendar": (-np.inf, np.inf), "time_left": (0, 1)} | dict(bounds or {})
        ends = [], []
        for name, shape in layout.items():
            for values, end in zip(ends, bounds.get(name, (0, np.inf)), strict=True):
                values.append(np.broadcast_to(np.asarray(end, float), shape).ravel())
        low, high = (np.concatenate(values).astype(np.float32) for values in ends)
        return spaces.Box(low, np.where(high > low, high, low + 1), dtype=np.float32)  # a range, to scale by


def _recalled(name: str, like: Any, named: dict, model: Model) -> Any:
    """Return an array or a tuple of a state, such as `like`, from the feature of its name."""
    if like is None or (type(like) is tuple and not like):
        return like
    if name not in named:
        raise FieldError("environment", type(model).__name__, f"one whose observations have its state's {name}")
    cast = lambda value, own: value.reshape(own.shape).astype(own.dtype)
    value = named[name]
    return tuple(cast(value[:, k], part) for k, part in enumerate(like)) if type(like) is tuple else cast(value, like)


def at_most(units) -> np.ndarray:
    """Return a bound on sums of float32 that are at most `units` but for rounding; where they are exact, `units`."""
    units = np.asarray(units, float)
    return np.where((units == np.round(units)) & (units < 2**24), units, units * 1.01)


def menu(values: Iterable[Any]) -> str:
    """Return in words what the indices of a list stand for, such as `index: 0 is 1, 1 is 1.5`."""
    return "index: " + ", ".join(f"{k} is {value:.6g}" for k, value in enumerate(values))


def choices_of(counts, discrete: bool = False) -> spaces.MultiDiscrete | spaces.Discrete:
    """Return the space of indices 0 .. counts - 1 (A,), as a Discrete for learners of one number, such as DQN."""
    return spaces.Discrete(int(counts[0])) if discrete else spaces.MultiDiscrete(counts)


def narrow(features: dict[str, Any]) -> dict[str, Any]:
    """Return features in float32, of a model that counts in float64 as its units may be too many for float32."""

    def cast(value):
        return tuple(map(cast, value)) if type(value) is tuple else np.asarray(value, np.float32)

    return {name: cast(value) for name, value in features.items()}


def remade(kind: Callable[..., Model], params, source, library: str) -> Model:
    """Return a model of its parameters and source, on an array library by name: what pickle and deepcopy call."""
    return kind(params, source, import_module(library))


@dataclass
class Reference:
    """A known value of a task, with its criterion, kind, tolerance and source.

    Raises FieldError when `criterion` or `kind` is not one of those listed, or `value` or `tolerance` is not a number.
    """

    name: str  # e.g. "optimal policy"
    value: float  # money per period (average cost) or per episode (the other criteria), in `unit`
    criterion: str  # one of CRITERIA
    kind: str  # one of KINDS: how `value` relates to the optimum
    tolerance: float  # half-width of the interval around `value` that is certain to hold the true number, in `unit`
    source: str  # citation of the model and of the method
    policy: Policy | None = None  # that attains `value` on the task's model, where there is one
    unit: str = "cost per period"  # the unit of `value` and `tolerance`
    levels: dict[str, list[float]] = field(default_factory=dict)  # parameter -> its numbers, where the policy has some

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise FieldError("criterion", self.criterion, f"one of {', '.join(CRITERIA)}")
        if self.kind not in KINDS:
            raise FieldError("kind", self.kind, f"one of {', '.join(KINDS)}")
        if not math.isfinite(self.value):
            raise FieldError("value", self.value, "a finite number")
        if not 0 <= self.tolerance < math.inf:
            raise FieldError("tolerance", self.tolerance, "a finite number of at least 0")

    @classmethod
    def average_optimum(cls, cost: float, policy: Policy, source: str) -> "Reference":
        """Return the optimum of the average cost that value iteration came to, with the policy that attains it."""
        source = f"{source}; value iteration"
        return cls("optimal policy", cost, "average cost per period", "exact", 1e-4, source, policy)


@dataclass
class Rule:
    """A heuristic: its action, and the bounds within which its parameters are tuned.

    A folder or a plug-in declares `RULES: dict[str, Rule]`. `agents.tune` tunes them on training scenarios.
    """

    act: Callable[..., Array]  # (model, features by name, seed, **parameters) -> actions (n, A); parameters (n or 1, k)
    # (model, training scenario) -> parameter -> (lowest, highest, first step) as arrays (k,) or numbers; {}: none
    parameters: Callable[[Any, dict], Mapping[str, tuple]] = lambda model, scenario: {}
    fits: Callable[[Any], bool] = lambda model: True  # whether a model has what the rule needs


class Rules(Protocol):
    """The heuristics of a model: what `agents.rules_of` returns."""

    HEURISTICS: tuple[str, ...]  # all kinds

    @property
    def Heuristic(self) -> Callable[[str, Mapping[str, Any], Any], Policy]:
        """Return what makes a heuristic: of a kind, its parameters (name -> list of numbers) and a model."""
        ...

    def available(self, model) -> list[str]:
        """Return the kinds that a model has what they need for."""
        ...

    def tune(self, kind: str, task, seeds, progress: bool = False) -> Policy:
        """Return a heuristic with its best parameters on training scenarios; it has `kind` and `params`."""
        ...


class Learner(Protocol):
    """What learns on a task's training demand, with checkpoints that go on exactly.

    A module of learners has `Params` (a dataclass with `total_steps` and `name`), `Learner(task, params, seed,
    log_folder)`, `check(model, params)`, which raises where they do not fit, and `load_policy(folder, task)`.
    One of agents that learn nothing has `acting(task, params, folder, rules, best)` in place of the last and of
    `Learner`: it returns the policy.
    """

    due: bool  # set it for a call of `on_checkpoint` as soon as one is possible

    @property
    def steps(self) -> int:
        """Return the steps done."""
        ...

    def learn(
        self,
        on_checkpoint: Callable[[int], None] | None = None,
        checkpoint_every: int = ...,
        total_steps: int | None = None,
        progress: bool = True,
    ) -> None:
        """Learn up to `total_steps` in all."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write all that `load` needs to go on exactly into an existing folder."""
        ...

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote."""
        ...

    def policy(self) -> Policy:
        """Return the deterministic policy as it is now."""
        ...
