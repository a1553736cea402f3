"""Vehicle routing with time windows, capacities, asymmetric durations and prizes: one problem, two routers.

A router serves all required requests and those optional ones whose prize is worth the detour: it minimises driving
time plus the prizes of what it leaves out (prize-collecting VRPTW; Balas 1989, Networks 19(6)). Driving time is all
that a vehicle costs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import FieldError

NEIGHBOURS = 60  # of a request, that a ruin looks at
FAST_START = 100  # ruin-and-recreate steps of what PyVRP starts from

Routes = list[np.ndarray]  # each the requests (1 to m) of a vehicle, in the order of its visits


@dataclass
class RoutingProblem:
    """Requests 1 to m and the depot, 0, at a moment: all arrays (m + 1,) and integers, times in seconds from now.

    A request alone on a route must be feasible, as in `envs.Dispatch` every open one is. With a limited fleet none
    may be required: what finds no place costs its prize.
    """

    durations: np.ndarray  # (m + 1, m + 1) seconds of driving
    early: np.ndarray  # first moment at which the service may begin; a vehicle waits for it
    late: np.ndarray  # last moment; the depot's: of the return
    service: np.ndarray  # seconds
    demand: np.ndarray  # units
    capacity: int  # units per vehicle
    prize: np.ndarray  # seconds of driving that serving it is worth; ignored where required
    required: np.ndarray  # bool
    release: np.ndarray | None = (
        None  # no route with it leaves the depot before; None: now (the fast router's only case)
    )
    vehicles: int | None = None  # at the depot now; None: as many as are wanted

    def __post_init__(self):
        if self.vehicles is not None and np.any(self.required):
            required = np.flatnonzero(self.required).tolist()
            raise FieldError("required", required, "none, but prizes instead", "with limited vehicles")


def check_routes(problem: RoutingProblem, routes: Routes) -> int:
    """Return the driving time of routes, seconds; what is wrong with them raises as in `drive`."""
    return int(drive(problem, routes)[0].sum())


def drive(problem: RoutingProblem, routes: Routes) -> tuple[np.ndarray, np.ndarray]:
    """Return each route's driving time and the moment of its return to the depot, seconds.

    Raises:
        FieldError: a request that is unknown, visited twice or required and missed, a vehicle over its capacity, more
            vehicles than there are, a time window that is missed, a return after the depot's day; it names the request
            and the route.
    """
    if problem.vehicles is not None and len(routes) > problem.vehicles:
        raise FieldError("routes", len(routes), f"at most {problem.vehicles}, one a vehicle", "as their number")
    visited, driving, back = np.zeros(len(problem.early), bool), np.zeros(len(routes), int), np.zeros(len(routes), int)
    for number, route in enumerate(routes):
        at, load = 0, 0
        clock = 0 if problem.release is None else int(max((problem.release[i] for i in route), default=0))
        for request in (*map(int, route), 0):
            if not 0 <= request < len(visited) or (request == 0 and at == 0):
                _refuse(request, number, f"requests 1 to {len(visited) - 1}, at least one on a route")
            if request and visited[request]:
                _refuse(request, number, "each request once")
            leg = int(problem.durations[at, request])
            clock = max(clock + int(problem.service[at]) * (at > 0) + leg, int(problem.early[request]))
            driving[number] += leg
            if clock > problem.late[request]:
                what = "a visit" if request else "a return to the depot"
                _refuse(request, number, f"{what} by {problem.late[request]} s, not at {clock} s")
            load += int(problem.demand[request])
            if load > problem.capacity:
                _refuse(request, number, f"a load of at most {problem.capacity}, not {load}")
            visited[request] = request > 0
            at = request
        back[number] = clock
    missed = 1 + np.flatnonzero(problem.required[1:] & ~visited[1:])
    if missed.size:
        raise FieldError("routes", int(missed[0]), "all that must go", "as a request that must go and is on none")
    return driving, back


def _refuse(request: int, route: int, expected: str):
    raise FieldError("routes", request, expected, f"on route {route}")


def fast(problem: RoutingProblem, iterations: int, seed: int = 0) -> Routes:
    """Route by cheapest insertion and so many steps of ruin and recreate, in numba.

    Slack induction by string removals (Christiaens and Vanden Berghe 2020, Transportation Science 54(2)).

    Args:
        problem: without release times.
        iterations: ruin-and-recreate steps.
        seed: same seed, same routes.
    """
    from .ruin_recreate import search

    m, limit = len(problem.early) - 1, problem.vehicles
    if m == 0 or limit == 0:
        return []
    p = problem
    least = int(p.demand[1:].min())
    width = 1 + (min(m, p.capacity // least) if least else m)  # no route is longer
    # Required requests first, the farthest of them first, then the others by falling prize.
    order = 1 + np.argsort(np.where(p.required, -1e9 - p.durations[0], -p.prize)[1:], kind="stable")
    near = np.argsort((p.durations + p.durations.T)[:, 1:], axis=1, kind="stable")[:, :NEIGHBOURS] + 1
    integers = lambda values: np.ascontiguousarray(values, np.int64)
    table, used = search(
        durations=integers(p.durations),
        early=integers(p.early),
        late=integers(p.late),
        service=integers(p.service),
        demand=integers(p.demand),
        capacity=int(p.capacity),
        vehicles=m if limit is None else min(m, int(limit)),
        prize=np.ascontiguousarray(p.prize, np.float64),
        required=np.ascontiguousarray(p.required, np.bool_),
        order=order,
        near=near,
        iterations=int(iterations),
        seed=int(seed),
        width=width,
    )
    return [table[v, :length].copy() for v, length in enumerate(used) if length]


def pyvrp(problem: RoutingProblem, iterations: int, seed: int = 0, start: Routes | None = None) -> Routes:
    """Route by PyVRP's iterated local search (Wouda et al. 2024, INFORMS Journal on Computing 36(4)).

    Args:
        problem: as it is, release times included.
        iterations: of PyVRP: a count, so that the result depends on no clock.
        seed: same seed, same routes.
        start: routes to begin with; None: the `fast` router's, of `FAST_START` iterations (no release times), else
            PyVRP's own.

    Raises:
        ImportError: without PyVRP.
    """
    try:
        from pyvrp import Client, Depot, Location, ProblemData, Solution, VehicleType, solve
        from pyvrp.stop import MaxIterations
    except ImportError as error:
        raise ImportError("this router needs PyVRP: pip install 'storelab[dispatch]'") from error

    p, m = problem, len(problem.early) - 1
    if m == 0 or p.vehicles == 0:
        return []
    if start is None and p.release is None:
        start = fast(problem, FAST_START, seed)
    release = np.zeros(m + 1, int) if p.release is None else p.release
    clients = [
        Client(
            i, delivery=[int(p.demand[i])], service_duration=int(p.service[i]), tw_early=int(p.early[i]),
            tw_late=int(p.late[i]), release_time=int(release[i]), prize=0 if p.required[i] else int(p.prize[i]),
            required=bool(p.required[i]),
        )
        for i in range(1, m + 1)
    ]  # fmt: skip
    late = int(p.late[0])
    available = m if p.vehicles is None else int(p.vehicles)
    vehicles = VehicleType(num_available=available, capacity=[int(p.capacity)], tw_early=0, tw_late=late)
    matrix: Any = np.ascontiguousarray(p.durations, np.int64)
    data = ProblemData(
        locations=[Location(0, 0)] * (m + 1),
        clients=clients,
        depots=[Depot(0)],
        vehicle_types=[vehicles],
        distance_matrices=[matrix],
        duration_matrices=[matrix],
    )
    # PyVRP numbers clients from 0.
    first = None if start is None else Solution(data, [(np.asarray(r) - 1).tolist() for r in start])
    best = solve(data, MaxIterations(iterations), seed=seed, collect_stats=False, initial_solution=first).best
    if not best.is_feasible():
        raise FieldError("iterations", iterations, "more: no routes are feasible after so many", "here")
    visits = ([stop.idx + 1 for stop in route if stop.is_client()] for route in best.routes())
    return [np.array(route, np.int32) for route in visits]


ROUTERS: dict[str, Callable[..., Routes]] = {"fast": fast, "pyvrp": pyvrp}
