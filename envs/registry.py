"""The one list of environments and tasks: what folders here declare, what layers above add, what plug-ins bring.

A folder of `envs` with an `ENVIRONMENT` in its `__init__.py` is an environment. Nothing else lists them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import FieldError
from ..plugins import Environment, TaskEntry, declared, load
from .core.contract import RENDERING

_above: dict[str, TaskEntry] = {}  # tasks that the layers above have added


@cache
def environments() -> dict[str, Environment]:
    """Return the environments by name: storelab's, then the plug-ins'.

    Raises:
        FieldError: a plug-in's environment with a name that is taken.
    """
    ours = {}
    for init in sorted(Path(__file__).parent.glob("*/__init__.py")):
        declaration = getattr(import_module(f".{init.parent.name}", __package__), "ENVIRONMENT", None)
        if declaration is not None:
            ours[declaration.name] = declaration
    return _joined("environments", ours, declared("environments"))


@cache
def entries() -> dict[str, TaskEntry]:
    """Return the declarations of all tasks by name, each with its environment and an absolute factory.

    Raises:
        FieldError: a task whose name is taken, or whose environment there is none of.
    """
    tasks: dict[str, TaskEntry] = {}
    for environment in environments().values():
        own = {name: _absolute(entry, environment) for name, entry in environment.tasks.items()}
        tasks = _joined("tasks", tasks, own)
    tasks = _joined("tasks", _joined("tasks", tasks, _above), declared("tasks"))
    for name, entry in tasks.items():
        if entry.environment not in environments():
            raise FieldError(f"tasks.{name}.environment", entry.environment, f"one of {', '.join(environments())}")
    return tasks


def add_tasks(tasks: Mapping[str, TaskEntry]) -> None:
    """Add the tasks that a layer above `envs` declares: stores, whose demand comes from data and forecasts."""
    _above.update(tasks)
    entries.cache_clear()


def entry_of(task: str) -> TaskEntry:
    """Return the declaration of a task; raises FieldError for an unknown name."""
    if task not in entries():
        near = get_close_matches(str(task), entries(), n=1)
        raise FieldError(
            "task", task, f"one of {', '.join(entries())}" + (f"; did you mean {near[0]}?" if near else "")
        )
    return entries()[task]


def environment_of(model) -> Environment:
    """Return the declaration of a model's environment; raises FieldError for a model that none declares."""
    for kind in type(model).__mro__:  # the class's own environment comes before that of a base class
        for environment in environments().values():
            if environment.model.partition(":")[2] == kind.__name__ and model_of(environment) is kind:
                return environment
    raise FieldError("model", type(model).__name__, f"a model of one of {', '.join(environments())}")


def model_of(environment: Environment) -> Any:
    """Return the class of an environment's model."""
    return load(environment.model, environment.package)


def params_of(environment: Environment) -> Any:
    """Return the dataclass of an environment's parameters."""
    return load(environment.params, environment.package)


class _Tasks(Mapping[str, Callable[..., Any]]):
    """Name -> factory, `factory(**changes) -> Task`, which is imported when it is asked for."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return load(entries()[name].factory)

    def __iter__(self) -> Iterator[str]:
        return iter(entries())

    def __len__(self) -> int:
        return len(entries())


TASKS = _Tasks()


def make_env(
    task="Inventory",
    source=None,
    split: str = "train",
    render_mode: str | None = None,
    kernel: str = "auto",
    **changes,
):
    """Make a `gymnasium.Env` (`StoreEnv`).

    Args:
        task: a name of `TASKS` or a `Task`.
        source: a `DemandSource` instead of the task's own.
        split: which demand of the task, `train` or `test`.
        render_mode: None, `rgb_array`, `human` or `ansi`.
        kernel: what steps it, bit for bit the same: `numpy`, `numba` (in the extra `dispatch`) or `auto`: numba once it
            was stepped 1,000 times, where that is installed.
        changes: parameters that differ from the task's (see `InventoryParams` and the like).

    Raises:
        UnknownKeyword: an unknown parameter; it is both a TypeError and a ValueError.
        FieldError: an unknown task, or a value out of its bounds.
    """
    from .core.adapters import StoreEnv

    return StoreEnv(_model(task, source, split, changes), render_mode, kernel)


vars(make_env)["metadata"] = RENDERING  # where `gymnasium.make` looks for render modes, to offer lists of them too


def make_vector_env(
    task="Inventory",
    num_envs: int = 1,
    source=None,
    split: str = "train",
    render_mode: str | None = None,
    autoreset_mode="NextStep",
    max_episode_steps: int | None = None,
    kernel: str = "auto",
    **changes,
):
    """Make a `gymnasium.vector.VectorEnv`; arguments as in `make_env` and of `StoreVectorEnv`."""
    from .core.vector import StoreVectorEnv

    model = _model(task, source, split, changes)
    return StoreVectorEnv(model, num_envs, render_mode, autoreset_mode, max_episode_steps, kernel)


def make_parallel_env(task="Marketplace", source=None, split: str = "train", **changes):
    """Make a `pettingzoo.ParallelEnv` of a task whose environment has several agents; arguments as in `make_env`.

    Raises:
        FieldError: as in `make_env`, or a task with a single agent.
    """
    model = _model(task, source, split, changes)
    environment = environment_of(model)
    if not environment.parallel:
        several = [name for name, entry in entries().items() if environments()[entry.environment].parallel]
        raise FieldError("task", task, f"one of {', '.join(several)}", "for several agents")
    return load(environment.parallel, environment.package)(model)


def _model(task, source, split: str, changes: dict):
    if isinstance(task, str):
        entry_of(task)
        task = TASKS[task](**changes)
    elif changes:
        name, value = next(iter(changes.items()))
        raise FieldError(name, value, "it in the task's parameters", "beside a Task")
    return task.model(split) if source is None else task.environment(task.params, source)


def _absolute(entry: TaskEntry, environment: Environment) -> TaskEntry:
    return replace(entry, factory=f"{environment.package}.{entry.factory}", environment=environment.name)


def _joined(part: str, first: dict, second: Mapping) -> dict:
    for name in second:
        if name in first:
            raise FieldError(part, name, "a name that is not taken")
    return {**first, **second}
