"""What a dispatch model passes on: the open requests, an epoch's routing problems, and what left the depots."""

from dataclasses import dataclass

import numpy as np

from .routing import RoutingProblem

REQUEST = ("customer", "early", "late", "demand", "service")  # of a `State`, and drawn in this order


@dataclass(slots=True)
class State:
    """The open requests before an epoch's arrivals, by slot, and the vehicles. Whole numbers, (num_envs, ...)."""

    customer: np.ndarray  # (num_envs, R) row of the city; 0: the slot is empty
    early: np.ndarray  # (num_envs, R) seconds of the day
    late: np.ndarray  # (num_envs, R) seconds of the day
    demand: np.ndarray  # (num_envs, R) units
    service: np.ndarray  # (num_envs, R) seconds
    period: np.ndarray  # (num_envs, 1) epochs done
    fleet: np.ndarray  # (num_envs, D * V) moment of each vehicle's last return, by depot, rising; V = 0: unlimited


@dataclass(slots=True)
class Job:
    """The open requests of one depot in one row, and their routing problem."""

    row: int
    city: int  # number of the city
    depot: int
    epoch: int  # hour of the decision
    period: int
    slots: np.ndarray  # (m,)
    must_go: np.ndarray  # (m,) bool
    problem: RoutingProblem  # request i is that in slots[i - 1]; what must go is required, or has its price as a prize


@dataclass(slots=True)
class Flow:
    """What left the depots in one epoch."""

    city: np.ndarray  # (num_envs, 1) number of the city
    epoch: np.ndarray  # (num_envs, 1) hour of the decision
    requests: State  # the open ones, with the epoch's arrivals
    must_go: np.ndarray  # (num_envs, R) bool
    vehicle: np.ndarray  # (num_envs, R) route of a dispatched request, -1: it waits, is lost, or the slot is empty
    position: np.ndarray  # (num_envs, R) its place on the route
    duration: np.ndarray  # (num_envs,) seconds of driving
    lost: np.ndarray  # (num_envs, R) bool: had to go, and no vehicle took it

    def routes(self, row: int) -> list[np.ndarray]:
        """Return a row's routes, each the slots in the order of the visits."""
        slots = [np.flatnonzero(self.vehicle[row] == k) for k in range(self.vehicle[row].max() + 1)]
        return [visits[np.argsort(self.position[row, visits])] for visits in slots]
