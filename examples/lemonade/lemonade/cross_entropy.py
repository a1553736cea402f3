"""Linear policies by the cross-entropy method (Rubinstein 1999; for policies Mannor, Rubinstein and Gat 2003, ICML).

A learner for any environment: each number of an action is its range times the logistic of a linear function of the
observation (of its logarithm, so that large and small units go together). Every generation draws policies from a
normal distribution of weights, and moves it to the best of them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from storelab.agents.core.tuner import tiled
from storelab.envs import rollout
from storelab.envs.core.checks import check_number
from storelab.envs.core.seeds import evolution_keys
from storelab.errors import FieldError

LARGEST = 2000  # weights: a search of this kind finds nothing among more


@dataclass
class CrossEntropyParams:
    """How long to search."""

    total_steps: int = 60  # generations
    candidates: int = 40  # policies in a generation
    best: int = 8  # of them, that the next generation is drawn around
    seasons: int = 32  # training episodes that each policy plays, the same for all

    def __post_init__(self):
        check_number("total_steps", self.total_steps, 1, 1e6, integer=True)
        check_number("candidates", self.candidates, 4, 1000, integer=True)
        check_number("best", self.best, 2, self.candidates, integer=True)
        check_number("seasons", self.seasons, 1, 10_000, integer=True)

    @property
    def name(self) -> str:
        """Return the learner's name in tables."""
        return "cross-entropy"


Params = CrossEntropyParams


def check(model, params) -> None:
    """Raise a FieldError where a model's observations and actions are too many."""
    if np.prod(_shape(model)) > LARGEST:
        raise FieldError("environment", type(model).__name__, f"at most {LARGEST} weights", "for cross_entropy")


@dataclass
class LinearPolicy:
    """Weights (1 + F, A), or (n, 1 + F, A) by row, of a one and the F features."""

    model: object
    weights: np.ndarray

    def __call__(self, observation, policy_state, seed):
        """Act: see `storelab.envs.Policy`."""
        features = np.sign(observation) * np.log1p(np.abs(observation))
        features = np.concatenate([np.ones((len(observation), 1)), features], axis=1)
        score = np.einsum("nf,nfa->na" if self.weights.ndim == 3 else "nf,fa->na", features, self.weights)
        low, high = self.model.action_low, self.model.action_high
        return low + (high - low) * (1 + np.tanh(score / 2)) / 2, policy_state


class Learner:
    """Searches the weights of a `LinearPolicy` on a task's training scenarios; see `storelab.envs.core.contract`."""

    due = False

    def __init__(self, task, params: CrossEntropyParams, seed: int = 0, log_folder=None):
        self.model, self.params, self.seed, self.steps = task.model("randomised"), params, seed, 0
        check(self.model, params)
        self.mean, self.std = np.zeros(_shape(self.model)), np.ones(_shape(self.model))

    def learn(self, on_checkpoint=None, checkpoint_every=10, total_steps=None, progress=True) -> None:
        """Search up to `total_steps` generations in all; `on_checkpoint` gets the generations done."""
        p = self.params
        while self.steps < (total_steps or p.total_steps):
            rng = np.random.default_rng([self.seed, self.steps])
            weights = self.mean + self.std * rng.standard_normal((p.candidates, *self.mean.shape))
            scenario = self.model.scenarios(evolution_keys(self.seed, self.steps * p.seasons, p.seasons))
            policy = LinearPolicy(self.model, weights.repeat(p.seasons, axis=0))
            reward = rollout(self.model, policy, tiled(scenario, p.candidates))["reward"].sum(axis=1)
            best = weights[np.argsort(reward.reshape(p.candidates, -1).mean(axis=1))[-p.best :]]
            self.mean, self.steps = best.mean(axis=0), self.steps + 1
            self.std = best.std(axis=0) + 1 / self.steps  # what is added decays: it keeps the search from ending early
            if on_checkpoint and (self.due or self.steps % checkpoint_every == 0):
                on_checkpoint(self.steps)

    def policy(self) -> LinearPolicy:
        """Return the policy at the mean of the distribution."""
        return LinearPolicy(self.model, self.mean)

    def save(self, folder) -> None:
        """Write all that `load` and `load_policy` need into an existing folder."""
        (Path(folder) / "params.json").write_text(json.dumps(asdict(self.params) | {"seed": self.seed}))
        np.savez(Path(folder) / "search.npz", mean=self.mean, std=self.std, steps=self.steps)

    def load(self, folder) -> None:
        """Go on from what `save` wrote; raises a FieldError for other parameters."""
        kept = json.loads((Path(folder) / "params.json").read_text())
        for name, value in (asdict(self.params) | {"seed": self.seed}).items():
            if kept.get(name) != value:
                raise FieldError(name, value, f"{kept.get(name)!r} as in the checkpoint")
        with np.load(Path(folder) / "search.npz", allow_pickle=False) as arrays:
            self.mean, self.std, self.steps = arrays["mean"], arrays["std"], int(arrays["steps"])


def load_policy(folder, task) -> LinearPolicy:
    """Rebuild the policy of a checkpoint; raises a FieldError for a task with other features or decisions."""
    model = task.model("test")
    with np.load(Path(folder) / "search.npz", allow_pickle=False) as arrays:
        weights = arrays["mean"]
    if weights.shape != _shape(model):
        raise FieldError("weights", weights.shape, f"{_shape(model)} for this task")
    return LinearPolicy(model, weights)


def _shape(model) -> tuple[int, int]:
    return model.observation_space.shape[0] + 1, len(model.action_low)
