"""Games of one item with few samples and unreliable supply: the model behind `storelab/InventoryBench-v0`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.contract import Array, Model, remade
from ..core.random import DEMAND, LEAD_TIME, as_keys, streams
from .games import LEADS, SAMPLES, VARIANTS, demand_of, lead_times, wide
from .params import InventoryGameParams

PANELS = {"units left": ("on_hand",), "units": ("demand", "ordered", "unmet")}  # of the picture
SLOTS = 13  # periods until an order that is not lost comes in, at the most, and this one


@dataclass(slots=True)
class State:
    """The game before an order. Units; of series the newest entry is the last, and what was before the game is 0."""

    on_hand: Array  # (num_envs, 1)
    in_transit: Array  # (num_envs, 1) ordered and not come in; a lost order stays in it
    demand: Array  # (num_envs, T)
    ordered: Array  # (num_envs, T)
    arrived: Array  # (num_envs, T)
    due: Array  # (num_envs, SLOTS) what comes in, this period's first; the store does not see it


@dataclass(slots=True)
class Flow:
    """What moved in one period. All arrays (num_envs, 1), units unless said."""

    ordered: Array
    arrived: Array
    demand: Array
    sales: Array
    unmet: Array
    on_hand: Array  # left at the end of the period
    in_transit: Array
    profit: Array  # money per unit sold


class InventoryGame(Model):
    """Games of one item with few samples and unreliable supply: the batched model of `storelab/InventoryBench-v0`.

    Pure functions of arrays `(num_envs, ...)`, in NumPy or torch. The games are those of InventoryBench (Baek, Fu, Ma
    and Peng 2025, "AI Agents for Inventory Control"), drawn anew by its description. Which game it is, is not told.

    ## Action space

    Box (1,): units to order, rounded to whole ones unless `whole=False`.

    ## Observation space

    Box (F,), float32, in units and money as they are. Series have a place per period of the game, the newest last, and
    zeros for what has not been yet. T is the horizon.

    | part | shape | unit |
    |---|---|---|
    | `on_hand`, `in_transit` | (1,) | units; a lost order stays in transit for ever |
    | `demand`, `ordered`, `arrived` | (T,) | units, of the periods so far; of demand also what was not served |
    | `history` | (5,) | units, samples of demand |
    | `history_end` | (1,) | number of the history's last period, where the first to play is 1 |
    | `promised` | (1,) | periods: 0, 4, or 2 where lead times are stochastic |
    | `profit` | (1,) | money per unit sold |
    | `time_left` | (1,) | share of the game |

    ## Dynamics

    An order is placed; what is due comes in, at once with a lead time of 0; demand is served from stock, and what is
    not served is lost. With `leads=stochastic` an order takes 1, 2 or 3 periods or is lost, each as likely. Demand is
    of one of ten patterns (`games.VARIANTS`): it may change at once or slowly, swing or remember. The history is of the
    periods 1 to 5 of a process that depends on the period, else five draws of its first regime.

    ## Reward

    Revenue (the profit of what is sold) less holding cost of what is left, in money. The benchmark's score of a game is
    max(0, sum of rewards / (profit x sum of demand)).

    ## Start and end

    Nothing is on hand. After `horizon` periods the game terminates; what is left is worth nothing.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/InventoryBench-v0", patterns=["stationary"], leads=["0"])
    >>> observation, info = env.reset(seed=0)
    >>> named = env.unwrapped.model.features(observation[None])
    >>> named["promised"].item(), named["history"].shape
    (0.0, (1, 5))
    >>> observation, reward, terminated, truncated, info = env.step([120.0])
    >>> info["ordered"], info["arrived"]
    (120.0, 120.0)
    >>> bool(reward == info["revenue"] - info["holding_cost"])
    True

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: InventoryGameParams, source=None, xp: Any = np):
        """Bind the parameters.

        Raises:
            FieldError: a `source` of demand; the games draw their own.
        """
        if source is not None:
            raise FieldError("source", source, "None: the games draw their own demand")
        self.params, self.horizon, self.xp = params, params.horizon, xp
        series = {name: (self.horizon,) for name in ("demand", "ordered", "arrived")}
        self.layout = {"on_hand": (1,), "in_transit": (1,)} | series
        self.layout |= {"history": (SAMPLES,), "history_end": (1,), "promised": (1,), "profit": (1,), "time_left": (1,)}
        self.observation_space = self.box_of(self.layout, {"history_end": (-np.inf, np.inf)})
        self.action_low, self.action_high = np.zeros(1), np.array([float(params.max_order)])
        low, high = self.action_low.astype(np.float32), self.action_high.astype(np.float32)
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        self._lags = xp.arange(SLOTS)

    def __reduce__(self):
        """Return how a copy is made, as modules are not pickled."""
        return remade, (type(self), self.params, None, self.xp.__name__)

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw games; see `Model.scenarios`.

        Returns:
            `demand` (n, T + 1, 1), units; `lead` (n, T + 1, 1), periods, `games.LOST` for a lost order; `history`
            (n, T + 1, 5); `history_end`, `promised`, `profit` and `time_left` (n, T + 1, 1).
        """
        keys, p, games = as_keys(seeds), self.params, []
        forty = [process for name in p.patterns or VARIANTS for process in VARIANTS[name]]
        for rng in streams(keys, DEMAND):
            process = wide(rng) if p.processes == "wide" else forty[rng.integers(len(forty))]
            setting, profit = p.leads[rng.integers(len(p.leads))], p.profits[rng.integers(len(p.profits))]
            games.append((*demand_of(process, rng, self.horizon + 1), setting, profit))
        settings = [game[2] for game in games]
        leads = [lead_times(*pair, self.horizon + 1) for pair in zip(settings, streams(keys, LEAD_TIME), strict=True)]
        history, demand = (np.array([game[k] for game in games]) for k in (0, 1))
        promised, profit = np.array([LEADS[name] for name in settings]), np.array([game[3] for game in games])
        return self.scenario(history, demand, np.array(leads), promised, profit, float(SAMPLES))

    def scenario(self, history, demand, lead, promised, profit, history_end) -> dict[str, np.ndarray]:
        """Return the scenario of given games: what `scenarios` draws.

        Args:
            history: (n, 5) units.
            demand: (n, T + 1) units.
            lead: (n, T + 1) periods; at least `SLOTS`: lost.
            promised: (n,) periods.
            profit: (n,) money per unit sold.
            history_end: period of the last sample, where the game's first period is 1: a number, or (n,).
        """
        shape = (*demand.shape, 1)
        fixed = {"history_end": history_end, "promised": promised, "profit": profit}
        values = {"demand": demand[..., None], "lead": lead[..., None]}
        values |= {name: np.broadcast_to(np.reshape(value, (-1, 1, 1)), shape) for name, value in fixed.items()}
        values["history"] = np.broadcast_to(history[:, None], (*demand.shape, SAMPLES))
        return {name: value.astype(np.float32) for name, value in values.items()} | {
            "time_left": self.time_left(len(demand))
        }

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: nothing is there."""
        sizes = (1, 1, self.horizon, self.horizon, self.horizon, SLOTS)
        return State(*(self.xp.zeros((num_envs, size), dtype=self.xp.float32) for size in sizes))

    def transition(self, state: State, action: Array, shock: dict) -> tuple[State, Flow]:
        """Play a period; see `Model.transition`."""
        xp = self.xp
        order = xp.floor(action + 0.5) if self.params.whole else action
        due = state.due + order * (shock["lead"] == self._lags)
        arrived = due[:, :1]
        stock = state.on_hand + arrived
        sales = xp.minimum(stock, shock["demand"])
        left, transit = stock - sales, state.in_transit + order - arrived
        later = lambda series, entry: xp.concatenate([series[:, 1:], entry], axis=1)
        after = State(
            left,
            transit,
            later(state.demand, shock["demand"]),
            later(state.ordered, order),
            later(state.arrived, arrived),
            later(due, xp.zeros_like(arrived)),
        )
        unmet = shock["demand"] - sales
        return after, Flow(order, arrived, shock["demand"], sales, unmet, left, transit, shock["profit"])

    def money(self, flow: Flow) -> dict[str, Array]:
        """Return the period's money by name, each (num_envs,): `revenue` and `holding_cost`."""
        return {
            "revenue": (flow.profit * flow.sales)[:, 0],
            "holding_cost": (np.float32(self.params.holding_cost).item() * flow.on_hand)[:, 0],
        }

    def info(self, flow: Flow, terms: dict) -> dict[str, Array]:
        """Return what a period's `info` holds, each (num_envs,): the money of `terms`, and units."""
        names = ("demand", "sales", "unmet", "ordered", "arrived", "on_hand", "in_transit")
        return dict(terms) | {name: getattr(flow, name)[:, 0] for name in names}

    def balances(self, before: State, flow: Flow, after: State) -> dict[str, tuple[Array, Array]]:
        """Return the laws of conservation; see `Model.balances`."""
        return {
            "stock": (before.on_hand + flow.arrived, flow.sales + after.on_hand),
            "orders": (before.in_transit + flow.ordered, flow.arrived + after.in_transit),
        }

    def observe(self, state: State, signal: dict) -> dict[str, Array]:
        """Return the named features, each (num_envs, *shape) as `layout` has it; `signal` is the period's slice."""
        named = {name: getattr(state, name) for name in ("on_hand", "in_transit", "demand", "ordered", "arrived")}
        return named | {name: signal[name] for name in list(self.layout)[5:]}

    def viewer(self, mode: str) -> Any:
        """Return what draws an environment of this model; see `StoreViewer`."""
        from ..core.picture import StoreViewer

        return StoreViewer(self, mode, PANELS)
