"""Periodic-review inventory control of many items: the model behind `storelab/Inventory-v0`.

One period: an order is placed; what is due at once (lead time 0) comes in; demand arrives and is served from stock,
customers who already wait first; unmet demand waits (backorder) or is lost; costs are charged on what is left; at
the end of the period the orders due for the next one come in. So an order placed in period t with lead time L can
serve the demand of period t + L (the convention of Zipkin 2008, Operations Research 56(5)).
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.checks import EXACT, check_forecast
from ..core.contract import Model, Part, at_most, choices_of, narrow, remade
from ..core.demand import KNOWN, DemandSource, TableDemand
from ..core.random import PATIENCE, SUBSTITUTION, as_keys, streams
from .params import InventoryParams
from .shelf import Shelf, Substitution, whole
from .state import Flow, State, balances
from .supply import Supply

CHARGES = (  # money term, quantity of the flow, parameter that is the money per unit
    ("revenue", "sales", "price"),
    ("purchase_cost", "ordered", "purchase_cost"),
    ("fixed_cost", "ordered", "fixed_cost"),
    ("holding_cost", "on_hand", "holding_cost"),
    ("lost_sale_cost", "lost", "lost_sale_cost"),
    ("backorder_cost", "backlog", "backorder_cost"),
    ("waste_cost", "waste", "waste_cost"),
)
PANELS = {"units in stock": ("on_hand", "backlog"), "units": ("demand", "ordered", "unmet")}  # of the picture


class Inventory(Model):
    """Inventory control of many items: the batched model of `storelab/Inventory-v0` and of the tasks built on it.

    Pure functions of arrays `(num_envs, items)`, in NumPy or torch (`xp`).

    ## Action space

    One number per item. The parameter `action` chooses what it means:

    - `continuous`: Box, units to order, up to `max_order`.
    - `multi_discrete`: MultiDiscrete, lots to order. `discrete`: the same for one item, as a Discrete.
    - `base_stock`: Box, the order-up-to level of the inventory position, up to `max_order` x (lead time + 1).

    Orders are rounded to whole lots. Finite actions outside the space are clipped to it and counted
    (`clipped_actions`). An action that is not finite, or has another shape, raises a FieldError.

    ## Observation space

    Box (F,), float32, in units and money as they are: `layout` names its parts and `features` splits them.

    | part | shape | unit |
    |---|---|---|
    | `on_hand` | (I,) | units, receipts of this period included |
    | `pipeline` | (L - 1, I) | units on order by period of arrival (random lead times: by age); none for L <= 1 |
    | `shelf` | (m, I) | units on hand by period of expiry, the next one first; with `shelf_life` |
    | `backlog` | (I,) | units that customers wait for; only with `backorder_share` > 0 |
    | `history` | (k, 2, I) | the last k = `history_days` periods, the latest last; with `forecast=history` |
    | `supplier` | (I,) | 1 if the supplier is up, 0 if down; with `disruption_probability` |
    | `price` | (I,) | money per unit; if the source of demand has prices |
    | `calendar` | (C,) | if the source has one, such as the weekday's sine and cosine |
    | `forecast` | (I, Q) | units: `quantiles` of demand over lead time + 1 periods; with `forecast=model`, `oracle` |
    | `arrival` | (I, Q) | units: quantiles of the interval's last period, in which the order arrives; if given |
    | `time_left` | (1,) | share of the season; only with `continuing=False` |

    `forecast=oracle` has the true coming demand in every quantile, which bounds the value of forecasts.

    A period of the `history` has the demand that the store saw (units), and 1 where this is a lower bound (censored
    demand), otherwise 0. Lost customers are not seen: where stock ran out, the store saw its sales and the customers
    who wait. With `backorder_share=1` all demand is seen. A customer who takes a substitute is seen as a customer of
    the substitute. Periods before the start are 0 units and 1: a lower bound of 0.

    ## Dynamics

    A period has these steps, with the order q, the demand D and the stock x on hand:

    1. x rises by the orders of lead time 0.
    2. Sales are min(x, backlog + D), waiting customers first.
    3. Of the unmet demand the share `backorder_share` waits, the rest is lost. The share is rounded at random so that
       units stay whole and the mean exact; with `lot_size` 0 it is not rounded.
    4. The orders that are due arrive.

    *Random lead times* never cross (Kaplan 1970, Management Science 16(7)): at the end of every period a lead time is
    drawn per item from `lead_time_pmf`, and all orders of at least that age arrive.

    *Limits*: where stock, pipeline and orders together would exceed `capacity`, or the orders' cost `budget`, all
    orders of the period are scaled down by one factor and rounded down to lots. The rest is `overflow`.

    *Perishables* (Nahmias 1975, Operations Research 23(4)): units arrive fresh and can be sold in `shelf_life`
    periods, the period of arrival included. What is then left is waste. Sales take the oldest or the freshest units
    (`issuing`).

    *Random yield* (stochastically proportional: Henig and Gerchak 1990, Operations Research 38(4)): of an order q
    arrives u q, with u drawn for each order from a beta distribution. All of q is paid, and the pipeline shows q.

    *Disruptions* (all or nothing: Snyder and Shen 2019, section 9.2): each item's supplier is up or down, a Markov
    chain that starts up and is observed before ordering. A supplier that is down accepts no order; the order costs
    nothing and counts as `overflow`. Orders placed earlier arrive.

    *Substitution*: see `Substitution`. Customers who get neither their item nor a substitute wait or are lost. Lost
    sales are charged to the item that they wanted.

    ## Reward

    Revenue less purchase, fixed, holding, lost-sale, backorder and waste cost, in money. `info` has each of them, and
    the units over all items (`demand`, `sales`, `unmet`, `backlog`, `ordered`, `received`, `on_hand`, `overflow`,
    `shrinkage`, `waste`, `substituted`). Stock and backlog are charged after the demand, before the next period's
    receipts. Units that expire cost `waste_cost` and no holding.

    ## Start and end

    An episode starts with `initial_stock` on hand and `initial_pipeline` on order, by default nothing. The pipeline's
    first entry arrives for the second period (with random lead times it is the youngest order). After `horizon` periods
    the episode is truncated (`continuing`), or it terminates and units on hand and on order bring `salvage_value`.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/Inventory-v0", lead_time=4, lost_sale_cost=9.0, demand={"kind": "geometric"})
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step([5])
    >>> sorted(info)[:4]
    ['clipped_actions', 'demand', 'holding_cost', 'lost_sale_cost']
    >>> many = gym.make_vec("storelab/LostSales-v0", num_envs=64)
    >>> many.reset(seed=0)[0].shape
    (64, 4)

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: InventoryParams, source: DemandSource | None = None, xp=np, device=None):
        """Bind the parameters and a source of demand (by default `params.demand`, stationary and independent).

        Raises:
            FieldError: a source whose items or forecasts do not fit the parameters.
        """
        self.params, self.xp = params, xp
        self.source = source or TableDemand(params.demand.pmfs(params.items))
        if self.source.items != params.items:
            raise FieldError("items", params.items, f"{self.source.items} as in the source")
        check_forecast(params, self.source.known, params.items)
        self.horizon = params.horizon
        limit, lot = params.per_item("max_order"), params.lot_size
        self._largest_order = np.floor(limit / lot + 1e-9) * lot if lot else limit
        self.wide = xp is np and self._reach() > EXACT
        kind = np.float64 if self.wide else np.float32

        def constant(value):
            return xp.asarray(np.asarray(value, dtype=kind), device=device)

        self._zero, self._one, self._half = constant(0.0), constant(1.0), constant(0.5)
        self._lot = constant(params.lot_size)
        self._max_order = constant(self._largest_order)
        # Money terms: name, quantity of the flow, money per unit. A source that gives prices brings revenue.
        self._charged = [
            (name, quantity, constant(params.per_item(parameter)))
            for name, quantity, parameter in CHARGES
            if name == "holding_cost"
            or params.per_item(parameter).any()
            or (name == "revenue" and "price" in self.source.known)
        ]
        self._salvage, self._initial = (constant(params.per_item(name)) for name in ("salvage_value", "initial_stock"))
        self._on_order = [constant(np.broadcast_to(units, params.items)) for units in params.initial_pipeline]
        self.supply, shelf = Supply(params, xp, constant), Shelf(params, xp, constant)
        self.lead, self.max_lead, self.random_lead = self.supply.lead, self.supply.max_lead, self.supply.random_lead
        self.shelf: Any = shelf if shelf.layers else None  # None: nothing perishes
        self._substitution = Substitution(params, xp, constant) if params.substitution_share else None
        present = {"backlog": params.backorder_share, "overflow": self.supply.limited, "shrinkage": self.supply.loses}
        present |= {"waste": self.shelf, "substituted": self._substitution}
        units = ("demand", "sales", "unmet", "backlog", "ordered", "received", "on_hand", "overflow")
        self._units = [name for name in (*units, "shrinkage", "waste", "substituted") if present.get(name, True)]
        self._spaces()

    def __reduce__(self):
        return remade, (type(self), self.params, self.source, self.xp.__name__)

    def _reach(self) -> float:
        """Return the most units of an item that can come together in an episode: in stock and on order, or waiting."""
        p, largest = self.params, self.source.largest
        asked = 0.0 if largest is None or not p.backorder_share else float(np.max(largest))
        return max(float((p.per_item("initial_stock") + p.horizon * self._largest_order).max()), p.horizon * asked)

    # -- spaces and layout ------------------------------------------------------------------------------------------

    def _spaces(self):
        p, items = self.params, self.params.items
        self.layout: dict[str, tuple[int, ...]] = {"on_hand": (items,)}  # feature -> shape, in the order of the vector
        if self.max_lead > 1:
            self.layout["pipeline"] = (self.max_lead - 1, items)
        if self.shelf:
            self.layout["shelf"] = (self.shelf.layers, items)
        if p.backorder_share > 0:
            self.layout["backlog"] = (items,)
        if p.forecast == "history":
            self.layout["history"] = (p.history_days, 2, items)
        if self.supply.disrupted:
            self.layout["supplier"] = (items,)
        for name in ("price", "calendar"):
            if name in self.source.known:
                self.layout[name] = self.source.known[name]
        if p.forecast in ("model", "oracle"):
            self.layout["forecast"] = (items, len(p.quantiles))
            if p.forecast == "oracle" or "arrival" in self.source.known:
                self.layout["arrival"] = (items, len(p.quantiles))
        if not p.continuing:
            self.layout["time_left"] = (1,)
        self._signals = [name for name in self.layout if name in (*KNOWN, "supplier", "time_left")]
        self._held = [name for name in self.layout if name not in self._signals]  # features that are the state's own
        self.observation_space = self.box_of(self.layout, self._bounds())
        if p.in_lots:
            choices = np.round(self._largest_order / p.lot_size).astype(int) + 1
            self.action_space = choices_of(choices, p.action == "discrete")
            self.action_low, self.action_high = np.zeros(items), choices - 1.0
        else:
            high = self._largest_order * (self.max_lead + 1) if p.action == "base_stock" else self._largest_order
            self.action_space = spaces.Box(np.float32(0), high.astype(np.float32), dtype=np.float32)
            self.action_low, self.action_high = np.zeros(items), self.action_space.high.astype(float)

        if p.action == "base_stock":
            self.action_parts = {"order_up_to": Part(items, "units: the inventory position is raised to it")}
        else:
            lots = f"lots of {p.lot_size:g} units" if p.in_lots else "units"
            self.action_parts = {"order": Part(items, f"{lots} to order")}
        if "forecast" in self.layout:
            levels = [f"{100 * q:g}%" for q in p.quantiles]
            self.axis_names = {"forecast": ((), levels), "arrival": ((), levels)}

    def _bounds(self) -> dict[str, tuple]:
        """Return the bounds of observations: what orders up to the horizon and the largest demand allow.

        Ordered are whole lots, of lots of 1 whole units: sums of them are exact.
        """
        p, order, start = self.params, self._largest_order, self.params.per_item("initial_stock")
        lasting = np.minimum(p.per_item("shelf_life") + self.max_lead + 1, self.horizon)  # periods whose orders count
        stock = start + lasting * order
        if np.isfinite(p.capacity):
            stock = np.minimum(stock, np.maximum(start, p.capacity / p.per_item("volume")))
        stock = at_most(stock if p.whole_units else stock * 1.01)
        bounds = {"on_hand": (0, stock), "pipeline": (0, at_most(order)), "shelf": (0, stock), "supplier": (0, 1)}
        largest = getattr(self.source, "largest", None)
        if largest is None:
            return bounds | {"history": (0, np.array([[np.inf], [1]]))}
        largest = np.asarray(largest, float)
        seen = at_most(largest + p.substitution_share * 2 * largest.max())  # and who takes it for its neighbour
        bounds["backlog"] = (0, at_most(largest * self.horizon))
        bounds["history"] = (0, np.stack([seen, np.ones(p.items)]))
        if p.forecast == "oracle":
            bounds["forecast"] = (0, at_most(largest * (self.lead + 1))[:, None])
            bounds["arrival"] = (0, at_most(largest)[:, None])
        return bounds

    def per_order(self) -> np.ndarray:
        """Return the largest order (items,), units in whole lots."""
        return self._largest_order

    # -- the scenario -----------------------------------------------------------------------------------------------

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw every random quantity of the episodes with the given seeds or keys, one row each.

        Returns:
            `demand` (n, T, I) units, and where they matter `lead` (n, T, I) periods, `supplier` (n, T, I) 1 or 0,
            `yield` (n, T, A, I) the share that arrives of an order of each age (random lead times) or of the one due,
            `price` (n, T, I), `calendar` (n, T, C), `forecast` and `arrival` (n, T, I, Q), `time_left` (n, T, 1), and
            in [0, 1), for whole units, `rounding` (n, T, A, I), `substitution` (n, T, 2, I) and `patience` (n, T, I);
            T is the horizon + 1, for the last observation. A row depends on its own seed alone.
        """
        p, keys, periods = self.params, as_keys(seeds), self.horizon + 1
        drawn = self.source.draw(keys, periods + self.max_lead)
        scenario = {name: drawn[name][:, :periods] for name in ("demand", *KNOWN) if name in drawn}
        if p.forecast != "model":
            scenario = {name: values for name, values in scenario.items() if name not in ("forecast", "arrival")}
        shape = (periods, p.items)
        scenario |= self.supply.draw(keys, periods)
        if 0 < p.backorder_share < 1 and p.whole_units:
            uniform = [rng.random(shape, dtype=np.float32) for rng in streams(keys, PATIENCE)]
            scenario["patience"] = np.stack(uniform)
        if self._substitution and p.whole_units:
            pair = (periods, 2, p.items)
            uniform = [rng.random(pair, dtype=np.float32) for rng in streams(keys, SUBSTITUTION)]
            scenario["substitution"] = np.stack(uniform)
        if p.forecast == "oracle":
            total = np.cumsum(np.pad(drawn["demand"], ((0, 0), (1, 0), (0, 0))), axis=1, dtype=np.float64)
            days = np.arange(periods)[:, None]
            truth = (total[:, days + self.lead + 1, np.arange(p.items)] - total[:, :periods]).astype(np.float32)
            last = drawn["demand"][:, days + self.lead, np.arange(p.items)]
            for name, units in (("forecast", truth), ("arrival", last)):
                scenario[name] = np.repeat(units[..., None], len(p.quantiles), axis=-1)
        if not p.continuing:
            scenario["time_left"] = self.time_left(len(keys))
        return scenario

    # -- the dynamics -----------------------------------------------------------------------------------------------

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: the initial stock and pipeline, nobody waiting, nothing seen."""
        zeros = self.xp.stack([self._initial * self._zero] * num_envs)
        backlog, history = zeros if self.params.backorder_share else None, None
        if "history" in self.layout:
            history = self.xp.concatenate([zeros, zeros + self._one] * self.params.history_days, axis=1)
        stock, shelf = zeros + self._initial, None
        if self.shelf:
            shelf = self.shelf.put((zeros,) * self.shelf.layers, stock)
        pipeline = [zeros + units for units in self._on_order]
        pipeline += [zeros] * (max(self.max_lead - 1, 0) - len(pipeline))
        return State(stock, tuple(pipeline), backlog, history, shelf)

    def position(self, state: State):
        """Return the inventory position (num_envs, items): on hand + on order - backlog, units."""
        position = state.on_hand
        for due in state.pipeline:
            position = position + due
        return position if state.backlog is None else position - state.backlog

    def orders(self, state: State, action):
        """Turn actions (num_envs, items) inside the action space into the units asked for, before the limits."""
        p, xp = self.params, self.xp
        if p.in_lots:
            return action if p.lot_size == 1 else action * self._lot
        order = action
        if p.action == "base_stock":
            order = xp.minimum(xp.maximum(action - self.position(state), self._zero), self._max_order)
        if p.lot_size == 1:
            order = xp.floor(order + self._half)
        elif p.lot_size:
            order = xp.floor(order / self._lot + self._half) * self._lot
        return order

    def action_of(self, named: dict, order: np.ndarray) -> np.ndarray:
        """Return the actions (n, items) of the model's mode, inside its bounds, that order so many units (n, items)."""
        p, order = self.params, np.minimum(order, self._largest_order)
        if p.in_lots:
            return np.floor(order / p.lot_size + 0.5)  # as `orders` rounds
        if p.action == "base_stock":
            order = np.maximum(order + np.where(order > 0, self.seen_position(named), 0), 0)
        return np.minimum(order, self.action_high)

    @staticmethod
    def seen_position(named: dict):
        """Return the inventory position (n, items) of named features: on hand + on order - backlog, units."""
        on_order = named["pipeline"].sum(axis=1) if "pipeline" in named else 0
        return named["on_hand"] + on_order - named.get("backlog", 0)

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one period on. Deterministic: all chance is in `shock`, the period's slice of the scenario."""
        order, overflow = self.orders(state, action), None
        if self.supply.limited:
            order, overflow = self.supply.accept(state, order, shock)
        now, arrived, pipeline, shrinkage = self.supply.receive(state.pipeline, order, shock)
        sales, left, unmet, lost, backlog, substituted, seen = self._serve(state, now, shock)
        history = state.history
        if history is not None:
            history = self._remember(history, seen, left, lost)
        shelf = waste = None
        if self.shelf:
            left, shelf, waste = self._age(state.shelf, now, arrived, sales)
        flow = Flow(
            price=shock.get("price"),
            demand=shock["demand"],
            ordered=order,
            overflow=overflow,
            received=arrived if now is None else now + arrived,
            sales=sales,
            unmet=unmet,
            lost=lost,
            on_hand=left,
            backlog=backlog,
            shrinkage=shrinkage,
            waste=waste,
            substituted=substituted,
        )
        return State(left + arrived, pipeline, backlog, history, shelf), flow

    def _serve(self, state: State, now, shock: dict) -> tuple:
        """Serve customers who wait, then the period's, then those who take a neighbour; `now` arrived for this period.

        Returns:
            Sales, stock left, unmet demand, lost demand, backlog, unmet demand that a neighbour served, and the demand
            that the store saw; each (num_envs, items), None where it cannot be.
        """
        xp, share, demand = self.xp, self.params.backorder_share, shock["demand"]
        stock = state.on_hand if now is None else state.on_hand + now
        if share:  # those who waited come first
            served = xp.minimum(stock, state.backlog)
            stock = stock - served
        sales = xp.minimum(stock, demand)  # in an order that leaves nothing below zero by rounding
        left, unmet = stock - sales, demand - sales
        lost, backlog, substituted, seen = unmet, None, None, None
        if state.history is not None:
            seen = demand - unmet
        if self._substitution:
            sold, substituted = self._substitution.move(left, unmet, shock.get("substitution"))
            left, sales, lost = left - sold, sales + sold, xp.maximum(unmet - substituted, self._zero)
            seen = None if seen is None else seen + sold
        if share:
            waits = lost
            if share < 1:
                waits = whole(xp, lost * share, shock.get("patience"), lost)
            backlog, sales = state.backlog - served + waits, served + sales
            lost = lost - waits if share < 1 else None
            seen = None if seen is None else seen + waits
        return sales, left, unmet, lost, backlog, substituted, seen

    def _remember(self, history, seen, left, lost):
        """Return the history (num_envs, history_days * 2 * items) with a further period, without the first one.

        Where customers were lost and nothing was left, the demand seen is a lower bound (1 beside it).
        """
        bound = seen * self._zero if lost is None else self.xp.where(left > self._zero, self._zero, self._one)
        return self.xp.concatenate([history[:, 2 * self.params.items :], seen, bound], axis=1)

    def _age(self, shelf: tuple, now, arrived, sales) -> tuple:
        """Return the stock left (num_envs, items), the shelf a period older with what arrived, and the waste."""
        shelf = shelf if now is None else self.shelf.put(shelf, now)
        waste, shelf = self.shelf.age(self.shelf.issue(shelf, sales))
        return sum(shelf), self.shelf.put(shelf, arrived), waste  # a difference could fall below zero by rounding

    def balances(self, before: State, flow: Flow, after: State) -> dict:
        """Return what units and customers came in a period, and what has become of them: see the contract."""
        return balances(before, flow, after)

    # -- money and observation --------------------------------------------------------------------------------------

    def total(self, units, weight):
        """Sum an array (num_envs, items) over its items, weighted by (items,) or (num_envs, items)."""
        if self.params.items == 1:
            return units[:, 0] * (weight if weight.ndim == 1 else weight[:, 0])
        return self.xp.einsum("ni,i->n" if weight.ndim == 1 else "ni,ni->n", units, weight)

    def _terms(self, flow: Flow) -> list[tuple]:
        """Return the name, the quantity and the money per unit of each term: (num_envs, items) and (items,)."""
        terms = []
        for name, quantity, rate in self._charged:
            units = getattr(flow, quantity)
            if name == "revenue" and flow.price is not None:
                rate = flow.price
            elif name == "fixed_cost":
                units = self.xp.where(units > self._zero, self._one, self._zero)  # orders placed
            if units is not None:
                terms.append((name, units, rate))
        return terms

    def money(self, flow: Flow) -> dict:
        """Return the period's money by name, each (num_envs,): `revenue` and the costs, all of them positive."""
        return {name: self.total(units, rate) for name, units, rate in self._terms(flow)}

    def item_profit(self, flow: Flow):
        """Return each item's profit of the period (num_envs, items): `reward` before the sum over items and salvage."""
        return sum(units * rate if name == "revenue" else -units * rate for name, units, rate in self._terms(flow))

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return what a period's `info` holds, each (num_envs,): the money of `terms`, and units over all items."""
        info, single = dict(terms), self.params.items == 1
        for name in self._units:
            units = getattr(flow, name)
            info[name] = units[:, 0] if single else units.sum(axis=1)
        return info

    def salvage(self, state: State):
        """Return what the stock and the pipeline are worth (num_envs,) once a season has ended."""
        units = state.on_hand
        for due in state.pipeline:
            units = units + due
        return self.total(units, self._salvage)

    def observe(self, state: State, signal: dict) -> dict:
        """Return the named features of `layout`; `signal` is what is known before the order."""
        features = {name: getattr(state, name) for name in self._held}
        if state.history is not None:
            features["history"] = state.history.reshape(-1, *self.layout["history"])
        for name in self._signals:
            features[name] = signal[name]
        return narrow(features) if self.wide else features

    def stepper(self):
        """Return the compiled kernel, for one item and the plain parameters that it knows (see `kernel.steps`)."""
        from . import kernel

        return kernel.Stepper(self) if type(self) is Inventory and kernel.steps(self) else None

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `StoreViewer`."""
        from ..core.picture import StoreViewer

        return StoreViewer(self, mode, PANELS)
