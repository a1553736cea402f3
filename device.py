"""The device that a learner or a model runs on, by name. A leaf: imports nothing of ours but errors."""

import re
from typing import TYPE_CHECKING

from .errors import FieldError

if TYPE_CHECKING:
    import torch

ALLOWED = "auto, cpu, cuda or cuda:0, cuda:1, ..."


def check_device(name: str) -> None:
    """Raise a FieldError unless `name` is `auto` or a device by name; it need not be there."""
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise FieldError("device", name, ALLOWED)


def device_of(name: str) -> "torch.device":
    """Return the device; `auto` is CUDA where there is one. Raises FieldError for a CUDA device that is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise FieldError("device", name, f"auto or cpu: {torch.cuda.device_count()} CUDA devices are here")
    return device
