"""A named problem: parameters, demand to train on and to be judged on, and a reference to measure against."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

import numpy as np

from ...errors import FieldError, UnknownKeyword
from .contract import Model, Reference
from .demand import DemandSource

M = TypeVar("M", bound=Model)
SPLITS = {  # split -> whose demand it has: that of the first that is there
    "train": ("train",),
    "learn": ("learn", "train"),
    "randomised": ("randomised", "learn", "train"),
    "validation": ("validation", "train"),
    "test": ("test",),
}


@dataclass
class Task(Generic[M]):
    """A problem with its parameters, its demand for training and for testing, and its reference."""

    name: str
    params: Any  # of the environment: `InventoryParams` for `Inventory`
    environment: Callable[..., M]  # the model's class
    reference: Callable[[], Reference] | None = None  # solved when asked for: it may take seconds
    train: DemandSource | None = None  # what heuristics are tuned on; None: `params.demand`
    learn: DemandSource | None = None  # what learners learn on: days of `train`; None: as `train`
    randomised: DemandSource | None = None  # the same, made anew; None: as `learn`
    validation: DemandSource | None = None  # what is chosen on, of what was learnt: other days of `train`; None: as it
    test: DemandSource | None = None  # held out; None: `params.demand` on other seeds
    demand: str = "observed"  # observed: forecasts see true demand, also what was not served | censored
    warmup: int = 0  # periods at the start that an average per period leaves out
    uncharged: int = 0  # periods at the start that the value of a season leaves out, as they are the same for all
    hindsight: Callable[[Any, dict], np.ndarray] | None = None  # bound (n,), money per episode
    notes: tuple[str, ...] = ()  # what was assumed of the data, a line each; commands and reports say it

    @property
    def objective(self) -> str:
        """Return `profit` where there is revenue, else `cost`: what the tables report, in money."""
        sources = (self.train, self.test)
        earns = self.params.earns or any("price" in source.known for source in sources if source)
        return "profit" if earns else "cost"

    @property
    def unit(self) -> str:
        """Return the unit of the tables' values."""
        what = getattr(self.params, "measure", "money")
        return f"{what} per period" if self.params.continuing else f"{what} per episode"

    def model(self, split: str = "train", **kwargs) -> M:
        """Return the model on the demand of a split: one of `SPLITS`.

        Raises:
            FieldError: another split.
        """
        if split not in SPLITS:
            raise FieldError("split", split, f"one of {', '.join(SPLITS)}")
        sources = [getattr(self, name) for name in SPLITS[split]]
        return self.environment(self.params, next((s for s in sources if s is not None), None), **kwargs)


def override(params, changes: dict):
    """Return new parameters with some of them changed (a group of them, such as `demand`, by a dict of its own fields).

    Raises:
        UnknownKeyword: an unknown name.
        FieldError: an unknown name in a group, or a value out of its bounds.
    """
    return type(params)(**_merged(params, changes))


def _merged(params, changes: dict, prefix: str = "") -> dict:
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    for name, change in changes.items():
        if name not in values:
            near = get_close_matches(name, values, n=1)
            expected = f"one of {', '.join(values)}" + (f"; did you mean {near[0]}?" if near else "")
            raise (FieldError if prefix else UnknownKeyword)(f"{prefix}{name}", change, expected)
        if is_dataclass(values[name]) and isinstance(change, dict):
            change = type(values[name])(**_merged(values[name], change, f"{prefix}{name}."))
        elif isinstance(values[name], dict) and isinstance(change, dict):  # parts by name, such as a network's nodes
            parts = {key: value for key, value in values[name].items() if is_dataclass(value)}
            change = values[name] | {
                key: type(parts[key])(**_merged(parts[key], part, f"{prefix}{name}.{key}."))
                if key in parts and isinstance(part, dict)
                else part
                for key, part in change.items()
            }
        values[name] = change
    return values
