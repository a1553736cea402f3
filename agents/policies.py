"""Policies of a user's own, of every kind, as `act(observation, policy_state, seed) -> (action, policy_state)`.

`as_policies` takes whatever it is; the other functions make a policy of one kind. `agents.sb3.load_archive` does so for
an archive of Stable-Baselines3. `evaluation.evaluate` says by name which policy returned what it should not.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..envs.core.contract import Policy, Rule
from ..envs.core.seeds import purpose_seeds
from ..envs.core.task import Task
from ..errors import FieldError
from ..reading import read_tensors
from .core.rules import DeclaredRules

HANDED: dict[str, Callable[[Task], Any]] = {  # arguments of a class or a maker of policies that are filled in, by name
    "task": lambda task: task,
    "model": lambda task: task.model("train"),
    "observation_space": lambda task: task.model("train").observation_space,
    "action_space": lambda task: task.model("train").action_space,
}
STATE, SEED = ("policy_state", "state"), "seed"  # names that the contract's last two arguments have


def batched(function: Callable) -> Policy:
    """Return a policy from a function of a batch: observations (n, F) -> actions (n, A), or (n,) if A is 1."""

    def act(observation, policy_state, seed: int):
        return function(observation), policy_state

    return act


def scalar(function: Callable) -> Policy:
    """Return a policy from a function of one observation (F,) -> a number or (A,), called row by row."""

    def act(observation, policy_state, seed: int):
        actions = [function(row) for row in observation]
        for action in actions:
            if np.asarray(action).dtype.kind not in "biuf":
                return action, policy_state  # for `evaluate` to name it
        return np.array(actions), policy_state

    return act


def torch_policy(module, weights: str | Path | None = None) -> Policy:
    """Return a policy from a torch module: observations (n, F) -> actions (n, A), without gradients.

    Args:
        module: a `torch.nn.Module`; it is set to evaluation mode.
        weights: a safetensors file with its `state_dict`. None keeps its present weights.

    Raises:
        FieldError: weights in another format, of another module, or damaged.
    """
    import torch

    if weights is not None:
        _load_weights(module, Path(weights))
    module.eval()
    first = next(module.parameters(), None)
    form = {} if first is None else {"dtype": first.dtype, "device": first.device}

    def act(observation, policy_state, seed: int):
        with torch.no_grad():
            actions = module(torch.as_tensor(observation, **form))
        return actions.to("cpu", torch.float64).numpy() if torch.is_tensor(actions) else actions, policy_state

    return act


def _load_weights(module, path: Path) -> None:
    if path.suffix != ".safetensors":
        raise FieldError("weights", str(path), "a file of safetensors", "as torch's own files can run code")
    try:
        module.load_state_dict(read_tensors(path))
    except (OSError, ValueError) as error:
        raise FieldError("weights", str(path), "a file of safetensors", f"({error})") from error
    except RuntimeError as error:  # torch lists what is missing, unexpected or of another shape
        said = " ".join(str(error).split())
        raise FieldError("weights", str(path), f"those of {type(module).__name__}", f"({said})") from error


def as_policies(
    given: Any, task: Task, name: str = "own", one_by_one: bool = False, weights: str | Path | None = None
) -> dict[str, Policy]:
    """Return a user's own policy, or several, by name.

    Args:
        given: one of these, or a class or function that makes one of them; of the latter the arguments `task`,
            `model`, `observation_space` and `action_space` are filled in by name. A function of a batch (`batched`). A
            function `act(observation, policy_state, seed)`. A `Rule`, several by name, or an object with `Rules`; they
            are tuned on training scenarios as storelab's are. A torch module. An object with `predict`, as
            Stable-Baselines3's algorithms have it, or with `act`.
        task: the task on which the policy acts.
        name: of the policy.
        one_by_one: the function takes a single observation (`scalar`).
        weights: file with the weights of a torch module.

    Returns:
        One policy by `name`; several rules by their own names.

    Raises:
        FieldError: anything else, or a class with other arguments.
    """
    field = f"policy {name}"
    given = _made(given, task, field)
    if weights is not None and not _is_module(given):
        raise FieldError("weights", str(weights), "none: they are for a torch module", f"with {field}")
    if _is_module(given):
        policy: Policy = torch_policy(given, weights)
    elif isinstance(given, Rule) or _are_rules(given):
        return _tuned({name: given} if isinstance(given, Rule) else given, task, field)
    elif one_by_one:
        if _arguments(given, field) != 1:
            raise FieldError(field, given, "a function of one observation", "one by one")
        policy = scalar(given)
    else:
        policy = _function(given, field)
    return {name: policy}


def _made(given: Any, task: Task, field: str) -> Any:
    """Return what a class or a function that makes policies makes; all else as it is."""
    if not callable(given):
        return given
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):  # of C
        return given
    wanted = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if not isinstance(given, type) and not (wanted and set(wanted) <= set(HANDED)):
        return given
    if not set(wanted) <= set(HANDED):
        expected = f"no arguments, or some of {', '.join(HANDED)}"
        raise FieldError(field, given, expected, f"with the arguments {', '.join(wanted)}")
    named = [p.name for p in parameters if p.name in HANDED]
    return given(**{key: HANDED[key](task) for key in named})


def _is_module(given) -> bool:
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(given).__mro__}
    return "torch.nn.modules.module.Module" in kinds  # by name, as torch need not be installed


def _are_rules(given) -> bool:
    if isinstance(given, Mapping):
        return bool(given) and all(isinstance(rule, Rule) for rule in given.values())
    return all(hasattr(given, part) for part in ("HEURISTICS", "available", "tune"))


def _tuned(given: Any, task: Task, field: str) -> dict[str, Policy]:
    rules = DeclaredRules(given) if isinstance(given, Mapping) else given
    kinds = rules.available(task.model("train"))
    if not kinds:
        raise FieldError(field, list(rules.HEURISTICS), "one that fits the task's model")
    return {kind: rules.tune(kind, task, purpose_seeds("tuning", 64)) for kind in kinds}


def _function(given: Any, field: str) -> Policy:
    """Return the policy of something that is called, by the arguments that it takes."""
    called = cast(Any, given if callable(given) else getattr(given, "act", None))
    predict: Any = getattr(given, "predict", None)
    if called is not None:
        return called if _arguments(called, field) == 3 else batched(called)
    if predict is not None:
        return lambda observation, policy_state, seed: predict(observation, policy_state, deterministic=True)
    raise FieldError(field, given, "a function, a class, a Rule, a torch module or an object with act or predict")


def _arguments(given: Any, field: str) -> int:
    """Return how many arguments a function is called with: 1, the observation, or the contract's 3."""
    try:
        parameters = list(inspect.signature(given).parameters.values())
    except (TypeError, ValueError):  # of C
        return 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    keywords = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY and p.default is p.empty]
    several = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    contract = len(positional) >= 3 and positional[1].name in STATE and positional[2].name == SEED
    if not keywords and len(wanted) <= 3 and (contract or len(wanted) == 3 or (several and len(positional) != 1)):
        return 3
    if not keywords and len(positional) >= 1 and len(wanted) <= 1:
        return 1
    expected = "a function of (observation), or of (observation, policy_state, seed)"
    raise FieldError(field, given, expected, f"with the arguments {', '.join(wanted) or 'none'}")
