"""Inventory control in a network of suppliers, warehouses, factories and shops: `storelab/SupplyChain-v0`.

One period: orders are placed on all arcs; sources ship what they have, where it is short by the allocation rule; what
has a lead time of 0 arrives; customers come and are served, those who wait first; costs are charged on what is left;
then the shipments due for the next period arrive. So a shipment of period t with lead time L can serve the demand of
period t + L, as in `Inventory`, or be shipped on in period t + L (with lead time 0: in t + 1).
"""

import numpy as np

from ..core.contract import GAINS, narrow
from ..core.random import LEAD_TIME, as_keys, streams
from .state import UNITS, Flow, State
from .topology import Topology


class SupplyChain(Topology):
    """Inventory control in a directed acyclic network, many items: the batched model of `storelab/SupplyChain-v0`.

    Pure functions of arrays `(num_envs, nodes or arcs, items)`, in NumPy or torch (`xp`). `nodes` names the stocking
    nodes in the order of the arrays (shops last), `shops` the shops, `arcs` the arcs in theirs.

    ## Action space

    Box: a number per arc and item, arcs first. The parameter `action` chooses what it means:

    - `continuous`: units to order, up to `max_order`.
    - `base_stock`: the order-up-to level of the target's echelon inventory position: its stock, what is on the way to
      it or ordered, and all of that downstream, less backlog. Several arcs into a node order one after the other.

    With `allocation=learned` a weight in [0, 1] per arc follows. Orders are rounded to lots. Finite actions outside
    the space are clipped to it and counted (`clipped_actions`). An action that is not finite, or has another shape,
    raises a FieldError.

    ## Observation space

    Box (F,), float32, in units: `layout` names its parts and `features` splits them.

    | part | shape | unit |
    |---|---|---|
    | `on_hand` | (N, I) | units |
    | `arriving` | (N, I) | units that arrived but are shipped on next period; with `ships_arrivals=False` |
    | `pipeline` | (P, I) | units on the way, each arc's by period of arrival (random lead times: by age) |
    | `orders` | (Q, I) | orders that have not reached the source yet, each arc's by period; with `order_delay` |
    | `owed` | (A', I) | units ordered and not shipped yet, of the arcs whose source keeps orders |
    | `backlog` | (S, I) | units that customers wait for; if some shop takes backorders |
    | `time_left` | (1,) | share of the season; only with `continuing=False` |

    ## Dynamics

    *Shipments*: each arc's order, with the units owed to it, is shipped from its source's stock. On arrival a shipment
    becomes `ratio` times as many units. What is not shipped waits at a source with `backorders`, otherwise it is lost.

    *Allocation* of short stock: `proportional` gives every arc the same share of its order, `priority` serves arcs in
    their order, `learned` splits the stock by the weights. What rounding or the weights leave over goes by priority.

    *Limits*: a node's `capacity` bounds what it ships (several items: all are scaled down by one factor). Its `storage`
    scales orders down so that stock, shipments and orders fit.

    *Random lead times* never cross (Kaplan 1970, Management Science 16(7)): at the end of every period a lead time is
    drawn per arc and item, and all shipments of at least that age arrive.

    ## Reward

    Revenue less unit, fixed, pipeline, holding, lost-sale and backorder cost, in money. `info` has each of them, and
    the units over all nodes and items. There are no prices between nodes, since all nodes have one owner.

    ## Start and end

    Initial stock and shipments are parameters. After `horizon` periods the episode is truncated (`continuing`), or it
    terminates and units on hand and on the way bring `salvage_value`.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/SupplyChain-v0", nodes={"shop": {"holding_cost": 2.0}})
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step([5])
    >>> sorted(info)[:4]
    ['backlog', 'backorder_cost', 'clipped_actions', 'demand']
    >>> gym.make_vec("storelab/Serial-v0", num_envs=64).reset(seed=0)[0].shape
    (64, 5)

    ## Version history

    v0: the first.
    """

    version = "v0"

    # -- the scenario -----------------------------------------------------------------------------------------------

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw every random quantity of the episodes with the given seeds or keys, one row each.

        Returns:
            `demand` (n, T, S * I) units, and where they matter `lead` (n, T, A, I) periods, `time_left` (n, T, 1); T is
            the horizon + 1, for the last observation. A row depends on its own seed alone.
        """
        p, keys, periods = self.params, as_keys(seeds), self.horizon + 1
        scenario = {"demand": self.source.draw(keys, periods)["demand"]}
        if self.random_lead:
            shape = (periods, len(self.arcs), p.items)
            lead = np.broadcast_to(self.lead, (len(keys), *shape)).astype(np.float32)
            uniform = np.stack([rng.random(shape) for rng in streams(keys, LEAD_TIME)])
            for a, arc in enumerate(p.arcs.values()):
                if arc.lead_time_pmf:
                    steps = np.cumsum(arc.lead_time_pmf)[:-1]
                    lead[:, :, a] = 1 + np.searchsorted(steps, uniform[:, :, a], side="right")
            scenario["lead"] = lead
        if not p.continuing:
            scenario["time_left"] = self.time_left(len(keys))
        return scenario

    # -- the dynamics -----------------------------------------------------------------------------------------------

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: the initial stock and shipments; nobody waits."""
        xp = self.xp

        def batch(array):
            return xp.stack([array] * num_envs)

        on_hand = batch(self._initial)
        pipeline = [batch(units) for units in self._started]
        # What is due in the first period has arrived before it.
        now = xp.matmul(self._into, pipeline[0]) if pipeline else on_hand * self._zero
        on_hand, arriving = (on_hand + now, None) if self.params.ships_arrivals else (on_hand, now)
        nothing = batch(self._max_order) * self._zero
        backlog = on_hand[:, self._inner :].reshape(num_envs, -1) * self._zero if self._any_wait else None
        return State(
            on_hand,
            arriving,
            sum(pipeline[1:], nothing),
            tuple(pipeline[1:]),
            tuple(batch(units) for units in self._placed),
            nothing if self.keeps.any() else None,
            backlog,
        )

    def orders(self, state: State, action):
        """Turn actions (num_envs, A * I and more) inside the action space into units asked for (num_envs, A, I)."""
        p, xp = self.params, self.xp
        order = action[:, : len(self.arcs) * p.items].reshape(len(action), len(self.arcs), p.items)
        if p.action == "base_stock":
            gap, order = order - self.position(state)[:, self._target], order * self._zero
            for turn in self._turns:  # each node's first arc, then its second, ...
                short = gap - xp.matmul(self._earlier, order)
                order = order + xp.minimum(turn * xp.maximum(short, self._zero), self._max_order)
        if p.lot_size == 1:
            order = xp.floor(order + self._half)
        elif p.lot_size:
            order = xp.floor(order / self._lot + self._half) * self._lot
        return order

    def _limit(self, state: State, order):
        """Scale the orders into each node down to what its storage holds (one factor, rounded down to lots)."""
        xp, asked = self.xp, order
        waiting = sum([*state.orders, *([] if state.owed is None else [state.owed])], state.in_transit)
        stock = state.on_hand if state.arriving is None else state.on_hand + state.arriving
        room = self._storage - stock.sum(axis=2) - self._inward(waiting.sum(axis=2))
        want = self._inward(order.sum(axis=2))
        # A hair below the limit: the sums are float32 and must not exceed it by rounding.
        factor = xp.clip(room * (1 - 1e-6) / xp.maximum(want, self._zero + 1e-12), 0, 1)
        factor = xp.where(want <= room, self._one, factor)[:, self._target, None]
        order = self._lots(order * factor)
        return order, asked - order

    def _inward(self, units):
        """Sum what the arcs bring (num_envs, A) over the arcs into each node (num_envs, N)."""
        return self.xp.matmul(self._into, units[:, :, None])[:, :, 0]

    def _lots(self, units):
        """Round down to whole lots; what floating point left a hair below one counts as one."""
        if not self.params.lot_size:
            return units
        if self.params.lot_size == 1:
            return self.xp.floor(units + 1e-4)
        return self.xp.floor(units / self._lot + 1e-4) * self._lot

    def _ship(self, on_hand, request, action):
        """Return what each arc's source ships (num_envs, A, I) of what is requested."""
        p, xp = self.params, self.xp
        supplies = xp.stack([self._supplies] * len(on_hand))
        stock = xp.concatenate([on_hand, supplies], axis=1) if len(self._supplies) else on_hand
        if self._capacity is not None and p.items == 1:
            stock = xp.minimum(stock, self._capacity[:, None])
        if self._single:
            ship = xp.minimum(request, stock[:, self._source])
        else:
            if p.allocation == "priority":
                ship = request * self._zero
            elif p.allocation == "learned":
                weight = action[:, len(self.arcs) * p.items :, None]
                total = xp.matmul(self._out_all, weight)[:, self._source]
                ship = self._lots(stock[:, self._source] * (weight / xp.maximum(total, self._zero + 1e-6)))
                ship = xp.minimum(request, ship)
            else:
                want = xp.matmul(self._out_all, request)
                share = xp.minimum(stock / xp.maximum(want, self._zero + 1e-6), self._one)
                ship = self._lots(request * share[:, self._source])
            # What is left over goes by priority: an arc gets what the arcs before it do not need.
            left, gap = stock - xp.matmul(self._out_all, ship), request - ship
            left = left[:, self._source] - xp.matmul(self._before, gap)
            ship = ship + xp.minimum(xp.maximum(left, self._zero), gap)
            if not self._whole:  # a part and its gap may sum to a hair more than the request
                ship = xp.minimum(ship, request)
        if self._capacity is not None and p.items > 1:
            used = xp.matmul(self._out_all, ship.sum(axis=2)[:, :, None])[:, :, 0]
            factor = xp.minimum(self._capacity / xp.maximum(used, self._zero + 1e-6), self._one)
            ship = self._lots(ship * factor[:, self._source, None])
        return ship

    def _forward(self, orders: tuple, order):
        """Return the orders that reach their sources now, and those under way."""
        if self.max_delay == 0:
            return order, ()
        waiting = [*orders[1:], order * self._zero]
        for delay, which in self._delayed.items():
            if delay:
                waiting[delay - 1] = waiting[delay - 1] + order * which
        now = orders[0]
        return now + order * self._delayed[0] if 0 in self._delayed else now, tuple(waiting)

    def _move(self, pipeline: tuple, ship, lead):
        """Return what arrives for this period's demand (or None), what arrives at its end, and the next pipeline."""
        xp, now = self.xp, None
        if 0 in self._due:
            now = ship if self._due[0] is None else ship * self._due[0]
        if self.max_lead == 0:
            return now, None, ()
        if lead is not None:  # by age
            waiting = (ship if now is None else ship - now, *pipeline)
            arrived = [xp.where(lead <= age, units, self._zero) for age, units in enumerate(waiting, 1)]
            return now, sum(arrived), tuple(u - a for u, a in zip(waiting[:-1], arrived[:-1], strict=True))
        if len(self._due) == 1:
            waiting = (*pipeline, ship)
            return now, waiting[0], waiting[1:]
        waiting = [*pipeline, ship * self._zero]
        for due, which in self._due.items():
            if due:
                waiting[due - 1] = waiting[due - 1] + ship * which
        return now, waiting[0], tuple(waiting[1:])

    def _serve(self, on_hand, state: State, demand):
        """Serve the customers from the shops' stock; return the stock left and the flow's fields of the shops."""
        xp, n = self.xp, len(demand)
        stock = on_hand[:, self._inner :].reshape(n, -1)
        served = None
        if self._any_wait:  # those who waited come first
            served = xp.minimum(stock, state.backlog)
            stock = stock - served
        sales = xp.minimum(stock, demand)
        left, unmet, lost, backlog = stock - sales, demand - sales, None, None
        if self._any_lost:
            lost = unmet - unmet * self._waits
        if self._any_wait:
            backlog = state.backlog - served + unmet * self._waits
            sales = sales + served
        left = left.reshape(n, len(self.shops), -1)
        on_hand = xp.concatenate([on_hand[:, : self._inner], left], axis=1) if self._inner else left
        return on_hand, {"sales": sales, "unmet": unmet, "lost": lost, "backlog": backlog}

    def seen_state(self, named: dict) -> State:
        """Return the state (n rows, float64) that named features describe."""
        on_hand = np.asarray(named["on_hand"], dtype=float)
        shape = (len(on_hand), len(self.arcs), self.params.items)

        def by_period(name: str, lengths) -> tuple:
            periods, start = [np.zeros(shape) for _ in range(max(lengths, default=0))], 0
            for arc, length in enumerate(lengths):
                for k in range(length):
                    periods[k][:, arc] = named[name][:, start + k]
                start += length
            return tuple(periods)

        pipeline = by_period("pipeline", np.maximum(self.lead.max(axis=1) - 1, 0))
        owed = None
        if "owed" in named:
            owed = np.zeros(shape)
            owed[:, self.keeps] = named["owed"]
        return State(
            on_hand=on_hand,
            arriving=named.get("arriving"),
            in_transit=sum(pipeline, np.zeros(shape)),
            pipeline=pipeline,
            orders=by_period("orders", self.delay),
            owed=owed,
            backlog=named.get("backlog"),
        )

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one period on. Deterministic: all chance is in `shock`, the period's slice of the scenario."""
        xp, order, overflow = self.xp, self.orders(state, action), None
        if self._storage is not None:
            order, overflow = self._limit(state, order)
        request, orders = self._forward(state.orders, order)
        if state.owed is not None:
            request = request + state.owed
        ship = self._ship(state.on_hand, request, action)
        unfilled, owed, refused = request - ship, None, None
        if state.owed is not None:
            owed = unfilled * self._keep
        if not self.keeps.all():
            refused = unfilled if owed is None else unfilled - owed
        now, due, pipeline = self._move(state.pipeline, ship, shock.get("lead"))
        on_hand = state.on_hand - xp.matmul(self._out, ship)
        if not self._whole:  # shares of the stock may sum to a hair more than it
            on_hand = xp.maximum(on_hand, self._zero)
        in_transit, received = state.in_transit + ship, None
        if now is not None:
            in_transit, received = in_transit - now, xp.matmul(self._into, now)
            on_hand = on_hand + received
        if state.arriving is not None:
            on_hand = on_hand + state.arriving
        on_hand, shops = self._serve(on_hand, state, shock["demand"])
        arriving, after, next_transit = None, on_hand, in_transit
        if due is not None:
            arriving = xp.matmul(self._into, due)
            # What is not whole would drift away from the pipeline by rounding, and below zero.
            next_transit = in_transit - due if self._whole else sum(pipeline, in_transit * self._zero)
            received = arriving if received is None else received + arriving
        if state.arriving is None:
            after, arriving = on_hand if arriving is None else on_hand + arriving, None
        elif arriving is None:
            arriving = on_hand * self._zero
        flow = Flow(
            demand=shock["demand"], ordered=order, overflow=overflow, shipped=ship, refused=refused, owed=owed,
            received=received, on_hand=on_hand, in_transit=in_transit, **shops,
        )  # fmt: skip
        return State(after, arriving, next_transit, pipeline, orders, owed, shops["backlog"]), flow

    # -- money and observation --------------------------------------------------------------------------------------

    def _quantity(self, flow: Flow, name: str):
        if name == "placed":
            return self.xp.where(flow.shipped > self._zero, self._one, self._zero)
        return getattr(flow, name)

    def money(self, flow: Flow) -> dict:
        """Return the period's money by name, each (num_envs,): `revenue` and the costs, all of them positive."""
        terms: dict = {}
        for name, quantity, weight, _ in self._money:
            units = self._quantity(flow, quantity)
            if units is not None:
                value = self.xp.einsum("nk,k->n", units.reshape(len(units), -1), weight)
                terms[name] = terms[name] + value if name in terms else value
        return terms

    def item_profit(self, flow: Flow):
        """Return each item's profit of the period (num_envs, items): `reward` before the sum over items and salvage."""
        total = 0
        for name, quantity, _, weight in self._money:
            units = self._quantity(flow, quantity)
            if units is not None:
                value = (units.reshape(len(units), -1, self.params.items) * weight).sum(axis=1)
                total = total + value if name == "revenue" else total - value
        return total

    def reward(self, terms: dict):
        """Return the profit (num_envs,): the sum of the gains less the sum of the costs, each summed on its own."""
        gains = [value for name, value in terms.items() if name in GAINS]
        return sum(gains) - sum(value for name, value in terms.items() if name not in GAINS)

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return what a period's `info` holds, each (num_envs,): the money of `terms`, and units over all rows."""
        info = dict(terms)
        for name in UNITS:
            units = getattr(flow, name)
            if units is not None:
                info[name] = units.reshape(len(units), -1).sum(axis=1)
        return info

    def salvage(self, state: State):
        """Return what the stock and the shipments are worth (num_envs,) once a season has ended."""
        stock = state.on_hand if state.arriving is None else state.on_hand + state.arriving
        on_way = self.xp.einsum("nai,ai->n", state.in_transit, self._worth)
        return self.xp.einsum("nai,ai->n", stock, self._salvage) + on_way

    def observe(self, state: State, signal: dict) -> dict:
        """Return the named features of `layout`."""
        xp, features = self.xp, {"on_hand": state.on_hand}
        if state.arriving is not None:
            features["arriving"] = state.arriving
        if len(self._slots):
            features["pipeline"] = xp.concatenate(state.pipeline, axis=1)[:, self._slots]
        if len(self._order_slots):
            features["orders"] = xp.concatenate(state.orders, axis=1)[:, self._order_slots]
        if state.owed is not None:
            features["owed"] = state.owed[:, self._kept]
        if state.backlog is not None:
            features["backlog"] = state.backlog.reshape(len(state.backlog), len(self.shops), -1)
        if "time_left" in self.layout:
            features["time_left"] = signal["time_left"]
        return narrow(features) if self.wide else features

    def stepper(self):
        """Return the compiled kernel, for one item and the plain rules that it knows (see `kernel.steps`)."""
        from . import kernel

        return kernel.Stepper(self) if type(self) is SupplyChain and kernel.steps(self) else None

    def viewer(self, mode: str):
        """Return what draws an environment of this model, summed over its nodes and arcs; see `StoreViewer`."""
        from ..core.picture import StoreViewer
        from ..inventory.model import PANELS

        return StoreViewer(self, mode, PANELS)
