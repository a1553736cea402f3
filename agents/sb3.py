"""Stable-Baselines3 learners on the batched environments, with checkpoints that go on exactly.

A checkpoint is plain data (safetensors, npz, JSON): no pickle is written or read. It holds all that the next update
depends on: weights, optimisers, replay buffer, normalisation, environments and every random generator. On the CPU a
run that goes on from it ends bit-equal to one that was never stopped.
"""

import inspect
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from ..envs.checks import check_choice, check_flag, check_number
from .vec_env import StoreVecEnv
from .views import ItemView, RawView, StoreView

ALGORITHMS = {"PPO": PPO, "A2C": A2C, "SAC": SAC, "TD3": TD3, "DQN": DQN}
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU}
OURS = {"policy", "env", "learning_rate", "gamma", "seed", "device", "verbose", "policy_kwargs", "_init_setup_model"}
BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
COUNTERS = (
    *("num_timesteps", "_n_updates", "_episode_num", "_total_timesteps", "_current_progress_remaining"),
    *("_n_calls", "exploration_rate"),
)


@dataclass
class SB3Params:
    """A Stable-Baselines3 learner and how long it learns."""

    algorithm: str = "PPO"  # PPO | A2C | SAC | TD3 | DQN
    total_steps: int = 2_000_000  # of rows: an environment, or an item of one, moves one period on
    num_envs: int = 64  # environments in a batch
    per_item: bool = True  # one policy for all items, each a row of its own; false: one for the whole store at once
    learning_rate: float = 5e-4  # of Adam, at the start
    schedule: str = "linear"  # linear (to zero) | constant
    gamma: float = 0.95  # discount per period: a lower one than the long run's, which learns what an order does faster
    net_arch: list[int] = field(default_factory=lambda: [64, 64])  # units of the hidden layers
    activation: str = "tanh"  # tanh | relu | elu
    normalize_observation: bool = True  # by running mean and variance, saved with the policy
    normalize_reward: bool = True  # by the running standard deviation of the return
    device: str = "auto"  # auto | cpu | cuda
    threads: int = 0  # of torch; 0: as torch chooses
    hyper: dict[str, Any] = field(default_factory=dict)  # further arguments of the algorithm, by its own names

    def __post_init__(self):
        check_choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        check_number("total_steps", self.total_steps, 1, 1e12, integer=True)
        check_number("num_envs", self.num_envs, 1, 1e6, integer=True)
        check_number("learning_rate", self.learning_rate, 0, 1, exclusive=True)
        check_choice("schedule", self.schedule, ("linear", "constant"))
        check_number("gamma", self.gamma, 0, 1)
        check_number("net_arch", self.net_arch, 1, 1e5, integer=True, items=max(1, np.size(self.net_arch)))
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_flag("per_item", self.per_item)
        check_flag("normalize_observation", self.normalize_observation)
        check_flag("normalize_reward", self.normalize_reward)
        check_choice("device", self.device, ("auto", "cpu", "cuda"))
        check_number("threads", self.threads, 0, 1024, integer=True)
        known = set(inspect.signature(ALGORITHMS[self.algorithm].__init__).parameters) - OURS - {"self"}
        for name in self.hyper:
            if name not in known:
                raise ValueError(f"hyper.{name}: not allowed for {self.algorithm}, expected one of {sorted(known)}")


class _Watch(BaseCallback):
    """Calls back where SB3's state is whole (before a rollout) and moves the bar."""

    def __init__(self, every: int, on_checkpoint: Callable[[int], None] | None, bar):
        super().__init__()
        self.every, self.on_checkpoint, self.bar, self.last = every, on_checkpoint, bar, 0

    def _on_training_start(self) -> None:
        self.last = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        steps = self.model.num_timesteps
        self.bar.update(steps - self.bar.n)
        episodes = self.model.ep_info_buffer
        if episodes:
            self.bar.set_postfix_str(f"return {np.mean([e['r'] for e in episodes]):,.1f}", refresh=False)
        # Multiples of `every`, not distances: a resumed run then stops at the same steps as a straight one.
        if self.on_checkpoint and steps // self.every > self.last // self.every:
            self.on_checkpoint(steps)
        self.last = steps

    def _on_step(self) -> bool:
        return True


class SB3Learner:
    """A learner on the training demand of a task.

    Attributes:
        model: the Stable-Baselines3 algorithm.
    """

    def __init__(self, task, params: SB3Params, seed: int = 0, log_folder: str | Path | None = None):
        """Build the learner.

        Args:
            task: an `envs.Task`.
            params: of the learner.
            seed: of the weights, the exploration and the training scenarios.
            log_folder: for TensorBoard; None writes nothing.

        Raises:
            ValueError: an algorithm that does not fit the action space, an argument that SB3 refuses.
        """
        self.task, self.params, self.seed = task, params, seed
        self.store = task.model("train")
        if params.threads:
            torch.set_num_threads(params.threads)
        self.view = ItemView(self.store) if params.per_item and self.store.params.items > 1 else StoreView(self.store)
        self.envs = StoreVecEnv(self.store, params.num_envs, self.view)
        self._check_actions()
        env = self.envs
        if params.normalize_observation or params.normalize_reward:
            env = VecNormalize(
                env, norm_obs=params.normalize_observation, norm_reward=params.normalize_reward, gamma=params.gamma
            )
        rate = params.learning_rate
        self.model = ALGORITHMS[params.algorithm](
            "MlpPolicy",
            env,
            learning_rate=(lambda left: rate * left) if params.schedule == "linear" else rate,
            gamma=params.gamma,
            seed=seed,
            device=params.device,
            policy_kwargs={"net_arch": list(params.net_arch), "activation_fn": ACTIVATIONS[params.activation]},
            **params.hyper,
        )
        # SB3 seeds the environments with `seed`; runs with other seeds must not share their rows' scenarios.
        self.envs.seed(1_000_000 * seed)
        self.model.set_logger(configure(str(log_folder) if log_folder else None, ["tensorboard"] if log_folder else []))

    def _check_actions(self) -> None:
        space, algorithm = self.envs.action_space, self.params.algorithm
        wanted = {"DQN": (spaces.Discrete,), "SAC": (spaces.Box,), "TD3": (spaces.Box,)}.get(algorithm)
        if wanted and not isinstance(space, wanted):
            items, action = self.store.params.items, self.store.params.action
            need = "action=multi_discrete, and items=1 or per_item=true" if algorithm == "DQN" else "action=continuous or base_stock"
            where = f"with action={action}, items={items}"
            raise ValueError(f"algorithm: {algorithm} is not allowed {where}, expected {need}")

    @property
    def steps(self) -> int:
        """Return the environment steps done."""
        return self.model.num_timesteps

    def learn(
        self,
        on_checkpoint: Callable[[int], None] | None = None,
        checkpoint_every: int = 100_000,
        total_steps: int | None = None,
        progress: bool = True,
    ) -> None:
        """Learn up to `total_steps` in all (by default the parameters'; schedules always run over the parameters').

        Args:
            on_checkpoint: called with the steps done, each time that they pass a multiple of `checkpoint_every`; at
                these moments `save` and `policy` are allowed.
            checkpoint_every: environment steps.
            total_steps: where to stop.
            progress: show a bar.
        """
        from tqdm import tqdm

        whole, stop = self.params.total_steps, total_steps or self.params.total_steps
        if self.steps >= stop:
            return
        with tqdm(total=stop, initial=self.steps, unit="step", unit_scale=True, disable=not progress) as bar:
            bar.set_description(f"{self.params.algorithm} seed {self.seed}")
            self.model._total_timesteps = whole
            setup = self.model._setup_learn

            def setup_whole(total_timesteps, *args, **kwargs):
                """Keep the schedules' end at the whole run's, wherever this call stops."""
                total, callback = setup(total_timesteps, *args, **kwargs)
                self.model._total_timesteps = whole
                return total, callback

            self.model._setup_learn = setup_whole
            try:
                watch = _Watch(checkpoint_every, on_checkpoint, bar)
                self.model.learn(stop - self.steps, callback=watch, log_interval=10, reset_num_timesteps=False)
            finally:
                del self.model._setup_learn
            bar.update(self.steps - bar.n)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write all that `load` needs to go on exactly into an existing folder: policy.safetensors, *.npz, *.json."""
        folder, model = Path(folder), self.model
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
        np.savez(folder / "environments.npz", **self.envs.state_dict())
        np.savez(folder / "normalization.npz", **self._statistics())
        np.savez(folder / "learner.npz", **self._arrays())
        if isinstance(model, OffPolicyAlgorithm):
            np.savez(folder / "replay.npz", **self._replay())
        state = {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)}
        state |= {
            "optimizers": groups,
            "episodes": list(model.ep_info_buffer or []),
            "python_rng": random.getstate(),
            "numpy_rng": [v.tolist() if isinstance(v, np.ndarray) else v for v in np.random.get_state()],  # noqa: NPY002
            "action_rng": model.action_space.np_random.bit_generator.state if self._samples() else None,
            "seed": self.seed,
        }
        (folder / "learner.json").write_text(json.dumps(state))
        shapes = {"observation": int(self.store.observation_space.shape[0]), "action": len(self.store.action_low)}
        (folder / "policy.json").write_text(json.dumps({"params": asdict(self.params), **shapes}, indent=1))

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote for the same task, parameters and seed.

        Raises:
            ValueError: a checkpoint of other parameters or of another shape.
        """
        folder, model = Path(folder), self.model
        _check_same(folder, self.params, self.store)
        state = json.loads((folder / "learner.json").read_text())
        tensors = load_file(folder / "policy.safetensors")
        model.set_parameters(_parameters(model, tensors, state["optimizers"]), exact_match=True)
        for name in _variables(model):
            getattr(model, name).data.copy_(tensors[name])
        for name in COUNTERS:
            if name in state:
                setattr(model, name, state[name])
        model.ep_info_buffer.clear() if model.ep_info_buffer is not None else self._start_buffers()
        model.ep_info_buffer.extend(state["episodes"])
        self.envs.load_state_dict(_read(folder / "environments.npz"))
        self._set_statistics(_read(folder / "normalization.npz"))
        for name, array in _read(folder / "learner.npz").items():
            setattr(model, name, array)
        if isinstance(model, OffPolicyAlgorithm):
            self._set_replay(_read(folder / "replay.npz"))
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

    def _start_buffers(self) -> None:
        from collections import deque

        self.model.ep_info_buffer = deque(maxlen=self.model._stats_window_size)
        self.model.ep_success_buffer = deque(maxlen=self.model._stats_window_size)

    def _samples(self) -> bool:
        return not isinstance(self.model.action_space, spaces.MultiDiscrete)

    def _statistics(self) -> dict[str, np.ndarray]:
        env = self.model.get_vec_normalize_env()
        if env is None:
            return {}
        arrays = {f"reward.{k}": getattr(env.ret_rms, k) for k in ("mean", "var", "count")} | {"returns": env.returns}
        if self.params.normalize_observation:
            arrays |= {f"observation.{k}": getattr(env.obs_rms, k) for k in ("mean", "var", "count")}
        for name in ("old_obs", "old_reward"):
            if isinstance(getattr(env, name, None), np.ndarray):
                arrays[name] = getattr(env, name)
        return {name: np.asarray(value) for name, value in arrays.items()}

    def _set_statistics(self, arrays: dict[str, np.ndarray]) -> None:
        env = self.model.get_vec_normalize_env()
        if env is not None:
            _set_running(env, arrays)
            env.returns = arrays["returns"]
            for name in ("old_obs", "old_reward"):
                if name in arrays:
                    setattr(env, name, arrays[name])

    def _arrays(self) -> dict[str, np.ndarray]:
        names = ("_last_obs", "_last_original_obs", "_last_episode_starts")
        return {name: v for name in names if isinstance(v := getattr(self.model, name, None), np.ndarray)}

    def _replay(self) -> dict[str, np.ndarray]:
        buffer = self.model.replay_buffer
        filled = buffer.buffer_size if buffer.full else buffer.pos
        arrays = {name: getattr(buffer, name)[:filled] for name in BUFFER if hasattr(buffer, name)}
        return arrays | {"position": np.array([buffer.pos, buffer.full])}

    def _set_replay(self, arrays: dict[str, np.ndarray]) -> None:
        buffer = self.model.replay_buffer
        buffer.pos, buffer.full = int(arrays["position"][0]), bool(arrays["position"][1])
        for name in BUFFER:
            if name in arrays:
                getattr(buffer, name)[: len(arrays[name])] = arrays[name]

    def policy(self) -> Callable:
        """Return the deterministic policy as it is now: `act(observation, policy_state, seed)`."""
        return _act(self.model, self.view)


def _act(model, view: RawView) -> Callable:
    """Return SB3's deterministic policy as `act`, on observations as the environment gives them."""
    normalizer = model.get_vec_normalize_env()

    def act(observation, policy_state, seed):
        observation = view.observe(observation)
        if normalizer is not None:
            observation = normalizer.normalize_obs(observation)
        return view.act(model.predict(observation, deterministic=True)[0]), policy_state

    return act


def load_policy(folder: str | Path, task) -> Callable:
    """Rebuild the deterministic policy of a checkpoint for a task with the same observations and actions.

    Raises:
        ValueError: a task whose observations or actions have another shape.
    """
    folder = Path(folder)
    params = SB3Params(**json.loads((folder / "policy.json").read_text())["params"])
    params.device = "cpu"
    if "buffer_size" in inspect.signature(ALGORITHMS[params.algorithm].__init__).parameters:
        params.hyper = params.hyper | {"buffer_size": 1}
    learner = SB3Learner(task, params)
    _check_same(folder, None, learner.store)
    tensors = load_file(folder / "policy.safetensors")
    weights = {name.removeprefix("policy|"): t for name, t in tensors.items() if name.startswith("policy|")}
    learner.model.policy.load_state_dict(weights)
    env = learner.model.get_vec_normalize_env()
    if env is not None:
        _set_running(env, _read(folder / "normalization.npz"))
        env.training = False
    return learner.policy()


def _set_running(env: VecNormalize, arrays: dict[str, np.ndarray]) -> None:
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


def _check_same(folder: Path, params: SB3Params | None, store) -> None:
    saved = json.loads((folder / "policy.json").read_text())
    shapes = {"observation": int(store.observation_space.shape[0]), "action": len(store.action_low)}
    for name, size in shapes.items():
        if saved[name] != size:
            raise ValueError(f"{name}: {size} numbers are not allowed, expected {saved[name]} as in {folder.name}")
    if params is not None and saved["params"] != json.loads(json.dumps(asdict(params))):
        raise ValueError(f"params: not those of checkpoint {folder.name}, expected {saved['params']}")


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
