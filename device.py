"""The device that a learner or a model runs on, by name. A leaf: imports nothing of ours but errors."""

import re
import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from .errors import FieldError

if TYPE_CHECKING:
    import torch

ALLOWED = "auto, cpu, cuda or cuda:0, cuda:1, ..."


def check_device(name: str) -> None:
    """Raise a FieldError unless `name` is `auto` or a device by name; it need not be there."""
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise FieldError("device", name, ALLOWED)


def device_of(name: str, widths: Sequence[int] = (), rows: int = 1) -> "torch.device":
    """Return the device; `auto` is CUDA where there is one and, where the work is told, it is the faster for it.

    Args:
        name: `auto`, or a device by name.
        widths: of the network's layers, from the inputs to the outputs; () where CUDA always pays.
        rows: that pass through it at once.

    Raises:
        FieldError: for a CUDA device that is not there.
    """
    import torch

    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device(
            min(("cuda", "cpu"), key=lambda each: seconds(each, tuple(widths), rows)) if widths else "cuda"
        )
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise FieldError("device", name, f"auto or cpu: {torch.cuda.device_count()} CUDA devices are here")
    return device


@cache
def seconds(device: str, widths: tuple[int, ...], rows: int, repeats: int = 5) -> float:
    """Return how long a network's step takes, at best: rows from the host, forward, backward, outputs to the host."""
    import torch

    with torch.random.fork_rng():
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(widths)]
        network, host = torch.nn.Sequential(*layers).to(device), torch.rand(rows, widths[0])
    best = float("inf")
    for _ in range(repeats + 1):  # the first one warms up, and is never the best
        start = time.perf_counter()
        outputs = network(host.to(device))
        outputs.square().mean().backward()
        outputs.detach().cpu()
        float(layers[0].weight.grad.sum())  # waits for the device
        best = min(best, time.perf_counter() - start)
    return best
