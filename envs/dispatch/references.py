"""The best known routes of a day in hindsight: all its requests at once, none leaving before it came in."""

import numpy as np

from ...errors import FieldError
from .params import EPOCH, MARGIN
from .routing import RoutingProblem, check_routes, pyvrp


def hindsight(model, scenario: dict, row: int, flows: list, iterations: int, seed: int = 0) -> tuple[int, list]:
    """Improve what a policy did on a day, by PyVRP with release times: the best known solution, not a lower bound.

    Whatever PyVRP finds could have been dispatched, each route in the epoch of its latest request. The fleet must be
    unlimited.

    Args:
        model: `envs.Dispatch`.
        scenario: of `model.scenarios`.
        row: of the scenario.
        flows: of the day's epochs, from a policy's run: what PyVRP begins with.
        iterations: of PyVRP.
        seed: of PyVRP.

    Returns:
        Seconds of driving, and the routes as lists of slots.

    Raises:
        FieldError: a limited fleet.
    """
    if model.limited:
        raise FieldError("vehicles", model.params.vehicles, "inf", "in hindsight")
    total, routes = 0, []
    for depot in range(model.cities[scenario["city"][row, 0, 0]].depots):
        cost, driven = _of_depot(model, scenario, row, depot, flows, iterations, seed)
        total, routes = total + cost, routes + driven
    return total, routes


def _of_depot(model, scenario, row, depot, flows, iterations, seed) -> tuple[int, list]:
    """Return the same of one depot's requests."""
    day = {name: block[row, : model.horizon] for name, block in scenario.items()}
    city, customer = model.cities[day["city"][0, 0]], day["customer"].ravel()
    slots = np.flatnonzero((customer > 0) & (city.depot[customer] == depot))
    column = {name: day[name].ravel()[slots] for name in ("customer", "early", "late", "demand", "service")}
    place = np.append(depot, column["customer"])
    problem = RoutingProblem(
        durations=city.durations[np.ix_(place, place)],
        early=np.append(0, column["early"]),
        late=np.append(city.windows[depot, 1], column["late"]),
        service=np.append(0, column["service"]),
        demand=np.append(0, column["demand"]),
        capacity=city.capacity,
        prize=np.zeros(len(place)),
        required=np.ones(len(place), bool),
        release=np.append(0, np.repeat(day["epoch"].ravel() * EPOCH + MARGIN, model.largest)[slots]),
    )
    number = np.zeros(model.slots, int)
    number[slots] = np.arange(1, len(slots) + 1)
    start = [number[route] for flow in flows for route in flow.routes(row) if number[route].all()]
    routes = pyvrp(problem, iterations, seed, start)
    return check_routes(problem, routes), [slots[route - 1] for route in routes]
