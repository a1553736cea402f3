"""From a composed config to the typed objects of an experiment, and every error on the way in one line."""

from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ...envs import TASKS
from ...envs.registry import entry_of
from ...errors import FieldError
from .errors import ConfigError, one_line
from .messages import unknown_key
from .options import GROUPS, option_named, option_of, options
from .plain import resolve
from .schemas import (
    BacktestParams,
    BenchmarkParams,
    DatasetParams,
    EvaluateParams,
    EvaluationParams,
    ExplainParams,
    FitParams,
    McpParams,
    ReportParams,
    RunParams,
    StudyParams,
    SuiteParams,
    TaskParams,
    TrainParams,
    TuneParams,
    WatchParams,
)

MAX_CELLS = 20_000_000  # items x periods of an episode: float32 scenarios of a batch of 64 then take 5 GB


@dataclass
class Settings:
    """What `storelab train` was asked for, checked."""

    top: TrainParams
    task: TaskParams
    data: Any  # parameters of a data option, or None
    env: dict  # changes to the task's parameters
    forecaster: Any  # parameters of a forecaster, or None
    agent: Any  # parameters of a learner, or HeuristicsParams
    evaluation: EvaluationParams
    environment: dict[str, str] = field(default_factory=dict)  # keys whose text is of the environment -> as it stands

    @property
    def forecaster_name(self) -> str:
        """Return the key of the forecaster's parameters."""
        return option_of("forecaster", self.forecaster)

    @property
    def learner(self) -> str | None:
        """Return the key of the learner in `LEARNERS`; None: the heuristics alone."""
        name = option_of("agent", self.agent)
        return None if name == "heuristics" else name

    @property
    def seed(self) -> int:
        """Return the seed that names the run folder."""
        return self.top.seed


@dataclass
class BacktestSettings:
    """What `storelab backtest` or `storelab explain` was asked for, checked."""

    top: BacktestParams | ExplainParams
    data: Any  # parameters of a data option
    forecaster: Any  # parameters of a forecaster
    environment: dict[str, str] = field(default_factory=dict)  # as in Settings

    @property
    def forecaster_name(self) -> str:
        """Return the key of the forecaster's parameters."""
        return option_of("forecaster", self.forecaster)

    @property
    def seed(self) -> int:
        """Return the seed that names the run folder: the forecaster's."""
        return getattr(self.forecaster, "seed", 0)


@dataclass
class FitSettings:
    """What `storelab fit` was asked for, checked."""

    top: FitParams
    dataset: Any  # one of `datasets.DATASETS`
    model: Any  # parameters of a model
    environment: dict[str, str] = field(default_factory=dict)  # as in Settings

    @property
    def model_name(self) -> str:
        """Return the key of the model's parameters."""
        return option_of("model", self.model)

    @property
    def seed(self) -> int:
        """Return the seed that names the run folder."""
        return self.top.seed


AnySettings = Settings | BacktestSettings | FitSettings


def read(config: DictConfig) -> Settings:
    """Check a composed config.

    Raises:
        ConfigError: in one line, what is wrong.
    """
    environment = resolve(config)
    _check_keys("", config, TrainParams)
    # Groups first: the experiment is named after the task.
    typed = {group: _choice(config, group) for group in ("task", "agent", "evaluation")}
    typed |= {group: _choice(config, group, optional=True) for group in ("data", "forecaster")}
    top = _top(config, TrainParams)
    env = _env(config, typed["task"].name, typed["data"])
    if env.get("forecast") != "model":
        typed["forecaster"] = None  # checked, but ignored
    _check_data(typed["task"].name, typed["data"])
    _check_planned(typed["data"], typed["forecaster"])
    return Settings(top=top, env=env, environment=environment, **typed)


def read_study(config: DictConfig) -> tuple[StudyParams, DictConfig]:
    """The search of `storelab tune`, checked, and the config of its runs, which still names the environment."""
    found = resolve(config)
    _check_keys("", config, TuneParams)
    for key, text in found.items():
        OmegaConf.update(config, key, text)
    return _choice(config, "tune"), OmegaConf.masked_copy(config, [key for key in config if key != "tune"])


def read_mcp(config: DictConfig) -> tuple[McpParams, DictConfig]:
    """The top of `storelab mcp`, checked, and the config of its heuristics' run, which still names the environment."""
    found = resolve(config)
    _check_keys("", config, McpParams)
    top = _top(config, McpParams)
    for key, text in found.items():
        OmegaConf.update(config, key, text)
    return top, OmegaConf.masked_copy(config, [key for key in config if key not in McpParams.own()])


def read_backtest(config: DictConfig, kind: type = BacktestParams) -> BacktestSettings:
    """Check the config of `storelab backtest`, or of `explain` by its kind; raises ConfigError as `read` does."""
    environment = resolve(config)
    _check_keys("", config, kind)
    settings = BacktestSettings(_top(config, kind), _choice(config, "data"), _choice(config, "forecaster"), environment)
    _check_planned(settings.data, settings.forecaster)
    return settings


def read_fit(config: DictConfig) -> FitSettings:
    """Check the config of `storelab fit`; raises ConfigError as `read` does."""
    environment = resolve(config)
    _check_keys("", config, FitParams)
    settings = FitSettings(_top(config, FitParams), _choice(config, "dataset"), _choice(config, "model"), environment)
    if settings.model_name not in settings.dataset.models:
        expected = f"expected one of {', '.join(settings.dataset.models)}"
        raise ConfigError(f"model: {settings.model_name!r} is not allowed with this dataset, {expected}")
    return settings


def _check_data(task: str, data) -> None:
    """Refuse data that a task does not take, and none where it needs some."""
    entry, chosen = entry_of(task), option_of("data", data) or "null"
    allowed = list(options("data")) if entry.panel else list(entry.data)
    if entry.optional_data or not entry.data:
        allowed.append("null")
    if chosen not in allowed:
        raise ConfigError(f"data: {chosen} is not allowed with task={task}, expected data={' or '.join(allowed)}")


def _check_planned(data, forecaster) -> None:
    if getattr(data, "paid_prices", False) and getattr(forecaster, "planned", False):
        option, key = option_of("data", data), "planned" if "planned" in vars(forecaster) else "params.planned"
        why = "its recorded prices are what was paid, and give bulk orders away"
        other = ", or data.paid_prices=false" if "paid_prices" in vars(data) else ""
        raise ConfigError(f"forecaster.{key}: true is not allowed with data={option}, expected false{other}: {why}")


def _top(config: DictConfig, kind: type):
    return _object("", OmegaConf.create({k: v for k, v in config.items_ex(False) if k not in GROUPS}), kind)


def _choice(config: DictConfig, group: str, optional: bool = False):
    """The object of a group's chosen option."""
    node = config[group] if not OmegaConf.is_missing(config, group) else None
    if node is None and optional:
        return None
    kind = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
    if option_named(group, kind) is None:
        raise ConfigError(_no_option(group, node))
    return _object(group, node, kind)


def _no_option(group: str, node) -> str:
    """What to say of a value of a group that no schema stands before."""
    if not isinstance(node, DictConfig) or not node:
        return f"{group}: not an option, expected {group}=NAME"
    keys = {name: {f.name for f in fields(kind)} for name, kind in options(group).items()}
    schema = max(keys, key=lambda name: len(keys[name] & {*map(str, node)}))
    begins = f"defaults: [/schema/{schema}@_here_, _self_]"
    return f"{group}: a mapping without a schema, expected a file that begins with {begins}"


def read_run(config: DictConfig) -> tuple[str, EvaluationParams]:
    """Check the config of `storelab evaluate`: the run's folder, and how to evaluate."""
    resolve(config)
    _check_keys("", config, EvaluateParams)
    top = _object("", OmegaConf.create({"run": config.get("run", MISSING)}), RunParams)
    return top.run, _object("evaluation", config.evaluation, EvaluationParams)


def read_report(config: DictConfig) -> ReportParams:
    """Check the config of `storelab report`."""
    resolve(config)
    params = _object("", config, ReportParams)
    if not params.effect and (params.change or params.period is not None or params.policy):
        raise ConfigError("effect: '' is not allowed with change, period or policy, expected the name of a decision")
    if params.effect and not params.change:
        raise ConfigError(f"change: {params.change:g} is not allowed, expected what is added to {params.effect}, not 0")
    return params


def read_dataset(config: DictConfig) -> DatasetParams:
    """Check the config of `storelab dataset`."""
    resolve(config)
    return _object("", config, DatasetParams)


def read_watch(config: DictConfig) -> WatchParams:
    """Check the config of `storelab watch`."""
    resolve(config)
    return _object("", config, WatchParams)


def read_benchmark(config: DictConfig) -> tuple[BenchmarkParams, str, SuiteParams]:
    """Check the config of `storelab benchmark`: it, and the suite's name and what is in it."""
    from hydra.core.hydra_config import HydraConfig

    resolve(config)
    _check_keys("", config, BenchmarkParams)
    return _top(config, BenchmarkParams), HydraConfig.get().runtime.choices["suite"], _choice(config, "suite")


def _env(config: DictConfig, task: str, data) -> dict:
    """The changes to the task's parameters; tried on the task here, unless that needs data first."""
    node = None if OmegaConf.is_missing(config, "env") else config.env
    schema = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
    # By name: a launcher's worker has a copy of the schema, which is made and not imported.
    option = schema.__name__ if schema and schema.__name__ in options("env") else None
    if option is None:
        raise ConfigError(_no_option("env", node))
    entry = entry_of(task)
    if option != entry.environment:
        raise ConfigError(f"env: {option} is not allowed with task={task}, expected env={entry.environment}")
    _check_keys("env.", node, options("env")[option])
    with within("env"):
        changes = _given(OmegaConf.to_container(node, resolve=True))
        if data is None and (entry.optional_data or not entry.data):
            params = TASKS[task](**changes).params
            items, horizon = getattr(params, "items", 1), getattr(params, "horizon", 1)
            if items * horizon > MAX_CELLS:
                cells = f"at most {MAX_CELLS:,} cells, not {items} items x {horizon} periods"
                raise FieldError("horizon", horizon, cells)
    return changes


def _given(values: dict) -> dict:
    """What is set of a container of changes."""
    parts = {k: _given(v) if isinstance(v, dict) else v for k, v in values.items() if v != MISSING}
    return {k: v for k, v in parts.items() if v != {} or values[k] == {}}


def _object(group: str, node: DictConfig, kind: type):
    prefix = group and f"{group}."
    _check_keys(prefix, node, kind)
    with within(group):
        values = OmegaConf.to_container(node, resolve=True, throw_on_missing=False)
        for name, value in values.items():
            if value == MISSING:
                raise ConfigError(f"{prefix}{name}: not set, expected {prefix}{name}=VALUE")
        return kind(**values)


def _check_keys(prefix: str, node: DictConfig, kind: type) -> None:
    """`+key=value` gets past the schema: refuse it here."""
    known = {f.name: f.type for f in fields(kind)}
    for name, value in node.items_ex(resolve=False):
        if name not in known:
            raise ConfigError(unknown_key(f"{prefix}{name}", kind=kind))
        if is_dataclass(known[name]) and isinstance(value, DictConfig):
            _check_keys(f"{prefix}{name}.", value, known[name])


@contextmanager
def within(group: str):
    """Turn errors about the fields of a group into a ConfigError that names them with their group."""
    try:
        yield
    except ConfigError:
        raise
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or group}: {one_line(error.msg or error)}") from error
    except FieldError as error:
        own = group and error.field.partition(".")[0].partition("[")[0] in _fields(group)
        raise ConfigError(one_line(error.inside(group) if own else f"{group}: {error}" if group else error)) from error
    except (ValueError, OSError, MemoryError) as error:
        raise ConfigError(f"{group}: {one_line(error)}" if group else one_line(error)) from error


def _fields(group: str) -> set[str]:
    """The names of the fields of a group's options."""
    return {f.name for kind in (options(group).values() if group in GROUPS else ()) for f in fields(kind)}


READ = {  # command that makes a run -> the check of its config
    "train": read,
    "demo": read,
    "backtest": read_backtest,
    "explain": partial(read_backtest, kind=ExplainParams),
    "fit": read_fit,
}
