"""Same-day delivery in waves: the model behind `storelab/Dispatch-v0`.

The dynamic problem of the EURO Meets NeurIPS 2022 Vehicle Routing Competition (Kool et al. 2022): once an hour it is
decided which of the open requests leave the depot now; what could not be served an hour later must go.
"""

import math
from dataclasses import replace

import numpy as np
from gymnasium import spaces

from ..core.contract import Model, Part, choices_of, menu
from ..core.demand import DemandSource
from .arrivals import Forecast, too_late
from .days import Days
from .params import EPOCH, MARGIN, DispatchParams
from .prizes import PRIZE_FEATURES, prizes
from .routing import ROUTERS, RoutingProblem, drive
from .state import REQUEST, Flow, Job, State

SKETCH = 6  # times fewer iterations of the router where days are simulated to plan by
COLUMNS = ("open", "must_go", "customer", "x", "y", "out", "back", "early", "late", "demand", "service")


class Dispatch(Model):
    """Same-day delivery in waves: the batched model of `storelab/Dispatch-v0`.

    Pure functions of arrays (num_envs, ...), in NumPy; routes by numba or PyVRP.

    ## Action space

    The parameter `action` chooses what an action is:

    - `prize`: MultiDiscrete, one of `prize_levels`. `discrete`: the same as a Discrete.
    - `weights`: Box [-4, 4], (8,), one weight per feature of `PRIZE_FEATURES`.
    - `dispatch`: MultiDiscrete, hold (0) or dispatch (1) per slot, with `action_masks` for sb3-contrib's MaskablePPO.

    Requests that must go are sent whatever the action is, as far as there are vehicles.

    With prizes the router serves what must go, and of the rest what is worth the detour. A request's prize is
    level x (D0i + Di0) / 2 seconds of driving; with `weights` the weighted sum of its features (at least 0) is the
    level. Level 0 sends only what must go, level inf sends all. A level above 2 pays for a vehicle of its own, so that
    such a request is sent. Routes without a request that must go or is sent stay in the depot.

    ## Observation space

    Box (F,), float32: `layout` names its parts and `features` splits them. Slot t * K + j is the j-th request that came
    in period t; R = T * K slots in all, with zeros where none is open.

    | part | shape | what |
    |---|---|---|
    | `requests` | (R, 11) | the columns of `COLUMNS`: open and must go (0 or 1), customer (row of the city), x and y, \
driving time out and back (s), ends of the time window (s from the vehicles' leaving), demand (units), service (s), \
and with several depots a twelfth: the depot's row |
    | `global` | (5,) | city (number), epoch (hour of the decision), epochs left, open requests, those that must go |
    | `arrivals` | (2, g * g) | requests expected in each cell of the map in the next epoch, and in all after it |
    | `returns` | (D * V,) | with a limited fleet: seconds from the vehicles' leaving until each vehicle is back, by \
depot, 0 for those at home |

    ## Dynamics

    *Epochs* take an hour. The vehicles of the decision at hour e leave at hour e + 1 or later. A request must go if a
    vehicle of the next epoch would be too late for it or for the depot's closing; in the last epoch all must go.
    Vehicles have a capacity, and wait where they are early. With several `depots` a customer is served from the one
    that is nearest out and back.

    *Fleet*: it is unlimited, or each depot has `vehicles`. A vehicle is back at the end of its route, and goes again in
    the first epoch whose vehicles leave then or later. A request that must go and finds no vehicle is lost, at
    `lost_cost` (unserved requests with a penalty: Klapp, Erera and Toriello 2018, European Journal of Operational
    Research 271(2)). The router also loses requests that cost more than that to drive to. A request that is sent
    without having to go is worth to it the way out and back alone, and waits if there is no room.

    *Requests*: in a competition instance (`instances`), 100 requests are drawn per epoch and those that come too late
    are dropped; `reset(seed=s)` draws them as the competition's environment does with that seed. In a generated city
    the number of an epoch's requests is drawn from `source`, by default Poisson with the rates of `profile`; a
    forecaster's sample paths are another source. Days with fewer epochs than the longest begin with empty ones.

    ## Reward

    The negative of the seconds of driving and of `lost_cost` for each lost request. Service and waiting cost nothing.
    `info` has `driving_cost` (s), the numbers of `open` requests, of those that `must_go`, of `dispatched` ones and of
    `vehicles` that left, and with a limited fleet `lost_cost` (s) and the number of `lost` requests.

    ## Start and end

    An episode is a day. At its start no request is open and all vehicles are at home. It terminates after its last
    epoch, when all requests have been sent or lost.

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

    def __init__(self, params: DispatchParams, source: DemandSource | None = None):
        """Bind the parameters, and a source of the number of requests per epoch (one item; generated cities only).

        Raises:
            FieldError: a malformed instance, a source of more than one item.
        """
        self.params, self.days = params, Days(params, source)
        self.cities, self.horizon, self.largest = self.days.cities, self.days.horizon, self.days.largest
        self.forecasts = [
            Forecast(city, epochs, self.days.rates, params.grid)
            for city, epochs in zip(self.cities, self.days.epochs, strict=True)
        ]
        self.slots, self.depots = self.horizon * self.largest, max(city.depots for city in self.cities)
        self.limited = math.isfinite(params.vehicles)
        self._vehicles = int(params.vehicles) if self.limited else 0  # of a depot, that the state has
        self._spaces()

    def _spaces(self):
        p = self.params
        columns = len(COLUMNS) + (self.depots > 1)
        self.layout = {"requests": (self.slots, columns), "global": (5,), "arrivals": (2, p.grid**2)}
        if self.limited:
            self.layout["returns"] = (self.depots * self._vehicles,)
        self.observation_space = self.box_of(self.layout, self._bounds())
        if p.action == "weights":
            self.action_space = spaces.Box(-4, 4, (len(PRIZE_FEATURES),), np.float32)
            self.action_low, self.action_high = (np.full(len(PRIZE_FEATURES), x) for x in (-4.0, 4.0))
        else:
            choices = [len(p.prize_levels)] if p.one_level else [2] * self.slots
            self.action_space = choices_of(choices, p.action == "discrete")
            self.action_low, self.action_high = np.zeros(len(choices)), np.array(choices) - 1.0
        self.action_parts = {
            "weights": {"weight": Part(len(PRIZE_FEATURES), "weight of a feature in a prize", PRIZE_FEATURES)},
            "dispatch": {"dispatch": Part(self.slots, "of each slot: 0 holds its request, 1 dispatches it")},
        }.get(p.action, {"prize_level": Part(1, menu(p.prize_levels))})
        self.axis_names = {"requests": ((), (*COLUMNS, "depot")[:columns]), "arrivals": (("next", "later"), ())}

    def _bounds(self) -> dict[str, tuple]:
        """Return the bounds of observations: what the cities' requests, and the hours of their days, allow."""
        largest = {
            "open": 1, "must_go": 1, "customer": max(len(city.coords) for city in self.cities) - 1,
            "out": max(city.out.max() for city in self.cities), "back": max(city.back.max() for city in self.cities),
            "demand": max(city.demand.max() for city in self.cities),
            "service": max(city.service.max() for city in self.cities),
        }  # fmt: skip
        corners = np.stack([end(city.coords, axis=0) for city in self.cities for end in (np.min, np.max)])
        low, high = np.minimum(corners.min(axis=0), 0), np.maximum(corners.max(axis=0), 0)
        last = max(max(epochs) for epochs in self.days.epochs) + 2
        day = max(city.windows.max() for city in self.cities) + last * EPOCH + MARGIN
        ends = {"x": (low[0], high[0]), "y": (low[1], high[1]), "early": (-day, day), "late": (-day, day)}
        ends |= {name: (0, value) for name, value in largest.items()}
        columns = np.array([ends[name] for name in COLUMNS] + [(0, self.depots)] * (self.depots > 1), float)
        whole = np.array([(0, len(self.cities)), (-last, last), (0, self.horizon), (0, self.slots), (0, self.slots)])
        expected = max(forecast.grid.max() for forecast in self.forecasts)
        return {"requests": tuple(columns.T), "global": tuple(whole.T), "arrivals": (0, expected)}

    def scenarios(self, seeds) -> dict[str, np.ndarray]:
        """Draw the days with the given seeds or keys, one row each.

        Returns:
            `city` and `epoch` (n, T + 1, 1), and of the requests `customer` (0: none), `early`, `late`, `demand`,
            `service` (n, T + 1, K), as in `State`. A row depends on its own key alone.
        """
        return self.days.draw(seeds)

    # -- the dynamics -----------------------------------------------------------------------------------------------

    def initial(self, num_envs: int) -> State:
        """Return the state at the start: no request is open, all vehicles are at home."""
        empty = {name: np.zeros((num_envs, self.slots), np.int64) for name in REQUEST}
        fleet = np.zeros((num_envs, self.depots * self._vehicles), np.int64)
        return State(**empty, period=np.zeros((num_envs, 1), np.int64), fleet=fleet)

    def arrive(self, state: State, shock: dict) -> State:
        """Return the open requests with those that came in this period."""
        slots = np.minimum(state.period, self.horizon - 1) * self.largest + np.arange(self.largest)
        fresh = (state.period < self.horizon).astype(np.int64)  # after the last period nothing comes
        arrays = {}
        for name in REQUEST:
            array = getattr(state, name).copy()
            old = np.take_along_axis(array, slots, axis=1)
            np.put_along_axis(array, slots, np.where(fresh, shock[name], old), axis=1)
            arrays[name] = array
        return State(**arrays, period=state.period, fleet=state.fleet)

    def must_go(self, requests: State, shock: dict) -> np.ndarray:
        """Return which requests (num_envs, R) cannot wait for the next epoch."""
        forced = np.zeros(requests.customer.shape, bool)
        for row, (city, epoch) in enumerate(zip(shock["city"][:, 0], shock["epoch"][:, 0], strict=True)):
            asked = [getattr(requests, name)[row] for name in ("customer", "early", "late", "service")]
            last = requests.period[row, 0] >= self.horizon - 1
            forced[row] = last | too_late(self.cities[city], epoch + 1, *asked)
        return forced & (requests.customer > 0)

    def jobs(self, requests: State, must_go: np.ndarray, shock: dict) -> list[Job]:
        """Return the jobs of the open requests, by row and depot, in which all that need not go may stay."""
        jobs = []
        for row, (number, epoch) in enumerate(zip(shock["city"][:, 0], shock["epoch"][:, 0], strict=True)):
            city, leave = self.cities[number], epoch * EPOCH + MARGIN
            depot_of = np.where(requests.customer[row] > 0, city.depot[requests.customer[row]], -1)
            for depot in range(city.depots):
                slots = np.flatnonzero(depot_of == depot)
                forced = must_go[row, slots]
                customer, early, late, demand, service = (getattr(requests, name)[row, slots] for name in REQUEST)
                place = np.append(depot, customer)
                problem = RoutingProblem(
                    durations=city.durations[np.ix_(place, place)],
                    early=np.maximum(np.append(city.windows[depot, 0], early) - leave, 0),
                    late=np.append(city.windows[depot, 1], late) - leave,
                    service=np.append(0, service),
                    demand=np.append(0, demand),
                    capacity=city.capacity,
                    prize=np.append(0, self.params.lost_cost * forced) if self.limited else np.zeros(len(place)),
                    required=np.append(False, forced & (not self.limited)),
                    vehicles=int((self._of(depot, requests.fleet[row]) <= leave).sum()) if self.limited else None,
                )
                job = Job(
                    row=row,
                    city=int(number),
                    depot=depot,
                    epoch=int(epoch),
                    period=int(requests.period[row, 0]),
                    slots=slots,
                    must_go=forced,
                    problem=problem,
                )
                jobs.append(job)
        return jobs

    def _of(self, depot: int, fleet: np.ndarray) -> np.ndarray:
        """Return a depot's part of a row's fleet (D * V,): a view."""
        return fleet[depot * self._vehicles : (depot + 1) * self._vehicles]

    def transition(self, state: State, action, shock: dict) -> tuple[State, Flow]:
        """Move one epoch on. Deterministic: all chance is in `shock`, and the router's seed is 0."""
        p, requests = self.params, self.arrive(state, shock)
        must_go = self.must_go(requests, shock)
        jobs, sent = self.jobs(requests, must_go, shock), []
        for job in jobs:
            worth, problem = prizes(self, job, requests, action[job.row]), job.problem
            going = np.append(False, job.must_go | (worth == math.inf))
            if self.limited:  # nothing can be required: what is sent is worth a vehicle of its own and a second
                worth = np.minimum(worth, problem.durations[0, 1:] + problem.durations[1:, 0] + 1)
                prize, required = np.where(job.must_go, p.lost_cost, worth), problem.required
            else:
                prize, required = np.where(worth < math.inf, worth, 0), going
            problem = replace(problem, prize=np.append(0, prize), required=required)
            routes = ROUTERS[p.router](problem, p.iterations)
            sent.append([job.slots[route - 1] for route in routes if going[route].any()])
        return self._send(requests, must_go, shock, jobs, sent)

    def replay(self, state: State, shock: dict, routes: list[list]) -> tuple[State, Flow]:
        """Move one epoch on with routes of one's own: per row and vehicle the slots in the order of the visits.

        Raises:
            FieldError: what `drive` refuses (a must-go on no route, a missed time window, ...); requests count from 1
                in the order of the open slots of the route's depot, which is that of its first request.
        """
        requests = self.arrive(state, shock)
        must_go = self.must_go(requests, shock)
        jobs, sent = self.jobs(requests, must_go, shock), []
        for job in jobs:
            depot_of = self.cities[job.city].depot[requests.customer[job.row]]
            sent.append([r for r in routes[job.row] if (depot_of[r[0]] if len(r) else 0) == job.depot])
        return self._send(requests, must_go, shock, jobs, sent)

    def _send(self, requests: State, must_go, shock: dict, jobs: list[Job], sent: list) -> tuple[State, Flow]:
        vehicle, position = (np.full(must_go.shape, -1) for _ in range(2))
        duration, fleet = np.zeros(len(vehicle)), requests.fleet.copy()
        for job, routes in zip(jobs, sent, strict=True):
            number = np.zeros(self.slots, int)
            number[job.slots] = np.arange(1, len(job.slots) + 1)
            driving, back = drive(job.problem, [number[np.asarray(route, int)] for route in routes])
            first = vehicle[job.row].max() + 1
            duration[job.row] += driving.sum()
            for k, route in enumerate(routes):
                vehicle[job.row, route], position[job.row, route] = first + k, np.arange(len(route))
            if self.limited:
                own = self._of(job.depot, fleet[job.row])
                own[: len(routes)] = job.epoch * EPOCH + MARGIN + back  # those at home come first
                own.sort()
        lost = must_go & (vehicle < 0)
        left = {name: np.where((vehicle < 0) & ~lost, getattr(requests, name), 0) for name in REQUEST}
        flow = Flow(
            city=shock["city"],
            epoch=shock["epoch"],
            requests=requests,
            must_go=must_go,
            vehicle=vehicle,
            position=position,
            duration=duration,
            lost=lost,
        )
        return State(**left, period=requests.period + 1, fleet=fleet), flow

    def balances(self, before: State, flow: Flow, after: State) -> dict:
        """Return the open requests (num_envs,), and how many of them were sent, lost or wait."""
        sent, wait = (flow.vehicle >= 0).sum(axis=1), (after.customer > 0).sum(axis=1)
        return {"requests": ((flow.requests.customer > 0).sum(axis=1), sent + flow.lost.sum(axis=1) + wait)}

    # -- money and observation --------------------------------------------------------------------------------------

    def money(self, flow: Flow) -> dict:
        """Return the epoch's costs by name (num_envs,): seconds of driving, and what lost requests cost."""
        terms = {"driving_cost": flow.duration}
        if self.limited:
            terms["lost_cost"] = self.params.lost_cost * flow.lost.sum(axis=1)
        return terms

    def info(self, flow: Flow, terms: dict) -> dict:
        """Return what an epoch's `info` holds, each (num_envs,)."""
        info = {
            "driving_cost": flow.duration,
            "open": (flow.requests.customer > 0).sum(axis=1),
            "must_go": flow.must_go.sum(axis=1),
            "dispatched": (flow.vehicle >= 0).sum(axis=1),
            "vehicles": flow.vehicle.max(axis=1) + 1,
        }
        return info | ({"lost": flow.lost.sum(axis=1), "lost_cost": terms["lost_cost"]} if self.limited else {})

    def observe(self, state: State, signal: dict) -> dict:
        """Return the named features of `layout`."""
        requests = self.arrive(state, signal)
        must_go = self.must_go(requests, signal)
        listed = np.zeros((len(must_go), *self.layout["requests"]), np.float32)
        arrivals = np.zeros((len(must_go), *self.layout["arrivals"]), np.float32)
        for row, (number, epoch) in enumerate(zip(signal["city"][:, 0], signal["epoch"][:, 0], strict=True)):
            city, slots = self.cities[number], np.flatnonzero(requests.customer[row])
            customer, leave = requests.customer[row, slots], epoch * EPOCH + MARGIN
            listed[row, slots] = np.stack(
                [
                    np.ones(len(slots)), must_go[row, slots], customer, *city.coords[customer].T,
                    city.out[customer], city.back[customer], requests.early[row, slots] - leave,
                    requests.late[row, slots] - leave, requests.demand[row, slots], requests.service[row, slots],
                    *([city.depot[customer]] if self.depots > 1 else []),
                ],
                axis=1,
            )  # fmt: skip
            arrivals[row] = self.forecasts[number].grid[min(int(requests.period[row, 0]), self.horizon)]
        left = np.maximum(self.horizon - 1 - requests.period, 0)
        counts = [(listed[..., k]).sum(axis=1, keepdims=True) for k in (0, 1)]
        whole = np.concatenate([signal["city"], signal["epoch"], left, *counts], axis=1, dtype=np.float32)
        returns = np.maximum(requests.fleet - (signal["epoch"] * EPOCH + MARGIN), 0).astype(np.float32)
        features = {"requests": listed, "global": whole, "arrivals": arrivals}
        return features | ({"returns": returns} if self.limited else {})

    def recall(self, observation: np.ndarray) -> tuple[State, dict]:
        """Return the open requests, as after `arrive`, and the `city` and `epoch` of observations (num_envs, F).

        A policy that plans with the model starts from it.
        """
        named = self.features(observation)
        column = {name: named["requests"][..., k].astype(np.int64) for k, name in enumerate(COLUMNS)}
        city, epoch, left = (named["global"][:, k : k + 1].astype(np.int64) for k in range(3))
        leave = epoch * EPOCH + MARGIN
        early, late = (column[name] + leave * column["open"] for name in ("early", "late"))
        returns = named.get("returns", np.zeros((len(observation), 0))).astype(np.int64)
        fleet = np.where(returns > 0, returns + leave, 0)
        period = self.horizon - 1 - left
        requests = State(
            customer=column["customer"],
            early=early,
            late=late,
            demand=column["demand"],
            service=column["service"],
            period=period,
            fleet=fleet,
        )
        return requests, {"city": city, "epoch": epoch}

    def sketch(self) -> "Dispatch":
        """Return a model whose router searches less."""
        return Dispatch(replace(self.params, iterations=self.params.iterations // SKETCH), self.days.given)

    def period(self, observation: np.ndarray) -> np.ndarray:
        """Return the epoch's number of the day (num_envs,) at which observations are made."""
        return self.horizon - 1 - self.features(observation)["global"][:, 2].astype(int)

    def futures(self, observation: np.ndarray, seed: int, count: int, periods: int) -> dict[str, np.ndarray]:
        """Draw the requests that may come in the epochs after that of the observations: see the contract.

        The first slice has the requests that have come. A row's futures depend on the seed and on what is open.
        """
        requests, signal = self.recall(observation)
        first = int(requests.period[0, 0])
        last, n = min(first + periods, self.horizon), len(observation)
        slots = slice(first * self.largest, (first + 1) * self.largest)
        drawn = np.zeros((n, count, last - first, self.largest, len(REQUEST)), np.int64)
        for k, name in enumerate(REQUEST):
            drawn[:, :, 0, :, k] = getattr(requests, name)[:, None, slots]
        for row, city in enumerate(signal["city"][:, 0]):
            rng = np.random.default_rng([seed, int(city), first, *requests.customer[row].tolist()])
            for future in range(count):
                for t, coming in enumerate(self.days.future(city, first, last - first - 1, rng), 1):
                    drawn[row, future, t, : len(coming)] = coming
        epochs = self.days.epochs[signal["city"][:, 0], first:last]
        shape = (n, count, last - first, 1)
        held = {
            "city": np.broadcast_to(signal["city"][:, None, None], shape),
            "epoch": np.broadcast_to(epochs[:, None, :, None], shape),
        }
        return held | dict(zip(REQUEST, np.moveaxis(drawn, -1, 0), strict=True))

    def action_masks(self, observation: np.ndarray) -> np.ndarray:
        """Return which actions make sense (num_envs, sum of the choices) bool: all but holding a must-go and sending
        an empty slot."""
        if self.params.action != "dispatch":
            count = len(self.params.prize_levels) if self.params.one_level else 0
            return np.ones((len(observation), count), bool)
        requests = self.features(observation)["requests"]
        send, hold = requests[..., 0] > 0, requests[..., 1] == 0
        return np.stack([hold, send], axis=2).reshape(len(observation), -1)

    def viewer(self, mode: str):
        """Return what draws an environment of this model; see `DispatchViewer`."""
        from .picture import DispatchViewer

        return DispatchViewer(self, mode)
