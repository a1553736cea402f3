"""Dynamic pricing of a stock over a season: the model behind `storelab/Pricing-v0`.

One period: a price is set for each item; customers come and buy from stock; costs are charged on what is left.
Chance is drawn beforehand (who comes, and what each would pay), so that prices decide who buys.
"""

import math
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.checks import EXACT, check_forecast
from ..core.contract import Array, Model, Part, choices_of, menu
from ..core.demand import DemandSource, TableDemand
from ..core.random import CHOICE, DEMAND, as_keys, streams
from . import demand as price_demand
from .params import PricingParams

UNITS = ("demand", "sales", "unmet", "on_hand")  # of a flow, in `info`
PANELS = {"money": ("price",), "units": ("on_hand", "demand", "unmet")}  # of the picture
LARGEST_MEAN = 500.0  # units of an item per period: up to there counts are drawn exactly


@dataclass(slots=True)
class State:
    """The store before it sets prices. All arrays (num_envs, items)."""

    on_hand: Array  # units; None where stock has no limit
    price: Array  # money, of the last period, at first the highest; None where changes cost nothing and have no limit
    changes: Array  # of price so far, -1 before the first price is set; None as above
    reference: Array  # money: the price that customers compare with; None without a reference price
    clock: np.ndarray  # (num_envs, 1) periods gone: a state with no other array needs one


@dataclass(slots=True)
class Flow:
    """What moved in one period. All arrays (num_envs, items)."""

    price: np.ndarray  # money per unit
    demand: np.ndarray  # units asked for at the prices (mnl: first choices)
    sales: np.ndarray  # units
    unmet: np.ndarray  # units of demand that stock did not serve (mnl: some of these customers took another item)
    on_hand: Array  # units left at the end of the period; None where stock has no limit
    changed: Array  # 1 where a price differs from the last one, except the first; None where changes do not matter


class Pricing(Model):
    """Dynamic pricing of one or many items: the batched model of `storelab/Pricing-v0` and of the tasks built on it.

    Pure functions of arrays `(num_envs, items)`, in NumPy (who buys is a discrete choice, which passes no gradient).

    ## Action space

    One price per item. The parameter `action` chooses its form:

    - `grid`: MultiDiscrete, an index of `prices`. `discrete`: the same for one item, as a Discrete.
    - `continuous`: Box, money, between the first and the last of `prices`.

    With `markdown` a price above the previous one counts as the previous one. After `max_changes` changes a price
    stays. The first price of an episode does not count as a change. Finite actions outside the space are clipped to it
    and counted (`clipped_actions`). An action that is not finite, or has another shape, raises a FieldError.

    ## Observation space

    Box (F,), float32, in units and money as they are: `layout` names its parts and `features` splits them.

    | part | shape | unit |
    |---|---|---|
    | `on_hand` | (I,) | units; if stock is limited |
    | `price` | (I,) | money, of the last period (at first the highest); if changes cost or are restricted |
    | `changes_left` | (I,) | with a finite `max_changes` |
    | `reference` | (I,) | money; with a reference price |
    | `calendar` | (C,) | if the source of demand has one |
    | `forecast` | (I, Q) | units at the list price: the source's quantiles; with `forecast=model` |
    | `time_left` | (1,) | share of the season; only with `continuing=False` |

    ## Dynamics

    Demand at the price p, by `demand.kind`:

    - `exponential`: a count of mean size exp(-b (p - list_price)), b the `sensitivity` (Gallego and van Ryzin 1994).
    - `elastic`: a count of mean size (p / list_price)^-b.
    - With a source of demand, these two take its units as the demand at the list price instead of `size` and `noise`.
      They scale the units by the same factor and round them at random so that the mean is exact.
    - `linear`: size - b p + gain (r - p)+ - loss (p - r)+ + std N(0, 1), at least 0, in divisible units; the reference
      price r starts at `initial_reference` and becomes memory r + (1 - memory) p.
    - `mnl`: customers come (a count of mean size, or the source's one item) and choose one after another from the
      items in stock, with utilities utility_i - b p_i + Gumbel noise, and 0 + Gumbel noise for buying nothing.

    Counts are Poisson, Bernoulli (0 or 1) or negative binomial. Sales are limited by the stock; other demand is lost.

    ## Reward

    Revenue less purchase cost (of units sold), holding and price-change cost, in money. `info` has each of them, and
    the units over all items (`demand`, `sales`, `unmet`, `on_hand`).

    ## Start and end

    An episode starts with `initial_stock` on hand. After `horizon` periods it is truncated (`continuing`), or it
    terminates and units on hand bring `salvage_value`.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/Pricing-v0", initial_stock=5.0, demand={"size": 3.0})
    >>> observation, info = env.reset(seed=0)
    >>> observation.tolist()
    [5.0, 1.0]
    >>> observation, reward, terminated, truncated, info = env.step([4])
    >>> sorted(info)[:4]
    ['clipped_actions', 'demand', 'on_hand', 'revenue']
    >>> many = gym.make_vec("storelab/PricingMNL-v0", num_envs=64)
    >>> many.reset(seed=0)[0].shape
    (64, 3)

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: PricingParams, source: DemandSource | None = None):
        """Bind the parameters and a source of demand at the list price (by default what `params.demand` says).

        Raises:
            FieldError: a source that does not fit the parameters, or a mean demand too large to draw counts of.
        """
        self.params, self.source, self.horizon = params, source, params.horizon
        self.prices = np.asarray(params.prices, dtype=float)
        self._grid = self.prices.astype(np.float32)
        self.limited = bool(np.isfinite(params.initial_stock).all())
        self._kind = params.demand.kind
        d = "demand."
        self._size, self._slope, self._list = (params.per_item(d + n) for n in ("size", "sensitivity", "list_price"))
        self._utility = params.per_item(d + "utility")
        self._check_source()
        mean = float((self._size if self._kind == "mnl" else self.curve(self.prices[:1])).max())
        if source is None and self._kind != "linear" and mean > LARGEST_MEAN:
            expected = f"at most {LARGEST_MEAN:g} customers, or units at the lowest price, a period"
            raise FieldError("demand.size", mean, expected)
        if self._kind == "mnl":
            self._arrivals = source or TableDemand([params.demand.pmf(float(self._size[0]))])
            largest = self._arrivals.largest
            if largest is None:
                raise FieldError("source", source, "one with a known largest demand", "with kind=mnl")
            self._candidates = int(largest.max())  # customers of a period, at most
        names = ("purchase_cost", "holding_cost", "salvage_value")
        self._purchase, self._holding, self._salvage = (params.per_item(n).astype(np.float32) for n in names)
        self._initial = params.per_item("initial_stock").astype(np.float32)
        self._limits_changes = math.isfinite(params.max_changes)
        self._table = self._tabulate()
        self.tracks_price = bool(params.markdown or params.price_change_cost or self._limits_changes)
        self._spaces()

    def _tabulate(self):
        """Return the counts at each price of the grid as a table, where an action is just a place on it."""
        p, d = self.params, self.params.demand
        free = p.on_grid and not p.markdown and not self._limits_changes
        if self._kind not in ("exponential", "elastic") or self.source is not None or not free:
            return None
        mean = self.curve(self.prices.astype(np.float32)[:, None])
        fits = price_demand.CountTable.fits(mean, d.noise, d.dispersion)
        return price_demand.CountTable(mean, d.noise, d.dispersion) if fits else None

    def _check_source(self):
        p, source = self.params, self.source
        if source is not None and self._kind == "linear":
            raise FieldError("source", source, "None", "with kind=linear")
        items = 1 if self._kind == "mnl" else p.items
        if source is not None and source.items != items:
            raise FieldError("items", p.items, f"{source.items} as in the source")
        if source is not None and self._kind != "mnl":
            largest = 1.0 if source.largest is None else float(np.max(source.largest))
            factor = float(np.max(self.factor(self.prices[0])))
            if not largest * factor <= EXACT:
                because = f"with a demand that is {factor:.4g} times as large at the lowest price"
                raise FieldError("demand.sensitivity", p.demand.sensitivity, f"at most {EXACT:,.0f} units", because)
        check_forecast(p, {} if source is None else source.known, items)

    def _spaces(self):
        p, items = self.params, self.params.items
        self.layout: dict[str, tuple[int, ...]] = {}  # feature -> shape, in the order of the vector
        if self.limited:
            self.layout["on_hand"] = (items,)
        if self.tracks_price:
            self.layout["price"] = (items,)
        if self._limits_changes:
            self.layout["changes_left"] = (items,)
        if p.demand.has_reference:
            self.layout["reference"] = (items,)
        known = {} if self.source is None else self.source.known
        self._signals = [name for name in ("calendar", "forecast") if name in known]
        if p.forecast == "none" and "forecast" in self._signals:
            self._signals.remove("forecast")
        self.layout |= {name: known[name] for name in self._signals}
        if not p.continuing or not self.layout:
            self.layout["time_left"] = (1,)
            self._signals.append("time_left")
        self.observation_space = self.box_of(self.layout, self._bounds())
        if p.on_grid:
            self.action_space = choices_of(np.full(items, len(self.prices)), p.action == "discrete")
            self.action_low, self.action_high = np.zeros(items), np.full(items, len(self.prices) - 1.0)
        else:
            low, high = self.prices[[0, -1]].astype(np.float32)
            self.action_space = spaces.Box(low, high, (items,), dtype=np.float32)
            self.action_low, self.action_high = (np.full(items, bound, dtype=float) for bound in (low, high))

        unit = menu(self.prices) if p.on_grid else "money per unit"
        self.action_parts = {"price": Part(items, f"price of the period; {unit}")}

    def _bounds(self) -> dict[str, tuple]:
        """Return the bounds of observations: stock only falls, and prices stay between their ends."""
        ends, first = self._grid[[0, -1]], self.params.demand.initial_reference
        reference = min(ends[0], first) * (1 - 1e-5), max(ends[1], first) * (1 + 1e-5)  # a mean, rounded
        return {
            "on_hand": (0, self._initial),
            "price": tuple(ends),
            "changes_left": (0, self.params.max_changes),
            "reference": reference,
        }

    def factor(self, price):
        """Return demand at prices (..., items) as a multiple of that at the list price (exponential, elastic)."""
        if self._kind == "elastic":
            return (np.maximum(price, 1e-9) / self._list) ** -self._slope
        return np.exp(self._slope * (self._list - price))

    def curve(self, price):
        """Return the mean demand per period (..., items) at prices (..., items): all in stock, no reference price."""
        price = np.broadcast_to(price, (*np.shape(price)[:-1], self.params.items))
        if self._kind == "mnl":
            weight = np.exp(self._utility - self._slope * price)
            return self._size * weight / (1 + weight.sum(axis=-1, keepdims=True))
        if self._kind == "linear":
            return np.maximum(self._size - self._slope * price, 0)
        return self._size * self.factor(price)

    # -- the scenario -----------------------------------------------------------------------------------------------

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw every random quantity of the episodes with the given seeds or keys, one row each.

        Returns:
            By kind, over T = horizon + 1 periods, for the last observation: `uniform` (n, T, I) in [0, 1) and with a
            source `demand` (n, T, I) units at the list price; `noise` (n, T, I) standard normal (linear); `customers`
            (n, T, 1) and `taste` (n, T, M (1 + I)) standard exponential, 0 for who does not come (mnl). Also
            `calendar` (n, T, C), `forecast` (n, T, I, Q), `time_left` (n, T, 1) where they are observed. A row depends
            on its own seed alone.
        """
        p, keys, periods = self.params, as_keys(seeds), self.horizon + 1
        shape, scenario, drawn = (periods, p.items), {}, {}
        if self.source is not None:
            drawn = self.source.draw(keys, periods)
        if self._kind == "mnl":
            scenario["customers"] = (drawn or self._arrivals.draw(keys, periods))["demand"]
            come = np.arange(self._candidates) < scenario["customers"]
            taste = _by_period(len(keys), (periods, self._candidates, 1 + p.items), np.float32)
            for row, there, rng in zip(taste, come, streams(keys, CHOICE), strict=True):
                row[there] = rng.standard_exponential((there.sum(), 1 + p.items), dtype=np.float32)
            scenario["taste"] = taste.reshape(len(keys), periods, -1)
        elif self._kind == "linear":
            scenario["noise"] = np.stack([rng.standard_normal(shape, np.float32) for rng in streams(keys, DEMAND)])
        else:
            uniform = np.empty((len(keys), *shape))
            for row, rng in zip(uniform, streams(keys, CHOICE), strict=True):
                rng.random(out=row)
            scenario["uniform"] = _by_period(len(keys), shape, float)
            scenario["uniform"][...] = uniform
            if drawn:
                scenario["demand"] = drawn["demand"]
        scenario |= {name: drawn[name] for name in self._signals if name in drawn}
        if "time_left" in self._signals:
            left = self.time_left(len(keys), float)
            scenario["time_left"] = np.ones_like(left) if p.continuing else left
        return scenario

    # -- the dynamics -----------------------------------------------------------------------------------------------

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: the initial stock, no price set, the initial reference price."""
        p, zeros = self.params, np.zeros((num_envs, self.params.items), np.float32)
        price, changes = (zeros + np.float32(self.prices[-1]), zeros - 1) if self.tracks_price else (None, None)
        reference = zeros + np.float32(p.demand.initial_reference) if p.demand.has_reference else None
        clock = np.zeros((num_envs, 1), np.float32)
        return State(zeros + self._initial if self.limited else None, price, changes, reference, clock)

    def set_prices(self, state: State, action) -> np.ndarray:
        """Turn actions (num_envs, items) inside the action space into the prices of the period, money."""
        p = self.params
        price = self._grid.take(action.astype(np.intp)) if p.on_grid else np.asarray(action, np.float32)
        if p.markdown:
            price = np.minimum(price, state.price)
        if self._limits_changes:
            price = np.where(state.changes < p.max_changes, price, state.price)
        return price

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one period on. Deterministic: all chance is in `shock`, the period's slice of the scenario."""
        p, price = self.params, self.set_prices(state, action)
        sales, unmet, reference = None, None, state.reference
        if self._kind == "mnl":
            weight = np.exp((self._utility - self._slope * price).astype(np.float32))
            taste = shock["taste"].reshape(len(price), -1, 1 + p.items)
            demand, sales, unmet = price_demand.choose(weight, state.on_hand, shock["customers"][:, 0], taste)
        elif self._kind == "linear":
            demand = price_demand.linear(p.demand, price, reference, shock["noise"], self._size, self._slope)
            if reference is not None:
                reference = (p.demand.memory * reference + (1 - p.demand.memory) * price).astype(np.float32)
        elif self._table is not None:
            demand = self._table(action.astype(np.intp), shock["uniform"])
        elif "demand" in shock:
            demand = np.floor(shock["demand"] * self.factor(price) + shock["uniform"]).astype(np.float32)
        else:
            mean = self._size * self.factor(price)
            demand = price_demand.inverse_transform(mean, shock["uniform"], p.demand.noise, p.demand.dispersion)
        if sales is None:
            sales = demand if state.on_hand is None else np.minimum(demand, state.on_hand)
        on_hand = None if state.on_hand is None else state.on_hand - sales
        unmet = demand - sales if unmet is None else unmet
        changed = changes = None
        if self.tracks_price:
            differs = ((price != state.price) & (state.changes >= 0)).astype(np.float32)
            changed, changes = differs, np.maximum(state.changes, 0) + differs
        flow = Flow(price, demand, sales, unmet, on_hand, changed)
        return State(on_hand, price if self.tracks_price else None, changes, reference, state.clock + 1), flow

    def balances(self, before: State, flow: Flow, after: State) -> dict:
        """Return what stock (num_envs, items) there was, and what has become of it: see the contract."""
        laws = {} if self._kind == "mnl" else {"customers": (flow.demand, flow.sales.astype(float) + flow.unmet)}
        if before.on_hand is not None:
            laws["stock"] = before.on_hand, flow.sales.astype(float) + after.on_hand
        return laws

    # -- money and observation --------------------------------------------------------------------------------------

    def _terms(self, flow: Flow) -> list[tuple]:
        """Return the name and the money of each term, (num_envs, items); costs are positive."""
        terms = [("revenue", flow.price * flow.sales)]
        if self._purchase.any():
            terms.append(("purchase_cost", self._purchase * flow.sales))
        if self._holding.any() and flow.on_hand is not None:
            terms.append(("holding_cost", self._holding * flow.on_hand))
        if flow.changed is not None:
            terms.append(("price_change_cost", np.float32(self.params.price_change_cost) * flow.changed))
        return terms

    def money(self, flow: Flow) -> dict:
        """Return the period's money by name, each (num_envs,): `revenue` and the costs, all of them positive."""
        return {name: self._total(money) for name, money in self._terms(flow)}

    def _total(self, values):
        return values[:, 0] if self.params.items == 1 else values.sum(axis=1)

    def item_profit(self, flow: Flow):
        """Return each item's profit of the period (num_envs, items): `reward` before the sum over items and salvage."""
        return sum(money if name == "revenue" else -money for name, money in self._terms(flow))

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return what a period's `info` holds, each (num_envs,): the money of `terms`, and units over all items."""
        units = {name: getattr(flow, name) for name in UNITS}
        return dict(terms) | {name: self._total(value) for name, value in units.items() if value is not None}

    def salvage(self, state: State):
        """Return what the stock is worth (num_envs,) once a season has ended."""
        stock = np.zeros((len(state.clock), 1), np.float32) if state.on_hand is None else state.on_hand * self._salvage
        return stock.sum(axis=1)

    def observe(self, state: State, signal: dict) -> dict:
        """Return the named features of `layout`; `signal` is what is known before the prices are set."""
        features = {} if state.on_hand is None else {"on_hand": state.on_hand}
        if state.price is not None:
            features["price"] = state.price
        if self._limits_changes:
            features["changes_left"] = (self.params.max_changes - np.maximum(state.changes, 0)).astype(np.float32)
        if state.reference is not None:
            features["reference"] = state.reference
        for name in self._signals:
            features[name] = signal[name]
        return features

    def recall(self, observation) -> tuple[State, dict]:
        """Return the state of observations (num_envs, F), and the `time_left`: see the contract."""
        named, period = self.features(observation), self.period(observation)[:, None]
        if drawn := [name for name in self._signals if name != "time_left"]:
            raise FieldError("observation", ", ".join(drawn), "nothing that is drawn", "where futures are imagined")
        changes = None
        if self.tracks_price:
            gone = self.params.max_changes - named["changes_left"] if "changes_left" in named else 0
            changes = np.where(period > 0, gone, -1) + np.zeros((1, self.params.items), np.float32)
            changes = changes.astype(np.float32)
        state = [named.get(name) for name in ("on_hand", "price", "reference")]
        own = State(state[0], state[1], changes, state[2], period.astype(np.float32))
        return own, {name: named[name] for name in self._signals}

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `StoreViewer`."""
        from ..core.picture import StoreViewer

        return StoreViewer(self, mode, PANELS)


def _by_period(num_envs: int, shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return zeros (num_envs, periods, ...) in which a period's slice of all rows lies in one piece: faster to step."""
    return np.zeros((shape[0], num_envs, *shape[1:]), dtype).swapaxes(0, 1)
