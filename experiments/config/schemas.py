"""The schemas of the configuration: they stand first in every YAML of `conf/`, so that Hydra checks keys and types.

Nothing in a config is ever code: choices are names in registries.
"""

import re
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from ...envs.core.checks import check_choice, check_number
from ...envs.registry import entry_of
from ...errors import FieldError
from ...forecasting import FORECASTERS

FILMS = ("html", "gif", "mp4")
TRACKERS = ("tensorboard", "wandb", "mlflow")


@dataclass
class TaskParams:
    name: str = MISSING  # a key of `TASKS`

    def __post_init__(self):
        try:
            entry_of(self.name)
        except FieldError as error:
            raise FieldError("name", error.value, error.expected) from None


@dataclass
class EvaluationParams:
    """How policies are compared."""

    episodes: int = 256  # held-out scenarios (where recorded days are replayed: as many of them as differ)
    seed: int = 0  # of the first one; the others follow
    tuning_episodes: int = 64  # training scenarios that heuristics are tuned on
    curve_episodes: int = 32  # training scenarios of the learning curve
    validation_episodes: int = 64  # that nobody learns from: a learner's checkpoint is chosen on them

    def __post_init__(self):
        for name in ("episodes", "tuning_episodes", "curve_episodes", "validation_episodes"):
            check_number(name, getattr(self, name), 2, 100_000, integer=True)
        check_number("seed", self.seed, 0, 2**31 - 1, integer=True)


@dataclass
class HeuristicsParams:
    """No learner: the tuned heuristics alone."""


@dataclass
class TrainParams:
    """The top of `storelab train`."""

    experiment: str = MISSING  # the run folder's first part
    seed: int = 0  # of the learner
    runs: str = "runs"  # folder
    checkpoint_every: int | None = None  # steps; None: a fortieth of the learner's
    keep_checkpoints: int = 3
    restarts: int = 2  # of a learner that has gone astray on the validation scenarios
    tracker: str = "tensorboard"  # | wandb | mlflow
    task: Any = MISSING
    data: Any = None
    env: Any = MISSING
    forecaster: Any = None
    agent: Any = MISSING
    evaluation: Any = MISSING

    def __post_init__(self):
        _check_places(self.experiment, self.runs)
        check_number("seed", self.seed, 0, 2**31 - 1, integer=True)
        if self.checkpoint_every is not None:
            check_number("checkpoint_every", self.checkpoint_every, 1, 1e12, integer=True)
        check_number("keep_checkpoints", self.keep_checkpoints, 1, 1000, integer=True)
        check_number("restarts", self.restarts, 0, 20, integer=True)
        check_choice("tracker", self.tracker, TRACKERS)


@dataclass
class TuneParams(TrainParams):
    """The top of `storelab tune`."""

    tune: Any = MISSING


@dataclass
class McpParams(TrainParams):
    """The top of `storelab mcp`: that of the run of the heuristics, and what is served."""

    scenario: int = 0  # number of the held-out one
    transport: str = "stdio"  # | http: streamable HTTP on the loopback
    port: int = 8765  # of http

    def __post_init__(self):
        super().__post_init__()
        check_number("scenario", self.scenario, 0, 2**31 - 1, integer=True)
        check_choice("transport", self.transport, ("stdio", "http"))
        check_number("port", self.port, 1, 65535, integer=True)

    @classmethod
    def own(cls) -> list[str]:
        """Return the keys that `storelab train` does not have."""
        return [f.name for f in fields(cls) if f.name not in {f.name for f in fields(TrainParams)}]


@dataclass
class StudyParams:
    """A search for hyper-parameters."""

    trials: int = 20  # in all, whole, pruned and failed
    space: Any = None  # key -> {low, high[, log, step]} or {choices: [...]}
    prune: bool = True  # end a trial that is worse than the median of those before
    seed: int = 0  # of the search

    def __post_init__(self):
        if not isinstance(self.space, dict) or not self.space:
            example = "{agent.learning_rate: {low: 1e-5, high: 1e-2, log: true}}"
            raise FieldError("space", self.space, f"keys to search over, such as {example}")
        check_number("trials", self.trials, 1, 100_000, integer=True)
        check_number("seed", self.seed, 0, 1000, integer=True)


@dataclass
class BacktestParams:
    """The top of `storelab backtest`."""

    experiment: str = MISSING  # the run folder's first part
    runs: str = "runs"  # folder
    baselines: list[str] = field(default_factory=lambda: ["seasonal_naive", "moving_average", "croston_sba", "tsb"])
    horizon: int = 28  # days
    origins: int = 3  # the last so many horizons of the data
    items: int = 1000  # at most, evenly spread over those that qualify
    least_days: int = 120  # since an item's launch, before the first origin
    least_sales: int = 40  # days with a sale before the first origin
    refit: bool = False  # fine-tune before every origin, not only the first
    data: Any = MISSING
    forecaster: Any = MISSING

    def __post_init__(self):
        _check_places(self.experiment, self.runs)
        for name, low, high in (("horizon", 1, 365), ("origins", 1, 100), ("items", 1, 1_000_000)):
            check_number(name, getattr(self, name), low, high, integer=True)
        for name in ("least_days", "least_sales"):
            check_number(name, getattr(self, name), 0, 100_000, integer=True)
        if isinstance(self.baselines, str):
            raise FieldError("baselines", self.baselines, f"a list of some of {', '.join(FORECASTERS)}")
        for name in self.baselines:
            if name not in FORECASTERS:
                raise FieldError("baselines", name, f"some of {', '.join(FORECASTERS)}")


@dataclass
class ExplainParams:
    """The top of `storelab explain`."""

    experiment: str = MISSING  # the run folder's first part
    runs: str = "runs"  # folder
    item: str = ""  # "": the one that sold most before the origin
    origin: str = ""  # first forecast day, YYYY-MM-DD; "": the horizon is the last days of the data
    horizon: int = 28  # days
    first: int = 1  # day ahead that the explained sum begins with
    last: int = 7  # and ends with
    level: float | None = None  # of the quantile that is explained; None: the mean
    data: Any = MISSING
    forecaster: Any = MISSING

    def __post_init__(self):
        _check_places(self.experiment, self.runs)
        check_number("horizon", self.horizon, 1, 365, integer=True)
        check_number("last", self.last, 1, self.horizon, integer=True)
        check_number("first", self.first, 1, self.last, integer=True)
        if self.level is not None:
            check_number("level", self.level, 0.001, 0.999)
        if self.origin and not re.fullmatch(r"\d{4}-\d\d-\d\d", self.origin):
            raise FieldError("origin", self.origin, "a day as YYYY-MM-DD")


@dataclass
class FitParams:
    """The top of `storelab fit`."""

    experiment: str = MISSING  # the run folder's first part
    seed: int = 0  # of the model, and of data that is made up or drawn
    runs: str = "runs"  # folder
    dataset: Any = MISSING
    model: Any = MISSING

    def __post_init__(self):
        _check_places(self.experiment, self.runs)
        check_number("seed", self.seed, 0, 2**31 - 1, integer=True)


def _check_places(experiment: str, runs: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,99}", experiment):
        raise FieldError("experiment", experiment, "letters, digits and . _ + -")
    if not runs.strip() or "\0" in runs:
        raise FieldError("runs", runs, "the path of a folder")


@dataclass
class EvaluateParams:
    """The top of `storelab evaluate`."""

    run: str = MISSING  # folder of a finished run
    evaluation: Any = MISSING


@dataclass
class RunParams:
    """The top of a command on a finished run."""

    run: str = MISSING  # folder of a finished run

    def __post_init__(self):
        if not self.run.strip() or "\0" in self.run:
            raise FieldError("run", self.run, "the path of a run folder")


@dataclass
class ReportParams(RunParams):
    """The top of `storelab report`."""

    effect: str = ""  # decision of a policy whose effect the report shows; "": none
    change: float = 0.0  # what is added to it, in its unit
    period: int | None = None  # in which alone it is changed, from 0 on; None: in every one
    policy: str = ""  # of the run's table; "": the agent, or the best heuristic

    def __post_init__(self):
        super().__post_init__()
        if self.period is not None:
            check_number("period", self.period, 0, 1_000_000, integer=True)


@dataclass
class DatasetParams(RunParams):
    """The top of `storelab dataset`."""

    policy: str = ""  # of the run's table; "": the agent, or the best heuristic
    name: str = ""  # of the dataset; "": storelab/TASK/POLICY-v0
    episodes: int = 1000  # training scenarios
    seed: int = 0  # of the first one; the others follow

    def __post_init__(self):
        super().__post_init__()
        check_number("episodes", self.episodes, 1, 1_000_000, integer=True)
        check_number("seed", self.seed, 0, 2**29, integer=True)


@dataclass
class WatchParams(RunParams):
    """The top of `storelab watch`."""

    scenario: int | None = None  # number of a held-out one; None: the first of the run's table
    format: str = "html"  # | gif | mp4
    frames: int = 100  # pictures at most, evenly spread over the episode
    seconds: float = 0.2  # per picture
    output: str = ""  # file; "": RUN/watch-SCENARIO.FORMAT

    def __post_init__(self):
        super().__post_init__()
        if self.scenario is not None:
            check_number("scenario", self.scenario, 0, 2**31 - 1, integer=True)
        check_choice("format", self.format, FILMS)
        check_number("frames", self.frames, 2, 2000, integer=True)
        check_number("seconds", self.seconds, 0.02, 10)


@dataclass
class BenchmarkParams:
    """The top of `storelab benchmark`."""

    runs: str = "runs"  # folder
    output: str = ""  # file of the table; "": RUNS/SUITE.md
    overrides: list[str] = field(default_factory=list)  # of storelab train, added to all lines
    suite: Any = MISSING


@dataclass
class SuiteParams:
    """What a benchmark runs."""

    seeds: int = 5  # of each learner
    entries: list[str] = MISSING  # overrides of storelab train, a line per task and learner

    def __post_init__(self):
        check_number("seeds", self.seeds, 1, 1000, integer=True)
