"""Stable-Baselines3 learners on the batched environments, with checkpoints that go on exactly.

A checkpoint is plain data (`state`). On the CPU a run that goes on from it ends bit-equal to one that was never
stopped.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from ...device import device_of
from ...envs import Inventory
from ...envs.core.contract import Model, Policy
from ...envs.core.seeds import training_seeds
from ...envs.core.task import Task
from ...errors import FieldError
from ..core import residual, views
from ..core.checkpoints import reading
from ..core.residual import StartRule
from ..core.rules import check_kind
from ..core.vec_env import StoreVecEnv
from ..core.views import RawView
from . import state as sb3_state
from .lean import LeanPPO, policy_of
from .params import ACTIVATIONS, GAUSSIAN, MASKABLE, SB3Params, algorithm_class

MODULES: dict[str, type[nn.Module]] = dict(zip(ACTIVATIONS, (torch.nn.Tanh, torch.nn.ReLU, torch.nn.ELU), strict=True))
FIRST, PRIOR = 1.0, 0.1  # see `_start_at_rule`
NO_ORDER_ODDS = 50.0  # of no order against the largest one, in the first periods


def view_of(model: Model, params: SB3Params, rule: StartRule | None = None) -> RawView:
    """Return how a learner sees a model, starting from a rule if it has one.

    Raises:
        FieldError: an algorithm that does not fit the action space.
    """
    if rule is not None:
        check_kind(rule.kind, starts(model, params), f"to start from with {params.algorithm}")
    view = views.view_of(model, params.per_item, rule)
    masks = hasattr(model, "action_masks") and not isinstance(model.action_space, spaces.Box)
    if params.algorithm == MASKABLE and not masks:
        expected = "a learner without masks: only Dispatch has them, with action=dispatch or prize"
        raise FieldError("algorithm", MASKABLE, expected, f"with {type(model).__name__} and its actions")
    wanted = {"DQN": spaces.Discrete, "SAC": spaces.Box, "TD3": spaces.Box}.get(params.algorithm, spaces.Space)
    if not isinstance(view.action_space, wanted):
        discrete = "action=discrete of one item, or action=multi_discrete with per_item=true"
        expected = discrete if params.algorithm == "DQN" else "action=continuous or base_stock"
        raise FieldError("algorithm", params.algorithm, expected, f"with actions {view.action_space}")
    return view


check = view_of  # raises where a learner does not fit a model


def starts(model: Model, params: SB3Params) -> list[str]:
    """Return the kinds of heuristics that a learner can start from, its actions being residuals of them.

    MaskablePPO has none: its masks are of the model's own actions.
    """
    return [] if params.algorithm == MASKABLE else residual.starts(model)


class _Watch(BaseCallback):
    """Calls back where SB3's state is whole (before a rollout) and moves the bar."""

    def __init__(self, learner, every: int, on_checkpoint: Callable[[int], None] | None, bar):
        super().__init__()
        self.learner, self.every, self.on_checkpoint, self.bar, self.last = learner, every, on_checkpoint, bar, 0

    def _on_training_start(self) -> None:
        self.last = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        steps = self.model.num_timesteps
        self.bar.update(steps - self.bar.n)
        episodes = self.model.ep_info_buffer
        if episodes:
            self.bar.set_postfix_str(f"return {np.mean([e['r'] for e in episodes]):,.1f}", refresh=False)
        # Multiples of `every`, not distances: a resumed run then stops at the same steps as a straight one.
        if self.on_checkpoint and (self.learner.due or steps // self.every > self.last // self.every):
            self.on_checkpoint(steps)
        self.last = steps

    def _on_step(self) -> bool:
        return True


class SB3Learner:
    """A learner on the training demand of a task.

    Attributes:
        model: the Stable-Baselines3 algorithm.
        due: set it for a call of `on_checkpoint` as soon as one is possible.
    """

    due = False

    def __init__(
        self,
        task: Task,
        params: SB3Params,
        seed: int = 0,
        log_folder: str | Path | None = None,
        rule: StartRule | None = None,
    ):
        """Build the learner.

        Args:
            task: an `envs.Task`.
            params: of the learner.
            seed: of the weights, the exploration and the training scenarios.
            log_folder: for TensorBoard; None writes nothing.
            rule: that its actions are residuals of, so that it starts there; of a kind in `starts(model, params)`.

        Raises:
            FieldError: an algorithm that does not fit the action space, an argument that SB3 refuses.
        """
        self.task, self.params, self.seed = task, params, seed
        self.store = task.model("randomised" if params.randomise else "learn")
        if params.threads:
            torch.set_num_threads(params.threads)
        if params.start:
            rule = StartRule.kept(Path(params.start), self.store)  # its weights say what is ordered beside that
        self.rule, self.view = rule, view_of(self.store, params, rule)
        self.envs = StoreVecEnv(self.store, params.num_envs, self.view)
        env = self.envs
        if params.normalize_observation or params.normalize_reward:
            env = VecNormalize(
                env, norm_obs=params.normalize_observation, norm_reward=params.normalize_reward, gamma=params.gamma
            )
        rate = params.learning_rate
        widths = [*(self.envs.observation_space.shape or ()), *params.net_arch, 1]
        policy = {"net_arch": list(params.net_arch), "activation_fn": MODULES[params.activation]}
        if params.algorithm in GAUSSIAN:
            policy["log_std_init"] = params.log_std_init
        lean = params.algorithm == "PPO"
        self.model = (LeanPPO if lean else algorithm_class(params.algorithm))(
            policy_of(self.view.action_space) if lean else "MlpPolicy",
            env,
            learning_rate=(lambda left: rate * left) if params.schedule == "linear" else rate,
            gamma=params.gamma,
            seed=seed,
            device=device_of(params.device, widths, self.envs.num_envs),
            policy_kwargs=policy,
            **params.hyper,
        )
        if rule:
            _start_at_rule(self.model, self.view.action_space)
        elif isinstance(self.store, Inventory):
            _small_first_orders(getattr(self.model.policy, "action_net", None), self.view.action_space)
        if params.start:
            sb3_state.begin(self, Path(params.start))
        # SB3 seeds the environments with `seed`; runs with other seeds must not share their rows' scenarios.
        self.envs.seed(int(training_seeds(seed, params.num_envs)[0]))
        # Without a folder `configure` would leave an empty one among the temporary files.
        self.model.set_logger(configure(str(log_folder), ["tensorboard"]) if log_folder else Logger(None, []))

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
        with tqdm(total=stop, initial=self.steps, unit="step", unit_scale=True, disable=not progress or None) as bar:
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
                watch = _Watch(self, checkpoint_every, on_checkpoint, bar)
                self.model.learn(stop - self.steps, callback=watch, log_interval=10, reset_num_timesteps=False)
            finally:
                del self.model._setup_learn
            bar.update(self.steps - bar.n)

    def save(self, folder: str | Path) -> None:
        """Write all that `load` needs to go on exactly into an existing folder (see `state`)."""
        sb3_state.save(self, Path(folder))

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote for the same task, parameters and seed.

        Raises:
            FieldError: a checkpoint of other parameters or of another shape.
        """
        sb3_state.load(self, Path(folder))

    def policy(self) -> Policy:
        """Return the deterministic policy as it is now: `act(observation, policy_state, seed)`."""
        return _act(self.model, self.view)


def _start_at_rule(model: Any, space: spaces.Space) -> None:
    """Make the first policy the rule, exactly: heads without weights, whose biases prefer no move.

    Moves along a menu have a first deviation of `FIRST` places; values of a Q-network fall by `PRIOR` in all.
    """
    policy = model.policy
    sizes = getattr(space, "nvec", [space.n] if isinstance(space, spaces.Discrete) else [])
    away = [np.arange(size) - size // 2 for size in sizes]
    if isinstance(model, DQN):
        bias = -PRIOR * (away[0] / max(1, away[0].max())) ** 2
        heads = [(net.q_net[-1], bias) for net in (policy.q_net, policy.q_net_target)]
    elif isinstance(model, SAC):
        heads = [(policy.actor.mu, 0.0), (policy.actor.log_std, GAUSSIAN["PPO"])]
    elif isinstance(model, TD3):
        heads = [(actor.mu[-2], 0.0) for actor in (policy.actor, policy.actor_target)]
    else:
        heads = [(policy.action_net, np.concatenate([-((k / FIRST) ** 2) / 2 for k in away]) if away else 0.0)]
    with torch.no_grad():
        for head, values in heads:
            nn.init.zeros_(head.weight)
            head.bias.copy_(torch.as_tensor(values, dtype=torch.float32).expand_as(head.bias))


def _small_first_orders(action_net: nn.Linear | None, space: spaces.Space) -> None:
    """Make the largest order of a discrete action space less likely at the start than none: by `NO_ORDER_ODDS`.

    First orders drawn evenly may have a mean above demand; stock then runs up, and the running deviation that
    observations are divided by keeps those periods: the states of a good policy all look the same.
    """
    sizes = getattr(space, "nvec", [space.n] if isinstance(space, spaces.Discrete) else [])
    if action_net is not None and len(sizes):
        logits = np.concatenate([np.linspace(0, -np.log(NO_ORDER_ODDS), size) for size in sizes])
        with torch.no_grad():
            action_net.bias.copy_(torch.tensor(logits, dtype=torch.float32))


def _act(model, view: RawView) -> Policy:
    """Return SB3's deterministic policy as `act`, on observations as the environment gives them."""
    normalizer, masked = model.get_vec_normalize_env(), type(model).__name__ == MASKABLE

    def act(observation, policy_state, seed):
        rows = view.observe(observation)
        if normalizer is not None:
            rows = normalizer.normalize_obs(rows)
        masks = {"action_masks": view.model.action_masks(observation)} if masked else {}
        return view.act(model.predict(rows, deterministic=True, **masks)[0], observation), policy_state

    return act


def load_policy(folder: str | Path, task: Task) -> Policy:
    """Rebuild the deterministic policy of a checkpoint for a task with the same observations and actions.

    Raises:
        FieldError: a task whose observations or actions have another shape.
    """
    params = SB3Params(**sb3_state.params_of(Path(folder)))
    params.device, params.start = "cpu", ""
    if "buffer_size" in inspect.signature(algorithm_class(params.algorithm).__init__).parameters:
        params.hyper = params.hyper | {"buffer_size": 1}
    with reading(Path(folder)):
        rule = StartRule.kept(Path(folder), task.model("train"))
    learner = SB3Learner(task, params, rule=rule)
    sb3_state.load_weights(learner, Path(folder))
    return learner.policy()
