"""An upper bound on the profit of a supply chain, with the whole scenario known beforehand: a linear program.

With fixed costs it is a mixed-integer one. HiGHS solves both, through SciPy (Huangfu and Hall 2018, Mathematical
Programming Computation 10). The planner decides every shipment itself, in divisible units, and lets no order wait;
storage binds stock only. All this adds choices, so that the value bounds every policy's.
"""

import math

import numpy as np

from ....errors import FieldError

GAP = 1e-4  # relative gap at which a mixed-integer program stops: its bound is returned, not its solution


def bounds(model, scenario: dict) -> np.ndarray:
    """Return an upper bound on each scenario's profit (n,), money per episode, salvage included.

    Args:
        model: a `SupplyChain`.
        scenario: of its `scenarios`, n rows.

    Raises:
        ImportError: without SciPy.
        FieldError: a program without a bound, as where buying to salvage pays.
    """
    values = []
    for row, demand in enumerate(scenario["demand"]):
        lead = scenario["lead"][row] if "lead" in scenario else None
        values.append(solve([Program(model, demand, lead)])[0])
    return np.array(values)


class Program:
    """The planner's program over one scenario.

    Variables, all >= 0: shipments x[t, a, i]; stock at the ends of the periods s[t, n, i]; sales y[t, k] and what waits
    or is lost b[t, k], k a shop and item; and where there are fixed costs, whether something is shipped, z[t, a, i].
    """

    def __init__(self, model, demand, lead=None, start=None, horizon: int | None = None):
        """Build it for `demand` (T or more, S * I), units, and where they are random lead times (T, A, I), periods.

        Args:
            start: a `State` of one row to begin with; the model's own by default.
            horizon: T, by default the model's; a season ends with it.
        """
        self.model, self.T = model, horizon or model.horizon
        self.demand, self.start = np.asarray(demand[: self.T], dtype=float), start or model.initial(1)
        self.lead = None if lead is None else np.asarray(lead[: self.T], dtype=int)
        self.fixed = model.per_arc("fixed_cost")
        rows = {"x": len(model.arcs), "s": len(model.nodes), "y": len(model.shops), "b": len(model.shops)}
        if self.fixed.any():
            rows["z"] = len(model.arcs)
        self.columns, self.width = {}, 0
        for name, count in rows.items():
            shape = (self.T, count, model.params.items)
            self.columns[name] = self.width + np.arange(math.prod(shape)).reshape(shape)
            self.width += math.prod(shape)
        self.entries, self.low, self.high = [], [], []
        self._arrivals()
        self._cost()
        self._balance()
        self._limits()

    def _arrivals(self):
        """Say in which period a shipment of period t, and what is on the way at the start, can first serve demand."""
        shape = (self.T, *self.model.lead.shape)
        ages = 1 + np.arange(len(self.start.pipeline))
        began = np.concatenate([np.arange(self.T), -ages])  # those on the way are shipments of periods -1, -2, ...
        if self.lead is None:
            self.due = np.arange(self.T)[:, None, None] + self.model.lead
            self.due_first = np.broadcast_to(ages[:, None, None], (len(ages), *shape[1:]))
            return
        due = np.broadcast_to(began[:, None, None] + self.model.lead, (len(began), *shape[1:])).copy()
        due = np.where(self.model.lead > 0, np.maximum(due, self.T), due)
        for u in range(self.T - 1, -1, -1):  # at the end of period u what is as old as the lead time arrives
            old = (u - began + 1)[:, None, None]
            due = np.where((self.lead[u] > 0) & (old >= np.maximum(self.lead[u], 1)), u + 1, due)
        self.due, self.due_first = due[: self.T], due[self.T :]

    def _cost(self):
        """Set the money that each variable costs, and what is certain already."""
        model, p, c = self.model, self.model.params, self.columns
        shop = slice(len(model.nodes) - len(model.shops), None)
        waits = np.array([p.nodes[name].backorders for name in model.shops])[:, None]
        salvage = np.zeros_like(model.per_node("price")) if p.continuing else model.per_node("salvage_value")
        pipeline, worth = model.per_arc("pipeline_cost"), model.into.T @ salvage
        self.cost = cost = np.zeros(self.width)
        period = np.arange(self.T)[:, None, None]
        cost[c["x"]] = model.per_arc("unit_cost") + pipeline * (np.minimum(self.due, self.T) - period)
        cost[c["x"]] -= worth * (self.due >= self.T)
        cost[c["s"]] = model.per_node("holding_cost")
        cost[c["s"][-1]] -= salvage
        cost[c["y"]] = -model.per_node("price")[shop]
        cost[c["b"]] = np.where(waits, model.per_node("backorder_cost")[shop], model.per_node("lost_sale_cost")[shop])
        if "z" in c:
            cost[c["z"]] = self.fixed
        self.certain = 0.0
        for due, units in zip(self.due_first, self.start.pipeline, strict=True):
            units = np.asarray(units[0], dtype=float)
            self.certain += (units * (pipeline * np.minimum(due, self.T) - worth * (due >= self.T))).sum()

    def _rows(self, low, high, *terms):
        """Add constraints low <= sum of terms <= high; a term is (row in the shape of `low`, columns, values)."""
        first = sum(block.size for block in self.low)
        self.low.append(np.broadcast_to(low, np.shape(low)).astype(float))
        self.high.append(np.broadcast_to(high, np.shape(low)).astype(float))
        for row, column, value in terms:
            entry = np.broadcast_arrays(first + row, column, value)
            self.entries.append(np.stack([part.ravel().astype(float) for part in entry]))

    def _balance(self):
        """Stock, shipments and customers: what comes in is what goes out or is left."""
        model, p, c, T = self.model, self.model.params, self.columns, self.T
        x, s, y, b = (c[name] for name in "xsyb")
        stocks, ratio = len(model.nodes), model.into.sum(axis=0)
        first = np.zeros(s.shape)
        first[0] = np.asarray(self.start.on_hand[0])
        ready = first.copy()  # what may be shipped on
        if self.start.arriving is not None:
            first[0] += np.asarray(self.start.arriving[0])
        t, a, i = np.nonzero(self.due < T)
        when, target = self.due[t, a, i], model.target_of[a]
        for due, units in zip(self.due_first, self.start.pipeline, strict=True):
            there = np.nonzero((due < T) & (np.asarray(units[0]) > 0))
            units = ratio[there[0]] * np.asarray(units[0], dtype=float)[there]
            place = (due[there], model.target_of[there[0]], there[1])
            np.add.at(first, place, units)
            if p.ships_arrivals:
                np.add.at(ready, place, units)
        row = np.arange(s.size).reshape(s.shape)
        inner = np.flatnonzero(model.source_of < stocks)
        out = (row[:, model.source_of[inner]], x[:, inner], 1.0)
        shop = slice(stocks - len(model.shops), None)
        came = (row[when, target, i], x[t, a, i], -ratio[a])
        before = (row[1:], s[:-1], -1.0)
        self._rows(first, first, (row, s, 1.0), before, out, (row[:, shop], y, 1.0), came)
        if len(inner):  # sources ship what they have when the period begins
            at_once = (when > t) & p.ships_arrivals
            came = tuple(part[at_once] for part in came)
            self._rows(np.full(s.shape, -np.inf), ready, before, out, came)
        waited = np.zeros(b.shape)
        if self.start.backlog is not None:
            waited[0] = np.asarray(self.start.backlog[0]).reshape(b.shape[1:])
        asked = self.demand.reshape(b.shape) + waited
        row, keep = np.arange(b.size).reshape(b.shape), [p.nodes[name].backorders for name in model.shops]
        self._rows(asked, asked, (row, b, 1.0), (row, y, 1.0), (row[1:, keep], b[:-1, keep], -1.0))

    def _limits(self):
        """Capacity, storage, the largest order, order delays and fixed costs."""
        model, p, c, T = self.model, self.model.params, self.columns, self.T
        self.upper = np.full(self.width, np.inf)  # of the variables
        largest = np.broadcast_to(model.per_arc("max_order"), c["x"].shape).copy()
        largest[:, model.keeps | (model.delay > 0)] = np.inf  # orders may wait and be shipped together
        waiting = 0.0 if self.start.owed is None else np.asarray(self.start.owed[0], dtype=float)
        for t, units in enumerate(self.start.orders[:T]):  # nothing else is known to the source yet
            waiting = waiting + np.asarray(units[0], dtype=float)
            largest[t] = np.where((model.delay > t)[:, None], waiting, largest[t])
        self.upper[c["x"]] = largest
        if "z" in c:
            self.upper[c["z"]] = 1.0
            row = np.arange(c["x"].size).reshape(c["x"].shape)
            big = np.minimum(largest, T * model.per_arc("max_order") + np.asarray(waiting))
            self._rows(np.full(row.shape, -np.inf), np.zeros(row.shape), (row, c["x"], 1.0), (row, c["z"], -big))
        period = np.arange(T)[:, None, None]
        for k, name in enumerate(model.rows):
            capacity, storage = p.nodes[name].capacity, p.nodes[name].storage
            sent = np.flatnonzero(model.source_of == k)
            if math.isfinite(capacity) and len(sent):
                self._rows(np.full(T, -np.inf), capacity, (period, c["x"][:, sent], 1.0))
            if math.isfinite(storage) and k < len(model.nodes):
                room = max(storage, float(np.asarray(model.position(self.start))[0, k].sum()))
                self._rows(np.full(T, -np.inf), room, (period, c["s"][:, k : k + 1], 1.0))


def solve(programs: list[Program]) -> tuple[float, np.ndarray]:
    """Return the best mean profit over scenarios that share the first period's shipments, and these (A, I), units.

    With one program, the profit is an upper bound on any policy's in its scenario.
    """
    try:
        from scipy import sparse
        from scipy.optimize import milp
    except ImportError as error:
        raise ImportError("bounds in hindsight need SciPy: pip install 'storelab[optimize]'") from error
    blocks, count = [], len(programs)
    for program in programs:
        row, column, value = np.concatenate(program.entries, axis=1)
        shape = (sum(block.size for block in program.low), program.width)
        blocks.append(sparse.csr_array((value, (row.astype(int), column.astype(int))), shape=shape))
    matrix, width = sparse.block_diag(blocks, format="csr"), sum(program.width for program in programs)
    low = np.concatenate([block.ravel() for program in programs for block in program.low])
    high = np.concatenate([block.ravel() for program in programs for block in program.high])
    first = programs[0].columns["x"][0].ravel()
    if count > 1:  # the others' first shipments equal the first one's
        size = len(first)
        other = np.concatenate([first + k * programs[0].width for k in range(1, count)])
        rows = np.arange(len(other))
        same = sparse.csr_array((np.ones(len(other)), (rows, other)), shape=(len(other), width))
        same -= sparse.csr_array((np.ones(len(other)), (rows, np.tile(first, count - 1))), shape=same.shape)
        matrix = sparse.vstack([matrix, same], format="csr")
        low, high = (np.concatenate([bound, np.zeros(size * (count - 1))]) for bound in (low, high))
    whole = np.zeros(width)
    for k, program in enumerate(programs):
        if "z" in program.columns:
            whole[k * program.width + program.columns["z"].ravel()] = 1
    cost = np.concatenate([program.cost for program in programs]) / count
    upper = np.concatenate([program.upper for program in programs])
    result = milp(
        cost, integrality=whole, bounds=(0, upper), constraints=(matrix, low, high), options={"mip_rel_gap": GAP}
    )
    if result.x is None:
        raise FieldError("scenario", result.message, "a program with a bound: does buying to salvage pay?")
    value = result.mip_dual_bound if whole.any() else result.fun
    certain = np.mean([program.certain for program in programs])
    return -float(value) - float(certain), result.x[first].reshape(programs[0].columns["x"].shape[1:])
