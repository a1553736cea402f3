"""Policies of finished runs: observations in, actions out, by the rule that the environments' adapters have."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, create_model

from ...envs.core.batch import admit
from ...envs.registry import entry_of
from ...errors import FieldError
from ...learning.base import not_finite, warn_anew
from ...reading import read_tensors
from ..config.settings import ConfigError, Settings, one_line
from ..experiment import Experiment, learnt, tuned
from ..inputs import build
from ..runs import checkpoints
from ..runs.folder import Run
from .access import route_of
from .served import MAX_ROWS, Answer, Body, Refused, Served


class Actions(Answer):
    policy: str = Field(description="name of the policy in the run's table")
    actions: list[list[float]] = Field(description="a row per observation, inside the action space")


class Policy(Served):
    """A run's learner, or, where it has none, the heuristic that did best on the run's held-out scenarios.

    The API remembers nothing between requests: policies that do (`thompson`) are passed over. Random ones always draw
    the same.
    """

    Answer, row = Actions, "actions"

    def __init__(self, folder: Path):
        """Rebuild the policy; raises ConfigError where the folder holds no finished run with one."""
        super().__init__(folder)
        run = Run(folder)
        settings = run.settings()
        _check_whole(run)
        warn_anew(folder)
        if not isinstance(settings, Settings):
            raise ConfigError(f"run: {str(folder)!r} is not allowed, expected a run with policies, of storelab train")
        task = build(settings)
        self.model, self.route = task.model("test"), route_of(entry_of(task.name).environment)
        self.layout = {name: list(shape) for name, shape in self.model.layout.items()}
        self.columns = [f"{name}{list(at)}" for name, shape in self.layout.items() for at in np.ndindex(*shape)]
        policy = learnt(run, task, settings)
        if policy is not None:
            policies = {settings.agent.name: policy}
        else:
            rules = tuned(run, task, settings)
            order = Experiment(task, settings, None, rules).summary(run.episodes()).index
            policies = {name: rules[name] for name in order if name in rules}
        first = self.model.observation(self.model.initial(1), self._now(task))
        self.name = next((name for name, act in policies.items() if act(first, None, 0)[1] is None), None)
        if self.name is None:
            raise ConfigError(f"run: {str(folder)!r} is not allowed, expected one whose policy remembers nothing")
        self.act = policies[self.name]
        space = self.model.action_space
        low, high = self.model.action_low.tolist(), self.model.action_high.tolist()
        action = {"space": type(space).__name__, "low": low, "high": high}
        self.about = {"policy": self.name, "task": task.name, "observation": self.layout, "action": action}
        largest = np.finfo(np.float32).max
        # A store may hold more than an episode of the simulation can: what is never negative has a bound, and no more.
        self.low = np.where(self.model.observation_space.low >= 0, 0.0, -largest)
        self.high = np.full(len(self.low), largest, float)
        self.width = int(np.prod(space.shape))
        self.sample = {"observations": 2 * np.clip(first, self.low, self.high).astype(float).tolist()}
        size, columns = len(self.columns), {"prefixItems": self._schemas()}
        row = Annotated[list[float], Field(min_length=size, max_length=size, fail_fast=True, json_schema_extra=columns)]
        limits = {"min_length": 1, "max_length": MAX_ROWS, "fail_fast": True}
        rows = Annotated[list[row], Field(**limits, description=str(self.layout))]
        self.Body = create_model(f"{self.route.title()}Body", __base__=Body, observations=(rows, ...))

    def _schemas(self) -> list[dict]:
        """The JSON schema of each column, by name, with the bounds that `read` keeps."""
        return [
            {"title": name, "type": "number", "minimum": low, "maximum": high}
            for name, low, high in zip(self.columns, self.low.tolist(), self.high.tolist(), strict=True)
        ]

    def _now(self, task) -> dict:
        """The first period of one scenario."""
        return {name: block[:, 0] for name, block in self.model.scenarios(np.zeros((1, 2), np.uint64)).items()}

    def read(self, body) -> np.ndarray:
        """Return observations (n, F) float32, inside the observation space."""
        rows = np.array(body.observations, float)
        bad = ~((rows >= self.low) & (rows <= self.high))
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            field = f"observations[{row}][{column}], which is {self.columns[column]}"
            bounds = f"a number from {self.low[column]:g} to {self.high[column]:g}"
            raise FieldError(field, body.observations[row][column], bounds)
        return rows.astype(np.float32)

    def answer(self, inputs) -> dict:
        try:
            actions, _ = admit(self.model, self.act(inputs, None, 0)[0], len(inputs))
        except (ValueError, IndexError) as error:  # an observation is all that a policy sees
            raise Refused(f"observations: not such as the environment gives ({one_line(error)})") from error
        return {"policy": self.name, "actions": actions.tolist()}

    def follow(self, about: dict, memory) -> None:
        same = ("task", "observation", "action")
        if any(self.about[name] != about[name] for name in same):
            expected = {name: about[name] for name in same}
            raise FieldError("name", self.folder.name, f"a run with {expected}")


def _check_whole(run: Run) -> None:
    """Raise ConfigError where the run or its last checkpoint is not as it was written, or a weight is no number."""
    wrong = run.damage()
    roots = (run.best, run.checkpoints)
    for folder in [root / str(step) for root in roots for step in checkpoints.steps(root)[-1:]]:
        wrong = wrong or checkpoints.damage(folder)
        weights = folder / "policy.safetensors"
        bad = (
            not wrong
            and weights.is_file()
            and not_finite({name: tensor.numpy() for name, tensor in read_tensors(weights).items()})
        )
        wrong = wrong or (f"{bad} of {weights.name} holds a number that is not finite" if bad else None)
    if wrong:
        raise ConfigError(f"run: {str(run.folder)!r} is not allowed as {wrong}, expected a whole one")
