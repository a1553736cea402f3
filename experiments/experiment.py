"""A run's experiment: its task, what that is measured against, and the policies that compete on it, learnt or tuned."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ..agents import rules_of
from ..agents.generalist import pretrained
from ..envs import HistoryDemand, Policy, Reference, Task
from ..envs.core.seeds import purpose_seeds
from ..errors import FieldError, Unavailable
from ..evaluation import REFERENCE, evaluate, mean_interval, summarise
from .choice import Astray, Choice, Judge, anew, astray, begin, conclude, different, seed_of, slower, start_rule
from .config.schemas import EvaluationParams
from .config.settings import ConfigError, Settings, within
from .inputs import build, learner_of, started
from .runs import checkpoints
from .runs.folder import CHOICE, Run, Stopped, damage_named
from .tasks.messages import mail_of

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
    pretrained: tuple[str, ...] = ()  # names among them of policies that ship, trained on other problems
    choice: Choice | None = None  # which of what the learner was competes

    @property
    def compared(self) -> list[str]:
        """Return the names of the policies that are compared with the best heuristic."""
        return [*([self.agent] if self.agent else []), *self.own]

    @property
    def heuristics(self) -> dict[str, Policy]:
        """Return the tuned heuristics by name."""
        others = {*self.compared, *self.pretrained}
        return {name: policy for name, policy in self.policies.items() if name not in others}

    def summary(self, episodes: pd.DataFrame) -> pd.DataFrame:
        """Return the table of the episodes."""
        return summarise(episodes, self.task.objective, self.reference, list(self.heuristics))

    def curve_seeds(self) -> np.ndarray:
        """Return the seeds of the learning curve's training scenarios."""
        return purpose_seeds("curve", self.settings.evaluation.curve_episodes)

    def episodes(self, evaluation: EvaluationParams) -> pd.DataFrame:
        """Run all policies, and the reference's, on held-out scenarios that differ from one another."""
        seeds = evaluation.seed + np.arange(evaluation.episodes)
        if isinstance(self.task.test, HistoryDemand):
            seeds = different(self.task, seeds, "test")
        known = self.reference.policy if self.reference else None
        policies = self.policies | ({REFERENCE: known} if known else {})
        try:
            return evaluate(policies, self.task, seeds, progress=True)
        except Unavailable as error:
            raise ConfigError(f"agent: {error}") from error

    def add(self, policy: Policy, choice: Choice | None) -> None:
        """Let the learner's policy compete."""
        self.agent, self.choice = self.settings.agent.name, choice
        self.policies[self.agent] = policy


def prepare(run: Run, task: Task, settings: Settings) -> Experiment:
    """Return the experiment of an open run, with its heuristics tuned and without its learner."""
    known = pretrained(task)
    policies = tuned(run, task, settings) | known
    return Experiment(task, settings, reference(task), policies, pretrained=tuple(known))


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
    policy = asked(run, experiment) if trains_nothing(settings) else learnt(run, experiment.task, settings)
    if policy is not None:
        experiment.add(policy, chosen(run))
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


def chosen(run: Run) -> Choice | None:
    """Return what a run kept of its learner; None where it chose nothing, as its version did not yet."""
    kept = run.read(CHOICE)
    with damage_named(run.folder / CHOICE):
        return None if kept is None else Choice(**kept)


def learnt(run: Run, task: Task, settings: Settings) -> Policy | None:
    """Return the policy that a finished run kept of its learner; None where it had no learner."""
    if settings.learner is None:
        return None
    return _as_chosen(run, chosen(run), task, settings)


def _as_chosen(run: Run, choice: Choice | None, task: Task, settings: Settings) -> Policy:
    if choice is None or choice.rule is None:
        return _kept(run, task, settings)
    model, heuristics = task.model("train"), run.read("heuristics.json") or {}
    with damage_named(run.folder / CHOICE):
        return rules_of(model).Heuristic(choice.rule, heuristics[choice.rule], model)


def _kept(run: Run, task: Task, settings: Settings) -> Policy:
    """Return the policy of the checkpoint that a run kept."""
    last = run.newest_kept()
    if last is None:
        raise ConfigError(f"run: {run.folder} has no whole checkpoint, expected one")
    with damage_named(last):
        return learner_of(settings).load_policy(last, task)


def checkpoint_steps(settings: Settings) -> int:
    """Return the steps from a checkpoint to the next."""
    return settings.top.checkpoint_every or max(1, settings.agent.total_steps // 40)


def trains_nothing(settings: Settings) -> bool:
    """Return whether the agent learns nothing, such as a language model."""
    return settings.learner is not None and hasattr(learner_of(settings), "acting")


def agent(run: Run, experiment: Experiment, watch: Watch | None = None) -> Policy:
    """Return the agent's policy: of a learner after its training."""
    return asked(run, experiment) if trains_nothing(experiment.settings) else learn(run, experiment, watch)


def asked(run: Run, experiment: Experiment) -> Policy:
    """Return the policy of an agent that learns nothing, with the best heuristic on validation scenarios beside it."""
    task, settings = experiment.task, experiment.settings
    choice = chosen(run)
    if choice is None:
        choice = begin(Judge(task, settings.evaluation.validation_episodes), experiment.heuristics, [])
        if run.lease:
            run.write(CHOICE, choice.plain())
    with within("agent"):
        periods = -(-task.model("test").horizon // settings.agent.every) * settings.evaluation.episodes
        if periods > settings.agent.limit:
            because = f"as {settings.evaluation.episodes} episodes ask in {periods:,} periods"
            expected = f"at least {periods:,}, fewer evaluation.episodes, a shorter env.horizon or a larger agent.every"
            raise FieldError("limit", settings.agent.limit, expected, because)
        module, folder = learner_of(settings), run.folder / "transcripts"
        policy = module.acting(task, settings.agent, folder, experiment.heuristics, choice.best)
        if hasattr(policy, "mail"):
            policy.mail = partial(mail_of, task)
        return policy


def learn(run: Run, experiment: Experiment, watch: Watch | None = None) -> Policy:
    """Train the agent, from its last whole checkpoint on; return the policy that is kept of it (see `choice`)."""
    task, settings, policies = experiment.task, experiment.settings, experiment.heuristics
    with within("agent"):
        agent = started(settings)
        able = getattr(learner_of(settings), "starts", None)
        startable = able(task.model("train"), agent) if able and not getattr(agent, "start", "") else []
    judge, name = Judge(task, settings.evaluation.validation_episodes), settings.agent.name
    choice = chosen(run) or begin(judge, policies, startable)
    if not choice.said:
        while True:
            run.write(CHOICE, choice.plain())
            wrong = _attempt(run, experiment, agent, judge, choice, watch)
            if wrong is None:
                break
            choice.astray.append(wrong)
            if choice.attempt == settings.top.restarts:
                break
            choice.attempt += 1
            print(f"{wrong}: it begins anew, with {anew(agent)}")
        best = None if choice.value is None else _kept(run, task, settings)
        conclude(choice, judge, name, best, policies.get(choice.start or ""), agent)
        run.write(CHOICE, choice.plain())
    experiment.choice = choice
    return _as_chosen(run, choice, task, settings)


def _attempt(run: Run, experiment: Experiment, agent, judge: Judge, choice: Choice, watch: Watch | None) -> str | None:
    """Learn once, from the attempt's last whole checkpoint on; say how it has gone astray, if it has.

    The best checkpoint so far is kept. An attempt that is astray after half of its steps ends there, but the last one.
    """
    task, settings, attempt = experiment.task, experiment.settings, choice.attempt
    if choice.begun < attempt:  # what the attempt before left would be gone on with
        run.clear_attempt(attempt)
        choice.begun = attempt
        run.write(CHOICE, choice.plain())
    with within("agent"):
        given = slower(agent, attempt), seed_of(settings.top.seed, attempt), run.folder / "tensorboard"
        rule = start_rule(
            choice, task, experiment.policies, purpose_seeds("tuning", settings.evaluation.tuning_episodes)
        )
        learner = learner_of(settings).Learner(task, *given, **({} if rule is None else {"rule": rule}))
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

    halfway, last_one = settings.agent.total_steps / 2, attempt == settings.top.restarts
    checked = last_one

    def wrong() -> str | None:
        if choice.best is None:
            return None
        best = experiment.policies[choice.best]
        return astray(choice, judge, settings.agent.name, _kept(run, task, settings), best)

    def save(steps: int) -> None:
        checkpoints.write_checkpoint(run.checkpoints, steps, learner.save, settings.top.keep_checkpoints)

    def judged(steps: int, policy: Policy) -> float:
        mean = float(judge.values(policy).mean())
        if choice.value is None or judge.sign * (mean - choice.value) > 0:
            choice.kept, choice.step, choice.of, choice.value = choice.kept + 1, steps, attempt, mean
            checkpoints.write_checkpoint(run.best, choice.kept, learner.save, keep=2)
            run.write(CHOICE, choice.plain())
        return mean

    def keep(steps: int) -> None:
        nonlocal checked
        if getattr(learner, "due", False):  # SIGTERM came
            save(steps)
            print(f"stopped: the same command goes on from {steps:,} steps", file=sys.stderr)
            raise Stopped(128 + signal.SIGTERM)
        policy = learner.policy()
        curve = evaluate({"agent": policy}, task, experiment.curve_seeds(), split="train")
        points = curve.loc[curve["policy"] == "agent", ["value"]]
        (low,), (high,) = mean_interval(points)
        seconds = before + time.monotonic() - began
        rows.append({"step": steps, "seconds": seconds, "value": points["value"].mean()})
        rows[-1]["validation"] = judged(steps, policy)
        if len(points) > 1:
            rows[-1] |= {"low": low, "high": high}
        run.write_metrics(rows)
        if watch:
            watch(rows)
        save(steps)
        run.status("running", stage="agent", step=steps, steps=settings.agent.total_steps)
        if not checked and steps >= halfway:
            checked = True
            if said := wrong():
                raise Astray(said)

    try:
        with _on_sigterm(lambda: setattr(learner, "due", True)):
            learner.learn(keep, checkpoint_steps(settings))
        if not rows or rows[-1]["step"] < learner.steps:
            keep(learner.steps)
    except Astray as error:
        return str(error)
    return wrong()


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
