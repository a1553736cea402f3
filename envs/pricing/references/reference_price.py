"""Pricing where customers remember prices: demand A - B p + gain (r - p)+ - loss (p - r)+, r' = rho r + (1 - rho) p.

Without loss aversion (gain = loss) the problem is linear-quadratic and solved exactly; with it, on a grid of reference
prices. Popescu and Wu 2007, Operations Research 55(3); Fibich, Gavious and Lowengart 2003, Operations Research 51(5).
"""

from dataclasses import dataclass

import numpy as np

from ....errors import FieldError
from ...core.pmf import require_positive


@dataclass
class Linear:
    """The optimal policy p = constant + slope r of each period, and the value v0 + v1 r + v2 r^2 before the first."""

    constant: np.ndarray  # (T,) money
    slope: np.ndarray  # (T,)
    coefficients: tuple[float, float, float]  # v0, v1, v2

    def value(self, reference: float) -> float:
        """Return the profit from a first reference price (money)."""
        v0, v1, v2 = self.coefficients
        return v0 + v1 * reference + v2 * reference**2


def solve(size, slope, effect, memory, cost=0.0, discount=1.0, horizon: int | None = None) -> Linear:
    """The loss-neutral optimum (gain = loss = `effect`), prices and demand without bounds.

    Args:
        size: A, units per period.
        slope: B > 0, units per period and money.
        effect: g >= 0, the same.
        memory: rho in [0, 1].
        cost: c, money per unit sold.
        discount: beta in (0, 1].
        horizon: periods; None: endless, for `discount` < 1, where the policy (T = 1) is the same in all periods.

    Raises:
        FieldError: a number out of its bounds.
    """
    _check(size, slope, memory, discount, horizon)
    if not effect >= 0:
        raise FieldError("effect", effect, "a number >= 0")
    v0 = v1 = v2 = 0.0
    constants, slopes, keep = [], [], 1 - memory
    steps = horizon or 100_000
    for _ in range(steps):
        curve = slope + effect - discount * v2 * keep**2
        constant = (size + cost * (slope + effect) + discount * v1 * keep) / (2 * curve)
        gain = (effect + 2 * discount * v2 * memory * keep) / (2 * curve)
        new = (
            curve * constant**2 - cost * size + discount * v0,
            2 * curve * constant * gain - cost * effect + discount * v1 * memory,
            curve * gain**2 + discount * v2 * memory**2,
        )
        change = max(abs(a - b) for a, b in zip(new, (v0, v1, v2), strict=True))
        v0, v1, v2 = new
        constants.append(constant)
        slopes.append(gain)
        if horizon is None and change < 1e-13 * max(1.0, abs(v0)):
            break
    if horizon is None:
        constants, slopes = constants[-1:], slopes[-1:]
    return Linear(np.array(constants[::-1]), np.array(slopes[::-1]), (v0, v1, v2))


def steady_price(size, slope, effect, memory, cost=0.0, discount=1.0) -> float:
    """The price where the endless optimum rests: [A + c (B + g k)] / (2 B + g k), k = (1 - beta) / (1 - rho beta)."""
    _check(size, slope, memory, discount, 1)
    k = 1.0 if discount == 1 == memory else (1 - discount) / (1 - memory * discount)
    return (size + cost * (slope + effect * k)) / (2 * slope + effect * k)


def solve_grid(
    size, slope, gain, loss, memory, prices, horizon: int, cost=0.0, discount=1.0, references=None
) -> tuple[np.ndarray, np.ndarray]:
    """The optimum for any gain and loss on a grid: the value (R,) and the policy (T, R) at `references` (R,).

    Demand below 0 counts as 0. Values between reference prices are interpolated linearly.

    Args:
        size, slope, memory, cost, discount: as in `solve`.
        gain, loss: units per period and money below and above the reference price.
        prices: (m,) money, rising.
        horizon: periods.
        references: (R,) money, rising; by default 401 between the prices' ends, which reference prices cannot leave.
    """
    _check(size, slope, memory, discount, horizon)
    prices = np.asarray(prices, dtype=float)
    r = np.linspace(prices[0], prices[-1], 401) if references is None else np.asarray(references, dtype=float)
    above = prices[None, :] - r[:, None]
    demand = np.maximum(size - slope * prices - np.where(above > 0, loss, gain) * above, 0)
    now, later = (prices - cost) * demand, memory * r[:, None] + (1 - memory) * prices
    value, policy = np.zeros(len(r)), np.empty((horizon, len(r)))
    for t in reversed(range(horizon)):
        to_go = now + discount * np.interp(later, r, value)
        policy[t], value = prices[to_go.argmax(axis=1)], to_go.max(axis=1)
    return value, policy


def _check(size, slope, memory, discount, horizon) -> None:
    require_positive("size", size)
    require_positive("slope", slope)
    if not 0 <= memory <= 1:
        raise FieldError("memory", memory, "a number from 0 to 1")
    if not 0 < discount <= 1 or (horizon is None and discount == 1):
        raise FieldError("discount", discount, "a number > 0 and < 1 (1 with a horizon)")
    if horizon is not None:
        require_positive("horizon", horizon)
