"""The parameters of the sequence model: what it is, and how it is trained."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import torch

from .windows import PATCH

CHECKPOINTS = Path(__file__).parent / "checkpoints"
CHOICES = {
    "method": ("full", "head", "adapter", "lora", "adalora"),
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "constant"),
    "precision": ("float32", "bfloat16"),
}
MOST_WHOLE = 2**31 - 1
_LEAST = {"seed": 0, "fine_tune_steps": 0}  # of whole numbers; 1 where not named
_MOST = {"alpha": 1000.0}  # of fractions; 1 where not named


@dataclass
class TransformerParams:
    """The size of the network, which covariates it may use, and how it is trained."""

    pretrained: str = "small"  # shipped checkpoint that fine_tune starts from; "" = none
    d_model: int = 64  # width of a token, a multiple of heads
    layers: int = 3  # T5 encoder layers
    heads: int = 4  # attention heads
    d_ff: int = 256  # width of hidden layers
    context: int = 168  # days of history that the model sees, a multiple of 7
    horizon: int = 28  # days ahead, a multiple of 7
    planned: bool = True  # price, promotion and covariates of the horizon are known; False: the last price is held
    dropout: float = 0.1  # in fit; fine_tune goes without
    learning_rate: float = 1e-3  # of fit
    steps: int = 2000  # of fit, at most
    method: str = "full"  # weights that fine_tune trains: full, head, adapter, lora, adalora
    rank: int = 8  # of lora, of adalora on average, width of adapter
    alpha: float = 16.0  # lora, adalora: what they add is multiplied by alpha / rank (adalora: alpha / its first rank)
    adapter_dropout: float = 0.0  # inside adapter, lora and adalora
    fine_tune_learning_rate: float = 3e-4  # of method full; the others take a multiple, see adaptation.RATES
    fine_tune_steps: int = 600  # at most; 0: the pre-trained weights as they are (zero-shot)
    optimizer: str = "adamw"  # adamw, adam, sgd (momentum 0.9)
    schedule: str = "cosine"  # after a warm-up of a tenth: cosine (half a wave down to 0), constant
    weight_decay: float = 0.01
    batch_size: int = 128  # windows
    validation: int = 28  # last days of the panel, kept for early stopping
    patience: int = 5  # evaluations without gain before training stops
    precision: str = "float32"  # of training: float32, bfloat16 (mixed); forecasts are float32
    seed: int = 0
    device: str = "auto"  # auto (CUDA where there is one), cpu, cuda, cuda:1, ...
    checkpoints: str = ""  # folder from which a training that was killed goes on; "" = none
    tensorboard: str = ""  # folder of the training's curves; "" = none
    progress: bool = True  # progress bar
    validation_windows: ClassVar = 2000  # at most, whose loss decides when to stop

    def __post_init__(self):
        check_fields(self)
        shipped = ["", *sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json"))]
        if self.pretrained not in shipped:
            raise ValueError(f"pretrained is {self.pretrained!r}: allowed are {', '.join(map(repr, shipped))}")
        if self.d_model % self.heads:
            raise ValueError(f"d_model is {self.d_model}: allowed are multiples of heads ({self.heads})")
        for name in ("dropout", "adapter_dropout"):
            if getattr(self, name) == 1:
                raise ValueError(f"{name} is 1.0: allowed are numbers below 1")
        if self.alpha == 0:
            raise ValueError("alpha is 0.0: allowed are numbers above 0")


def check_fields(params) -> None:
    """Raise ValueError naming the first field of `params` whose type or value is not allowed."""
    for field in fields(params):
        _check(params, field.name, field.type)
    for name in ("context", "horizon", "validation"):
        if getattr(params, name) % PATCH:
            raise ValueError(f"{name} is {getattr(params, name)}: allowed are multiples of {PATCH}")
    try:
        torch.device("cpu" if params.device == "auto" else params.device)
    except RuntimeError:
        raise ValueError(f"device is {params.device!r}: allowed are auto, cpu, cuda, cuda:0, ...") from None


def _check(params, name: str, kind: type) -> None:
    value = getattr(params, name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
        setattr(params, name, value)
    if type(value) is not kind:
        raise ValueError(f"{name} is {value!r}: allowed is a {kind.__name__}")
    least, most = _LEAST.get(name, 1), _MOST.get(name, 1)
    if kind is int and not least <= value <= MOST_WHOLE:
        raise ValueError(f"{name} is {value}: allowed are whole numbers from {least} to {MOST_WHOLE}")
    if kind is float and not 0 <= value <= most:
        raise ValueError(f"{name} is {value}: allowed are numbers from 0 to {most:g}")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name} is {value!r}: allowed are {', '.join(CHOICES[name])}")
