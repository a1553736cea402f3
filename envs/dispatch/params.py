"""The parameters of a dispatch problem, each with its unit, checked where they are made."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ...errors import FieldError
from ..core.checks import check_choice, check_episode, check_list, check_number

EPOCH = MARGIN = 3600  # seconds: between decisions, and from a decision to the vehicles' leaving the depot
PROFILE = (0.6, 1.0, 1.4, 1.6, 1.4, 1.0, 0.6, 0.4)  # orders over the day, relative: one peak before noon
LARGEST_WORK = 1.6e10  # cities x places^3: shortest ways of all generated cities in less than a minute
CANDIDATES = 100  # requests drawn per epoch of a competition instance, before those that come too late are dropped


@dataclass
class DispatchParams:
    """Parameters of a dispatch problem. A day is drawn in one of the cities, all equally likely."""

    instances: list[str] = field(default_factory=list)  # files of cities (VRPLIB-like); [] generates them
    cities: int = 8  # generated cities
    city_seed: int = 0  # of the first generated city; the others follow
    customers: int = 200  # of a generated city
    depots: int = 1  # of a generated city; each customer is served from the nearest one
    requests: float = 50.0  # mean per day; generated cities only
    profile: list[float] = field(default_factory=lambda: list(PROFILE))  # requests per epoch, relative; generated ones
    capacity: int = 40  # units per vehicle; generated cities only
    vehicles: float = math.inf  # per depot; each goes again once it is back; .inf: as many as are wanted
    lost_cost: float = 7200.0  # seconds of driving, for a request that must go when no vehicle is left for it
    action: str = "prize"  # prize | discrete: the same as one number | weights | dispatch
    prize_levels: list[float] = field(default_factory=lambda: [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, math.inf])
    router: str = "fast"  # fast | pyvrp
    iterations: int = 300  # of the router, per epoch
    grid: int = 4  # cells per side of the map on which arrivals to come are observed

    continuing: ClassVar[bool] = False  # a day ends
    earns: ClassVar[bool] = False  # what is reported is a cost
    measure: ClassVar[str] = "seconds of driving"
    items: ClassVar[int] = 1  # a day is one row for a learner

    def __post_init__(self):
        if not isinstance(self.instances, list) or not all(isinstance(x, str) and x for x in self.instances):
            raise FieldError("instances", self.instances, "a list of paths")
        check_number("cities", self.cities, 1, 1000, integer=True)
        check_number("city_seed", self.city_seed, 0, 2**31 - 1, integer=True)
        check_number("customers", self.customers, 10, 2000, integer=True)
        check_number("depots", self.depots, 1, 100, integer=True)
        check_number("requests", self.requests, 1, 2000)
        check_list("profile", self.profile, 0, 1e6, most=20)
        if np.sum(self.profile) <= 0:
            raise FieldError("profile", self.profile, "1 to 20 numbers, one of them > 0")
        check_number("capacity", self.capacity, 2, 1_000_000, integer=True)
        check_number("vehicles", self.vehicles, 1, 100_000, integer=True, endless=True)
        check_number("lost_cost", self.lost_cost, 0, 1e9)
        check_choice("action", self.action, ("prize", "discrete", "weights", "dispatch"))
        check_list("prize_levels", self.prize_levels, 0, 1e6, least=2, endless=True)
        check_choice("router", self.router, ("fast", "pyvrp"))
        check_number("iterations", self.iterations, 0, 1_000_000, integer=True)
        check_number("grid", self.grid, 1, 32, integer=True)
        places = self.customers + self.depots
        if not self.instances and self.cities * places**3 > LARGEST_WORK:
            most = max(1, int(LARGEST_WORK // places**3))
            raise FieldError("cities", self.cities, f"at most {most}", f"with {self.customers} customers")
        check_episode("cities", self.cities, self.numbers)

    @property
    def numbers(self) -> float:
        """Return how many numbers the cities and a day hold; generated cities only."""
        largest, places = float(self.rates.max()), self.customers + self.depots
        slots = len(self.profile) * (largest + 6 * math.sqrt(largest) + 1)
        vehicles = self.depots * self.vehicles if math.isfinite(self.vehicles) else 0
        return self.cities * places**2 * (not self.instances) + 20 * slots + vehicles

    @property
    def one_level(self) -> bool:
        """Return whether an action is one of `prize_levels`."""
        return self.action in ("prize", "discrete")

    @property
    def rates(self) -> np.ndarray:
        """Return the mean requests of each epoch (epochs,) of a generated city."""
        profile = np.asarray(self.profile, dtype=float)
        return self.requests * profile / profile.sum()
