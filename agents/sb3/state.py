"""A Stable-Baselines3 learner's whole state as plain data: safetensors, npz and JSON, no pickle.

It holds all that the next update depends on: weights, optimisers, replay buffer, normalisation, environments and every
random generator.
"""

import json
import random
from collections import deque
from dataclasses import asdict
from operator import attrgetter
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
from ..core.checkpoints import check_arrays, check_finite, check_optimizer, check_plain, reading
from ..core.residual import plain, rule_of
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
    policy = {"params": asdict(learner.params), "rule": plain(learner.rule), **_sizes(learner)}
    (folder / "policy.json").write_text(json.dumps(policy, indent=1))


def load(learner, folder: Path) -> None:
    """Set an `SB3Learner` to the state that `save` wrote for the same task, parameters and seed.

    Raises:
        FieldError: a checkpoint of other parameters or of another shape.
    """
    with reading(folder):
        _check_same(learner, folder)
        own = asdict(learner.params) | {"rule": plain(learner.rule)}
        check_same(params_of(folder) | {"rule": rule_of(folder)}, own, folder)
        _load(learner, folder)


def _load(learner, folder: Path) -> None:
    model = learner.model
    state = read_json(folder / "learner.json")
    tensors = _tensors(folder)
    check_plain("optimizers", state["optimizers"], _groups(model, state["optimizers"]))
    model.set_parameters(_parameters(model, tensors, state["optimizers"]), exact_match=True)
    for part in state["optimizers"]:
        check_optimizer(attrgetter(part)(model))
    _set_variables(model, tensors)
    for name in COUNTERS:
        if name in state:
            check_plain(name, state[name], getattr(model, name))
            setattr(model, name, state[name])
    for number, episode in enumerate(state["episodes"]):
        check_plain(f"episodes[{number}]", episode, {"r": 0.0, "l": 0, "t": 0.0})
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    learner.envs.load_state_dict(read_arrays(folder / "environments.npz"))
    _set_statistics(model, read_arrays(folder / "normalization.npz"))
    arrays = read_arrays(folder / "learner.npz")
    check_arrays(arrays, _seen(model) | {"_last_episode_starts": np.ones(model.n_envs, bool)}, optional=ARRAYS)
    for name, array in arrays.items():
        setattr(model, name, array)
    if isinstance(model, OffPolicyAlgorithm):
        _set_replay(model.replay_buffer, read_arrays(folder / "replay.npz"))
    version, words, gauss = state["python_rng"]
    if gauss is not None:
        check_plain("python_rng", gauss, 0.0)
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
    with reading(folder):
        check_begin(folder, asdict(learner.params), ALIKE)
        _set_variables(learner.model, _set_policy(learner, folder))


def load_weights(learner, folder: Path) -> None:
    """Set the policy and its normalisation only.

    Raises:
        FieldError: a checkpoint of another shape.
    """
    with reading(folder):
        _set_policy(learner, folder)
    env = learner.model.get_vec_normalize_env()
    if env is not None:
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
    arrays = _running(env) | {"returns": env.returns}
    for name in ("old_obs", "old_reward"):
        if isinstance(getattr(env, name, None), np.ndarray):
            arrays[name] = getattr(env, name)
    return {name: np.asarray(value) for name, value in arrays.items()}


def _running(env: VecNormalize) -> dict[str, np.ndarray]:
    """Return the running means and variances of rewards, and of observations."""
    parts = {"reward": env.ret_rms} | ({"observation": env.obs_rms} if env.norm_obs else {})
    return {f"{p}.{k}": np.asarray(getattr(rms, k)) for p, rms in parts.items() for k in ("mean", "var", "count")}


def _set_statistics(model, arrays: dict[str, np.ndarray]) -> None:
    env = model.get_vec_normalize_env()
    if env is not None:
        before = {"old_obs": _seen(model)["_last_obs"], "old_reward": np.zeros(model.n_envs)}
        arrays = {name: array for name, array in arrays.items() if array.size or name not in before}  # not yet
        check_arrays(arrays, _statistics(model) | before, optional=tuple(before))
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
    check_arrays({"position": arrays["position"]}, {"position": np.zeros(2, int)})
    pos, full = arrays["position"].tolist()
    filled = buffer.buffer_size if full else pos
    if not (0 <= pos < buffer.buffer_size and full in (0, 1)):
        raise FieldError("position", [pos, full], f"a row below {buffer.buffer_size}, and 0 or 1")
    buffer.pos, buffer.full = pos, bool(full)
    rows = {name: getattr(buffer, name)[:filled] for name in BUFFER if hasattr(buffer, name)}
    check_arrays({name: array for name, array in arrays.items() if name != "position"}, rows)
    for name, values in rows.items():
        values[:] = arrays[name]


def _set_running(env: VecNormalize, arrays: dict[str, np.ndarray]) -> None:
    running: Any
    for prefix, running in (("observation", getattr(env, "obs_rms", None)), ("reward", env.ret_rms)):
        if f"{prefix}.mean" in arrays:
            running.mean, running.var = arrays[f"{prefix}.mean"], arrays[f"{prefix}.var"]
            running.count = float(arrays[f"{prefix}.count"])


def _seen(model) -> dict[str, np.ndarray]:
    """Return arrays such as the last observations are, as they are and normalised."""
    array = np.broadcast_to(np.zeros((), model.observation_space.dtype), (model.n_envs, *model.observation_space.shape))
    return {"_last_obs": array, "_last_original_obs": array}


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    tensors = read_tensors(folder / "policy.safetensors")
    check_finite(tensors)
    return tensors


def _set_policy(learner, folder: Path) -> dict[str, torch.Tensor]:
    """Set the policy's weights and what its observations are divided by; return all tensors of the checkpoint."""
    _check_same(learner, folder)
    tensors, model = _tensors(folder), learner.model
    model.policy.load_state_dict({k.removeprefix("policy|"): t for k, t in tensors.items() if k.startswith("policy|")})
    env = model.get_vec_normalize_env()
    if env is not None:
        arrays, own = read_arrays(folder / "normalization.npz"), _running(env)
        check_arrays({name: array for name, array in arrays.items() if name in own}, own)
        _set_running(env, arrays)
    return tensors


def _set_variables(model, tensors: dict[str, torch.Tensor]) -> None:
    for name in _variables(model):
        check_arrays({name: tensors[name].numpy()}, {name: getattr(model, name).detach().cpu().numpy()})
        getattr(model, name).data.copy_(tensors[name])


def _groups(model, given: dict) -> dict:
    """Return the settings of a model's optimisers, as far as a checkpoint has them: another torch may have more."""
    found = {}
    for part, value in model.get_parameters().items():
        if "param_groups" in value:
            pairs = zip(value["param_groups"], given[part], strict=True)
            found[part] = [{k: v for k, v in group.items() if k in theirs} for group, theirs in pairs]
    return found


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
