"""Price and order of one item, decided together: the model behind `storelab/PricingInventory-v0`.

One period: a price is set and an order placed, which arrives at once; demand comes, the less of it the higher the
price, and is served from stock, customers who already wait first; what is not served waits or is lost; costs are
charged on what is left, and what has reached the end of its shelf life is waste.
"""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.contract import Array, Model, Part, at_most, menu
from ..core.random import CHOICE, as_keys, streams
from ..pricing.demand import CountTable, inverse_transform, longest
from .params import PricingInventoryParams

PANELS = {"price": ("price",), "units": ("on_hand", "backlog", "demand", "ordered")}  # of the picture


@dataclass(slots=True)
class State:
    """The store before it decides. Units."""

    on_hand: np.ndarray  # (num_envs, 1)
    backlog: Array  # (num_envs, 1) of customers who wait; None where nobody does
    shelf: Array  # (num_envs, shelf_life - 1) stock by the periods it has left, the oldest first; None: one age only


@dataclass(slots=True)
class Flow:
    """What moved in one period. All arrays (num_envs, 1), units unless said."""

    price: np.ndarray  # money per unit
    demand: np.ndarray
    ordered: np.ndarray
    sales: np.ndarray  # handed out, also to customers who waited
    unmet: np.ndarray  # demand of this period that stock did not serve: it waits or is lost
    paid: np.ndarray  # by this period's customers: all of them, or where the others are lost who was served
    on_hand: np.ndarray  # left at the end of the period, without what expired
    backlog: Array  # None where nobody waits
    waste: Array  # None where nothing perishes


class PricingInventory(Model):
    """Price and order of one item, decided together: the batched model of `storelab/PricingInventory-v0`.

    Pure functions of arrays `(num_envs, ...)`, in NumPy (demand is a count, which passes no gradient). The problem is
    that of Federgruen and Heching 1999, Operations Research 47(3), and with a fixed cost that of Chen and Simchi-Levi
    2004, Operations Research 52(6), over a season and without discounting.

    ## Action space

    Two numbers, a price and the units to order. The parameter `action` chooses their form:

    - `grid`: MultiDiscrete, an index of `prices` and 0 to `max_order` units.
    - `continuous`: Box, money between the first and the last of `prices`, and units, rounded to whole ones.

    Finite actions outside the space are clipped to it and counted (`clipped_actions`). An action that is not finite, or
    has another shape, raises a FieldError.

    ## Observation space

    Box (F,), float32, in units as they are: `layout` names its parts and `features` splits them.

    | part | shape | unit |
    |---|---|---|
    | `on_hand` | (1,) | units |
    | `backlog` | (1,) | units that customers wait for; with `unmet=backorder` |
    | `shelf` | (m - 1,) | units on hand by the periods they have left, 1, 2, ...; with a `shelf_life` m of 2 or more |
    | `time_left` | (1,) | share of the season |

    ## Dynamics

    Demand is a count, Poisson or negative binomial, whose mean at the price p is max(size - b p, 0) (`linear`),
    size e^(-b p) (`exponential`) or size / (1 + e^(b p - utility)) (`logit`), b the `sensitivity`. The scenario has one
    uniform number per period, and demand is its inverse transform. At a higher price the same number gives the same or
    less demand.

    The order is on hand before the demand. Waiting customers are served first. Unmet demand waits (`backorder`) or is
    lost (`lost`). With a shelf life m a unit can be sold in m periods, the period of arrival included. The oldest is
    sold first, and what is left after the m-th period is waste.

    ## Reward

    Revenue less purchase, fixed, holding, backorder, lost-sale and waste cost, in money. `info` has each of them, the
    units `demand`, `sales`, `unmet`, `ordered`, `on_hand`, `backlog`, `waste`, and the `price`. Customers pay when they
    come, at the price of that period, also if they have to wait. Stock and backlog are charged at the period's end.
    Units that expire cost `waste_cost` and no holding.

    ## Start and end

    An episode starts with `initial_stock` on hand (with a shelf life, as if it had arrived one period before) and no
    waiting customer. After `horizon` periods it terminates. Units on hand bring `salvage_value`, and each customer who
    still waits is served at `purchase_cost`. Both are in `salvage`, which may be negative.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/PricingInventory-v0", fixed_cost=20.0)
    >>> observation, info = env.reset(seed=0)
    >>> env.unwrapped.model.layout
    {'on_hand': (1,), 'backlog': (1,), 'time_left': (1,)}
    >>> observation.tolist()
    [0.0, 0.0, 1.0]
    >>> observation, reward, terminated, truncated, info = env.step([6, 12])  # the seventh price, twelve units
    >>> info["price"], info["ordered"], info["fixed_cost"], info["purchase_cost"]
    (6.0, 12.0, 20.0, 24.0)
    >>> many = gym.make_vec("storelab/PricingInventory-v0", num_envs=64, unmet="lost", shelf_life=3, waste_cost=1.0)
    >>> many.reset(seed=0)[0].shape
    (64, 4)

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: PricingInventoryParams, source=None):
        """Bind the parameters.

        Raises:
            FieldError: a `source` of demand; it follows from the price.
        """
        if source is not None:
            raise FieldError("source", source, "None: demand follows from the price")
        self.params, self.horizon = params, params.horizon
        self.prices = np.asarray(params.prices)
        self.grid, self.backorders = params.action == "grid", params.unmet == "backorder"
        self._grid = self.prices.astype(np.float32)
        self._table = self._tabulate()
        self.layout = {"on_hand": (1,)}
        if self.backorders:
            self.layout["backlog"] = (1,)
        if params.layers:
            self.layout["shelf"] = (params.layers,)
        self.layout["time_left"] = (1,)
        self.observation_space = self.box_of(self.layout, self._bounds())
        largest = int(params.max_order)
        if self.grid:
            self.action_space = spaces.MultiDiscrete([len(self.prices), largest + 1])
            self.action_low, self.action_high = np.zeros(2), np.array([len(self.prices) - 1.0, largest])
        else:
            low, high = np.array([[self._grid[0], 0], [self._grid[-1], largest]], np.float32)
            self.action_space = spaces.Box(low, high, dtype=np.float32)
            self.action_low, self.action_high = low.astype(float), high.astype(float)

        unit = menu(self.prices) if self.grid else "money per unit"
        self.action_parts = {"price": Part(1, f"price of the period; {unit}"), "order": Part(1, "units to order")}

    def _bounds(self) -> dict[str, tuple]:
        """Return the bounds of observations: what orders and demand up to the horizon allow."""
        p, d = self.params, self.params.demand
        stock = at_most(p.initial_stock + min(p.shelf_life, self.horizon) * int(p.max_order))
        # Counts above `longest` have a probability of 1e-17, which a uniform of 53 bits hardly tells from 0.
        waiting = 2 * longest(d.mean(self._grid[:1]), d.noise, d.dispersion) * self.horizon
        return {"on_hand": (0, stock), "shelf": (0, stock), "backlog": (0, at_most(waiting))}

    def _tabulate(self) -> CountTable | None:
        """Return the counts at each price of the grid as a table, where it is small enough."""
        d, mean = self.params.demand, self.params.demand.mean(self._grid)[:, None]
        if not self.grid or not CountTable.fits(mean, d.noise, d.dispersion):
            return None
        return CountTable(mean, d.noise, d.dispersion)

    def to_action(self, price, order) -> np.ndarray:
        """Return the actions (n, 2) that set the allowed prices nearest to `price` (n,), and order units (n,)."""
        order = np.clip(np.floor(np.asarray(order) + 0.5), 0, self.params.max_order)
        price = np.clip(price, self.prices[0], self.prices[-1])
        if self.grid:
            price = np.searchsorted((self.prices[1:] + self.prices[:-1]) / 2, price)
        return np.stack(np.broadcast_arrays(price, order), axis=-1).astype(float)

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw every random quantity of the episodes with the given seeds or keys, one row each.

        Returns:
            `uniform` (n, T + 1, 1) in [0, 1), and `time_left` (n, T + 1, 1). A row depends on its own key alone.
        """
        keys = as_keys(seeds)
        uniform = np.empty((len(keys), self.horizon + 1, 1))
        for row, rng in zip(uniform, streams(keys, CHOICE), strict=True):
            rng.random(out=row)
        return {"uniform": uniform, "time_left": self.time_left(len(keys))}

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: the initial stock, nobody waits."""
        zeros, layers = np.zeros((num_envs, 1), np.float32), self.params.layers
        stock, shelf = zeros + np.float32(self.params.initial_stock), None
        if layers:
            shelf = np.concatenate([zeros] * (layers - 1) + [stock], axis=1)
        return State(stock, zeros if self.backorders else None, shelf)

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one period on. Deterministic: all chance is in `shock`, the period's slice of the scenario."""
        price, demand = self._respond(action, shock["uniform"])
        ordered = np.floor(action[:, 1:] + np.float32(0.5)).astype(np.float32)
        stock, backlog = state.on_hand + ordered, state.backlog
        served = 0 if backlog is None else np.minimum(stock, backlog)
        now = np.minimum(stock - served, demand)  # this period's customers
        unmet, sales, on_hand = demand - now, served + now, stock - served - now
        paid = now
        if backlog is not None:
            backlog, paid = backlog - served + unmet, demand
        waste = shelf = None
        if self.params.perishes:
            layers = ordered if state.shelf is None else np.concatenate([state.shelf, ordered], axis=1)
            left = _oldest_first(layers, sales)
            waste, on_hand = left[:, :1], left[:, 1:].sum(axis=1, keepdims=True)
            shelf = left[:, 1:] if self.params.layers else None
        return State(on_hand, backlog, shelf), Flow(price, demand, ordered, sales, unmet, paid, on_hand, backlog, waste)

    def _respond(self, action, uniform) -> tuple[np.ndarray, np.ndarray]:
        """Return the price of actions (num_envs, 2), money, and the demand at it: both (num_envs, 1) float32."""
        d, given = self.params.demand, action[:, :1]
        price = self._grid[given.astype(np.intp)] if self.grid else given.astype(np.float32)
        if self._table is not None:
            return price, self._table(given.astype(np.intp), uniform)
        return price, inverse_transform(d.mean(price), uniform, d.noise, d.dispersion)

    def balances(self, before: State, flow: Flow, after: State) -> dict:
        """Return what units and customers (num_envs, 1) came, and what has become of them: see the contract."""

        def added(*parts) -> np.ndarray:
            return sum((np.asarray(part, float) for part in parts if part is not None), np.zeros(flow.sales.shape))

        lost = flow.unmet if flow.backlog is None else None
        return {
            "units": (added(before.on_hand, flow.ordered), added(flow.sales, flow.waste, after.on_hand)),
            "customers": (added(before.backlog, flow.demand), added(flow.sales, lost, after.backlog)),
        }

    def money(self, flow: Flow) -> dict[str, np.ndarray]:
        """Return the period's money by name, each (num_envs,): `revenue` and the costs, all of them positive."""
        p = self.params
        terms = {"revenue": flow.price * flow.paid, "purchase_cost": np.float32(p.purchase_cost) * flow.ordered}
        if p.fixed_cost:
            terms["fixed_cost"] = np.float32(p.fixed_cost) * (flow.ordered > 0)
        terms["holding_cost"] = np.float32(p.holding_cost) * flow.on_hand
        if flow.backlog is not None:
            terms["backorder_cost"] = np.float32(p.backorder_cost) * flow.backlog
        elif p.lost_sale_cost:
            terms["lost_sale_cost"] = np.float32(p.lost_sale_cost) * flow.unmet
        if flow.waste is not None:
            terms["waste_cost"] = np.float32(p.waste_cost) * flow.waste
        return {name: value[:, 0] for name, value in terms.items()}

    def info(self, flow: Flow, terms: dict) -> dict[str, np.ndarray]:
        """Return what a period's `info` holds, each (num_envs,): the money of `terms`, the price and units."""
        names = ("price", "demand", "sales", "unmet", "ordered", "on_hand", "backlog", "waste")
        values = {name: getattr(flow, name) for name in names}
        return dict(terms) | {name: value[:, 0] for name, value in values.items() if value is not None}

    def salvage(self, state: State) -> np.ndarray:
        """Return what the stock is worth (num_envs,) at the end of a season, less what serving the backlog costs."""
        worth = np.float32(self.params.salvage_value) * state.on_hand
        if state.backlog is not None:
            worth = worth - np.float32(self.params.purchase_cost) * state.backlog
        return worth[:, 0]

    def observe(self, state: State, signal: dict) -> dict[str, np.ndarray]:
        """Return the named features, each (num_envs, *shape) as `layout` has it; `signal` is the period's slice."""
        features = {"on_hand": state.on_hand, "backlog": state.backlog, "shelf": state.shelf}
        features["time_left"] = signal["time_left"]
        return {name: features[name] for name in self.layout}

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `StoreViewer`."""
        from ..core.picture import StoreViewer

        return StoreViewer(self, mode, PANELS)


def _oldest_first(layers: np.ndarray, sales: np.ndarray) -> np.ndarray:
    """Return what sales (n, 1) leave of stock by age (n, m), the oldest first."""
    before = layers.cumsum(axis=1) - layers
    return layers - np.clip(sales - before, 0, layers)
