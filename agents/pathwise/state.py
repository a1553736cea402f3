"""A pathwise learner's whole state as plain data: safetensors and JSON, no pickle."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from ...envs.core.batch import pack
from ...errors import FieldError
from ...reading import read_json, read_tensors
from ..core.checkpoints import check_arrays, check_finite, check_optimizer, check_plain, reading
from ..core.residual import plain
from ..core.start import check_begin, check_same

NETWORKS = ("network", "average", "best")
COUNTERS = ("steps", "waited", "astray", "restarts", "scale")
PROFITS = ("begun", "top")  # on the held-out scenarios


def save(learner, folder: Path) -> None:
    """Write the state of a `PathwiseLearner` into an existing folder: *.safetensors, *.json."""
    save_file(_plain(learner.best.state_dict()), folder / "policy.safetensors")
    save_file(_plain(_tensors(learner)), folder / "learner.safetensors")
    counters = {name: getattr(learner, name) for name in (*COUNTERS, "seed")}
    (folder / "learner.json").write_text(json.dumps(counters, indent=1))
    policy = {"params": asdict(learner.params), "rule": plain(learner.rule), **learner.actor.sizes}
    (folder / "policy.json").write_text(json.dumps(policy, indent=1))


def load(learner, folder: Path) -> None:
    """Set a `PathwiseLearner` to what `save` wrote.

    Raises:
        FieldError: a checkpoint of other parameters, of another seed or of another shape.
    """
    with reading(folder):
        _load(learner, folder)


def _load(learner, folder: Path) -> None:
    saved, counters = _read(learner.actor, folder), read_json(folder / "learner.json")
    theirs = saved["params"] | {"seed": counters["seed"], "rule": saved.get("rule")}
    check_same(theirs, asdict(learner.params) | {"seed": learner.seed, "rule": plain(learner.rule)}, folder)
    tensors = read_tensors(folder / "learner.safetensors")
    for name in NETWORKS:
        part = _part(tensors, name)
        check_finite(part)
        getattr(learner, name).load_state_dict(part)
    entries: dict[int, dict] = {}
    for name, tensor in _part(tensors, "optimizer").items():
        i, key = name.split(".")
        entries.setdefault(int(i), {})[key] = tensor
    learner.optimizer.load_state_dict(learner.optimizer.state_dict() | {"state": entries})
    check_optimizer(learner.optimizer)
    learner.rng.set_state(tensors["rng"])
    _set_moments(learner, tensors)
    for name in PROFITS if counters["steps"] else ():
        check_arrays({name: tensors[name].numpy()}, {name: np.zeros(learner.params.held_out)})
        setattr(learner, name, tensors[name])
    state = {name: value.to(learner.device) for name, value in _part(tensors, "state").items()}
    template = learner.model.initial(learner.params.num_envs)
    own = pack(template)
    check_arrays(
        {name: value.cpu().numpy() for name, value in state.items()}, {k: np.asarray(v) for k, v in own.items()}
    )
    arrays = iter([state[name] for name in own])  # in the same order
    learner.state = mapped(template, lambda _: next(arrays))
    for name in COUNTERS:
        check_plain(name, counters[name], getattr(learner, name))
        setattr(learner, name, counters[name])


def begin(learner, folder: Path) -> None:
    """Give a `PathwiseLearner` a checkpoint's weights and normalisation, from which it learns on as from its own start.

    Raises:
        FieldError: a checkpoint of another learner, network or shape.
    """
    with reading(folder):
        check_begin(folder, asdict(learner.params), ("per_item", "net_arch"))
        load_weights(learner.actor, folder)
        _set_moments(learner, read_tensors(folder / "learner.safetensors"))


def params_of(folder: Path) -> dict:
    """Return the parameters of the learner that a checkpoint is of."""
    return read_json(folder / "policy.json")["params"]


def load_weights(actor, folder: Path) -> None:
    """Give an actor's network the weights of a checkpoint.

    Raises:
        FieldError: a checkpoint of another shape.
    """
    with reading(folder):
        _read(actor, folder)
        tensors = read_tensors(folder / "policy.safetensors")
        check_finite(tensors)
        actor.network.load_state_dict(tensors)


def mapped(state, change: Callable):
    """Return a state of a model with `change` done to each of its arrays."""

    def deep(value):
        if isinstance(value, tuple):
            return tuple(map(deep, value))
        return None if value is None else change(value)

    return type(state)(*(deep(getattr(state, f.name)) for f in fields(state)))


def _set_moments(learner, tensors: dict) -> None:
    check_arrays({"moments": tensors["moments"].numpy()}, {"moments": learner.moments.cpu().numpy()})
    learner.moments = tensors["moments"]


def _tensors(learner) -> dict:
    tensors = {"rng": learner.rng.get_state(), "moments": learner.moments}
    tensors |= {name: getattr(learner, name) for name in PROFITS if getattr(learner, name) is not None}
    for name in NETWORKS:
        tensors |= {f"{name}.{key}": value for key, value in getattr(learner, name).state_dict().items()}
    for i, entries in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{key}": value for key, value in entries.items()}
    return tensors | {f"state.{name}": value for name, value in pack(learner.state).items()}


def _read(actor, folder: Path) -> dict:
    saved = read_json(folder / "policy.json")
    for name, size in actor.sizes.items():
        if saved[name] != size:
            raise FieldError(name, f"{size} numbers", f"{saved[name]} as in {folder.name}")
    return saved


def _part(tensors: dict, prefix: str) -> dict:
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}


def _plain(tensors: dict) -> dict:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
