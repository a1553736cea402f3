"""Approximate policy iteration: simulation says which action is best at a state, and a network is taught to take it.

Deep controlled learning (Temizoz, Imdahl, Dijkman, Lamghari-Idrissi and van Jaarsveld 2025, European Journal of
Operational Research 324(1)). A generation visits states under the policy so far, labels them by `Simulation` around it,
and fits a classifier, which is the next policy. No gradient passes through the model: costs may jump, choices are
discrete.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ...envs.core.batch import admit
from ...envs.core.checks import check_choice, check_number
from ...envs.core.contract import Model, Policy
from ...envs.core.rollout import rollout
from ...envs.core.seeds import LARGEST_SEED, purpose_seeds, training_seeds
from ...envs.core.task import Task
from ...errors import FieldError
from ...reading import read_json, read_tensors
from ..core.checkpoints import check_finite, reading
from ..core.learners import by_generation
from ..core.residual import StartRule, plain
from ..core.rules import check_kind, rules_of
from ..core.start import check_same
from .simulation import Rollout, Simulation, candidates_of, table_of

TUNING = purpose_seeds("tuning", 64)  # of the training scenarios that the base policy is tuned on, where none is given
MANY = 256  # rows above which a network looks at equal ones once
BATCH = 128  # states of a gradient step
AT_ONCE, BLOCKS = 1000, 2**20  # generations of a learner's seed, and blocks of states of one, with futures of their own


@dataclass
class ImprovementParams:
    """Parameters of the simulation and of the network that is taught."""

    total_steps: int = 2  # generations
    act: str = (
        "network"  # network: as taught | simulation: the policy simulates at each state, without a network at first
    )
    states: int = 2000  # visited in a generation, that the network is taught on
    simulations: int = 2000  # of an action in a future, per state; states that are met often get as many more
    periods: int = 32  # of a simulation, at most
    doubt: float = 0.5  # standard errors by which an action must be ahead of the base policy's
    levels: int = 41  # steps of a continuous action
    explore: float = 0.05  # share of the visits' actions that are drawn evenly
    net_arch: list[int] = field(default_factory=lambda: [64, 64])  # units of the hidden layers
    epochs: int = 200  # passes over a generation's states
    learning_rate: float = 0.003  # of Adam, at the start; falls to zero by a half cosine
    threads: int = 1  # of torch: small networks gain nothing by more; 0: as torch chooses

    def __post_init__(self):
        check_number("total_steps", self.total_steps, 1, AT_ONCE - 1, integer=True)
        check_choice("act", self.act, ("network", "simulation"))
        for name, low, high in (("states", 10, 1e7), ("simulations", 10, 1e7), ("periods", 1, 1e5), ("levels", 2, 1e3)):
            check_number(name, getattr(self, name), low, high, integer=True)
        check_number("doubt", self.doubt, 0, 100)
        check_number("explore", self.explore, 0, 1)
        check_number("net_arch", self.net_arch, 1, 1e5, integer=True, items=max(1, np.size(self.net_arch)))
        check_number("epochs", self.epochs, 1, 1e6, integer=True)
        check_number("learning_rate", self.learning_rate, 0, 1, exclusive=True)
        check_number("threads", self.threads, 0, 1024, integer=True)

    @property
    def name(self) -> str:
        """Return the learner's name in tables."""
        return "improvement" if self.act == "network" else "rollout"


def check(model: Model, params: ImprovementParams) -> None:
    """Check that a model can be simulated from its observations, and its actions be tried.

    Raises:
        FieldError: observations that do not hold the state, or show a forecast; too many actions.
    """
    now = {name: block[:, 0] for name, block in model.scenarios([0]).items()}
    model.recall(model.observation(model.initial(1), now))
    if params.act == "network" and table_of(model, params.levels) is None:
        raise FieldError("act", params.act, "simulation: there are too many actions for a network's classes")
    candidates_of(model, params.levels)


def starts(model: Model, params: ImprovementParams) -> list[str]:
    """Return the kinds of heuristics that may be improved on."""
    return [kind for kind in rules_of(model).available(model) if kind != "random"]


class Taught:
    """The policy of a network: the action whose class has the largest logit. It has `network` and `table`."""

    def __init__(self, model: Model, params: ImprovementParams, features: int | None = None):
        self.table: Any = table_of(model, params.levels)  # it is there, as `check` has seen
        sizes = [features or model.observation_space.shape[0], *np.ravel(params.net_arch).tolist(), len(self.table)]
        self._sign = np.random.default_rng(0).random(sizes[0])  # of a row of features: different rows differ in it
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.network: Any = nn.Sequential(*layers[:-1])
        self.network.register_buffer("mean", torch.zeros(sizes[0]))
        self.network.register_buffer("std", torch.ones(sizes[0]))

    def logits(self, observation) -> torch.Tensor:
        """Return the logits (n, C) at observations (n, F)."""
        features = torch.as_tensor(np.asarray(observation, np.float32))
        return self.network((features - self.network.mean) / self.network.std)

    def __call__(self, observation: np.ndarray, policy_state, seed: int):
        """Act: see `envs.core.contract.Policy`."""
        observation, back = np.asarray(observation), slice(None)
        if len(observation) > MANY:  # simulated, they are the same few states again and again
            _, first, again = np.unique(observation @ self._sign, return_index=True, return_inverse=True)
            if (observation[first][again] == observation).all():
                observation, back = observation[first], again
        with torch.no_grad():
            return self.table[self.logits(observation).argmax(dim=1).numpy()][back], policy_state


class ImprovementLearner:
    """A learner on the training demand of a task.

    Attributes:
        steps: generations done.
        due: set it for a call of `on_checkpoint` as soon as one is possible.
    """

    due, steps = False, 0

    def __init__(
        self,
        task: Task,
        params: ImprovementParams,
        seed: int = 0,
        log_folder: str | Path | None = None,
        rule: StartRule | None = None,
    ):
        """Build the learner.

        Args:
            task: its training split is used, and no other.
            params: of the learner.
            seed: of the states, the futures and the network.
            log_folder: not used.
            rule: the first base policy, a tuned heuristic; by default the best one on training scenarios.

        Raises:
            FieldError: a model that cannot be simulated from its observations (see `check`).
        """
        check(task.model("train"), params)
        if params.threads:
            torch.set_num_threads(params.threads)
        self.task, self.params, self.seed = task, params, seed
        self.model: Any = task.model("train")
        self.rule = rule or _best_rule(task, params)
        self.taught: Taught | None = None

    @property
    def base(self) -> Policy:
        """Return the policy that is improved on next."""
        return self.taught or _rule_policy(self.rule, self.model.sketch())

    def learn(
        self,
        on_checkpoint: Callable[[int], None] | None = None,
        checkpoint_every: int = 1,
        total_steps: int | None = None,
        progress: bool = True,
    ) -> None:
        """Improve up to `total_steps` generations in all (by default the parameters').

        Args:
            on_checkpoint: called with the generations done, each time that they pass a multiple of `checkpoint_every`.
            checkpoint_every: generations.
            total_steps: where to stop.
            progress: show a bar.
        """
        bar: dict = {"total": total_steps or self.params.total_steps, "desc": self.params.name}
        by_generation(self, self._improve, on_checkpoint, checkpoint_every, disable=not progress or None, **bar)

    def _improve(self) -> None:
        if self.params.act == "network" or self.steps:
            self.taught = self._generation()
        self.steps += 1

    def _generation(self) -> Taught:
        """Return a network that was taught what is best, by simulation around the policy so far."""
        p, stream = self.params, (self.seed * AT_ONCE + self.steps) * BLOCKS
        rng = np.random.default_rng([self.seed, self.steps])
        met, often = np.unique(self._visited(rng), axis=0, return_counts=True)
        each = p.simulations * p.states // len(met)
        simulation = Simulation(self.model.sketch(), self.base, each, p.periods, p.levels, p.doubt)
        size, label = simulation.states, np.empty(len(met), int)
        for block, first in enumerate(range(0, len(met), size)):  # each in futures of its own: errors average out
            part = slice(first, first + size)
            label[part] = simulation(met[part], stream + block)[1]
        return self._fit(met, label, often / often.mean())

    def _visited(self, rng: np.random.Generator) -> np.ndarray:
        """Return observations (states, F) of episodes under the policy so far, some of its actions drawn instead."""
        model, p = self.model, self.params
        table: Any = table_of(model, p.levels)
        rows, seen, base = max(1, -(-2 * p.states // model.horizon)), [], self.base

        def act(observation, memory, seed):
            seen.append(observation)
            action, memory = base(observation, memory, seed)
            drawn = table[rng.integers(len(table), size=rows)]
            action = np.where(rng.random((rows, 1)) < p.explore, drawn, admit(model, action, rows)[0])
            return action, memory

        keys = np.stack([training_seeds(self.seed, rows), np.full(rows, self.steps)], axis=1)
        rollout(model, act, model.scenarios(keys), self.seed)
        every = np.concatenate(seen)
        return every[np.sort(rng.choice(len(every), min(p.states, len(every)), replace=False))]

    def _fit(self, met: np.ndarray, label: np.ndarray, weight: np.ndarray) -> Taught:
        """Return a network fitted to states (n, F), their best actions' places (n,) and weights (n,)."""
        p, n = self.params, len(met)
        torch.manual_seed(self.seed * AT_ONCE + self.steps)
        taught, order = Taught(self.model, p), torch.Generator().manual_seed(self.seed * AT_ONCE + self.steps)
        taught.network.mean.copy_(torch.tensor(met.mean(axis=0)))
        taught.network.std.copy_(torch.tensor(np.maximum(met.std(axis=0), 1e-6)))
        target, count = torch.tensor(label), torch.tensor(weight, dtype=torch.float32)
        optimizer = torch.optim.Adam(taught.network.parameters(), lr=p.learning_rate)
        steps = p.epochs * -(-max(n, p.states) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            part = torch.randint(n, (min(BATCH, n),), generator=order)
            loss = nn.functional.cross_entropy(taught.logits(met[part.numpy()]), target[part], reduction="none")
            optimizer.zero_grad()
            (loss * count[part]).mean().backward()
            optimizer.step()
            schedule.step()
        return taught

    def save(self, folder: str | Path) -> None:
        """Write all that `load` and `load_policy` need into an existing folder: JSON and safetensors."""
        folder = Path(folder)
        kept = {"params": asdict(self.params), "seed": self.seed, "rule": plain(self.rule), "steps": self.steps}
        (folder / "policy.json").write_text(json.dumps(kept))
        if self.taught:
            save_file(self.taught.network.state_dict(), folder / "policy.safetensors")

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote for the same task, parameters and seed.

        Raises:
            FieldError: a checkpoint of other parameters, or a damaged one.
        """
        folder = Path(folder)
        with reading(folder):
            kept = read_json(folder / "policy.json")
            own = asdict(self.params) | {"seed": self.seed, "rule": plain(self.rule)}
            check_same(kept["params"] | {"seed": kept["seed"], "rule": kept["rule"]}, own, folder)
            check_number("steps", kept["steps"], 0, AT_ONCE - 1, integer=True)
            self.steps, self.taught = kept["steps"], _read_network(folder, self.model, self.params)

    def policy(self) -> Policy:
        """Return the policy of the generations so far."""
        return _policy(self.base, self.task, self.params, self.seed, self.steps)


def load_policy(folder: str | Path, task: Task) -> Policy:
    """Rebuild the policy of a checkpoint for a task with the same observations and actions.

    Raises:
        FieldError: a task of another shape, or a damaged checkpoint.
    """
    folder, model = Path(folder), task.model("test")
    with reading(folder):
        kept = read_json(folder / "policy.json")
        params, rule = ImprovementParams(**kept["params"]), StartRule(**kept["rule"])
        check_kind(rule.kind, starts(model, params), "to start from")
        check_number("seed", kept["seed"], 0, LARGEST_SEED, integer=True)
        check_number("steps", kept["steps"], 0, AT_ONCE - 1, integer=True)
        check(model, params)
        rule.check(model)
        base = _read_network(folder, model, params) or _rule_policy(rule, model.sketch())
        return _policy(base, task, params, kept["seed"], kept["steps"])


def _policy(base: Policy, task: Task, params: ImprovementParams, seed: int, steps: int) -> Policy:
    if params.act == "network" or not steps:
        return base
    model, p = task.model("train").sketch(), params
    return Rollout(
        Simulation(model, base, p.simulations, p.periods, p.levels, p.doubt), ((seed + 1) * AT_ONCE - 1) * BLOCKS
    )


def _read_network(folder: Path, model: Model, params: ImprovementParams) -> Taught | None:
    if not (folder / "policy.safetensors").is_file():
        return None
    taught, tensors = Taught(model, params), read_tensors(folder / "policy.safetensors")
    check_finite(tensors)
    taught.network.load_state_dict(tensors)
    return taught


def _rule_policy(rule: StartRule, model: Model) -> Policy:
    return rules_of(model).Heuristic(rule.kind, rule.params, model)


def _best_rule(task: Task, params: ImprovementParams) -> StartRule:
    """Return the tuned heuristic that earns most on training scenarios."""
    model, best = task.model("train"), {}
    scenario = model.scenarios(TUNING)
    for kind in starts(model, params):
        heuristic: Any = rules_of(model).tune(kind, task, TUNING)
        if getattr(heuristic, "exact", None) is None:
            best[float(rollout(model, heuristic, scenario)["reward"].mean())] = heuristic
    if not best:
        raise FieldError("environment", type(model).__name__, "one with a heuristic to begin with")
    return StartRule.of(best[max(best)], model, TUNING)
