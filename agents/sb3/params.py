"""The parameters of a Stable-Baselines3 learner. Torch stays out until an argument needs a look into SB3."""

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...device import check_device
from ...envs.core.checks import check_choice, check_flag, check_number
from ...errors import FieldError
from ..core.start import check_start

ALGORITHMS = ("PPO", "A2C", "SAC", "TD3", "DQN")
MASKABLE = "MaskablePPO"  # of sb3-contrib: PPO that never takes an action which the model masks
ACTIVATIONS = ("tanh", "relu", "elu")
GAUSSIAN = {"PPO": -2.0, "A2C": 0.0}  # on policy; their deviation is learnt, but slowly -> the log of the first one
HYPER = {  # arguments of an algorithm where they are not Stable-Baselines3's own defaults
    "PPO": {"n_steps": 32, "batch_size": 1024, "n_epochs": 6, "gae_lambda": 0.95, "ent_coef": 0.01},
}
# Some arguments of an algorithm with their types, as SB3 has them (a test compares them).
KNOWN = {"PPO": {"n_steps": int, "batch_size": int, "n_epochs": int, "gae_lambda": float, "ent_coef": float}}
OURS = {"policy", "env", "learning_rate", "gamma", "seed", "device", "verbose", "policy_kwargs", "_init_setup_model"}


@dataclass
class SB3Params:
    """Parameters of a Stable-Baselines3 learner. The defaults are those of `agent=ppo` on the command line."""

    algorithm: str = "PPO"  # PPO | A2C | SAC | TD3 | DQN | MaskablePPO
    total_steps: int = 2_000_000  # of rows: an environment, or an item of one, moves one period on
    num_envs: int = 128  # environments in a batch
    per_item: bool = True  # inventory: one policy for all items, each a row of its own; false: one for the whole store
    learning_rate: float = 5e-4  # of Adam, at the start
    schedule: str = "linear"  # linear (to zero) | constant
    gamma: float = 0.95  # discount per period: a lower one than the long run's, which learns what an order does faster
    net_arch: list[int] = field(default_factory=lambda: [64, 64])  # units of the hidden layers
    activation: str = "tanh"  # tanh | relu | elu
    # log of a Gaussian policy's first deviation, where continuous actions span -4 .. 4; None: `GAUSSIAN`'s
    log_std_init: float | None = None
    normalize_observation: bool = True  # by running mean and variance, saved with the policy
    normalize_reward: bool = True  # by the running standard deviation of the return
    device: str = "auto"  # auto | cpu | cuda | cuda:0 ...
    threads: int = 1  # of torch: small networks gain nothing by more; 0: as torch chooses
    # Where recorded days are replayed: learn on them in blocks and randomised; false: as they were.
    randomise: bool = True
    start: str = ""  # folder of a checkpoint, whose weights and normalisation it begins with; "": none
    hyper: dict[str, Any] = field(default_factory=dict)  # arguments of the algorithm, by its own names, over `HYPER`'s

    def __post_init__(self):
        check_choice("algorithm", self.algorithm, (*ALGORITHMS, MASKABLE))
        check_number("total_steps", self.total_steps, 1, 1e12, integer=True)
        check_number("num_envs", self.num_envs, 1, 1e6, integer=True)
        check_number("learning_rate", self.learning_rate, 0, 1, exclusive=True)
        check_choice("schedule", self.schedule, ("linear", "constant"))
        check_number("gamma", self.gamma, 0, 1)
        check_number("net_arch", self.net_arch, 1, 1e5, integer=True, items=max(1, np.size(self.net_arch)))
        check_choice("activation", self.activation, ACTIVATIONS)
        if self.log_std_init is None:
            self.log_std_init = GAUSSIAN.get(self.algorithm, 0.0)
        check_number("log_std_init", self.log_std_init, -10, 2)
        if self.log_std_init and self.algorithm not in GAUSSIAN:
            expected = f"0: only {' and '.join(GAUSSIAN)} have it"
            raise FieldError("log_std_init", self.log_std_init, expected, f"with {self.algorithm}")
        check_flag("per_item", self.per_item)
        check_flag("normalize_observation", self.normalize_observation)
        check_flag("normalize_reward", self.normalize_reward)
        check_device(self.device)
        check_number("threads", self.threads, 0, 1024, integer=True)
        check_flag("randomise", self.randomise)
        check_start(self.start)
        if not isinstance(self.hyper, dict):
            raise FieldError("hyper", self.hyper, "a mapping such as {n_steps: 32}")
        known = KNOWN.get(self.algorithm, {})
        if not set(self.hyper) <= set(known):  # all of them, which is dear: it imports torch
            taken = inspect.signature(algorithm_class(self.algorithm).__init__).parameters
            known = {name: taken[name].annotation for name in sorted(set(taken) - OURS - {"self"})}
        for name, value in self.hyper.items():
            if name not in known:
                raise FieldError(f"hyper.{name}", value, f"one of {', '.join(known)}", f"with {self.algorithm}")
            if known[name] is int and isinstance(value, float) and value.is_integer():  # 1e3
                self.hyper = self.hyper | {name: int(value)}
        self.hyper = HYPER.get(self.algorithm, {}) | self.hyper

    @property
    def name(self) -> str:
        """Return the learner's name in tables."""
        return self.algorithm


def algorithm_class(name: str):
    """Return the class of an algorithm; without sb3-contrib MaskablePPO raises an ImportError."""
    if name != MASKABLE:
        import stable_baselines3

        return getattr(stable_baselines3, name)
    try:
        from sb3_contrib import MaskablePPO
    except ImportError as error:
        raise ImportError("MaskablePPO needs sb3-contrib: pip install 'storelab[maskable]'") from error
    return MaskablePPO
