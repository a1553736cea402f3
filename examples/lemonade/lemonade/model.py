"""A lemonade stand: how much to brew, and at which price, when the weather forecast is known."""

from dataclasses import dataclass, field

import numpy as np
from gymnasium import spaces
from storelab.envs.core import pmf
from storelab.envs.core.checks import check_list, check_number
from storelab.envs.core.contract import Model
from storelab.envs.core.random import DEMAND, as_keys, streams
from storelab.errors import FieldError

PANELS = {"litres": ("demand", "brewed", "spoilt", "unmet"), "money per litre": ("price",)}  # of the picture


@dataclass
class LemonadeParams:
    """Parameters of a lemonade stand."""

    horizon: int = 14  # days in a season
    prices: list[float] = field(default_factory=lambda: [1.0, 1.5, 2.0, 2.5, 3.0])  # money per litre, rising
    brew_cost: float = 0.6  # money per litre
    max_brew: int = 20  # litres a day
    weather: list[float] = field(default_factory=lambda: [0.3, 0.4, 0.3])  # probability of a cool, fair, hot day
    thirst: list[float] = field(default_factory=lambda: [10.0, 30.0, 90.0])  # mean litres at price 0, by weather
    sensitivity: float = 0.7  # demand falls by the factor e^(-sensitivity) for each money per litre

    def __post_init__(self):
        check_number("horizon", self.horizon, 1, 1000, integer=True)
        check_list("prices", self.prices, 0, 1000, rising=True)
        check_number("brew_cost", self.brew_cost, 0, 1000)
        check_number("max_brew", self.max_brew, 1, 100, integer=True)
        check_list("weather", self.weather, 0, 1, least=3, most=3, total=1)
        check_list("thirst", self.thirst, 0, 100, least=3, most=3, exclusive=True)
        check_number("sensitivity", self.sensitivity, 0, 10)

    @property
    def continuing(self) -> bool:
        """Return False: the horizon ends a season."""
        return False

    @property
    def earns(self) -> bool:
        """Return True: there is revenue."""
        return True


@dataclass(slots=True)
class State:
    """What the stand is in, before it decides."""

    left: np.ndarray  # (num_envs, 1) litres of yesterday


@dataclass(slots=True)
class Flow:
    """What moved in one day. All arrays (num_envs, 1), litres unless said."""

    price: np.ndarray  # money per litre
    brewed: np.ndarray
    demand: np.ndarray
    sales: np.ndarray
    unmet: np.ndarray  # demand that finds nothing left: it is lost
    spoilt: np.ndarray  # of yesterday's, not sold today either


class LemonadeStand(Model):
    """A lemonade stand over a season: the batched model of `storelab/Lemonade-v0`.

    ## Action space

    MultiDiscrete: an index of `prices`, and the litres to brew, 0 to `max_brew`.

    ## Observation space

    Box (5,), float32.

    | part | shape | unit |
    |---|---|---|
    | `forecast` | (3,) | 1 for today's weather (cool, fair, hot), else 0 |
    | `left` | (1,) | litres of yesterday |
    | `time_left` | (1,) | share of the season |

    ## Dynamics

    At the price p customers ask for a Poisson number of litres of mean `thirst` e^(-`sensitivity` p). Yesterday's
    litres are sold first. What was brewed today keeps until tomorrow; what is of yesterday in the evening is spoilt.

    ## Reward

    Revenue less brew cost, in money; `info` names both, the litres (`brewed`, `demand`, `sales`, `unmet`, `spoilt`) and
    the `price`.

    ## Start and end

    Nothing is left from the day before. After `horizon` days the episode terminates; what is left is worth nothing.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/Lemonade-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation[3:].tolist()
    [0.0, 1.0]
    >>> observation, reward, terminated, truncated, info = env.step([2, 10])  # the third price, ten litres
    >>> info["price"], info["brewed"], round(float(info["brew_cost"]), 2)
    (2.0, 10.0, 6.0)

    ## Version history

    v0: the first.
    """

    version = "v0"

    def __init__(self, params: LemonadeParams, source=None):
        """Bind the parameters; raises a FieldError for a `source` of demand, which follows from price and weather."""
        if source is not None:
            raise FieldError("source", source, "None: demand follows from price and weather")
        self.params, self.horizon = params, params.horizon
        self.prices = np.asarray(params.prices, np.float32)
        self.chances = _chances(params)
        self._cumulative = self.chances.cumsum(axis=-1)
        self.layout = {"forecast": (3,), "left": (1,), "time_left": (1,)}
        self.observation_space = self.box_of(self.layout)
        self.action_space = spaces.MultiDiscrete([len(self.prices), params.max_brew + 1])
        self.action_low, self.action_high = np.zeros(2), self.action_space.nvec - 1.0

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw the weather as `forecast` (n, T + 1, 3), and what decides demand as `uniform` (n, T + 1, 1)."""
        keys, periods = as_keys(seeds), self.horizon + 1
        weather, uniform = np.empty((len(keys), periods), int), np.empty((len(keys), periods, 1))
        for row, rng in enumerate(streams(keys, DEMAND)):
            weather[row] = rng.choice(3, periods, p=self.params.weather)
            uniform[row, :, 0] = rng.random(periods)
        forecast = np.eye(3, dtype=np.float32)[weather]
        return {"forecast": forecast, "uniform": uniform, "time_left": self.time_left(len(keys))}

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: nothing is left."""
        return State(np.zeros((num_envs, 1), np.float32))

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one day on; deterministic: all chance is in `shock`, the day's slice of the scenario."""
        place, brewed, left = action[:, 0].astype(int), action[:, 1:].astype(np.float32), state.left
        steps = self._cumulative[shock["forecast"].argmax(axis=1), place]
        demand = (shock["uniform"] >= steps).sum(axis=1, keepdims=True).astype(np.float32)
        sales = np.minimum(demand, left + brewed)
        spoilt = np.maximum(left - sales, 0)
        price = self.prices[place][:, None]
        flow = Flow(price, brewed, demand, sales, demand - sales, spoilt)
        return State(left + brewed - sales - spoilt), flow

    def money(self, flow: Flow) -> dict[str, np.ndarray]:
        """Return the day's money by name, each (num_envs,)."""
        terms = {"revenue": flow.price * flow.sales, "brew_cost": np.float32(self.params.brew_cost) * flow.brewed}
        return {name: value[:, 0] for name, value in terms.items()}

    def info(self, flow: Flow, terms: dict) -> dict[str, np.ndarray]:
        """Return what a day's `info` holds, each (num_envs,): the money, the price and litres."""
        names = ("price", "brewed", "demand", "sales", "unmet", "spoilt")
        return dict(terms) | {name: getattr(flow, name)[:, 0] for name in names}

    def observe(self, state: State, signal: dict) -> dict[str, np.ndarray]:
        """Return the named features, in the order of `layout`."""
        return {"forecast": signal["forecast"], "left": state.left, "time_left": signal["time_left"]}

    def viewer(self, mode: str):
        """Return what draws an environment of this model."""
        from storelab.envs.core.picture import StoreViewer

        return StoreViewer(self, mode, PANELS)


def _chances(params: LemonadeParams) -> np.ndarray:
    """Return the probabilities (3, prices, K) of a demand of 0, 1, ... litres, by weather and price."""
    means = np.outer(params.thirst, np.exp(-params.sensitivity * np.asarray(params.prices)))
    rows = [pmf.poisson(max(float(mean), 1e-9)) for mean in means.ravel()]
    table = np.zeros((len(rows), max(map(len, rows))))
    for row, chance in zip(table, rows, strict=True):
        row[: len(chance)] = chance
    return table.reshape(*means.shape, -1)
