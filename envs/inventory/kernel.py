"""A period of one item, compiled: bit for bit what `Inventory` and `Batch` compute in NumPy. It needs numba.

The models that it steps have one item, fixed lead times, no yield, limits, forecasts or random patience: LostSales,
FixedCost, Perishable and the like. All else is left to NumPy (`steps`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types

from ..core.batch import pack
from .state import State

UNITS = ("demand", "sales", "unmet", "backlog", "ordered", "received", "on_hand", "waste")
ROWS = {name: row for row, name in enumerate(UNITS)}
LOTS, SCALED, ROUNDED, ROUNDED_LOTS, DIVISIBLE = range(5)  # what an action becomes
SEEN = types.Array(float32, 3, "A", readonly=True)
SIGNATURE = types.int64(
    float32[:, ::1], float64[::1], SEEN, int64, int64[::1], float32[::1], float64[::1], int64[::1], int64[::1],
    float32[::1], float32[:, ::1], float32[:, ::1],
)  # fmt: skip


@njit(inline="always")
def _order(action, position, rounding, raises, lot, largest):
    """Return the units that an action inside the space orders."""
    if rounding == LOTS:
        return action
    if rounding == SCALED:
        return action * lot
    if raises:
        action = min(max(action - position, np.float32(0)), largest)
    if rounding == ROUNDED:
        return np.floor(action + np.float32(0.5))
    return np.floor(action / lot + np.float32(0.5)) * lot if rounding == ROUNDED_LOTS else action


@njit([SIGNATURE], cache=True, nogil=True)
def advance(state, actions, demands, period, shape, sizes, bounds, quantity, kind, rate, after, out):
    """Move all rows one period on.

    Args:
        state: (n, F) as `pack` orders it: on hand, on order by arrival, backlog, shelf by expiry.
        actions: (n,) as they were given.
        demands: (n, T, 1).
        period: of the scenario.
        shape: lead time, layers of the shelf, whether the freshest go first, whether customers wait, the rounding,
            whether actions are levels, whether they are whole numbers.
        sizes: lot, largest order.
        bounds: of actions.
        quantity, kind, rate: of each money term: its row of units; 0 a cost, 1 a gain, 2 a cost per order; per unit.
        after: (n, F), filled with the next state.
        out: (units, money terms, reward and what was clipped; n), filled.

    Returns:
        How many actions were clipped; -1: one is no finite number.
    """
    lead, layers, newest, waits, rounding, raises, whole = shape
    first = 1 + max(lead - 1, 0)  # column of the backlog, or of the shelf
    shelf, last, clips = first + waits, 8 + len(rate), 0
    zero, one = np.float32(0), np.float32(1)
    for i in range(len(state)):
        given = actions[i]
        if not np.isfinite(given):
            return -1
        inside = min(max(given, bounds[0]), bounds[1])
        clipped = inside != given
        clips += clipped
        if whole:
            inside = np.floor(inside + 0.5)
        position = state[i, 0]
        for k in range(1, first):
            position += state[i, k]
        if waits:
            position -= state[i, first]
        order = _order(np.float32(inside), position, rounding, raises, sizes[0], sizes[1])
        arrived, stock = zero, state[i, 0]
        if lead == 0:
            received = order + arrived
            stock += order
        else:
            arrived = order if lead == 1 else state[i, 1]
            received = arrived
            for k in range(2, lead):
                after[i, k - 1] = state[i, k]
            if lead > 1:
                after[i, lead - 1] = order
        served = zero
        if waits:
            served = min(stock, state[i, first])
            stock -= served
        demand = demands[i, period, 0]
        sales = min(stock, demand)
        left, unmet, backlog, waste = stock - sales, demand - sales, zero, zero
        if waits:
            backlog = state[i, first] - served + unmet
            after[i, first] = backlog
            sales = served + sales
        if layers:
            for k in range(layers):
                after[i, shelf + k] = state[i, shelf + k]
            if lead == 0:
                after[i, shelf + layers - 1] += order
            wanted = sales
            for step in range(layers):
                k = shelf + (layers - 1 - step if newest else step)
                taken = min(after[i, k], wanted)
                after[i, k] -= taken
                wanted -= taken
            waste, left = after[i, shelf], zero
            for k in range(layers):
                after[i, shelf + k] = after[i, shelf + k + 1] if k < layers - 1 else zero
                left += after[i, shelf + k]
            after[i, shelf + layers - 1] += arrived
        after[i, 0] = left + arrived
        out[0, i], out[1, i], out[2, i], out[3, i] = demand, sales, unmet, backlog
        out[4, i], out[5, i], out[6, i], out[7, i] = order, received, left, waste
        profit = zero
        for c in range(len(rate)):
            units = out[quantity[c], i]
            if kind[c] == 2:
                units = one if units > zero else zero
            value = units * rate[c]
            out[8 + c, i] = value
            if kind[c] == 1:
                value = -value
            profit = -value if c == 0 else profit - value
        out[last, i], out[last + 1, i] = profit, clipped
    return clips


def steps(model: Any) -> bool:
    """Return whether the kernel steps an `Inventory` model."""
    p, supply = model.params, model.supply
    plain = p.items == 1 and not (supply.random_lead or supply.limited or supply.loses or model.source.known)
    plain = plain and model.xp is np and not model.wide
    return plain and p.forecast == "none" and p.backorder_share in (0, 1)


class Stepper:
    """The kernel, bound to a model; see `core.kernels.Stepper`."""

    def __init__(self, model: Any):
        p, layers = model.params, model.shelf.layers if model.shelf else 0
        self.model, self.waits, self.layers = model, int(p.backorder_share), layers
        rounding = DIVISIBLE
        if p.in_lots:
            rounding = LOTS if p.lot_size == 1 else SCALED
        elif p.lot_size:
            rounding = ROUNDED if p.lot_size == 1 else ROUNDED_LOTS
        low, high, whole = model.first_bounds
        levels, newest = p.action == "base_stock", p.issuing != "fifo"
        charged = [c for c in model._charged if c[1] != ("lost" if self.waits else "backlog")]
        charged = [c for c in charged if c[1] != "waste" or layers]
        names = [name for name, *_ in charged]
        rows = [ROWS["unmet" if quantity == "lost" else quantity] for _, quantity, _ in charged]
        kinds = [{"revenue": 1, "fixed_cost": 2}.get(name, 0) for name in names]
        self._constants = (
            np.array([model.max_lead, layers, newest, self.waits, rounding, levels, whole], np.int64),
            np.array([p.lot_size, model._max_order[0]], np.float32),
            np.array([low, high]),
            np.array(rows, np.int64),
            np.array(kinds, np.int64),
            np.array([rate[0] for *_, rate in charged], np.float32),
        )
        self._names = [(name, len(UNITS) + k) for k, name in enumerate(names)] + [(u, ROWS[u]) for u in model._units]
        self._rows = len(UNITS) + len(names) + 2
        # The state is the observation where it has no more, and its parts come in the same order.
        self._alike = "time_left" not in model.layout and not (layers and self.waits)

    def pack(self, state: State) -> np.ndarray:
        """Return a state's arrays side by side (n, F)."""
        return np.concatenate(list(pack(state).values()), axis=1)

    def unpack(self, packed: np.ndarray) -> State:
        """Return the state of what `pack` gave, as views."""
        columns = [packed[:, k : k + 1] for k in range(packed.shape[1])]
        first = 1 + max(self.model.max_lead - 1, 0)
        shelf = tuple(columns[first + self.waits :]) if self.layers else None
        return State(columns[0], tuple(columns[1:first]), columns[first] if self.waits else None, None, shelf)

    def observe(self, packed: np.ndarray, now: Callable[[], dict]) -> np.ndarray:
        """Return the observations (n, F): see `core.kernels.Stepper`."""
        return packed.copy() if self._alike else self.model.observation(self.unpack(packed), now())

    def step(self, packed: np.ndarray, actions: np.ndarray, scenario: dict, period: int) -> tuple | None:
        """Move all rows one period on: see `core.kernels.Stepper`."""
        after, out = np.empty_like(packed), np.empty((self._rows, len(packed)), np.float32)
        clips = advance(packed, actions.ravel(), scenario["demand"], period, *self._constants, after, out)
        if clips < 0:
            return None
        info = {name: out[row] for name, row in self._names}
        return after, out[-2], info, out[-1].astype(int) if clips else None
