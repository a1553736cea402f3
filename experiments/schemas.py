"""The schemas of the configuration: they stand first in every YAML of `conf/`, so that Hydra checks keys and types.

Nothing in a config is ever code: choices are names in registries.
"""

import re
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from functools import cache
from importlib import import_module
from typing import Any, get_type_hints

from omegaconf import MISSING

from ..data import SyntheticStoreParams
from ..envs.checks import check_choice, check_number
from ..envs.dispatch_params import DispatchParams
from ..envs.duopoly import DuopolyParams
from ..envs.inventory import InventoryParams
from ..envs.marketplace_params import MarketplaceParams
from ..envs.network import SupplyChainParams
from ..envs.pricing_params import PricingParams
from ..forecasting import FORECASTERS
from . import models
from .datasets import DATASETS
from .tasks import TASKS

ENVIRONMENTS = {
    "inventory": InventoryParams,
    "pricing": PricingParams,
    "duopoly": DuopolyParams,
    "dispatch": DispatchParams,
    "marketplace": MarketplaceParams,
    "supply_chain": SupplyChainParams,
}  # option -> its parameters
TRACKERS = ("tensorboard", "wandb", "mlflow")
GROUPS = (  # "": the commands
    *("", "task", "data", "env", "forecaster", "agent", "evaluation", "dataset", "model", "suite", "tune"),
)
OF_FIT = ("dataset", "model")
LIGHT = ("baselines", "statistical", "conformal")  # modules of forecasters that load no torch
LEARNERS = {
    "sb3": "SB3Params",
    "pathwise": "PathwiseParams",
    "evolution": "EvolutionParams",
}  # module of `agents` -> its parameters


@dataclass
class TaskParams:
    name: str = MISSING  # a key of `TASKS`

    def __post_init__(self):
        if self.name not in TASKS:
            raise ValueError(f"name: {self.name!r} is not allowed, expected one of {', '.join(TASKS)}")


@dataclass
class OnlineRetailParams:
    path: str = MISSING  # UCI's xlsx or CSV, the raw or ready Parquet, or a folder with one of them


@dataclass
class EvaluationParams:
    """How policies are compared."""

    episodes: int = 256  # held-out scenarios (where recorded days are replayed: as many of them as differ)
    seed: int = 0  # of the first one; the others follow
    tuning_episodes: int = 64  # training scenarios that heuristics are tuned on
    curve_episodes: int = 32  # training scenarios of the learning curve

    def __post_init__(self):
        for name in ("episodes", "tuning_episodes", "curve_episodes"):
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
        check_choice("tracker", self.tracker, TRACKERS)


@dataclass
class TuneParams(TrainParams):
    """The top of `storelab tune`."""

    tune: Any = MISSING


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
            raise ValueError(f"space: {self.space!r} is not allowed, expected keys to search over, such as {example}")
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
        for name in self.baselines:
            if name not in FORECASTERS:
                raise ValueError(f"baselines: {name!r} is not allowed, expected some of {', '.join(FORECASTERS)}")


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
            raise ValueError(f"origin: {self.origin!r} is not allowed, expected a day as YYYY-MM-DD")


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
        raise ValueError(f"experiment: {experiment!r} is not allowed, expected letters, digits and . _ + -")
    if not runs.strip() or "\0" in runs:
        raise ValueError(f"runs: {runs!r} is not allowed, expected the path of a folder")


@dataclass
class EvaluateParams:
    """The top of `storelab evaluate`."""

    run: str = MISSING  # folder of a finished run
    evaluation: Any = MISSING


@dataclass
class ReportParams:
    """The top of `storelab report`."""

    run: str = MISSING  # folder of a finished run

    def __post_init__(self):
        if not self.run.strip() or "\0" in self.run:
            raise ValueError(f"run: {self.run!r} is not allowed, expected the path of a run folder")


@dataclass
class DatasetParams(ReportParams):
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


@cache
def options(group: str, light: bool = False) -> dict[str, type]:
    """Option of a group -> its schema; of "", the commands. With `light`, without those whose modules load torch."""
    if group == "forecaster":
        names = [name for name in FORECASTERS if not light or FORECASTERS[name][0] in LIGHT]
        return {name: _forecaster_params(name) for name in names}
    if group == "agent":
        learners = {} if light else LEARNERS
        own = {name: getattr(import_module(f"..agents.{name}", __package__), kind) for name, kind in learners.items()}
        return {"heuristics": HeuristicsParams} | own
    if group == "model":
        return {} if light else {name: models.schema(name) for name in models.MODELS}
    return {
        "": {"train": TrainParams, "backtest": BacktestParams, "explain": ExplainParams, "fit": FitParams}
        | {"evaluate": EvaluateParams, "report": ReportParams, "dataset": DatasetParams, "tune": TuneParams}
        | {"benchmark": BenchmarkParams},
        "task": {"task": TaskParams},
        "data": {"synthetic": SyntheticStoreParams, "online_retail": OnlineRetailParams},
        "env": {name: _changes(kind) for name, kind in ENVIRONMENTS.items()},
        "evaluation": {"evaluation": EvaluationParams},
        "suite": {"suite": SuiteParams},
        "tune": {"study": StudyParams},
        "dataset": DATASETS,
    }[group]


def _forecaster_params(name: str) -> type:
    module, attribute = FORECASTERS[name]
    return getattr(import_module(f"..forecasting.{module}", __package__), attribute).Params


def register(light: bool = False, command: str = "train") -> None:
    """Put the schemas into Hydra's ConfigStore. With `light` (help, completion) those that load torch stay open."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for group in GROUPS:
        for name, schema in options(group, light).items() if group not in OF_FIT else ():
            store.store(group="schema", name=name, node=schema)
    store.store(group="schema", name="fit", node=FitParams)
    for name in {*LEARNERS, *FORECASTERS} if light else ():
        if name not in options("agent", light) | options("forecaster", light):
            store.store(group="schema", name=name, node={})
    if command == "fit":  # its groups are the registries: no YAML repeats them
        for name, schema in DATASETS.items():
            store.store(group="dataset", name=name, node=schema)
        for name in models.MODELS:
            store.store(group="model", name=name, node=options("model", light).get(name, {}))


@cache  # one schema of a class, by which a chosen option is told
def _changes(cls: type) -> type:
    """A schema with a dataclass's names and types but no values: what is not set stays as the task has it."""
    kinds = get_type_hints(cls)

    def column(f):
        if is_dataclass(kinds[f.name]):
            nested = _changes(kinds[f.name])
            return f.name, nested, field(default_factory=nested)
        return f.name, kinds[f.name], field(default=MISSING)

    return make_dataclass(cls.__name__, [column(f) for f in fields(cls)])


def keys(command: str = "train") -> list[str]:
    """All keys of a command, with their dots."""

    def walk(prefix: str, kind: type):
        hints = get_type_hints(kind)
        for f in fields(kind):
            yield f"{prefix}{f.name}"
            if is_dataclass(hints[f.name]):
                yield from walk(f"{prefix}{f.name}.", hints[f.name])

    found = []
    top = options("").get(command, TrainParams)  # demo has train's
    for group in GROUPS:
        if group and group not in {f.name for f in fields(top)}:
            continue
        for kind in options(group).values() if group else [top]:
            found += walk(group and f"{group}.", kind)
    return list(dict.fromkeys(found))
