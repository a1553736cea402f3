"""Policies that Stable-Baselines3 or sb3-contrib learned outside of storelab, on its environments of Gymnasium.

Their archives and the statistics of VecNormalize are pickles, which can run code: they are opened only where the caller
trusts them.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.save_util import load_from_pkl, load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize

from ...envs.core.contract import Model, Policy
from ...errors import FieldError

TRUST = "trust=True (on the command line --trust), as it is a pickle and can run code"
# What only learning needs, and what pickles of other versions of Python cannot be read for.
UNUSED = {
    "learning_rate": 0.0,
    "lr_schedule": None,
    "clip_range": None,
    "clip_range_vf": None,
    "replay_buffer_class": None,
}


def load_archive(path: str | Path, model: Model, trust: bool = False, vecnormalize: str | Path | None = None) -> Policy:
    """Return the deterministic policy of an archive of any algorithm, recurrent and masked ones too.

    Args:
        path: what `algorithm.save` wrote, a `.zip`.
        model: that the policy is to act on; its spaces have to be those of the archive.
        trust: has to be True: reading an archive can run code that is in it.
        vecnormalize: the statistics of the observations, what `VecNormalize.save` wrote; they can run code too.

    Raises:
        FieldError: no trust, a file that is no archive, or an archive of other spaces.
    """
    if not trust:
        raise FieldError("trust", trust, TRUST, f"with {path}")
    try:
        data, parameters, _ = load_from_zip_file(str(path), device="cpu", custom_objects=UNUSED)
        data, parameters = dict(data or {}), dict(parameters)
        kind, keywords = data["policy_class"], dict(data["policy_kwargs"])
        if data.get("use_sde") and "use_sde" in inspect.signature(kind.__init__).parameters:
            keywords["use_sde"] = True
        policy = kind(data["observation_space"], data["action_space"], lambda left: 0.0, **keywords)
        policy.load_state_dict(parameters["policy"])
    except Exception as error:  # whatever a pickle of another version, or a file that is none, ends in
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise FieldError("archive", str(path), "an archive of Stable-Baselines3", f"({said})") from error
    return algorithm_policy(policy, model, None if vecnormalize is None else _statistics(vecnormalize))


def _statistics(path: str | Path) -> VecNormalize:
    try:
        statistics = load_from_pkl(str(path))
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise FieldError("vecnormalize", str(path), "what VecNormalize.save wrote", f"({said})") from error
    if not isinstance(statistics, VecNormalize):
        raise FieldError("vecnormalize", type(statistics).__name__, "what VecNormalize.save wrote", f"({path})")
    return statistics


def algorithm_policy(algorithm: Any, model: Model, statistics: VecNormalize | None = None) -> Policy:
    """Return the deterministic policy of an algorithm, or of its `policy`, that learned on a model's environment.

    Args:
        algorithm: of Stable-Baselines3 or sb3-contrib.
        model: that it is to act on.
        statistics: which its observations were normalised by.

    Raises:
        FieldError: another space than the model's.
    """
    seen, chosen = algorithm.observation_space, algorithm.action_space
    if seen.shape != model.observation_space.shape:
        expected = f"the task's, {_line(model.observation_space)}"
        raise FieldError("observation_space", _line(seen), expected, "as what the archive observes")
    if not _same(chosen, model.action_space):
        expected = f"the task's, {_line(model.action_space)} (where actions were rescaled, a function that does so)"
        raise FieldError("action_space", _line(chosen), expected, "as the archive's actions")
    running: Any = getattr(statistics, "obs_rms", None)
    if statistics is not None and statistics.norm_obs and np.shape(running.mean) != seen.shape:
        expected = f"those of observations {seen.shape}"
        raise FieldError("vecnormalize", np.shape(running.mean), expected, "as the shape of its statistics")
    masked = "action_masks" in inspect.signature(algorithm.predict).parameters and hasattr(model, "action_masks")

    def act(observation, policy_state, seed: int):
        rows = observation if statistics is None else statistics.normalize_obs(observation)
        masks = {"action_masks": model.action_masks(observation)} if masked else {}
        start = np.full(len(observation), policy_state is None)
        return algorithm.predict(rows, policy_state, start, deterministic=True, **masks)

    return act


def _same(archive: spaces.Space, task: spaces.Space) -> bool:
    """Whether two action spaces are one: a single whole number may be Discrete or MultiDiscrete."""
    if isinstance(archive, spaces.Box) and isinstance(task, spaces.Box):
        ends = ((archive.low, task.low), (archive.high, task.high))
        return archive.shape == task.shape and all(np.allclose(a, b) for a, b in ends)
    return _choices(archive) == _choices(task) is not None


def _choices(space: spaces.Space) -> list[int] | None:
    if isinstance(space, spaces.Discrete):
        return [int(space.n)] if space.start == 0 else None
    return space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else None


def _line(space: spaces.Space) -> str:
    return " ".join(str(space).split())
