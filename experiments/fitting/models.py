"""The store's models by the names that `storelab fit model=NAME` takes, the schemas of their parameters, and what is
written beside a fraud model.
"""

import os
from collections import ChainMap
from dataclasses import MISSING, field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from ...customers import BEHAVIOUR_MODELS
from ...data.privacy import default_key, fingerprint
from ...language import CLASSIFIERS
from ...recommendation import RECOMMENDERS
from ...risk import FRAUD_MODELS

MODELS = ChainMap(CLASSIFIERS, RECOMMENDERS, FRAUD_MODELS, BEHAVIOUR_MODELS)  # the registries, as they are at any time
GIVEN = ("seed", "checkpoints", "tensorboard")  # by the run: its seed, its folder


def model_class(name: str) -> type:
    """The class of a model of `MODELS`; its parameters are its `Params`."""
    return next(registry for registry in MODELS.maps if name in registry).model_class(name)


@cache  # one schema of a name, by which a chosen option is known
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


def remember(model, data: dict[str, Any], own: bool, folder: Path) -> None:
    """Write what `storelab serve` goes on from beside a fraud model: what it remembers of all transactions of `data`,
    as the dataset loaded them, and of their known frauds.

    The ids of one's `own` table are pseudonyms, which no server can make again without
    STORELAB_KEY: nothing is written.
    """
    from ...risk import Scorer
    from ...risk.scoring import REMEMBERED

    if own and os.environ.get("STORELAB_KEY") is None:
        print("model: without STORELAB_KEY no history is kept for `storelab serve`: it would know no customer again")
        return
    told = {} if data["told"] is None else {"known_at": data["told"]}
    history = data["data"].transactions.assign(fraud=data["data"].labels["fraud"], **told)
    scorer = Scorer(model, history, REMEMBERED)
    scorer.stream.keyed = fingerprint(default_key()) if own else ""
    scorer.save_state(folder)
