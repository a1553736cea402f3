"""The parameters of the sequence model: what it is, and how it is trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..errors import FieldError
from ..learning.params import check_fields as check_training

PATCH = 7  # days: a weekday keeps its place in all patches of a window; which one it is, the summary says

CHECKPOINTS = Path(__file__).parent / "checkpoints"


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
    fine_tune_learning_rate: float = 3e-4  # of method full without covariates known in advance; else a multiple of it
    fine_tune_steps: int = 600  # at most; 0: the pre-trained weights as they are (zero-shot)
    optimizer: str = "adamw"  # adamw, adam, sgd (momentum 0.9)
    schedule: str = "cosine"  # after a warm-up of a tenth: cosine (half a wave down to 0), constant
    weight_decay: float = 0.01
    batch_size: int = 128  # windows
    validation: int = 28  # last days, kept for early stopping; 0: all steps, at most 10 passes, 25 if planned
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
            raise FieldError("pretrained", self.pretrained, f"one of {', '.join(map(repr, shipped))}")
        if self.d_model % self.heads:
            raise FieldError("d_model", self.d_model, f"a multiple of heads ({self.heads})")


def check_fields(params) -> None:
    """Raise ValueError naming the first field of `params` whose type or value is not allowed."""
    check_training(params, lowest={"fine_tune_steps": 0, "validation": 0})
    for name in ("context", "horizon", "validation"):
        if getattr(params, name) % PATCH:
            raise FieldError(name, getattr(params, name), f"a multiple of {PATCH}")
