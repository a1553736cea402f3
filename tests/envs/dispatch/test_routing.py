"""Routers against enumeration, and the check of routes."""

from dataclasses import replace
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from storelab.envs.dispatch.routing import ROUTERS, RoutingProblem, check_routes, fast, pyvrp

pytest.importorskip("numba")
ITERATIONS = {"fast": 300, "pyvrp": 60}


def problem_of(seed, m, prizes=False):
    """Return a random problem in which each request is feasible on its own."""
    rng = np.random.default_rng(seed)
    where = rng.uniform(0, 1000, (m + 1, 2))
    durations = np.ceil(np.linalg.norm(where[:, None] - where[None], axis=2) * rng.uniform(1, 1.3, (m + 1, m + 1)))
    np.fill_diagonal(durations, 0)
    durations, service = durations.astype(int), rng.integers(0, 100, m + 1)
    early = rng.integers(0, 1500, m + 1)
    late = np.maximum(early, durations[0]) + rng.integers(0, 1500, m + 1)
    early[0], late[0], service[0] = 0, (late + service + durations[:, 0]).max(), 0
    required = rng.random(m + 1) < 0.4 if prizes else np.ones(m + 1, bool)
    prize = rng.uniform(0, 1500, m + 1).round() * prizes
    demand = np.append(0, rng.integers(1, 5, m))
    return RoutingProblem(durations, early, late, service, demand, 9, prize, required)


def objective(problem, routes):
    left = set(range(1, len(problem.early))) - {int(i) for route in routes for i in route}
    return check_routes(problem, routes) + sum(problem.prize[i] for i in left)


def optimum(problem):
    """Return the least objective, by enumeration of all ordered partitions of all subsets into so many routes."""
    m, best = len(problem.early) - 1, np.inf
    alone = {}
    for size in range(1, m + 1):
        for route in permutations(range(1, m + 1), size):
            try:
                cost = check_routes(replace(problem, required=np.zeros(m + 1, bool)), [np.array(route)])
            except ValueError:
                continue
            key = frozenset(route)
            alone[key] = min(cost, alone.get(key, np.inf))
    sets = [frozenset(s) for size in range(1, m + 1) for s in combinations(range(1, m + 1), size)]
    cover = {frozenset(): 0.0}  # least driving time that serves exactly a set, by as many vehicles as counted so far
    for _ in range(m if problem.vehicles is None else problem.vehicles):
        fewer = cover
        cover = {frozenset(): 0.0}
        for members in sets:
            first = min(members)
            parts = [part for part in alone if first in part and part <= members]
            cover[members] = min((alone[p] + fewer.get(members - p, np.inf) for p in parts), default=np.inf)
    everyone = frozenset(range(1, m + 1))
    must = {i for i in everyone if problem.required[i]}
    for members, cost in cover.items():
        if must <= members:
            best = min(best, cost + sum(problem.prize[i] for i in everyone - members))
    return best


@pytest.mark.parametrize("case", ["all required", "prizes", "two vehicles"])
@pytest.mark.parametrize("router", ROUTERS)
def test_small_problems_are_solved(router, case):
    if router == "pyvrp":
        pytest.importorskip("pyvrp")
    gaps = []
    for seed in range(12):
        problem = problem_of(seed, 6, case != "all required")
        if case == "two vehicles":
            prize = np.where(problem.required, 3000, problem.prize)
            problem = replace(problem, required=np.zeros(7, bool), prize=prize, vehicles=2)
        best = optimum(problem)
        value = objective(problem, ROUTERS[router](problem, ITERATIONS[router]))
        assert value >= best - 1e-9
        gaps.append(value / best - 1)
    assert np.mean(np.array(gaps) < 1e-9) >= 0.8
    assert np.mean(gaps) < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_more_steps_do_better_and_same_seed_same_routes(seed):
    problem = problem_of(seed, 60, prizes=bool(seed % 2))
    few, many = fast(problem, 0), fast(problem, 2000)
    assert objective(problem, many) < objective(problem, few)
    assert all((a == b).all() for a, b in zip(many, fast(problem, 2000), strict=True))


def test_pyvrp_keeps_release_times():
    pytest.importorskip("pyvrp")
    problem = problem_of(1, 12)
    late = problem.late + 2000
    release = np.where(np.arange(13) % 2, 1000, 0)
    problem = replace(problem, late=late, release=release)
    routes = pyvrp(problem, 40)
    check_routes(problem, routes)
    assert check_routes(problem, pyvrp(problem, 40, start=routes)) <= check_routes(problem, routes)


@pytest.mark.parametrize("router", ROUTERS)
def test_nothing_to_route(router):
    assert ROUTERS[router](problem_of(0, 0), 10) == []
    problem = replace(problem_of(0, 5, prizes=True), required=np.zeros(6, bool), vehicles=0)
    assert ROUTERS[router](problem, 10) == []


@pytest.mark.parametrize(
    ("changes", "routes", "message"),
    [
        ({}, [[1, 2]], "routes: 3 is not allowed as a request that must go and is on none"),
        ({}, [[1, 2], [3, 1]], "routes: 1 is not allowed on route 1, expected each request once"),
        ({}, [[1, 2, 3, 4]], "routes: 4 is not allowed on route 0, expected requests 1 to 3"),
        (
            {"late": [9999, 5, 9999, 9999]},
            [[1, 2, 3]],
            "routes: 1 is not allowed on route 0, expected a visit by 5 s, not at 10 s",
        ),
        (
            {"late": [35, 99, 99, 99]},
            [[1, 2, 3]],
            "routes: 0 is not allowed on route 0, expected a return to the depot by 35 s, not at 40 s",
        ),
        (
            {"demand": [0, 4, 4, 4]},
            [[1], [2, 3]],
            "routes: 3 is not allowed on route 1, expected a load of at most 7, not 8",
        ),
    ],
)
def test_wrong_routes_are_refused(changes, routes, message):
    four = np.zeros(4, int)
    problem = RoutingProblem(
        durations=10 * (1 - np.eye(4, dtype=int)), early=four, late=four + 9999, service=four, demand=four + 1,
        capacity=7, prize=four, required=four == 0,
    )  # fmt: skip
    assert check_routes(problem, [np.array([1, 2]), np.array([3])]) == 50
    problem = replace(problem, **{name: np.array(value) for name, value in changes.items()})
    with pytest.raises(ValueError, match=message):
        check_routes(problem, [np.array(route) for route in routes])


def test_a_limited_fleet():
    problem = problem_of(2, 8, prizes=True)
    with pytest.raises(
        ValueError, match=r"required: \[.*\] is not allowed with limited vehicles, expected none, but prizes instead"
    ):
        replace(problem, vehicles=1)
    problem = replace(problem, required=np.zeros(9, bool))
    routes = fast(problem, 50)
    assert len(routes) > 1
    with pytest.raises(
        ValueError, match=f"routes: {len(routes)} is not allowed as their number, expected at most 1, one a vehicle"
    ):
        check_routes(replace(problem, vehicles=1), routes)


def test_consecutive_legs_make_the_driving_time():
    problem = problem_of(3, 30)
    routes = fast(problem, 100)
    legs = [problem.durations[a, b] for route in routes for a, b in pairwise([0, *route, 0])]
    assert check_routes(problem, routes) == sum(legs)
