"""How a model is trained, and the checks of such parameters."""

from dataclasses import dataclass, fields

from ..device import check_device
from ..errors import FieldError

CHOICES = {
    "method": ("full", "head", "adapter", "lora", "adalora"),
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "constant"),
    "precision": ("float32", "bfloat16"),
}
LARGEST_INTEGER = 2**31 - 1
NOT_THE_RESULT = ("progress", "checkpoints", "tensorboard")  # parameters that change nothing in the weights
_BELOW_ONE = ("dropout", "adapter_dropout")


@dataclass
class TrainingParams:
    """What `training.train` reads, to be inherited by a model's own parameters."""

    method: str = "full"  # weights that are trained: full, head, adapter, lora, adalora
    rank: int = 8  # of lora, of adalora on average, width of adapter
    alpha: float = 16.0  # lora, adalora: what they add is multiplied by alpha / rank (adalora: alpha / its first rank)
    adapter_dropout: float = 0.0  # inside adapter, lora and adalora
    learning_rate: float = 1e-3  # the highest of the schedule
    epochs: int = 10  # at most
    batch_size: int = 128  # rows
    optimizer: str = "adamw"  # adamw, adam, sgd (momentum 0.9)
    schedule: str = "cosine"  # after a warm-up of a tenth: cosine (half a wave down to 0), constant
    weight_decay: float = 0.01
    patience: int = 3  # evaluations without gain before training stops
    precision: str = "float32"  # of training: float32, bfloat16 (mixed)
    seed: int = 0
    device: str = "auto"  # auto (CUDA where there is one), cpu, cuda, cuda:1, ...
    checkpoints: str = ""  # folder from which a training that was killed goes on; "" = none
    tensorboard: str = ""  # folder of the training's curves; "" = none
    progress: bool = True  # progress bar

    def __post_init__(self):
        check_fields(self)


@dataclass
class StepsParams:
    """What `training.train` reads for a network of its own that is trained once, for some steps; to be inherited."""

    steps: int = 300
    batch_size: int = 64  # rows
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    optimizer: str = "adamw"
    schedule: str = "cosine"
    precision: str = "float32"
    patience: int = 20
    seed: int = 0
    device: str = "cpu"
    method: str = "full"
    checkpoints: str = ""
    tensorboard: str = ""
    progress: bool = True

    def __post_init__(self):
        check_fields(self)


def check_fields(params, lowest: dict | None = None, highest: dict | None = None, choices: dict | None = None) -> None:
    """Raise ValueError naming the first field of `params` whose type or value is not allowed.

    Whole numbers go from `lowest` (1 where not named; seed: 0) to `highest` (2^31 - 1), fractions from `lowest` (0) to
    `highest` (1), texts are among `choices`, if named there.
    """
    lowest, highest = {"seed": 0} | (lowest or {}), {"alpha": 1000.0} | (highest or {})
    for field in fields(params):
        _check(params, field.name, field.type, lowest, highest, CHOICES | (choices or {}))
    if getattr(params, "alpha", None) == 0:
        raise FieldError("alpha", params.alpha, "a number above 0")
    if hasattr(params, "device"):
        check_device(params.device)


def check_whole(params, **least: int) -> None:
    """Raise FieldError naming the first of the fields that is not a whole number from its least one on, below 2^31."""
    for name, low in least.items():
        value = getattr(params, name)
        if type(value) is not int or not low <= value <= LARGEST_INTEGER:
            raise FieldError(name, value, f"a whole number >= {low}")


def _check(params, name: str, kind: type, lowest: dict, highest: dict, choices: dict) -> None:
    value = getattr(params, name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
        setattr(params, name, value)
    if type(value) is not kind:
        raise FieldError(name, value, f"type {kind.__name__}")
    low, high = lowest.get(name, 1), highest.get(name, LARGEST_INTEGER)
    if kind is int and not low <= value <= high:
        raise FieldError(name, value, f"a whole number from {low} to {high}")
    low, high = lowest.get(name, 0), highest.get(name, 1)
    if kind is float and not low <= value <= high:
        raise FieldError(name, value, f"a number from {low} to {high:g}")
    if kind is float and name in _BELOW_ONE and value == 1:
        raise FieldError(name, value, "a number below 1")
    if name in choices and value not in choices[name]:
        raise FieldError(name, value, f"one of {', '.join(choices[name])}")
