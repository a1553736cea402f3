"""storelab: an e-commerce store to experiment on.

`import storelab` registers the environments with Gymnasium (and with PettingZoo, where it is installed) and loads no
learning library. A subpackage loads when it is named: `storelab.envs.Inventory` needs no further import.
"""

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from gymnasium import register

from . import plugins
from .errors import FieldError

if TYPE_CHECKING:  # what `__getattr__` gives, for editors
    from . import (
        agents,
        customers,
        data,
        envs,
        evaluation,
        experiments,
        forecasting,
        language,
        learning,
        recommendation,
        risk,
    )

__all__ = [
    "agents",
    "customers",
    "data",
    "envs",
    "evaluation",
    "experiments",
    "forecasting",
    "language",
    "learning",
    "recommendation",
    "risk",
]
__version__ = "0.1.0"
__path__[:] = map(os.path.realpath, __path__)  # a checkout's modules have their own paths, not those of src/storelab


def __getattr__(name: str):
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _entries() -> dict[str, plugins.TaskEntry]:
    from .envs import registry
    from .experiments.tasks import STORES

    registry.add_tasks(STORES)
    return registry.entries()


def _register() -> None:
    try:
        entries = _entries()
    except FieldError as error:
        plugins.block(error)
        warnings.warn(f"no plug-in of storelab is loaded: {error}", stacklevel=3)
        entries = _entries()
    for name, entry in entries.items():
        register(
            id=entry.gym_id(name),
            entry_point="storelab.envs.registry:make_env",
            vector_entry_point="storelab.envs.registry:make_vector_env",
            kwargs={"task": name},
            order_enforce=False,  # the environments check order and actions themselves: no wrapper need slow them
            disable_env_checker=True,
        )
    _register_parallel(entries)


def _register_parallel(entries: dict[str, plugins.TaskEntry]) -> None:
    """Register what has several agents with PettingZoo, where it is installed and has a registry (1.27 does)."""
    try:
        import pettingzoo
    except ImportError:
        return
    from .envs.registry import environments

    for name, entry in entries.items() if hasattr(pettingzoo, "register") else ():
        if environments()[entry.environment].parallel:
            pettingzoo.register(
                "parallel",
                entry.gym_id(name),
                "storelab.envs.registry:make_parallel_env",
                kwargs={"task": name},
            )


_register()
