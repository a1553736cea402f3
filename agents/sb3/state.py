"""A Stable-Baselines3 learner's whole state as plain data: safetensors, npz and JSON, no pickle.

It holds all that the next update depends on: weights, optimisers, replay buffer, normalisation, environments and every
random generator.
"""

import json
import random
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors.torch import save_file
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from ...errors import FieldError
from ...reading import read_arrays, read_json, read_tensors
from ..core.start import check_begin, check_same

BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
ARRAYS = ("_last_obs", "_last_original_obs", "_last_episode_starts")
ALIKE = (  # parameters of which those of a checkpoint to begin with are the same
    *("algorithm", "per_item", "net_arch", "activation", "normalize_observation", "normalize_reward"),
)
COUNTERS = (
    *("num_timesteps", "_n_updates", "_episode_num", "_total_timesteps", "_current_progress_remaining"),
    *("_n_calls", "exploration_rate"),
)


def save(learner, folder: Path) -> None:
    """Write the state of an `SB3Learner` into an existing folder: policy.safetensors, *.npz, *.json."""
    model = learner.model
    tensors, groups = {}, {}
    for part, value in model.get_parameters().items():
        if "param_groups" in value:
            groups[part] = value["param_groups"]
            for index, entries in value["state"].items():
                tensors |= {f"{part}|{index}|{key}": torch.as_tensor(entry) for key, entry in entries.items()}
        else:
            tensors |= {f"{part}|{key}": entry for key, entry in value.items()}
    tensors |= {name: getattr(model, name) for name in _variables(model)}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    tensors["torch_rng"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"cuda_rng|{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    save_file(tensors, folder / "policy.safetensors")
    arrays: dict[str, Any] = {name: v for name in ARRAYS if isinstance(v := getattr(model, name, None), np.ndarray)}
    np.savez(folder / "environments.npz", **learner.envs.state_dict())
    np.savez(folder / "normalization.npz", **_statistics(model))
    np.savez(folder / "learner.npz", **arrays)
    if isinstance(model, OffPolicyAlgorithm):
        np.savez(folder / "replay.npz", **_replay(model.replay_buffer))
    state = {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)}
    state |= {
        "optimizers": groups,
        "episodes": list(model.ep_info_buffer or []),
        "python_rng": random.getstate(),
        "numpy_rng": [v.tolist() if isinstance(v, np.ndarray) else v for v in np.random.get_state()],  # noqa: NPY002
        "action_rng": None if _rolls_itself(model) else model.action_space.np_random.bit_generator.state,
        "seed": learner.seed,
    }
    (folder / "learner.json").write_text(json.dumps(state))
    (folder / "policy.json").write_text(json.dumps({"params": asdict(learner.params), **_sizes(learner)}, indent=1))


def load(learner, folder: Path) -> None:
    """Set an `SB3Learner` to the state that `save` wrote for the same task, parameters and seed.

    Raises:
        FieldError: a checkpoint of other parameters or of another shape.
    """
    model = learner.model
    _check_same(learner, folder)
    check_same(params_of(folder), asdict(learner.params), folder)
    state = read_json(folder / "learner.json")
    tensors = read_tensors(folder / "policy.safetensors")
    model.set_parameters(_parameters(model, tensors, state["optimizers"]), exact_match=True)
    for name in _variables(model):
        getattr(model, name).data.copy_(tensors[name])
    for name in COUNTERS:
        if name in state:
            setattr(model, name, state[name])
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    learner.envs.load_state_dict(read_arrays(folder / "environments.npz"))
    _set_statistics(model, read_arrays(folder / "normalization.npz"))
    for name, array in read_arrays(folder / "learner.npz").items():
        setattr(model, name, array)
    if isinstance(model, OffPolicyAlgorithm):
        _set_replay(model.replay_buffer, read_arrays(folder / "replay.npz"))
    version, words, gauss = state["python_rng"]
    random.setstate((version, tuple(words), gauss))
    name, words, *rest = state["numpy_rng"]
    np.random.set_state((name, np.array(words, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(tensors["torch_rng"])
    if torch.cuda.is_available():
        cuda = [tensors[name] for name in sorted(tensors) if name.startswith("cuda_rng|")]
        if len(cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(cuda)
    if state["action_rng"] is not None:
        model.action_space.np_random.bit_generator.state = state["action_rng"]


def begin(learner, folder: Path) -> None:
    """Give an `SB3Learner` a checkpoint's weights and normalisation, from which it learns on as from its own start.

    Optimisers, replay, counters and generators are its own, and so are learning rate, batch and further arguments.

    Raises:
        FieldError: a checkpoint of another algorithm, network or shape.
    """
    check_begin(folder, asdict(learner.params), ALIKE)
    _check_same(learner, folder)
    model, tensors = learner.model, read_tensors(folder / "policy.safetensors")
    model.policy.load_state_dict({k.removeprefix("policy|"): t for k, t in tensors.items() if k.startswith("policy|")})
    for name in _variables(model):
        getattr(model, name).data.copy_(tensors[name])
    env = model.get_vec_normalize_env()
    if env is not None:
        _set_running(env, read_arrays(folder / "normalization.npz"))


def load_weights(learner, folder: Path) -> None:
    """Set the policy and its normalisation only.

    Raises:
        FieldError: a checkpoint of another shape.
    """
    _check_same(learner, folder)
    tensors = read_tensors(folder / "policy.safetensors")
    weights = {name.removeprefix("policy|"): t for name, t in tensors.items() if name.startswith("policy|")}
    learner.model.policy.load_state_dict(weights)
    env = learner.model.get_vec_normalize_env()
    if env is not None:
        _set_running(env, read_arrays(folder / "normalization.npz"))
        env.training = False


def params_of(folder: Path) -> dict:
    """Return the parameters of the learner that wrote a checkpoint."""
    return read_json(folder / "policy.json")["params"]


def _rolls_itself(model) -> bool:
    """Tell whether the action space has generators of its own inside, which nothing draws from."""
    return isinstance(model.action_space, spaces.MultiDiscrete)


def _statistics(model) -> dict[str, Any]:
    env = model.get_vec_normalize_env()
    if env is None:
        return {}
    arrays = {f"reward.{k}": getattr(env.ret_rms, k) for k in ("mean", "var", "count")} | {"returns": env.returns}
    if env.norm_obs:
        arrays |= {f"observation.{k}": getattr(env.obs_rms, k) for k in ("mean", "var", "count")}
    for name in ("old_obs", "old_reward"):
        if isinstance(getattr(env, name, None), np.ndarray):
            arrays[name] = getattr(env, name)
    return {name: np.asarray(value) for name, value in arrays.items()}


def _set_statistics(model, arrays: dict[str, np.ndarray]) -> None:
    env = model.get_vec_normalize_env()
    if env is not None:
        _set_running(env, arrays)
        env.returns = arrays["returns"]
        for name in ("old_obs", "old_reward"):
            if name in arrays:
                setattr(env, name, arrays[name])


def _replay(buffer) -> dict[str, Any]:
    filled = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: getattr(buffer, name)[:filled] for name in BUFFER if hasattr(buffer, name)}
    return arrays | {"position": np.array([buffer.pos, buffer.full])}


def _set_replay(buffer, arrays: dict[str, np.ndarray]) -> None:
    buffer.pos, buffer.full = int(arrays["position"][0]), bool(arrays["position"][1])
    for name in BUFFER:
        if name in arrays:
            getattr(buffer, name)[: len(arrays[name])] = arrays[name]


def _set_running(env: VecNormalize, arrays: dict[str, np.ndarray]) -> None:
    running: Any
    for prefix, running in (("observation", getattr(env, "obs_rms", None)), ("reward", env.ret_rms)):
        if f"{prefix}.mean" in arrays:
            running.mean, running.var = arrays[f"{prefix}.mean"], arrays[f"{prefix}.var"]
            running.count = float(arrays[f"{prefix}.count"])


def _variables(model) -> list[str]:
    """Return the names of the tensors beside the modules, such as SAC's entropy coefficient."""
    return model._get_torch_save_params()[1]


def _parameters(model, tensors: dict, groups: dict) -> dict:
    """Return the tensors of a checkpoint in the form of SB3's `get_parameters`."""
    parts = {}
    for part in model.get_parameters():
        own = {name.removeprefix(f"{part}|"): t for name, t in tensors.items() if name.startswith(f"{part}|")}
        if part in groups:
            state: dict[int, dict] = {}
            for name, tensor in own.items():
                index, key = name.split("|")
                state.setdefault(int(index), {})[key] = tensor
            lists = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in groups[part]]
            parts[part] = {"state": state, "param_groups": lists}
        else:
            parts[part] = own
    return parts


def _sizes(learner) -> dict[str, int]:
    return {"observation": int(learner.store.observation_space.shape[0]), "action": len(learner.store.action_low)}


def _check_same(learner, folder: Path) -> None:
    saved = read_json(folder / "policy.json")
    for name, size in _sizes(learner).items():
        if saved[name] != size:
            raise FieldError(name, f"{size} numbers", f"{saved[name]} as in {folder.name}")
