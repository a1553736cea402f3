"""What the commands do: `train` is the whole line from data to report, the others go over a finished run."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from ..agents import heuristics, rules_of
from ..data import Panel, SyntheticStoreParams, generate
from ..data.online_retail import load_panel
from ..envs import HistoryDemand, Task
from ..envs.references.base import Reference
from ..evaluation import evaluate as compare
from ..evaluation import scenario_keys, summarise
from ..forecasting import create
from ..learning.base import write_atomic
from . import checkpoints
from .config import BacktestSettings, ConfigError, FitSettings, Settings, read, read_run, within
from .provenance import digest, source_hash
from .report import findings, render, text_table
from .runs import AnySettings, Run, Stopped, to_config
from .schemas import EvaluationParams, ExplainParams, HeuristicsParams, OnlineRetailParams
from .tasks import TASKS
from .trackers import tracking

TUNING, CURVE = 1_000_000_000, 1_100_000_000  # first seeds of the training scenarios that are not the learner's


@dataclass
class Experiment:
    """A task, what it is measured against, and the policies that compete on it."""

    task: Task
    settings: Settings
    reference: Reference | None
    policies: dict  # name -> act
    agent: str | None = None  # the learner's name among them

    def summary(self, episodes: pd.DataFrame) -> pd.DataFrame:
        """Return the table of the episodes."""
        heuristics = [name for name in self.policies if name != self.agent]
        return summarise(episodes, self.task.objective, self.reference, heuristics)

    def curve_seeds(self) -> np.ndarray:
        """Return the seeds of the learning curve's training scenarios."""
        return CURVE + np.arange(self.settings.evaluation.curve_episodes)

    def episodes(self, evaluation: EvaluationParams) -> pd.DataFrame:
        """Run all policies on held-out scenarios that differ from one another."""
        seeds = evaluation.seed + np.arange(evaluation.episodes)
        if isinstance(self.task.test, HistoryDemand):
            demand = self.task.model("test").scenarios(scenario_keys(seeds, "test"))["demand"]
            seeds = seeds[np.sort(np.unique(demand.reshape(len(seeds), -1), axis=0, return_index=True)[1])]
        return compare(self.policies, self.task, seeds, progress=True)


def data_hash(settings: AnySettings) -> str:
    """The hash of what the data is made from."""
    group = "dataset" if isinstance(settings, FitSettings) else "data"
    data = getattr(settings, group)
    path = getattr(data, "path", "")
    if not path:
        return digest(data and vars(data))
    try:
        return source_hash(path)
    except OSError as error:
        told = f"{path!r} is not allowed, expected a file or folder: {error.strerror}"
        raise ConfigError(f"{group}.path: {told}") from error


def panel_of(settings: BacktestSettings) -> Panel:
    """The panel of the settings' data, all its items."""
    with within("data"):
        recorded = isinstance(settings.data, OnlineRetailParams)
        return load_panel(settings.data.path) if recorded else generate(settings.data).panel


def build(settings: Settings) -> Task:
    """Build the task of the settings, with its data and its forecasts."""
    name, changes = settings.task.name, dict(settings.env)
    if name in ("SyntheticStore", "OnlineRetail", "RetailPricing"):
        wanted = OnlineRetailParams if name != "SyntheticStore" else None
        if settings.data is None or (type(settings.data) is OnlineRetailParams) != (wanted is OnlineRetailParams):
            option = "online_retail" if wanted else "synthetic"
            raise ConfigError(f"data: not as task={name} needs it, expected data={option}")
    elif settings.data is not None and not (name == "Marketplace" and isinstance(settings.data, SyntheticStoreParams)):
        raise ConfigError(f"data: not allowed with task={name}, expected data=null")
    if settings.data is not None:
        recorded = isinstance(settings.data, OnlineRetailParams)
        changes["data"] = settings.data.path if recorded else settings.data
        changes["cache"] = Path(settings.top.runs) / "cache"
        if settings.forecaster is not None:
            changes["forecaster"] = create(settings.forecaster_name, **vars(settings.forecaster))
    with within("env"):
        task = TASKS[name](**changes)
        model, _ = task.model("train"), task.model("test")  # a forecast without a source shows here
        if task.params.continuing and task.params.horizon <= task.warmup:
            value = f"{task.params.horizon} is not allowed with task={name}"
            raise ValueError(f"horizon: {value}, expected more than its warm-up of {task.warmup} periods")
    if not isinstance(settings.agent, HeuristicsParams):
        with within("agent"):
            learner_module(settings.agent).check(model, settings.agent)  # a learner that does not fit shows here
    return task


def learner_module(params) -> ModuleType:
    """The module of `agents` that a learner's parameters belong to: it has `Learner`, `load_policy` and `check`."""
    return sys.modules[type(params).__module__]


def train(config: DictConfig, command: str | None = None) -> None:
    """Run the whole line, from where an earlier process left it; `command` is what stands for it, else Hydra's."""
    settings = read(config)
    data = data_hash(settings)
    run = Run.of(settings, data)
    if run.done:
        print(f"{run.folder} is finished: nothing to do (storelab report run={run.folder} shows it)")
        return
    task = build(settings)
    with run.open(settings, data, command):
        carry_out(run, settings, task)


def carry_out(run: Run, settings: Settings, task: Task, watch: Callable[[list[dict]], None] | None = None) -> None:
    """Do what is left of an open run; `watch` sees the learning curve as it grows, and may raise to end it."""
    print(f"run: {run.folder}")
    with tracking(run, settings) as tell:

        def see(rows: list[dict]) -> None:
            tell({"value": rows[-1]["value"], "seconds": rows[-1]["seconds"]}, rows[-1]["step"])
            if watch:
                watch(rows)

        experiment = Experiment(task, settings, reference(task), tuned(run, task, settings))
        if not isinstance(settings.agent, HeuristicsParams):
            experiment.agent = settings.agent.name
            experiment.policies[experiment.agent] = learn(run, experiment, see)
        run.status("running", stage="evaluation")
        episodes = experiment.episodes(settings.evaluation)
        run.write_episodes(episodes)
        present(run, experiment, episodes)
        results = run.read("results.json")
        result = results["policies"][results["agent"] or results["best_heuristic"]]
        tell({f"held_out_{name}": value for name, value in result.items() if value is not None}, None)


def report(config: DictConfig) -> None:
    """Make the report of a finished run of any command anew and print its table."""
    run = Run(read_run(config)[0])
    settings = run.settings()
    if isinstance(settings, FitSettings):
        from .fit import present as present_fit

        present_fit(run)
    elif isinstance(settings, BacktestSettings):
        from . import backtest, explain

        kind = explain if isinstance(settings.top, ExplainParams) else backtest
        kind.present_anew(run, settings)
    else:
        present(run, restore(run), run.episodes())


def evaluate(config: DictConfig) -> None:
    """Run a finished run's policies on other held-out scenarios; the episodes stand beside its own."""
    folder, evaluation = read_run(config)
    run = Run(folder)
    experiment = restore(run)
    episodes = experiment.episodes(evaluation)
    name = f"eval-{evaluation.seed}-{evaluation.episodes}.parquet"
    run.write_episodes(episodes, name)
    print(text_table(experiment.summary(episodes), experiment.task.unit))
    print(f"episodes: {run.folder / name}")


def restore(run: Run) -> Experiment:
    """The experiment of a finished run, with its policies as they were."""
    settings = run.settings()
    if not isinstance(settings, Settings):
        raise ConfigError(f"run: {str(run.folder)!r} is not allowed, expected a run with policies, of storelab train")
    task = build(settings)
    experiment = Experiment(task, settings, reference(task), tuned(run, task, settings))
    policy = learned(run, task, settings)
    if policy is not None:
        experiment.agent = settings.agent.name
        experiment.policies[experiment.agent] = policy
    return experiment


def learned(run: Run, task: Task, settings: Settings) -> Callable | None:
    """The learner's policy of a finished run; None where it had no learner."""
    if isinstance(settings.agent, HeuristicsParams):
        return None
    last = checkpoints.newest_whole(run.checkpoints)
    if last is None:
        raise ConfigError(f"run: {run.folder} has no whole checkpoint, expected one")
    return learner_module(settings.agent).load_policy(last, task)


def reference(task: Task) -> Reference | None:
    """The task's reference, or None where the parameters are not those it is known for."""
    if task.reference is None:
        return None
    try:
        return task.reference()
    except ValueError as error:
        print(f"no reference: {error}")
        return None


def tuned(run: Run, task: Task, settings: Settings) -> dict[str, Callable]:
    """The heuristics, tuned on training scenarios, or as an earlier process tuned them."""
    model, kept = task.model("train"), run.read("heuristics.json") or {}
    rules = rules_of(model)
    seeds = TUNING + np.arange(settings.evaluation.tuning_episodes)
    found = {}
    for kind in rules.available(model):
        if kind not in kept:
            run.status("running", stage=f"tune {kind}")
            found[kind] = rules.tune(kind, task, seeds, progress=True)
            kept[kind] = found[kind].params
            run.write("heuristics.json", kept)
        elif kind == "myopic" and rules is heuristics:  # which may be a table of its own
            found[kind] = rules.tune(kind, task, seeds)
        else:
            found[kind] = rules.Heuristic(kind, kept[kind], model)
    return found


def checkpoint_steps(settings: Settings) -> int:
    """Steps from a checkpoint to the next."""
    return settings.top.checkpoint_every or max(1, settings.agent.total_steps // 40)


def learn(run: Run, experiment: Experiment, watch: Callable[[list[dict]], None] | None = None) -> Callable:
    """Train the agent, from its last whole checkpoint on; return its policy."""
    task, settings = experiment.task, experiment.settings
    with within("agent"):
        make = learner_module(settings.agent).Learner
        learner = make(task, settings.agent, settings.top.seed, run.folder / "tensorboard")
    last = checkpoints.newest_whole(run.checkpoints)
    if last is not None:
        learner.load(last)
        print(f"going on from {learner.steps:,} of {settings.agent.total_steps:,} steps")
    rows, started = run.metrics(up_to=learner.steps), time.monotonic()
    before = rows[-1]["seconds"] if rows else 0.0

    def keep(steps: int) -> None:
        if getattr(learner, "due", False):  # SIGTERM came
            checkpoints.write_checkpoint(run.checkpoints, steps, learner.save, settings.top.keep_checkpoints)
            print(f"stopped: the same command goes on from {steps:,} steps", file=sys.stderr)
            raise Stopped(128 + signal.SIGTERM)
        curve = compare({"agent": learner.policy()}, task, experiment.curve_seeds(), split="train")
        value = curve.loc[curve["policy"] == "agent", "value"].mean()
        rows.append({"step": steps, "seconds": before + time.monotonic() - started, "value": value})
        run.write_metrics(rows)
        if watch:
            watch(rows)
        checkpoints.write_checkpoint(run.checkpoints, steps, learner.save, settings.top.keep_checkpoints)
        run.status("running", stage="agent", step=steps, steps=settings.agent.total_steps)

    with _on_sigterm(partial(setattr, learner, "due", True)):
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


def present(run: Run, experiment: Experiment, episodes: pd.DataFrame) -> None:
    """Write the report and the results, and print the table."""
    page = render(experiment, episodes, run.metrics(), run.read("provenance.json"), to_config(experiment.settings))
    write_atomic(run.folder / "report.html", page.encode())
    table = experiment.summary(episodes)
    told = {"objective": experiment.task.objective, "unit": experiment.task.unit, "agent": experiment.agent}
    told |= {"best_heuristic": table.attrs["best_heuristic"]}
    run.write("results.json", told | {"policies": json.loads(table.to_json(orient="index", double_precision=15))})
    print(text_table(table, experiment.task.unit))
    for line in findings(table, experiment, episodes["seed"].nunique()):
        print(line)
    print(f"report: {run.folder / 'report.html'}")
