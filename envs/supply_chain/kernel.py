"""A period of a network that moves one item, compiled: bit for bit what `SupplyChain` computes in NumPy. Needs numba.

The networks that it steps count whole units, so that sums are exact in any order, and know neither storage limits,
random lead times nor learned allocation. Money is summed by NumPy in both: its rounding depends on the order.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types

from ..core.batch import pack
from ..core.checks import EXACT
from .state import UNITS, State

SEEN = types.Array(float32, 3, "A", readonly=True)
SIGNATURE = types.int64(
    float32[:, ::1], float64[:, :], SEEN, int64, int64[::1], int64[:, ::1], float32[:, ::1], float64[:, ::1],
    float32[:, ::1], float32[::1], float32[:, ::1], int64[::1],
)  # fmt: skip
FLOWS = ("demand", "sales", "unmet", "lost", "backlog", "ordered", "shipped", "refused", "owed", "received", "on_hand",
    "in_transit")  # fmt: skip
(DEMAND, SALES, UNMET, LOST, BACKLOG, ORDERED, SHIPPED, REFUSED, OWED, RECEIVED, ON_HAND, IN_TRANSIT) = range(12)


@njit([SIGNATURE], cache=True, nogil=True)
def advance(state, actions, demands, period, shape, arcs, number, bounds, after, flow, sums, clipped):
    """Move all rows one period on.

    Args:
        state: (n, F) as `pack` orders it.
        actions: (n, A) as they were given.
        demands: (n, T, S).
        period: of the scenario.
        shape: nodes, arcs, shops, suppliers, periods of the pipeline and of the orders, whether arrivals wait a period,
            whether orders and customers ever wait, whether stock is shared by proportion.
        arcs: of each arc: source, target, lead time, order delay, whether its orders wait.
        number: rows of numbers: the sources' capacity, the suppliers' stock, whether a shop's customers wait, the lot,
            and of each arc what a unit becomes.
        bounds: of actions, (2, A).
        after: (n, F), filled with the next state.
        flow: filled with what moved: blocks (n, k), one for each of `FLOWS`.
        sums: (12, n), filled with what moved over all rows of a block.
        clipped: (n,), filled with how many actions were clipped.

    Returns:
        How many actions were clipped; -1: one is no finite number.
    """
    nodes, count, shops, suppliers, periods, delays, waits, owes, backs, shares = shape
    n, zero, one = len(state), np.float32(0), np.float32(1)
    capacity, supply, stays, ratio = number[0], number[1], number[2], number[4]
    lot, half, hair, tiny = number[3, 0], np.float32(0.5), np.float32(1e-4), np.float32(1e-6)
    inner = nodes - shops
    # Columns of the state.
    arriving = nodes
    transit = arriving + nodes * waits
    pipeline = transit + count
    ordered = pipeline + periods * count
    owed = ordered + delays * count
    backlog = owed + count * owes
    # Where blocks of the flow begin.
    begin, at = np.zeros(12, np.int64), 0
    for block in range(12):
        begin[block] = at
        at += n * (shops if block <= BACKLOG else nodes if block in (RECEIVED, ON_HAND) else count)
    by_node, by_arc = np.empty((5, nodes + suppliers), np.float32), np.empty((2, count), np.float32)
    stock, held, came, want, left = by_node[0], by_node[1], by_node[2], by_node[3], by_node[4]
    request, ship = by_arc[0], by_arc[1]
    total, clips = np.zeros(12, np.float32), 0
    for i in range(n):
        clipped[i] = 0
        total[:] = zero
        held[:nodes] = state[i, :nodes]
        stock[:nodes] = state[i, :nodes]
        for k in range(suppliers):
            stock[nodes + k] = supply[k]
        for k in range(nodes + suppliers):
            stock[k] = min(stock[k], capacity[k])
            came[k] = want[k] = zero
        for a in range(count):
            given = actions[i, a]
            if not np.isfinite(given):
                return -1
            inside = min(max(given, bounds[0, a]), bounds[1, a])
            clipped[i] += inside != given
            order = np.float32(inside)
            order = np.floor(order + half) if lot == one else np.floor(order / lot + half) * lot
            flow[begin[ORDERED] + i * count + a] = order
            total[ORDERED] += order
            delay = arcs[3, a]
            now = order if delay == 0 else state[i, ordered + a]
            for k in range(delays):
                later = state[i, ordered + (k + 1) * count + a] if k + 1 < delays else zero
                after[i, ordered + k * count + a] = order + later if k + 1 == delay else later
            if owes:
                now += state[i, owed + a]
            request[a] = now
            want[arcs[0, a]] += now
        left[:] = stock
        for a in range(count):
            source = arcs[0, a]
            ship[a] = zero
            if shares:
                share = min(stock[source] / max(want[source], tiny), one)
                part = request[a] * share
                ship[a] = np.floor(part + hair) if lot == one else np.floor(part / lot + hair) * lot
                left[source] -= ship[a]
        for a in range(count):  # what is left over goes by priority
            source = arcs[0, a]
            more = min(max(left[source], zero), request[a] - ship[a])
            left[source] -= more
            ship[a] += more
            sent, lead, target = ship[a], arcs[2, a], arcs[1, a]
            unfilled = request[a] - sent
            keeps = unfilled if arcs[4, a] else zero
            if owes:
                after[i, owed + a] = keeps
            if source < nodes:
                held[source] -= sent
            on_way = state[i, transit + a] + sent
            if lead == 0:
                on_way -= sent
                came[target] += sent * ratio[a]
            flow[begin[SHIPPED] + i * count + a] = sent
            flow[begin[REFUSED] + i * count + a] = unfilled - keeps
            flow[begin[OWED] + i * count + a] = keeps
            flow[begin[IN_TRANSIT] + i * count + a] = on_way
            total[SHIPPED] += sent
            total[REFUSED] += unfilled - keeps
            total[OWED] += keeps
            total[IN_TRANSIT] += on_way
            after[i, transit + a] = on_way
        for k in range(nodes):
            held[k] += came[k]
            if waits:
                held[k] += state[i, arriving + k]
        for s in range(shops):
            there, demand, served = held[inner + s], demands[i, period, s], zero
            if backs:
                served = min(there, state[i, backlog + s])
                there -= served
            sales = min(there, demand)
            unmet = demand - sales
            lost = unmet - unmet * stays[s]
            held[inner + s] = there - sales
            behind = zero
            if backs:
                behind = state[i, backlog + s] - served + unmet * stays[s]
                after[i, backlog + s] = behind
                sales += served
            where = i * shops + s
            flow[begin[DEMAND] + where], flow[begin[SALES] + where] = demand, sales
            flow[begin[UNMET] + where], flow[begin[LOST] + where] = unmet, lost
            flow[begin[BACKLOG] + where] = behind
            total[DEMAND] += demand
            total[SALES] += sales
            total[UNMET] += unmet
            total[LOST] += lost
            total[BACKLOG] += behind
        for k in range(nodes):
            want[k] = zero  # from here on: what arrives at the end of the period
        for a in range(count):
            lead = arcs[2, a]
            due = ship[a] if lead == 1 else state[i, pipeline + a] if periods and lead > 1 else zero
            for k in range(periods):
                later = state[i, pipeline + (k + 1) * count + a] if k + 1 < periods else zero
                after[i, pipeline + k * count + a] = ship[a] + later if k + 2 == lead else later
            after[i, transit + a] -= due
            want[arcs[1, a]] += due * ratio[a]
        for k in range(nodes):
            flow[begin[ON_HAND] + i * nodes + k] = held[k]
            flow[begin[RECEIVED] + i * nodes + k] = came[k] + want[k]
            total[ON_HAND] += held[k]
            total[RECEIVED] += came[k] + want[k]
            if waits:
                after[i, k], after[i, arriving + k] = held[k], want[k]
            else:
                after[i, k] = held[k] + want[k]
        for block in range(12):
            sums[block, i] = total[block]
        clips += clipped[i]
    return clips


def steps(model: Any) -> bool:
    """Return whether the kernel steps a `SupplyChain`: of one item, in whole units, under the plain rules."""
    p, rows = model.params, max(len(model.arcs), len(model.nodes))
    plain = p.items == 1 and p.action == "continuous" and p.allocation != "learned" and not model.random_lead
    plain = plain and model.xp is np and model._whole and not model.wide
    return plain and model._storage is None and rows * model._reach() < EXACT


class Stepper:
    """The kernel, bound to a model; see `core.kernels.Stepper`."""

    def __init__(self, model: Any):
        p = model.params
        self.model = model
        nodes, arcs, shops, suppliers = len(model.nodes), len(model.arcs), len(model.shops), len(p.suppliers)
        self._state = model.initial(1)
        self._periods, self._delays = len(self._state.pipeline), len(self._state.orders)
        self._waits, self._owes = self._state.arriving is not None, self._state.owed is not None
        self._backs, shares = self._state.backlog is not None, not model._single and p.allocation == "proportional"
        shape = [nodes, arcs, shops, suppliers, self._periods, self._delays]
        shape += [self._waits, self._owes, self._backs, shares]
        of_arcs = [model.source_of, model.target_of, model.lead[:, 0], model.delay, model.keeps]
        number = np.zeros((5, max(nodes + suppliers, arcs)), np.float32)
        number[0, : nodes + suppliers] = np.inf if model._capacity is None else model._capacity
        number[1, :suppliers], number[2, :shops] = model._supplies[:, 0], model._waits
        number[3], number[4, :arcs] = p.lot_size, model.ratio
        bounds = np.stack([model.action_low, model.action_high])
        self._constants = np.array(shape, np.int64), np.array(of_arcs, np.int64), number, bounds
        width = [shops] * 5 + [arcs] * 4 + [nodes] * 2 + [arcs]
        self._flow = np.cumsum([0, *width])
        there = {"backlog": self._backs, "lost": model._any_lost, "owed": self._owes, "refused": not model.keeps.all()}
        self._blocks = {name: k for k, name in enumerate(FLOWS) if there.get(name, True)}
        self._units = [(name, self._blocks[name]) for name in UNITS if name in self._blocks]
        self._money = [
            (name, quantity, self._blocks["shipped" if quantity == "placed" else quantity], weight)
            for name, quantity, weight, _ in model._money
            if quantity == "placed" or quantity in self._blocks
        ]
        self._columns = self._seen()

    def _seen(self) -> np.ndarray:
        """Return the columns of the packed state that are observed, in the order of the layout, but for `time_left`."""
        model, nodes, arcs = self.model, len(self.model.nodes), len(self.model.arcs)
        transit = nodes * (1 + self._waits)
        pipeline = transit + arcs
        orders = pipeline + self._periods * arcs
        owed = orders + self._delays * arcs
        backlog = owed + arcs * self._owes
        parts = [np.arange(transit), pipeline + np.asarray(model._slots), orders + np.asarray(model._order_slots)]
        parts += [owed + np.asarray(model._kept)] * self._owes + [backlog + np.arange(len(model.shops))] * self._backs
        return np.concatenate(parts).astype(np.int64)

    def pack(self, state: State) -> np.ndarray:
        """Return a state's arrays side by side (n, F)."""
        return np.concatenate([part.reshape(len(part), -1) for part in pack(state).values()], axis=1)

    def unpack(self, packed: np.ndarray) -> State:
        """Return the state of what `pack` gave, as views."""
        at, parts = 0, {}
        for name, like in pack(self._state).items():
            size = like[0].size
            parts[name] = packed[:, at : at + size].reshape(-1, *like.shape[1:])
            at += size
        single = {name: parts.get(name) for name in ("on_hand", "arriving", "in_transit", "owed", "backlog")}
        pipeline, orders = (
            tuple(part for name, part in parts.items() if name.startswith(several))
            for several in ("pipeline", "orders")
        )
        return State(**single, pipeline=pipeline, orders=orders)

    def observe(self, packed: np.ndarray, now: Callable[[], dict]) -> np.ndarray:
        """Return the observations (n, F): see `core.kernels.Stepper`."""
        if "time_left" not in self.model.layout:
            return packed.take(self._columns, axis=1)
        seen = np.empty((len(packed), len(self._columns) + 1), np.float32)
        packed.take(self._columns, axis=1, out=seen[:, :-1])
        seen[:, -1:] = now()["time_left"]
        return seen

    def step(self, packed: np.ndarray, actions: np.ndarray, scenario: dict, period: int) -> tuple | None:
        """Move all rows one period on: see `core.kernels.Stepper`."""
        n, after = len(packed), np.empty_like(packed)
        flow, sums = np.empty(n * self._flow[-1], np.float32), np.empty((12, n), np.float32)
        clipped = np.empty(n, np.int64)
        actions = actions.reshape(n, -1)
        clips = advance(packed, actions, scenario["demand"], period, *self._constants, after, flow, sums, clipped)
        if clips < 0:
            return None
        info: dict = {}
        for name, quantity, block, weight in self._money:
            units = flow[n * self._flow[block] : n * self._flow[block + 1]].reshape(n, -1)
            if quantity == "placed":
                units = np.where(units > 0, np.float32(1), np.float32(0))
            value = np.einsum("nk,k->n", units, weight)
            info[name] = info[name] + value if name in info else value
        rewards = self.model.reward(info)
        for name, block in self._units:
            info[name] = sums[block]
        return after, rewards, info, clipped if clips else None
