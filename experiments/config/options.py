"""The options of the configuration's groups by name, and how Hydra learns of them: from the registries and dataclasses.

A YAML of `conf/` or of a plug-in's configs stands before the option that is made here by the same name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from importlib import resources
from itertools import chain
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf

from ...agents.core.learners import LEARNERS
from ...envs.registry import entries, entry_of, environments, params_of
from ...forecasting import FORECASTERS
from ...plugins import declared, plugins
from ..fitting import models
from ..fitting.datasets import DATASETS
from ..tasks.data import data_options
from . import plain, schemas

COMMANDS = {
    "train": schemas.TrainParams,
    "tune": schemas.TuneParams,
    "mcp": schemas.McpParams,
    "backtest": schemas.BacktestParams,
    "explain": schemas.ExplainParams,
    "fit": schemas.FitParams,
    "benchmark": schemas.BenchmarkParams,
    "evaluate": schemas.EvaluateParams,
    "dataset": schemas.DatasetParams,
    "report": schemas.ReportParams,
    "watch": schemas.WatchParams,
}
GROUPS = ("task", "data", "env", "forecaster", "agent", "evaluation", "dataset", "model", "suite", "tune")
OF_FIT = ("dataset", "model")  # groups of the command `fit` alone
MADE = ("data", "env", "forecaster", *OF_FIT)  # groups whose options need no YAML: their schema has all values
HEAVY = {"agent": LEARNERS, "forecaster": FORECASTERS, "model": models.MODELS}  # whose classes may load torch


class _Schemas(Mapping[str, type]):
    """Option -> schema of a group whose options are dear to import: each is imported when it is first asked for."""

    def __init__(self, names: Iterable[str], schema_of: Callable[[str], type]):
        self._names, self._schema_of = tuple(names), schema_of
        self.loaded: dict[str, type] = {}

    def __getitem__(self, name: str) -> type:
        if name not in self._names:
            raise KeyError(name)
        if name not in self.loaded:
            self.loaded[name] = self._schema_of(name)
        return self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Later(ConfigNode):
    """A schema in Hydra's store that is imported when a config takes it; `node` begins as its group and option."""

    @property
    def node(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The schema as a config."""
        if isinstance(self._node, tuple):
            group, name = self._node
            self._node = OmegaConf.structured(options(group)[name])
        return self._node

    @node.setter
    def node(self, node: Any) -> None:
        self._node = node


def _store(folder: str, name: str, group: str) -> None:
    """Put an option of a group that is dear to import into Hydra's store, in a folder of it."""
    store = ConfigStore.instance()
    store.store(group=folder, name=name, node={})
    found = store.repo
    for part in folder.split("/"):
        found = found[part]
    found[f"{name}.yaml"] = _Later(f"{name}.yaml", (group, name), folder, None, None)  # pyright: ignore[reportArgumentType]


@cache
def options(group: str) -> Mapping[str, type]:
    """Return option -> schema of a group."""
    of = {
        "task": lambda: {"task": schemas.TaskParams},
        "data": data_options,
        "env": lambda: {name: _changes(params_of(of), name) for name, of in environments().items()},
        "forecaster": lambda: _Schemas(FORECASTERS, FORECASTERS.params_class),
        "agent": lambda: _Schemas(("heuristics", *LEARNERS), _agent),
        "evaluation": lambda: {"evaluation": schemas.EvaluationParams},
        "dataset": lambda: DATASETS,
        "model": lambda: _Schemas(models.MODELS, models.schema),
        "suite": lambda: {"suite": schemas.SuiteParams},
        "tune": lambda: {"study": schemas.StudyParams},
    }
    return of[group]()


def _agent(name: str) -> type:
    return schemas.HeuristicsParams if name == "heuristics" else LEARNERS[name].Params


def option_of(group: str, value) -> str | None:
    """Return the name of the option that a value is of; None for no value."""
    return None if value is None else option_named(group, type(value))


def option_named(group: str, kind: type | None) -> str | None:
    """Return the name of the option whose schema a class is; None where none is."""
    known = options(group)
    loaded = known.loaded if isinstance(known, _Schemas) else {}  # what a value is of is among them, as a rule
    return next((name for name, schema in chain([*loaded.items()], known.items()) if schema is kind), None)


_known = False  # whether Hydra knows the options


def register_once() -> None:
    """Put the options of all commands but `fit` into Hydra's ConfigStore, unless some are there already."""
    if not _known:
        register()


def register(light: bool = False, command: str = "train") -> None:
    """Put all options into Hydra's ConfigStore. With `light` (help, completion) those that may load torch stay open."""
    global _known
    _known = True
    plain.install()
    Plugins.instance().register(PluginConfigs)
    store = ConfigStore.instance()
    for name, schema in COMMANDS.items():
        store.store(group="schema", name=name, node=schema)
    for group in GROUPS:
        if group in OF_FIT and command != "fit":
            continue
        known = _open(group) if light and group in HEAVY else options(group)
        made = declared("learners") if group == "agent" else known if group in MADE else ()
        places = [("schema", name) for name in known] + [(group, name) for name in set(made) - _written(group)]
        for folder, name in places:
            if isinstance(known, _Schemas):
                _store(folder, name, group)
            else:
                store.store(group=folder, name=name, node=known[name])
    for name in entries().keys() - _written("task"):
        store.store(group="task", name=name, node=_task(name), package="_global_")


def _open(group: str) -> dict[str, dict]:
    """Return the options of a group with schemas that take any key."""
    return {name: {} for name in (*(["heuristics"] if group == "agent" else []), *HEAVY[group])}


def _written(group: str) -> set[str]:
    """Return the options of a group that ours or a plug-in's YAML files make."""
    packages = ["storelab.conf", *(plugin.config for plugin in plugins().values() if plugin.config)]
    folders = [resources.files(package) / group for package in packages]
    return {file.name.removesuffix(".yaml") for folder in folders if folder.is_dir() for file in folder.iterdir()}


class PluginConfigs(SearchPathPlugin):
    """Adds the plug-ins' YAML files: they stand behind ours."""

    def manipulate_search_path(self, search_path) -> None:
        """Append the configs of each plug-in that has some."""
        for name, plugin in plugins().items():
            if plugin.config:
                search_path.append(name, f"pkg://{plugin.config}")


def _task(name: str) -> dict:
    """Return the config of a task: its environment, and the data, agent and forecaster that it is made for."""
    entry = entry_of(name)
    chosen = {"env": entry.environment}
    if entry.data and not entry.optional_data:
        chosen["data"] = entry.data[0]
    if agent := entry.agent or environments()[entry.environment].agent:
        chosen["agent"] = agent
    if entry.forecaster:
        chosen["forecaster"] = entry.forecaster
    overrides = [{f"override /{group}": option} for group, option in chosen.items()]
    return {"defaults": ["/schema/task@task", *overrides, "_self_"], "task": {"name": name}}


@cache  # one schema of a class, by which a chosen option is known
def _changes(cls: type, name: str) -> type:
    """Return a schema with a dataclass's names and types but no values: what is not set stays as the task has it."""
    kinds = get_type_hints(cls)

    def column(f):
        if is_dataclass(kinds[f.name]):
            nested = _changes(kinds[f.name], f.name)
            return f.name, nested, field(default_factory=nested)
        return f.name, kinds[f.name], field(default=MISSING)

    return make_dataclass(name, [column(f) for f in fields(cls)])


def keys(command: str = "train") -> list[str]:
    """Return all keys of a command, with their dots."""

    def walk(prefix: str, kind: type):
        hints = get_type_hints(kind)
        for f in fields(kind):
            yield f"{prefix}{f.name}"
            if is_dataclass(hints[f.name]):
                yield from walk(f"{prefix}{f.name}.", hints[f.name])

    top = COMMANDS.get(command, schemas.TrainParams)  # demo has train's
    names = [*walk("", top)]
    for group in GROUPS:
        if group in names:
            names += [key for kind in options(group).values() for key in walk(f"{group}.", kind)]
    return list(dict.fromkeys(names))
