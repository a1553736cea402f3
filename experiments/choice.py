"""What is kept of a learner: the checkpoint that is best on validation scenarios, or the rule that it started from.

A learner begins at the best tuned heuristic that it can start from. One that ends below the best heuristic there, or
that orders nothing, has gone astray: it begins anew, with another seed and half of its learning rate, if it has one.

One rule for every learner that has a start: what was learnt is kept only where its lead over the start, paired, has a
95 % interval above zero (`Judge.lead`). Else the start is the policy, and a warning says so.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..agents.core.residual import StartRule
from ..envs import HistoryDemand, Policy, Task
from ..envs.core.contract import Learner
from ..envs.core.randomised import BLOCK
from ..envs.core.rollout import rollout
from ..envs.core.seeds import LARGEST_SEED, purpose_seeds
from ..evaluation import cluster_interval, evaluate, mean_interval, scenario_keys

APART = 1_000_000_007  # from the seed of one attempt to the next one's
DRAWN = 512  # of the windows of recorded days, all different ones among so many are taken
FRESH = 1_000_000  # the first of the validation scenarios on which leads are tested: nobody chooses on these
TIMES = 16  # as many of them as of those that are chosen on: an interval a quarter as wide sees leads of some .2 %
BLOCKS = 6  # of recorded days, as observations of a lead, at the least: of few a t-interval is very wide
IDLE = 8  # scenarios on which it is seen whether anything is ordered
CAUSES = (
    "Usual causes: too few steps (the learning curve still rises at its end), a learning rate that is too large (the "
    "curve jumps), a discount (gamma) too low for orders to pay off, or later days that are unlike those learnt from"
)


@dataclass
class Choice:
    """What is kept of a run's learner, and why: plain data."""

    start: str | None = None  # kind of the rule that its actions are residuals of
    best: str | None = None  # kind of the best tuned heuristic on the validation scenarios
    values: dict[str, float] = field(default_factory=dict)  # heuristic -> its value there
    attempt: int = 0  # that is learning, or was kept
    begun: int = 0  # the last attempt whose leftovers were cleared
    kept: int = 0  # checkpoints that were the best so far
    step: int | None = None  # of the best one
    of: int = 0  # the attempt that it is of
    value: float | None = None  # its value there
    astray: list[str] = field(default_factory=list)  # what was wrong with an attempt, each
    rule: str | None = None  # kind of the rule that is the policy, as nothing learnt beat it
    said: list[str] = field(default_factory=list)  # of the outcome, sentences

    def plain(self) -> dict:
        """Return it as JSON has it."""
        return asdict(self)


class Astray(Exception):
    """An attempt to learn is given up half-way: it says why."""


class Judge:
    """Policies on the validation scenarios of a task: later training days where recorded ones are replayed."""

    def __init__(self, task: Task, episodes: int):
        self.task, self.sign = replace(task, hindsight=None), 1 if task.objective == "profit" else -1
        source, seeds = task.validation or task.train, purpose_seeds("validation", episodes)
        self.days = source if isinstance(source, HistoryDemand) else None
        if self.days is not None:
            seeds = different(task, purpose_seeds("validation", DRAWN), "validation")
        self.seeds = seeds

    def values(self, policy: Policy, first: int | None = None) -> np.ndarray:
        """Return a policy's values (n,), one a scenario; of `TIMES` as many others from the `first` one on, if so."""
        seeds = self.seeds if first is None else purpose_seeds("validation", TIMES * len(self.seeds), first)
        episodes = evaluate({"policy": policy}, self.task, seeds, split="validation")
        return episodes["value"].to_numpy()

    def lead(self, one: Policy, other: Policy) -> tuple[float, float, float]:
        """Return what a policy is better by than another, paired: the mean and its 95 % interval, in the task's unit.

        Where scenarios are drawn, they are fresh ones, on which nothing was chosen. Recorded days are what they are:
        all windows are played, and blocks of days count as the independent observations (`cluster_interval`), since
        windows overlap. With a single block, or a single scenario, the interval is NaN.
        """
        if self.days is None:
            ahead = self.sign * (self.values(one, FRESH) - self.values(other, FRESH))
            (low,), (high,) = mean_interval(ahead[:, None])
            return float(ahead.mean()), float(low), float(high)
        model, average = self.task.model("validation"), self.task.params.continuing
        scenario, skip = model.scenarios(self.seeds), self.task.warmup if average else self.task.uncharged
        earned = [rollout(model, act, scenario)["reward"][:, skip:].astype(float) for act in (one, other)]
        ahead = (earned[0] - earned[1]) / (model.horizon - skip if average else 1)
        mean, (low, high) = cluster_interval(ahead, self._blocks(scenario)[:, skip : model.horizon])
        return mean, float(low), float(high)

    def _blocks(self, scenario: dict) -> np.ndarray:
        """Return the block of recorded days (n, T) that each period of the validation windows lies in."""
        assert self.days is not None
        count = self.days.days // self.block
        numbered = HistoryDemand(np.arange(self.days.days)[:, None], mode=self.days.mode, block=self.days.block)
        drawn = numbered.draw(scenario_keys(self.seeds, "validation"), scenario["demand"].shape[1])["demand"][..., 0]
        return drawn.astype(int) * count // self.days.days

    @property
    def block(self) -> int:
        """Return the days of a block: as many as stay together in what learners see, or fewer where they are few."""
        assert self.days is not None
        return max(1, min(getattr(self.task.randomised, "block", BLOCK), self.days.days // BLOCKS))

    def idle(self, policy: Policy) -> bool:
        """Return whether a policy orders nothing at all, where there is something to order."""
        model = self.task.model("validation")
        run = rollout(model, policy, model.scenarios(self.seeds[:IDLE]))
        return "ordered" in run and not run["ordered"].any()

    @property
    def where(self) -> str:
        """Return the scenarios' name in a sentence."""
        return "validation scenarios" if self.days is None else "validation windows"

    def told(self, lead: tuple[float, float, float]) -> str:
        """Return a lead in words."""
        mean, low, high = lead
        how = "" if self.days is None else f" over blocks of {self.block} days or more"
        if np.isnan(low):
            return f"{mean:+,.4g} {self.task.unit}, with too few {self.where} for an interval"
        return f"{mean:+,.4g} {self.task.unit}, 95 % CI [{low:,.4g}, {high:,.4g}]{how}"


def best_of(learner: Learner, load: Callable[[Path, Task], Policy], judge: Judge, start: Policy, every: int) -> Policy:
    """Let a learner learn; return its best policy on the validation scenarios, or `start` where it is not ahead.

    Args:
        learner: that has not begun.
        load: the `load_policy` of its module.
        judge: of its task.
        start: what it starts from.
        every: steps between checkpoints.
    """
    best, policy = judge.sign * judge.values(start).mean(), start

    def keep(steps: int) -> None:
        nonlocal best, policy
        value = judge.sign * judge.values(learner.policy()).mean()
        if value > best:
            with TemporaryDirectory() as folder:
                learner.save(folder)
                best, policy = value, load(Path(folder), judge.task)

    learner.learn(keep, every, progress=False)
    keep(learner.steps)
    return policy if policy is not start and judge.lead(policy, start)[1] > 0 else start


def different(task: Task, seeds: np.ndarray, split: str) -> np.ndarray:
    """Return the seeds whose scenarios of demand differ from those before."""
    demand = task.model(split).scenarios(scenario_keys(seeds, split))["demand"].reshape(len(seeds), -1)
    return seeds[np.sort(np.unique(demand, axis=0, return_index=True)[1])]


def begin(judge: Judge, policies: dict[str, Policy], startable: list[str]) -> Choice:
    """Return a run's choice before anything is learnt.

    Args:
        judge: of the task.
        policies: the tuned heuristics.
        startable: the kinds that the learner can start from.
    """
    means = {kind: float(judge.values(policy).mean()) for kind, policy in policies.items()}
    best = lambda kinds: max(kinds, key=lambda kind: judge.sign * means[kind], default=None)
    known = [kind for kind in startable if kind in policies and getattr(policies[kind], "exact", None) is None]
    return Choice(start=best(known), best=best(means), values=means)


def start_rule(choice: Choice, task: Task, policies: dict[str, Policy], seeds: np.ndarray) -> StartRule | None:
    """Return the rule that a learner starts from; None where it can start from none."""
    return None if choice.start is None else StartRule.of(policies[choice.start], task.model("train"), seeds)


def seed_of(seed: int, attempt: int) -> int:
    """Return the seed of an attempt: the first one's is the run's."""
    return (seed + attempt * APART) % (LARGEST_SEED + 1)


def slower(agent: Any, attempt: int) -> Any:
    """Return a learner's parameters for an attempt: each has half of the learning rate of the one before."""
    rate = getattr(agent, "learning_rate", None)
    return replace(agent, learning_rate=rate / 2**attempt) if attempt and rate else agent


def anew(agent: Any) -> str:
    """Return what an attempt has that the one before had not, in words."""
    return "another seed and half of the learning rate" if hasattr(agent, "learning_rate") else "another seed"


def astray(choice: Choice, judge: Judge, name: str, policy: Policy, best: Policy) -> str | None:
    """Say what is wrong with what was learnt so far, in a sentence without its end; None where nothing is.

    Args:
        choice: of the run.
        judge: of the task.
        name: the learner's.
        policy: the best one so far.
        best: the best heuristic.
    """
    lead = judge.lead(policy, best)
    if lead[2] < 0 and judge.idle(policy):
        return f"{name} orders nothing on the {judge.where}"
    if lead[2] < 0:
        return f"{name} ends below the best tuned heuristic, {choice.best}, on the {judge.where}: {judge.told(lead)}"
    return None


def conclude(
    choice: Choice, judge: Judge, name: str, learnt: Policy | None, start: Policy | None, agent: Any = None
) -> None:
    """Decide between what was learnt and what it started from; put it, and every warning, into words.

    Args:
        choice: of the run.
        judge: of the task.
        name: the learner's.
        learnt: the best of it on the validation scenarios; None: nothing.
        start: what it started from; None: it has no start, and what was learnt is kept.
        agent: the learner's parameters.
    """
    attempts = len(choice.astray)
    if attempts and attempts > choice.attempt:
        times = f", in the best of {attempts} attempts, each with {anew(agent)}" if choice.attempt else ""
        choice.said.append(f"Warning: {choice.astray[-1]}{times}. {CAUSES}.")
    elif attempts:
        choice.said.append(f"{choice.astray[0]}, so it began anew with {anew(agent)}: attempt {choice.of + 1} is kept.")
    if start is None or learnt is None or choice.start is None or choice.value is None:
        return
    rule, before, lead = choice.start, choice.values[choice.start], judge.lead(learnt, start)
    there = f"{choice.value:,.4g} against {before:,.4g}"
    if judge.sign * (choice.value - before) > 0 and lead[1] > 0:
        choice.said.append(
            f"{name} starts from the {rule} and beats it on the {judge.where}: {there}, at step {choice.step:,}. "
            f"This checkpoint is kept; its tested lead is {judge.told(lead)}."
        )
        return
    choice.rule = rule
    because = f"did not beat the {rule} it starts from on the {judge.where} ({there})"
    if judge.sign * (choice.value - before) > 0:
        because = f"has no significant lead over the {rule} it starts from: {there} on the {judge.where}"
        because += f", tested {judge.told(lead)}"
    choice.said.append(f"Warning: {name} {because}; the policy is the {rule}.")
