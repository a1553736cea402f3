"""The store's models by the names that `storelab fit model=NAME` takes, and the schemas of their parameters."""

from dataclasses import MISSING, field, fields, make_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

from .. import language
from ..language.stack import CLASSIFIERS
from ..recommendation import RATING_MODELS, RECOMMENDERS

FRAUD_MODELS = {"fraud_trees": ("tabular", "Trees"), "fraud_sequence": ("sequence", "SequenceModel")}
MODELS = {  # name -> (folder, module, class)
    name: (folder, *place)
    for folder, kinds in (
        ("language", CLASSIFIERS),
        ("recommendation", RECOMMENDERS | RATING_MODELS),
        ("risk", FRAUD_MODELS),
    )
    for name, place in kinds.items()
}
GIVEN = ("seed", "checkpoints", "tensorboard")  # by the run: its seed, its folder


def model_class(name: str) -> type:
    """The class of a model; its parameters are its `Params`."""
    folder, module, attribute = MODELS[name]
    return getattr(import_module(f"..{folder}.{module}", __package__), attribute)


@cache  # one schema of a name, by which a chosen option is told
def schema(name: str) -> type:
    """The parameters of a model, less those that are given by the run; its values are checked as they are there."""
    params = model_class(name).Params
    hints = get_type_hints(params)

    def column(f):
        given = f.default_factory is not MISSING
        return f.name, hints[f.name], field(default_factory=f.default_factory) if given else field(default=f.default)

    check = {"__post_init__": lambda self: params(**vars(self)) and None}
    return make_dataclass(params.__name__, [column(f) for f in fields(params) if f.name not in GIVEN], namespace=check)


def params_of(name: str, values: dict, seed: int, folder: str):
    """The parameters of a model, with what the run gives: seed, and the run's folder for checkpoints and curves."""
    params = model_class(name).Params
    given = {"seed": seed, "checkpoints": f"{folder}/checkpoints", "tensorboard": f"{folder}/tensorboard"}
    known = {f.name for f in fields(params)}
    return params(**values, **{name: value for name, value in given.items() if name in known})


def load(name: str, folder: str | Path):
    """The model saved in a folder. Raises ValueError when it is damaged or another one."""
    if MODELS[name][0] == "language":
        return language.load(folder)
    return model_class(name).load(folder)
