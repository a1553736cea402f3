"""Same-day delivery in waves: the model behind `storelab/Dispatch-v0`.

The dynamic problem of the EURO Meets NeurIPS 2022 Vehicle Routing Competition (Kool et al. 2022): once an hour it is
decided which of the open requests leave the depot now; what could not be served an hour later must go.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from gymnasium import spaces

from .arrivals import Forecast, draw_requests, last_epochs, too_late
from .batch import Layout
from .city import read_city, synthetic_city
from .demand import DemandSource, RateDemand
from .dispatch_params import CANDIDATES, EPOCH, MARGIN, DispatchParams
from .random import as_keys
from .routing import ROUTERS, RoutingProblem, check_routes

COLUMNS = ("open", "must_go", "customer", "x", "y", "out", "back", "early", "late", "demand", "service")
PRIZE_FEATURES = (
    "one", "urgency", "epochs_left", "nearest_must_go", "nearest_open", "neighbour_next", "neighbour_later", "distance"
)  # fmt: skip
ALONE = 2.0  # prize level above which even a vehicle of its own pays for a request
GENERATED_DRAWS = 6  # candidates per request wanted: so many that those still feasible suffice


@dataclass(slots=True)
class State:
    """The open requests before an epoch's arrivals, by slot. All arrays (num_envs, R), whole numbers, but `period`."""

    customer: np.ndarray  # row of the city; 0: the slot is empty
    early: np.ndarray  # seconds of the day
    late: np.ndarray  # seconds of the day
    demand: np.ndarray  # units
    service: np.ndarray  # seconds
    period: np.ndarray  # (num_envs, 1) epochs done


@dataclass(slots=True)
class Flow:
    """What left the depot in one epoch."""

    city: np.ndarray  # (num_envs, 1) number of the city
    epoch: np.ndarray  # (num_envs, 1) hour of the decision
    requests: State  # the open ones, with the epoch's arrivals
    must_go: np.ndarray  # (num_envs, R) bool
    vehicle: np.ndarray  # (num_envs, R) route of a dispatched request, -1: it waits, or the slot is empty
    position: np.ndarray  # (num_envs, R) its place on the route
    duration: np.ndarray  # (num_envs,) seconds of driving

    def routes(self, row: int) -> list[np.ndarray]:
        """Return a row's routes, each the slots in the order of the visits."""
        slots = [np.flatnonzero(self.vehicle[row] == k) for k in range(self.vehicle[row].max() + 1)]
        return [visits[np.argsort(self.position[row, visits])] for visits in slots]


class Dispatch(Layout):
    """Same-day delivery in waves: the batched model of `storelab/Dispatch-v0`.

    Pure functions of arrays (num_envs, ...), in NumPy; routes by numba or PyVRP.

    ## Action space

    `action` chooses what an action is. `prize`: MultiDiscrete, one of `prize_levels`; `weights`: Box [-4, 4], (8,),
    one weight per feature of `PRIZE_FEATURES`; `dispatch`: MultiDiscrete, hold (0) or dispatch (1) per slot, with
    `action_masks` for sb3-contrib's MaskablePPO. What must go goes, whatever the action says.

    With prizes, the router serves what must go, and of the rest what is worth the detour: a request's prize is
    level x (D0i + Di0) / 2 seconds of driving, or the weighted sum of its features (at least 0) in place of the level.
    A level above 2 pays for a vehicle of its own: such a request is sent. Routes that nothing is required on stay in
    the depot. Level 0 sends only what must go, level inf sends all.

    ## Observation space

    Box (F,), float32: `layout` names its parts and `features` splits them. Slot t * K + j is the j-th request that came
    in period t; R = T * K slots in all, with zeros where none is open.

    | part | shape | what |
    |---|---|---|
    | `requests` | (R, 11) | the columns of `COLUMNS`: open and must go (0 or 1), customer (row of the city), x and y, \
driving time out and back (s), ends of the time window (s from the vehicles' leaving), demand (units), service (s) |
    | `global` | (5,) | city (number), epoch (hour of the decision), epochs left, open requests, those that must go |
    | `arrivals` | (2, g * g) | requests expected in each cell of the map in the next epoch, and in all after it |

    ## Dynamics

    At epoch e (an hour each), decided at e h, vehicles leave at e + 1 h or later. A request must go if a vehicle of
    the next epoch would be too late for it or for the depot's closing; in the last epoch all must go. The fleet is
    unlimited, vehicles have a capacity, do not come back for a second tour, and wait where they are early.

    In a competition instance (`instances`), 100 requests are drawn per epoch and those that come too late are
    dropped; `reset(seed=s)` draws them as the competition's environment does with that seed. In a generated city, the
    number of an epoch's requests is drawn from `source` (by default Poisson with the rates of `profile`; a forecaster's
    sample paths are another one). Days of fewer epochs than the longest among the cities begin with empty ones.

    ## Reward

    Less the seconds of driving; service and waiting cost nothing. `info` has `driving_cost` (s) and the numbers of
    `open` requests, of those that `must_go`, of `dispatched` ones and of `vehicles`.

    ## Start and end

    A day, with no request open at its start; it terminates after its last epoch, when all have been sent.

    ## Examples

    >>> import gymnasium as gym, storelab
    >>> env = gym.make("storelab/Dispatch-v0", requests=20)
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step([4])
    >>> sorted(info)
    ['clipped_actions', 'dispatched', 'driving_cost', 'must_go', 'open', 'vehicles']

    ## Version history

    v0: the first.
    """

    version = "v0"
    xp = np

    def __init__(self, params: DispatchParams, source: DemandSource | None = None):
        """Bind the parameters, and a source of the number of requests per epoch (one item; generated cities only).

        Raises:
            ValueError: a malformed instance, a source of more than one item.
        """
        self.params = params
        self.cities = [self._read(path) for path in params.instances]
        if self.cities:
            if source is not None:
                raise ValueError("source: not allowed with instances, which draw their own requests")
            spans = [last_epochs(city) for city in self.cities]
            self.horizon = max(last - first + 1 for first, last in spans)
            # Epochs before a day's first one are marked by -1: nothing happens in them.
            self.epochs = np.array([_padded(first, last, self.horizon) for first, last in spans])
            self.source, self.most, rates = None, CANDIDATES, None
        else:
            rates, self.horizon = params.rates, len(params.profile)
            self.source = source or RateDemand(np.append(rates, 0)[:, None], math.inf)
            if self.source.items != 1:
                raise ValueError(f"source: {self.source.items} items are not allowed, expected 1: requests per epoch")
            largest = self.source.largest
            self.most = max(1, math.ceil(rates.max() + 6 * math.sqrt(rates.max()) if largest is None else largest[0]))
            numbers = range(params.city_seed, params.city_seed + params.cities)
            day = (params.customers, self.horizon + 4, params.capacity)
            self.cities = [synthetic_city(seed, *day) for seed in numbers]
            self.epochs = np.tile(np.arange(self.horizon), (len(self.cities), 1))
        self.forecasts = [
            Forecast(city, epochs, rates, params.grid) for city, epochs in zip(self.cities, self.epochs, strict=True)
        ]
        self.slots = self.horizon * self.most
        self._spaces()

    @staticmethod
    def _read(path: str):
        try:
            return read_city(path)
        except OSError as error:
            why = error.strerror
            raise ValueError(f"instances: {path!r} is not allowed, expected a readable file: {why}") from error

    def _spaces(self):
        p = self.params
        self.layout = {"requests": (self.slots, len(COLUMNS)), "global": (5,), "arrivals": (2, p.grid**2)}
        size = sum(math.prod(shape) for shape in self.layout.values())
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        if p.action == "weights":
            self.action_space = spaces.Box(-4, 4, (len(PRIZE_FEATURES),), np.float32)
            self.action_low, self.action_high = (np.full(len(PRIZE_FEATURES), x) for x in (-4.0, 4.0))
        else:
            choices = [len(p.prize_levels)] if p.action == "prize" else [2] * self.slots
            self.action_space = spaces.MultiDiscrete(choices)
            self.action_low, self.action_high = np.zeros(len(choices)), self.action_space.nvec - 1.0

    # -- the scenario -----------------------------------------------------------------------------------------------

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw the days with the given seeds or keys, one row each.

        Returns:
            `city` and `epoch` (n, T + 1, 1), and of the requests `customer` (0: none), `early`, `late`, `demand`,
            `service` (n, T + 1, K), as in `State`. A row depends on its own key alone.
        """
        keys, periods = as_keys(seeds), self.horizon + 1
        drawn = np.zeros((len(keys), periods, self.most, 5), np.int64)
        city = np.array([np.random.default_rng([2, *map(int, key)]).integers(len(self.cities)) for key in keys])
        counts = None if self.source is None else self.source.draw(keys, periods)["demand"][..., 0]
        for row, (seed, episode) in enumerate(keys.tolist()):
            rng = np.random.default_rng(seed if episode == 0 else [seed, episode])  # the competition's own stream
            for t, epoch in enumerate(self.epochs[city[row]]):
                if epoch < 0:
                    continue
                found = self._draw(city[row], epoch, rng, None if counts is None else counts[row, t])
                drawn[row, t, : len(found)] = found
        epoch = np.concatenate([self.epochs[city], self.epochs[city, -1:] + 1], axis=1)
        columns = np.moveaxis(drawn, -1, 0)
        names = ("customer", "early", "late", "demand", "service")
        cities = np.repeat(city[:, None, None], periods, axis=1)
        return {"city": cities, "epoch": epoch[..., None]} | dict(zip(names, columns, strict=True))

    def _draw(self, city: int, epoch: int, rng: np.random.Generator, count: float | None) -> np.ndarray:
        wanted = self.most if count is None else min(int(count), self.most)
        candidates = CANDIDATES if count is None else GENERATED_DRAWS * self.most
        return draw_requests(self.cities[city], epoch, rng, candidates, wanted)

    def future(self, city: int, period: int, ahead: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Draw what may come in the epochs after a period, `ahead` of them at most: (k, 5) each, as `draw_requests`."""
        counts = None
        if self.source is not None:
            counts = self.source.draw(rng.integers(2**62, size=(1, 2)).astype(np.uint64), self.horizon + 1)["demand"]
        periods = range(period + 1, min(period + 1 + ahead, self.horizon))
        count = {t: None if counts is None else counts[0, t, 0] for t in periods}
        return [self._draw(city, self.epochs[city, t], rng, count[t]) for t in periods]

    # -- the dynamics -----------------------------------------------------------------------------------------------

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: no request is open."""
        empty = [np.zeros((num_envs, self.slots), np.int64) for _ in range(5)]
        return State(*empty, np.zeros((num_envs, 1), np.int64))

    def arrive(self, state: State, shock: dict) -> State:
        """Return the open requests with those that came in this period."""
        slots = np.minimum(state.period, self.horizon - 1) * self.most + np.arange(self.most)
        fresh = (state.period < self.horizon).astype(np.int64)  # after the last period nothing comes
        arrays = []
        for f in fields(state)[:5]:
            array = getattr(state, f.name).copy()
            old = np.take_along_axis(array, slots, axis=1)
            np.put_along_axis(array, slots, np.where(fresh, shock[f.name], old), axis=1)
            arrays.append(array)
        return State(*arrays, state.period)

    def must_go(self, requests: State, shock: dict) -> np.ndarray:
        """Tell which requests (num_envs, R) cannot wait for the next epoch."""
        forced = np.zeros(requests.customer.shape, bool)
        for row, (city, epoch) in enumerate(zip(shock["city"][:, 0], shock["epoch"][:, 0], strict=True)):
            asked = [getattr(requests, name)[row] for name in ("customer", "early", "late", "service")]
            last = requests.period[row, 0] >= self.horizon - 1
            forced[row] = last | too_late(self.cities[city], epoch + 1, *asked)
        return forced & (requests.customer > 0)

    def problems(self, requests: State, must_go: np.ndarray, shock: dict) -> list[tuple[np.ndarray, RoutingProblem]]:
        """Return per row the slots of the open requests, and the routing problem of them in which all may stay."""
        found = []
        for row, (number, epoch) in enumerate(zip(shock["city"][:, 0], shock["epoch"][:, 0], strict=True)):
            city, slots = self.cities[number], np.flatnonzero(requests.customer[row])
            place = np.append(0, requests.customer[row, slots])
            windows = np.stack([requests.early[row, slots], requests.late[row, slots]], axis=1)
            windows = np.concatenate([city.windows[:1], windows]) - (epoch * EPOCH + MARGIN)
            problem = RoutingProblem(
                durations=city.durations[np.ix_(place, place)],
                early=np.maximum(windows[:, 0], 0),
                late=windows[:, 1],
                service=np.append(0, requests.service[row, slots]),
                demand=np.append(0, requests.demand[row, slots]),
                capacity=city.capacity,
                prize=np.zeros(len(place)),
                required=np.append(False, must_go[row, slots]),
            )
            found.append((slots, problem))
        return found

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one epoch on. Deterministic: all chance is in `shock`, and the router's seed is 0."""
        p, requests = self.params, self.arrive(state, shock)
        must_go = self.must_go(requests, shock)
        problems, sent = self.problems(requests, must_go, shock), []
        for row, (slots, problem) in enumerate(problems):
            required, prize = problem.required.copy(), problem.prize
            if p.action == "dispatch":
                required[1:] |= action[row, slots] > 0
            else:
                worth = self._worth(action[row], requests, shock, row, slots, problem)
                required[1:] |= worth == math.inf
                prize = np.append(0, np.where(worth < math.inf, worth, 0))
            routes = ROUTERS[p.router](replace(problem, required=required, prize=prize), p.iterations)
            sent.append([slots[route - 1] for route in routes if required[route].any()])
        return self._send(requests, must_go, shock, problems, sent)

    def replay(self, state: State, shock: dict, routes: list[list]) -> tuple[State, Flow]:
        """Move one epoch on with routes of one's own: per row and vehicle the slots in the order of the visits.

        Raises:
            ValueError: what `check_routes` refuses (a must-go on no route, a missed time window, ...); requests count
                from 1 in the order of the open slots.
        """
        requests = self.arrive(state, shock)
        must_go = self.must_go(requests, shock)
        return self._send(requests, must_go, shock, self.problems(requests, must_go, shock), routes)

    def _send(self, requests, must_go, shock, problems, sent) -> tuple[State, Flow]:
        vehicle, position = (np.full(must_go.shape, -1) for _ in range(2))
        duration = np.zeros(len(vehicle))
        for row, ((slots, problem), routes) in enumerate(zip(problems, sent, strict=True)):
            number = np.zeros(self.slots, int)
            number[slots] = np.arange(1, len(slots) + 1)
            duration[row] = check_routes(problem, [number[np.asarray(route, int)] for route in routes])
            for k, route in enumerate(routes):
                vehicle[row, route], position[row, route] = k, np.arange(len(route))
        left = [np.where(vehicle < 0, getattr(requests, f.name), 0) for f in fields(requests)[:5]]
        flow = Flow(shock["city"], shock["epoch"], requests, must_go, vehicle, position, duration)
        return State(*left, requests.period + 1), flow

    # -- prizes -----------------------------------------------------------------------------------------------------

    def _worth(self, action, requests, shock, row, slots, problem) -> np.ndarray:
        """Return the prizes (m,) of a row's open requests, seconds of driving."""
        if self.params.action == "prize":
            level = self.params.prize_levels[int(action[0])]
        else:
            level = np.maximum(self.prize_features(requests, shock, row, slots, problem) @ action.astype(float), 0)
        apart = (problem.durations[0, 1:] + problem.durations[1:, 0]) / 2
        return np.where(level > ALONE, math.inf, np.minimum(level, ALONE) * apart)

    def prize_features(self, requests: State, shock: dict, row: int, slots, problem: RoutingProblem) -> np.ndarray:
        """Return `PRIZE_FEATURES` of a row's open requests (m, 8), most of them between 0 and 1.

        One; one over the epochs that a request can still wait for, at most 8; the share of the epochs left; the nearest
        request that must go, and the second nearest open one, in shares of the mean way from the depot, at most 1; the
        chance that a request near it comes in the next epoch, and in those after it (`Forecast`); the mean way from
        the depot, in shares of the city's mean.
        """
        number, epoch, t = (int(x) for x in (shock["city"][row, 0], shock["epoch"][row, 0], requests.period[row, 0]))
        city, m = self.cities[number], len(slots)
        customer, early, late, service = (
            getattr(requests, name)[row, slots] for name in ("customer", "early", "late", "service")
        )
        ahead = [too_late(city, epoch + 1 + k, customer, early, late, service) for k in range(1, 8)]
        waits = np.minimum(1 + np.cumprod(~np.array(ahead).reshape(7, m), axis=0).sum(axis=0), self.horizon - t)
        apart = (problem.durations + problem.durations.T) / 2
        way = np.maximum(apart[0, 1:], 1)
        among = apart[1:, 1:] / way[:, None]
        forced = problem.required[1:]
        to_forced = np.minimum(among[:, forced].min(axis=1, initial=1), 1)
        to_open = np.minimum(np.partition(among, min(2, m - 1), axis=1)[:, min(2, m - 1)], 1) if m else np.zeros(0)
        near = self.forecasts[number].neighbours[t][:, customer]
        usual = (city.durations[0] + city.durations[:, 0])[1:].mean() / 2
        left = (self.horizon - 1 - t) / self.horizon
        columns = (np.ones(m), 1 / waits, np.full(m, left), to_forced, to_open, near[0], near[1], way / usual)
        return np.stack(columns, axis=1)

    # -- money and observation --------------------------------------------------------------------------------------

    def money(self, flow: Flow) -> dict:
        """Return the epoch's cost by name (num_envs,): seconds of driving."""
        return {"driving_cost": flow.duration}

    def reward(self, terms: dict):
        """Return less the seconds of driving (num_envs,)."""
        return -terms["driving_cost"]

    def salvage(self, state: State):
        """Return nothing (num_envs,): no request is left at the end of a day."""
        return np.zeros(len(state.period))

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return what an epoch's `info` tells, each (num_envs,)."""
        return {
            "driving_cost": flow.duration,
            "open": (flow.requests.customer > 0).sum(axis=1),
            "must_go": flow.must_go.sum(axis=1),
            "dispatched": (flow.vehicle >= 0).sum(axis=1),
            "vehicles": flow.vehicle.max(axis=1) + 1,
        }

    def observe(self, state: State, signal: dict):
        """Return the observations (num_envs, F): the features of `layout`, flattened."""
        requests = self.arrive(state, signal)
        must_go = self.must_go(requests, signal)
        told = np.zeros((len(must_go), self.slots, len(COLUMNS)), np.float32)
        arrivals = np.zeros((len(must_go), *self.layout["arrivals"]), np.float32)
        for row, (number, epoch) in enumerate(zip(signal["city"][:, 0], signal["epoch"][:, 0], strict=True)):
            city, slots = self.cities[number], np.flatnonzero(requests.customer[row])
            customer, leave = requests.customer[row, slots], epoch * EPOCH + MARGIN
            told[row, slots] = np.stack(
                [
                    np.ones(len(slots)), must_go[row, slots], customer, *city.coords[customer].T,
                    city.durations[0, customer], city.durations[customer, 0], requests.early[row, slots] - leave,
                    requests.late[row, slots] - leave, requests.demand[row, slots], requests.service[row, slots],
                ],
                axis=1,
            )  # fmt: skip
            arrivals[row] = self.forecasts[number].grid[min(int(requests.period[row, 0]), self.horizon)]
        left = np.maximum(self.horizon - 1 - requests.period, 0)
        counts = [(told[..., k]).sum(axis=1, keepdims=True) for k in (0, 1)]
        whole = np.concatenate([signal["city"], signal["epoch"], left, *counts], axis=1, dtype=np.float32)
        parts = (told, whole, arrivals)
        return np.concatenate([part.reshape(len(told), -1) for part in parts], axis=1)

    def recall(self, observation: np.ndarray) -> tuple[State, dict]:
        """Return the open requests, as after `arrive`, and the `city` and `epoch` that observations (num_envs, F) tell.

        A policy that plans with the model starts from it.
        """
        named = self.features(observation)
        column = {name: named["requests"][..., k].astype(np.int64) for k, name in enumerate(COLUMNS)}
        city, epoch, left = (named["global"][:, k : k + 1].astype(np.int64) for k in range(3))
        leave = (epoch * EPOCH + MARGIN) * column["open"]
        windows = column["early"] + leave, column["late"] + leave
        period = self.horizon - 1 - left
        return State(column["customer"], *windows, column["demand"], column["service"], period), {
            "city": city,
            "epoch": epoch,
        }

    def action_masks(self, state: State, signal: dict) -> np.ndarray:
        """Return which actions make sense (num_envs, sum of the choices) bool: all but holding a must-go and sending
        an empty slot."""
        if self.params.action != "dispatch":
            count = int(self.action_space.nvec.sum()) if self.params.action == "prize" else 0
            return np.ones((len(state.period), count), bool)
        requests = self.arrive(state, signal)
        hold, send = ~self.must_go(requests, signal), requests.customer > 0
        return np.stack([hold, send], axis=2).reshape(len(hold), -1)

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `DispatchViewer`."""
        from .dispatch_render import DispatchViewer

        return DispatchViewer(self, mode)


def _padded(first: int, last: int, horizon: int) -> np.ndarray:
    """Return a day's epochs (horizon,), -1 for those before its first one."""
    epochs = np.arange(last - horizon + 1, last + 1)
    return np.where(epochs >= first, epochs, -1)
