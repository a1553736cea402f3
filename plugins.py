"""What is declared: environments, tasks and what belongs to them, by storelab's own folders and by other packages.

A package of somebody else's declares a `Plugin` and names it in its pyproject.toml:

    [project.entry-points."storelab"]
    lemonade = "lemonade.plugin:PLUGIN"

Declarations are light: "module:attribute" is imported when it is used. A leaf: imports nothing of ours but errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import FieldError

GROUP = "storelab"  # of entry points
blocked: FieldError | None = None  # why no plug-in is loaded, where one cannot be


@dataclass(frozen=True)
class TaskEntry:
    """A task by name: where its factory is, and what the tables say of it."""

    factory: str  # "module:function" that returns a `Task`; takes changes of parameters by keyword
    problem: str  # a line
    reference: str = "none"  # what its results are measured against
    environment: str = ""  # the environment's name, where the task is declared apart from it
    data: tuple[str, ...] = ()  # options of the command line's group `data` that it takes; (): none
    optional_data: bool = False  # whether it also goes without
    panel: bool = False  # whether it takes any option's panel, in place of the options' parameters
    agent: str = ""  # option of the group `agent` that the command line trains; "": the environment's
    forecaster: str = ""  # option of the group `forecaster`; "": the command's
    version: str = "v0"  # of its id in Gymnasium; after v0, also the end of its name: "OnlineRetail-v1"

    def gym_id(self, name: str) -> str:
        """Return the id in Gymnasium of the task with this name."""
        return f"storelab/{name.removesuffix(f'-{self.version}')}-{self.version}"


@dataclass(frozen=True)
class Environment:
    """An environment: its model, parameters and tasks. Names without a package are looked for in `package`."""

    name: str  # as in `env=NAME`
    package: str  # of the folder that declares it: `__name__`
    model: str  # "module:class", a `Model`
    params: str  # "module:class", a dataclass
    tasks: Mapping[str, TaskEntry]
    picture: str  # the task whose picture its page shows
    rules: str = ""  # "module:RULES", heuristics as data (name -> `Rule`), or a module of `Rules`; "": none of its own
    agent: str = ""  # option of the command line's group `agent` that is trained on its tasks; "": ppo
    parallel: str = ""  # "module:class", a `StoreParallel` of the model: several learners in it; "": none
    route: str = ""  # of the HTTP API that its policies answer on; "": its name
    exports: tuple[str, ...] = ()  # "module:name" of what `storelab.envs` has of it beside model and parameters


@dataclass(frozen=True)
class Plugin:
    """What a package adds to storelab. Each part may be empty; "module:attribute" is absolute here."""

    environments: tuple[Environment, ...] = ()
    tasks: Mapping[str, TaskEntry] = field(default_factory=dict)  # of environments that there are already
    rules: Mapping[str, str] = field(default_factory=dict)  # environment -> "module:RULES": further heuristics for it
    learners: Mapping[str, str] = field(default_factory=dict)  # option of `agent` -> module with Params, Learner, ...
    forecasters: Mapping[str, str] = field(default_factory=dict)  # option of `forecaster` -> "module:class"
    data: Mapping[str, str] = field(default_factory=dict)  # option of `data` -> "module:class" with `panel`
    config: str = ""  # package with YAML files for Hydra, such as "lemonade.conf"


@cache
def plugins() -> dict[str, Plugin]:
    """Return the plug-ins that are installed, by name; none once they are blocked.

    Raises:
        FieldError: an entry point that cannot be imported, or is no `Plugin`.
    """
    loaded: dict[str, Plugin] = {}
    if blocked is not None:
        return loaded
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            plugin = point.load()
        except (ImportError, AttributeError) as error:
            raise FieldError(f"entry point {point.name}", point.value, f"an importable Plugin: {error}") from error
        if not isinstance(plugin, Plugin):
            raise FieldError(f"entry point {point.name}", point.value, "a storelab.plugins.Plugin")
        loaded[point.name] = plugin
    return loaded


def block(error: FieldError) -> None:
    """Go on without any plug-in, as one of them cannot be loaded: `import storelab` warns, commands refuse."""
    global blocked
    blocked = error
    plugins.cache_clear()


def declared(part: str) -> dict[str, Any]:
    """Return a part of all plug-ins in one mapping; raises FieldError for a name that two of them declare."""
    merged = {}
    for name, plugin in plugins().items():
        entries = getattr(plugin, part)
        entries = {entry.name: entry for entry in entries} if part == "environments" else entries
        for key, entry in entries.items():
            if key in merged:
                raise FieldError(f"plug-in {name}: {part}", key, "a name that no other plug-in has")
            merged[key] = entry
    return merged


def load(name: str, package: str = "") -> Any:
    """Return what "module:attribute" names; a module of a package where one is given. Without a colon, the module."""
    module, _, attribute = name.partition(":")
    loaded = import_module(f"{package}.{module}" if package else module)
    return getattr(loaded, attribute) if attribute else loaded


def folders() -> list[Path]:
    """Return the folders of the plug-ins' top packages: their code counts where results are told apart."""
    tops = {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group=GROUP)}
    specs = [find_spec(top) for top in sorted(tops)]
    return [Path(place) for spec in specs if spec for place in (spec.submodule_search_locations or [spec.origin])]


def packages() -> list[str]:
    """Return the names that the plug-ins' packages are installed by."""
    return sorted({point.dist.name for point in entry_points(group=GROUP) if point.dist})
