"""When compiled kernels step and draw: numba's, where it is installed, which give bit for bit what NumPy gives.

Numba takes half a second to import. So with `auto`, the default, it is loaded once an environment has been stepped
`WARM` times, or `MANY` numbers were drawn: short programs never wait for it, and long ones do not notice.
`STORELAB_KERNEL=numpy` (or `numba`) in the environment says it for the whole process, draws included.
"""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from ...errors import FieldError
from .checks import check_choice

KERNELS = ("auto", "numpy", "numba")
WARM = 1_000  # steps of an environment
MANY = 20_000_000  # numbers drawn
_drawn = 0  # numbers by NumPy so far in this process
_known: dict[str, bool] = {}  # whether numba is installed, once it was looked for


class Stepper(Protocol):
    """A model's compiled kernel: what `Model.stepper` returns. `packed` is a state as one array (n, F) float32."""

    def pack(self, state: Any, /) -> np.ndarray:
        """Return a state as one array."""
        ...

    def unpack(self, packed: np.ndarray, /) -> Any:
        """Return the state that an array holds, as views of it."""
        ...

    def observe(self, packed: np.ndarray, now: Callable[[], dict], /) -> np.ndarray:
        """Return the observations, in an array of their own; `now` gives the period's slice of the scenario."""
        ...

    def step(self, packed: np.ndarray, actions: np.ndarray, scenario: dict, period: int, /) -> tuple | None:
        """Move all rows one period on, but for a season's last one.

        Args:
            packed: the state, left as it is.
            actions: (n, A) float64, as they were given.
            scenario: of `Model.scenarios`.
            period: of the scenario.

        Returns:
            The next state, rewards (n,), the info without `clipped_actions`, and how many actions were clipped in each
            row (n,), None where none was. None where an action is no finite number.
        """
        ...


def check_kernel(kernel: str) -> str:
    """Return what steps an environment: `kernel`, or in place of `auto` what the process says.

    Raises:
        FieldError: no such kernel, or numba is asked for and is not installed.
    """
    check_choice("kernel", kernel, KERNELS)
    if kernel == "auto":
        kernel = os.environ.get("STORELAB_KERNEL", "auto")
        check_choice("STORELAB_KERNEL", kernel, KERNELS)
    if kernel == "numba" and not installed():
        raise FieldError("kernel", kernel, "auto or numpy", "without numba: pip install 'storelab[dispatch]'")
    return kernel


def installed() -> bool:
    """Return whether numba can be imported."""
    if "numba" not in _known:
        _known["numba"] = find_spec("numba") is not None
    return _known["numba"]


def draws(count: int) -> bool:
    """Return whether a compiled kernel draws the next `count` numbers of this process."""
    global _drawn
    kernel = check_kernel("auto")
    if kernel != "auto":
        return kernel == "numba"
    _drawn += count
    return ("numba" in sys.modules or _drawn >= MANY) and installed()
