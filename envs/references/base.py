"""What a policy's result is measured against."""

import math
from collections.abc import Callable
from dataclasses import dataclass

CRITERIA = ("average cost per period", "discounted", "finite horizon")
KINDS = ("exact", "bound", "heuristic", "best known")


@dataclass
class Reference:
    """A known value of a task, with what one must know to compare with it.

    Raises ValueError when `criterion` or `kind` is not one of those listed, or `value` or `tolerance` is no number.
    """

    name: str  # e.g. "optimal policy"
    value: float  # money per period (average cost) or per episode (the other criteria), in `unit`
    criterion: str  # one of CRITERIA
    kind: str  # one of KINDS: how `value` relates to the optimum
    tolerance: float  # half-width of the interval around `value` that is certain to hold the true number, in `unit`
    source: str  # citation of the model and of the method
    policy: Callable | None = None  # the policy that attains `value`, where there is one
    unit: str = "cost per period"  # the unit of `value` and `tolerance`

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise ValueError(f"criterion: {self.criterion!r} is not allowed; use one of {', '.join(CRITERIA)}")
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is not allowed; use one of {', '.join(KINDS)}")
        if not math.isfinite(self.value):
            raise ValueError(f"value: {self.value!r} is not allowed; use a finite number")
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f"tolerance: {self.tolerance!r} is not allowed; use a finite number of at least 0")

    @classmethod
    def average_optimum(cls, solution, source: str) -> "Reference":
        """Return the optimum of the average cost, of a solution by value iteration: its `cost` and its policy `act`."""
        return cls(
            name="optimal policy",
            value=solution.cost,
            criterion="average cost per period",
            kind="exact",
            tolerance=1e-4,
            source=f"{source}; value iteration",
            policy=solution.act,
        )
