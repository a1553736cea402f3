"""Repeated price competition of two firms: the model behind `storelab/PricingDuopoly-v0`.

The game of Calvano, Calzolari, Denicolo and Pastorello 2020, American Economic Review 110(10): in each period both
firms set a price at once, customers choose by the logit, and the firms see the prices of the period before.
"""

import math
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from ...errors import FieldError
from ..core.contract import Array, Model, Part, choices_of, menu
from ..core.random import CHOICE, as_keys, streams
from . import references as reference
from .params import DuopolyParams

PANELS = {"money": ("price",), "share of customers": ("sales",)}  # of the picture


@dataclass(slots=True)
class State:
    """The prices of the period before (num_envs, 2), money, and the memory of a learning rival."""

    price: np.ndarray
    values: Array  # (num_envs, m^3): its Q(own last, agent's last, own next); None for other rivals
    clock: Array  # (num_envs, 1) periods gone, of its exploration; None for other rivals


@dataclass(slots=True)
class Flow:
    """What moved in one period: all arrays (num_envs, 2), the agent first."""

    price: np.ndarray  # money
    sales: np.ndarray  # customers


class Duopoly(Model):
    """Repeated price competition of two firms: the batched model of `storelab/PricingDuopoly-v0`.

    ## Action space

    The agent's price. The parameter `action` chooses its form:

    - `grid`: MultiDiscrete, an index of `prices`. `discrete`: the same as a Discrete.
    - `continuous`: Box, money, between the first and the last of `prices`.

    Finite actions outside the space are clipped to it and counted (`clipped_actions`). An action that is not finite, or
    has another shape, raises a FieldError.

    ## Observation space

    Box (2,), float32: `own_price` and `rival_price` of the period before, money.

    ## Dynamics

    Firm i serves customers exp((a_i - p_i) / mu) / (exp(a_0 / mu) + the sum over both) of all `customers`. The rival
    sets its price at the same time, from the prices of the period before:

    - `fixed`: `rival_price`, by default the Nash price. It is the first price of the other rivals too.
    - `undercut`: `undercut` below the agent's last price, but not below `floor`.
    - `best_response`: the price, on or off the grid, that maximises its profit of a period against the agent's last
      price (Bertrand).
    - `q_learner`: tabular Q-learning with memory one on the grid, as in Calvano et al. (2020). It starts from the
      values against an agent that plays each price with the same probability, and learns during the episode.

    ## Reward

    The agent's profit, (p - c) times its customers, in money. `info` has `revenue`, `purchase_cost`, `sales`, and the
    `rival_profit`.

    ## Start and end

    The agent's price before the start is the Nash price on the grid. After `horizon` periods the episode is truncated.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/PricingDuopoly-v0", rival="fixed")
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step([7])
    >>> sorted(info)
    ['clipped_actions', 'purchase_cost', 'revenue', 'rival_profit', 'sales']
    >>> env.unwrapped.model.prices.round(3).tolist()[:2]
    [1.428, 1.466]

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: DuopolyParams, source=None):
        """Bind the parameters. Raises a FieldError for a source: nothing here is drawn from one."""
        if source is not None:
            raise FieldError("source", source, "None", "for this environment")
        self.params, self.horizon, self.prices = params, params.horizon, params.prices()
        self.cost = np.array(params.unit_cost, float)
        self.layout = {"own_price": (1,), "rival_price": (1,)}
        if params.on_grid:
            self.action_space = choices_of([params.grid], params.action == "discrete")
            self.action_low, self.action_high = np.zeros(1), np.array([params.grid - 1.0])
        else:
            low, high = self.prices[[0, -1]].astype(np.float32)
            self.action_space = spaces.Box(low, high, (1,), np.float32)
            self.action_low, self.action_high = np.array([low], float), np.array([high], float)
        unit = menu(self.prices) if params.on_grid else "money"
        self.action_parts = {"price": Part(1, f"price of the period; {unit}")}
        nash, _ = reference.nash(**params.logit(), cost=self.cost)
        start = nash[1] if params.rival_price is None else params.rival_price
        at = self.prices[np.abs(self.prices - nash[0]).argmin()]
        self._start = np.array([at, start], np.float32)
        self.observation_space = self.box_of(self.layout, self._bounds())

    def _bounds(self) -> dict[str, tuple]:
        """Return the bounds of observations: the agent's prices, and those of its rival, which rise with them."""
        ends = np.append(self.prices[[0, -1]], self._start[0])
        rivals = [] if self.params.rival == "q_learner" else self.rival_prices(np.stack([ends, ends], axis=1))
        prices = np.concatenate([self.prices, self._start, rivals])
        bounds = prices.min() * (1 - 1e-5), prices.max() * (1 + 1e-5)  # as float32
        return {"own_price": bounds, "rival_price": bounds}

    def profits(self, price: np.ndarray) -> np.ndarray:
        """Return both firms' profits (..., 2) of a period at their prices (..., 2)."""
        return (price - self.cost) * reference.demand(price, **self.params.logit()) * self.params.customers

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw what is random of the episodes with the given seeds or keys: `uniform` (n, T, 2) in [0, 1), the
        exploration of a learning rival (whether, and which price)."""
        keys, shape = as_keys(seeds), (self.horizon + 1, 2)
        if self.params.rival != "q_learner":
            return {"uniform": np.zeros((len(keys), *shape), np.float32)}
        return {"uniform": np.stack([rng.random(shape, dtype=np.float32) for rng in streams(keys, CHOICE)])}

    def initial(self, num_envs: int) -> State:
        """Return the state at the start."""
        price = np.zeros((num_envs, 2), np.float32) + self._start
        if self.params.rival != "q_learner":
            return State(price, None, None)
        values = initial_values(self.profits, self.prices, self.params.discount)[1]
        return State(price, np.repeat(values.reshape(1, -1), num_envs, axis=0), np.zeros((num_envs, 1), np.float32))

    def rival_prices(self, last: np.ndarray) -> np.ndarray:
        """Return the prices (n,) of a rival who follows a rule, after the prices (n, 2) of the period before."""
        p, own = self.params, last[:, 0]
        if p.rival == "fixed":
            return np.full(len(own), self._start[1])
        if p.rival == "undercut":
            return np.maximum(own - p.undercut, p.floor)
        if p.rival == "best_response":
            logit = p.logit()
            quality = logit.pop("quality")
            return reference.best_response(own, quality[1], quality[0], **logit, cost=self.cost[1])
        raise FieldError("rival", p.rival, "one that follows a rule", "here")

    def _learned(self, state: State, shock: dict) -> np.ndarray:
        """Return the Q-learner's prices (num_envs,), those of exploration among them."""
        p = self.params
        rows, (last, agents) = np.arange(len(state.price)), self._places(state.price)
        greedy = self._table(state.values)[rows, last, agents].argmax(axis=1)
        explores = shock["uniform"][:, 0] < np.exp(-p.exploration_decay * state.clock[:, 0])
        drawn = np.minimum((shock["uniform"][:, 1] * p.grid).astype(int), p.grid - 1)
        return self.prices[np.where(explores, drawn, greedy)]

    def _table(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, self.params.grid, self.params.grid, self.params.grid)

    def _places(self, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the rival's and of the agent's prices (num_envs, 2) on the grid."""
        at = np.abs(price[:, :, None] - self.prices).argmin(axis=2)
        return at[:, 1], at[:, 0]

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one period on. Deterministic: all chance is in `shock`, the period's slice of the scenario."""
        own = self.prices[action[:, 0].astype(np.intp)] if self.params.on_grid else action[:, 0]
        rivals = self.rival_prices(state.price) if state.values is None else self._learned(state, shock)
        price = np.stack([own, rivals], axis=1).astype(np.float32)
        sales = self.params.customers * reference.demand(price, **self.params.logit())
        values = state.values
        if values is not None:
            p, rows = self.params, np.arange(len(price))
            values = values.copy()
            table = self._table(values)
            (last, agents), (now, agents_now) = self._places(state.price), self._places(price)
            profit = (price[:, 1] - self.cost[1]) * sales[:, 1]
            target = profit + p.discount * table[rows, now, agents_now].max(axis=1)
            table[rows, last, agents, now] += p.learning_rate * (target - table[rows, last, agents, now])
        clock = None if state.clock is None else state.clock + 1
        return State(price, values, clock), Flow(price, sales.astype(np.float32))

    def money(self, flow: Flow) -> dict:
        """Return the agent's money of the period by name, each (num_envs,)."""
        sold = flow.sales[:, 0]
        return {"revenue": flow.price[:, 0] * sold, "purchase_cost": np.float32(self.cost[0]) * sold}

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return a period's `info`, each (num_envs,): the money of `terms`, customers, the rival's profit."""
        rival = (flow.price[:, 1] - self.cost[1]) * flow.sales[:, 1]
        return dict(terms) | {"sales": flow.sales[:, 0], "rival_profit": rival}

    def observe(self, state: State, signal: dict) -> dict:
        """Return the named features of `layout`: both firms' last prices."""
        return {"own_price": state.price[:, :1], "rival_price": state.price[:, 1:]}

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `StoreViewer`."""
        from ..core.picture import StoreViewer

        return StoreViewer(self, mode, PANELS)


def initial_values(profits, prices: np.ndarray, discount: float) -> np.ndarray:
    """Return both firms' first Q (2, m, m, m): each price's profit against a rival who plays all with equal
    probability, for ever: Q = mean profit / (1 - discount), whatever the state (Calvano et al. 2020, eq. 8)."""
    m = len(prices)
    pairs = np.stack(np.meshgrid(prices, prices, indexing="ij"), axis=-1)  # [i, j] = (p_i, p_j)
    earned = profits(pairs)  # (m, m, 2)
    mean = np.stack([earned[..., 0].mean(axis=1), earned[..., 1].mean(axis=0)]) / (1 - discount)
    return np.broadcast_to(mean[:, None, None, :], (2, m, m, m)).copy()


def profit_gain(profit: float, nash: float, monopoly: float) -> float:
    """Return (profit - Nash) / (monopoly - Nash): 0 where firms compete, 1 where they collude fully."""
    if not math.isfinite(monopoly - nash) or monopoly == nash:
        raise FieldError("monopoly", monopoly, f"another number than Nash's {nash!r}")
    return (profit - nash) / (monopoly - nash)
