"""The options of the configuration's groups by name, and how Hydra learns of them: from the registries and dataclasses.

A YAML of `conf/` or of a plug-in's configs stands before the option that is made here by the same name.
"""

from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from importlib import resources
from typing import get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING

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


@cache
def options(group: str) -> dict[str, type]:
    """Return option -> schema of a group."""
    of = {
        "task": lambda: {"task": schemas.TaskParams},
        "data": data_options,
        "env": lambda: {name: _changes(params_of(of), name) for name, of in environments().items()},
        "forecaster": lambda: {name: FORECASTERS.model_class(name).Params for name in FORECASTERS},
        "agent": lambda: {"heuristics": schemas.HeuristicsParams} | {k: LEARNERS[k].Params for k in LEARNERS},
        "evaluation": lambda: {"evaluation": schemas.EvaluationParams},
        "dataset": lambda: DATASETS,
        "model": lambda: {name: models.schema(name) for name in models.MODELS},
        "suite": lambda: {"suite": schemas.SuiteParams},
        "tune": lambda: {"study": schemas.StudyParams},
    }
    return of[group]()


def option_of(group: str, value) -> str | None:
    """Return the name of the option that a value is of; None for no value."""
    return next((name for name, schema in options(group).items() if schema is type(value)), None)


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
        for name, schema in known.items():
            store.store(group="schema", name=name, node=schema)
        made = declared("learners") if group == "agent" else known if group in MADE else ()
        for name in set(made) - _written(group):
            store.store(group=group, name=name, node=known[name])
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
