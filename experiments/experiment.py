"""A run's experiment: its task, what that is measured against, and the policies that compete on it, learnt or tuned."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..agents import rules_of
from ..envs import HistoryDemand, Policy, Reference, Task
from ..envs.core.seeds import purpose_seeds
from ..evaluation import REFERENCE, evaluate, mean_interval, scenario_keys, summarise
from .config.schemas import EvaluationParams
from .config.settings import ConfigError, Settings, within
from .inputs import build, learner_of, started
from .runs import checkpoints
from .runs.folder import Run, Stopped, damage_named

Watch = Callable[[list[dict]], None]  # sees the rows of the learning curve as it grows; may raise to end the run


@dataclass
class Experiment:
    """A task, what it is measured against, and the policies that compete on it."""

    task: Task
    settings: Settings
    reference: Reference | None
    policies: dict[str, Policy]
    agent: str | None = None  # the learner's name among them
    own: tuple[str, ...] = ()  # names among them of policies that the user brought

    @property
    def compared(self) -> list[str]:
        """Return the names of the policies that are compared with the best heuristic."""
        return [*([self.agent] if self.agent else []), *self.own]

    def summary(self, episodes: pd.DataFrame) -> pd.DataFrame:
        """Return the table of the episodes."""
        heuristics = [name for name in self.policies if name not in self.compared]
        return summarise(episodes, self.task.objective, self.reference, heuristics)

    def curve_seeds(self) -> np.ndarray:
        """Return the seeds of the learning curve's training scenarios."""
        return purpose_seeds("curve", self.settings.evaluation.curve_episodes)

    def episodes(self, evaluation: EvaluationParams) -> pd.DataFrame:
        """Run all policies, and the reference's, on held-out scenarios that differ from one another."""
        seeds = evaluation.seed + np.arange(evaluation.episodes)
        if isinstance(self.task.test, HistoryDemand):
            demand = self.task.model("test").scenarios(scenario_keys(seeds, "test"))["demand"]
            seeds = seeds[np.sort(np.unique(demand.reshape(len(seeds), -1), axis=0, return_index=True)[1])]
        known = self.reference.policy if self.reference else None
        policies = self.policies | ({REFERENCE: known} if known else {})
        return evaluate(policies, self.task, seeds, progress=True)

    def add(self, policy: Policy) -> None:
        """Let the learner's policy compete."""
        self.agent = self.settings.agent.name
        self.policies[self.agent] = policy


def prepare(run: Run, task: Task, settings: Settings) -> Experiment:
    """Return the experiment of an open run, with its heuristics tuned and without its learner."""
    return Experiment(task, settings, reference(task), tuned(run, task, settings))


def restore(run: Run) -> Experiment:
    """Return the experiment of a finished run, with its policies as they were.

    Raises:
        ConfigError: a folder without a finished run of `storelab train`, or without a whole checkpoint.
    """
    settings = run.settings()
    if not isinstance(settings, Settings):
        raise ConfigError(f"run: {str(run.folder)!r} is not allowed, expected a run with policies, of storelab train")
    with damage_named(run.folder / "config.yaml"):
        task = build(settings)
    experiment = prepare(run, task, settings)
    policy = learnt(run, experiment.task, settings)
    if policy is not None:
        experiment.add(policy)
    return experiment


def reference(task: Task) -> Reference | None:
    """Return the task's reference, or None where the parameters are not those it is known for."""
    if task.reference is None:
        return None
    try:
        return task.reference()
    except ValueError as error:
        print(f"no reference: {error}")
        return None


def tuned(run: Run, task: Task, settings: Settings) -> dict[str, Policy]:
    """Return the heuristics by name, tuned on training scenarios, or as an earlier process tuned them."""
    model, kept = task.model("train"), run.read("heuristics.json") or {}
    rules, policies = rules_of(model), {}
    seeds = purpose_seeds("tuning", settings.evaluation.tuning_episodes)
    for kind in rules.available(model):
        if kind not in kept:
            if run.lease:  # who only looks at a run writes nothing into it
                run.status("running", stage=f"tune {kind}")
            policies[kind] = rules.tune(kind, task, seeds, progress=True)
            kept[kind] = policies[kind].params
            if run.lease:
                run.write("heuristics.json", kept)
        elif kind in getattr(rules, "RETUNED", ()):
            policies[kind] = rules.tune(kind, task, seeds)
        else:
            policies[kind] = rules.Heuristic(kind, kept[kind], model)
    return policies


def learnt(run: Run, task: Task, settings: Settings) -> Policy | None:
    """Return the learner's policy of a finished run; None where it had no learner."""
    if settings.learner is None:
        return None
    last = checkpoints.newest_whole(run.checkpoints)
    if last is None:
        raise ConfigError(f"run: {run.folder} has no whole checkpoint, expected one")
    with damage_named(last):
        return learner_of(settings).load_policy(last, task)


def checkpoint_steps(settings: Settings) -> int:
    """Return the steps from a checkpoint to the next."""
    return settings.top.checkpoint_every or max(1, settings.agent.total_steps // 40)


def learn(run: Run, experiment: Experiment, watch: Watch | None = None) -> Policy:
    """Train the agent, from its last whole checkpoint on; return its policy."""
    task, settings = experiment.task, experiment.settings
    with within("agent"):
        agent = started(settings)
        learner = learner_of(settings).Learner(task, agent, settings.top.seed, run.folder / "tensorboard")
    last = checkpoints.newest_whole(run.checkpoints)
    if last is not None:
        with damage_named(last):
            learner.load(last)
        print(f"going on from {learner.steps:,} of {settings.agent.total_steps:,} steps")
    elif start := getattr(agent, "start", ""):
        print(f"begins with the weights of {start}")
    if note := getattr(learner, "note", ""):
        print(note)
    rows, began = run.metrics(up_to=learner.steps), time.monotonic()
    before = rows[-1]["seconds"] if rows else 0.0

    def save(steps: int) -> None:
        checkpoints.write_checkpoint(run.checkpoints, steps, learner.save, settings.top.keep_checkpoints)

    def keep(steps: int) -> None:
        if getattr(learner, "due", False):  # SIGTERM came
            save(steps)
            print(f"stopped: the same command goes on from {steps:,} steps", file=sys.stderr)
            raise Stopped(128 + signal.SIGTERM)
        curve = evaluate({"agent": learner.policy()}, task, experiment.curve_seeds(), split="train")
        values = curve.loc[curve["policy"] == "agent", ["value"]]
        (low,), (high,) = mean_interval(values)
        seconds = before + time.monotonic() - began
        rows.append({"step": steps, "seconds": seconds, "value": values["value"].mean()})
        if len(values) > 1:
            rows[-1] |= {"low": low, "high": high}
        run.write_metrics(rows)
        if watch:
            watch(rows)
        save(steps)
        run.status("running", stage="agent", step=steps, steps=settings.agent.total_steps)

    with _on_sigterm(lambda: setattr(learner, "due", True)):
        learner.learn(keep, checkpoint_steps(settings))
    if not rows or rows[-1]["step"] < learner.steps:
        keep(learner.steps)
    return learner.policy()


@contextmanager
def _on_sigterm(do: Callable[[], None]):
    """Call `do` on SIGTERM, with which schedulers announce that they will end a job; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: do())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
