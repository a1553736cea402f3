"""From a composed config to the typed objects of an experiment, and every error on the way in one line."""

import re
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf, ValueNode
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from ...envs import TASKS
from ...envs.registry import entry_of, environments, params_of
from ...errors import FieldError
from ...reading import DEEPEST
from .environment import as_text, texts
from .options import COMMANDS, GROUPS, keys, option_of, options
from .schemas import (
    BacktestParams,
    BenchmarkParams,
    DatasetParams,
    EvaluationParams,
    ExplainParams,
    FitParams,
    ReportParams,
    StudyParams,
    SuiteParams,
    TaskParams,
    TrainParams,
    TuneParams,
)

MAX_CELLS = 20_000_000  # items x periods of an episode: float32 scenarios of a batch of 64 then take 5 GB
MOST_NODES = 100_000  # values of a config, interpolations written out
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


class ConfigError(ValueError):
    """What is wrong with a configuration, in one line that names the key, the value and what is allowed.

    Its cause is the `FieldError` with these three, where the parameters' own check refused.
    """


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
    environment = _resolve(config)
    _check_keys("", config, TrainParams)
    # Groups first: the experiment is named after the task.
    typed = {group: _choice(config, group) for group in ("task", "agent", "evaluation")}
    typed |= {group: _choice(config, group, optional=True) for group in ("data", "forecaster")}
    top = _top(config, TrainParams)
    env = _env(config, typed["task"].name, typed["data"])
    if env.get("forecast") != "model":
        typed["forecaster"] = None  # checked, but of no account
    _check_data(typed["task"].name, typed["data"])
    _check_planned(typed["data"], typed["forecaster"])
    return Settings(top=top, env=env, environment=environment, **typed)


def read_study(config: DictConfig) -> tuple[StudyParams, DictConfig]:
    """The search of `storelab tune`, checked, and the config of its runs."""
    _resolve(config)
    _check_keys("", config, TuneParams)
    return _choice(config, "tune"), OmegaConf.masked_copy(config, [key for key in config if key != "tune"])


def read_backtest(config: DictConfig, kind: type = BacktestParams) -> BacktestSettings:
    """Check the config of `storelab backtest`, or of `explain` by its kind; raises ConfigError as `read` does."""
    environment = _resolve(config)
    _check_keys("", config, kind)
    settings = BacktestSettings(_top(config, kind), _choice(config, "data"), _choice(config, "forecaster"), environment)
    _check_planned(settings.data, settings.forecaster)
    return settings


def read_fit(config: DictConfig) -> FitSettings:
    """Check the config of `storelab fit`; raises ConfigError as `read` does."""
    environment = _resolve(config)
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
    if kind not in options(group).values():
        raise ConfigError(f"{group}: not an option, expected {group}=NAME")
    return _object(group, node, kind)


def read_run(config: DictConfig) -> tuple[str, EvaluationParams | None]:
    """Check the config of `storelab evaluate` or `storelab report`: the run's folder, and how to evaluate."""
    _resolve(config)
    top = _object("", OmegaConf.create({"run": config.get("run", MISSING)}), ReportParams)
    return top.run, _object("evaluation", config.evaluation, EvaluationParams) if "evaluation" in config else None


def read_dataset(config: DictConfig) -> DatasetParams:
    """Check the config of `storelab dataset`."""
    _resolve(config)
    return _object("", config, DatasetParams)


def read_benchmark(config: DictConfig) -> tuple[BenchmarkParams, str, SuiteParams]:
    """Check the config of `storelab benchmark`: it, and the suite's name and what is in it."""
    from hydra.core.hydra_config import HydraConfig

    _resolve(config)
    _check_keys("", config, BenchmarkParams)
    return _top(config, BenchmarkParams), HydraConfig.get().runtime.choices["suite"], _choice(config, "suite")


def plain(node, place: str, most: int = MOST_NODES, seen: list[int] | None = None, depth: int = 0):
    """Return a config as plain types, interpolations as what they stand for; those that are open stay as text.

    Raises FieldError for more than `most` values, or parts too deep within parts: interpolations may repeat a part.
    """
    seen = [0] if seen is None else seen
    seen[0] += 1
    if seen[0] > most or depth > DEEPEST:
        raise FieldError(place, f"{seen[0]:,} values, {depth} deep", f"at most {most:,} values and {DEEPEST} deep")
    if not isinstance(node, DictConfig | ListConfig):
        return node
    if node._is_none() or node._is_missing() or node._is_interpolation():
        return node._value()
    keys = list(node) if isinstance(node, DictConfig) else range(len(node))
    values = {}
    for key in keys:
        raw = node._get_node(key)
        try:
            value = node[key] if raw._is_interpolation() else raw
        except (OmegaConfBaseException, RecursionError):
            value = raw._value()
        value = value._value() if isinstance(value, ValueNode) else value
        values[key] = plain(value, place, most, seen, depth + 1)
    return values if isinstance(node, DictConfig) else list(values.values())


def _resolve(config: DictConfig) -> dict[str, str]:
    """Resolve a config in place; return what of it is text of the environment (see `environment.texts`)."""
    with within(""):
        values = plain(config, "config")
        with as_text():
            shown = plain(config, "config")
        found = texts(values, shown)
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        missing = re.search(r"Interpolation key '(.*?)'", str(error))
        about = f"${{{missing[1]}}}" if missing else error.full_key
        raise ConfigError(f"{about}: {str(error).splitlines()[0]}") from error
    return found


def _env(config: DictConfig, task: str, data) -> dict:
    """The changes to the task's parameters; tried on the task here, unless that needs data first."""
    node = None if OmegaConf.is_missing(config, "env") else config.env
    schema = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
    # By name: a launcher's worker has a copy of the schema, which is made and not imported.
    option = schema.__name__ if schema and schema.__name__ in options("env") else None
    if option is None:
        raise ConfigError("env: not an option, expected env=NAME")
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
            raise ConfigError(unknown_key(f"{prefix}{name}"))
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


def one_line(error) -> str:
    """The text of an error without line breaks."""
    return " ".join(str(error).split())


def unknown_key(key: str, command: str = "train") -> str:
    """What to say of a key that does not exist."""
    if key.startswith("hydra."):
        return (
            f"{key}: no such key of Hydra's, expected one of `storelab {command} --cfg hydra`, or +{key} for a new one"
        )
    known = keys(command)
    group = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == group] or [k for k in known if "." not in k]
    near = get_close_matches(key, siblings, n=1, cutoff=0.8) or get_close_matches(key, known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}?" if near else "expected one of " + ", ".join(siblings)
    return f"{key}: no such key, {hint}"


def describe(error: BaseException, command: str, args: list[str]) -> str:
    """An error of composing the config of a command line in one line: the key, the value and what is allowed."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:  # OmegaConf's can go in a circle
        chain.append(cause)
    for link in chain:
        if isinstance(link, ConfigError):
            return str(link)
        if isinstance(link, OverrideParseException):
            return f"{link.override}: not readable, expected key=value"
        if isinstance(link, MissingConfigException) and link.missing_cfg_file and link.options:
            group, _, choice = link.missing_cfg_file.rpartition("/")
            return f"{group}: {choice!r} is not allowed, expected one of {', '.join(link.options)}"
        if isinstance(link, ConfigKeyError | ConfigAttributeError):
            return unknown_key(link.full_key, command)
        if isinstance(link, OmegaConfBaseException) and link.full_key:
            return _out_of_type(link, args)
        several = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'", str(link))
        if several:
            return f"{several[1]}: several values are not allowed, expected one, or --multirun to sweep over them"
    return one_line(error)


def _out_of_type(error: OmegaConfBaseException, args: list[str]) -> str:
    """Hydra names the type only; the parameters' own checks know the bounds."""
    key, message = error.full_key, str(error.msg).splitlines()[0]
    quoted = re.search(r"[Vv]alue '(.*?)'", message)
    given = next((arg.partition("=")[2] for arg in args if arg.lstrip("+").startswith(f"{key}=")), None)
    value = quoted[1] if quoted else given
    group, _, name = key.partition(".") if "." in key else ("", "", key)
    name, *nested = re.split(r"[.\[]", name)
    for kind in _kinds(group):
        hints, field = get_type_hints(kind), name
        if nested and is_dataclass(hints.get(name)):
            hints, field, kind = get_type_hints(hints[name]), nested[0], hints[name]
        if field not in hints:
            continue
        values = {field: value} | ({"experiment": "x"} if "experiment" in hints else {})
        try:
            kind(**values)
        except FieldError as refusal:
            return one_line(refusal.inside(group) if group else refusal)
        except ValueError as refusal:
            return f"{group and group + '.'}{one_line(refusal)}"
        except (TypeError, AttributeError):
            pass
        return f"{key}: {value!r} is not allowed, expected {KINDS.get(hints[field], 'another type')}"
    return f"{key}: {message}"


def _kinds(group: str) -> list[type]:
    """The classes that a key of a group, or of the top, may belong to."""
    if group == "env":
        return [params_of(environment) for environment in environments().values()]
    return list(options(group).values() if group in GROUPS else COMMANDS.values() if not group else ())
