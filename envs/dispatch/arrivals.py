"""Requests of a day: how they are drawn, and how many are to be expected where."""

import numpy as np

from .city import City
from .params import CANDIDATES, EPOCH, MARGIN

NEAR = 0.2  # of the mean way from the depot: two requests this close share a vehicle well


def draw_requests(city: City, epoch: int, rng: np.random.Generator, candidates: int, wanted: int) -> np.ndarray:
    """Draw an epoch's requests (k, 5): customer, first and last moment (seconds of the day), demand, service.

    Customer, time window, demand and service are drawn independently from the city's customers, in this order, as
    in the EURO Meets NeurIPS 2022 competition (Kool et al. 2022); those that a vehicle of this epoch no longer
    reaches are dropped, and of the others the first `wanted` are kept.
    """
    first, customers = city.depots, len(city.coords) - city.depots
    customer, window, demand, service = (rng.integers(customers, size=candidates) + first for _ in range(4))
    early, late = city.windows[window].T
    drawn = np.stack([customer, early, late, city.demand[demand], city.service[service]], axis=1)
    return drawn[~too_late(city, epoch, *drawn.T[[0, 1, 2, 4]])][:wanted]


def too_late(city: City, epoch, customer, early, late, service) -> np.ndarray:
    """Return whether a vehicle that leaves at this epoch misses a request's time window or the depot's closing."""
    arrival = np.maximum(epoch * EPOCH + MARGIN + city.out[customer], early)
    return (arrival > late) | (arrival + service + city.back[customer] > city.windows[city.depot[customer], 1])


def last_epochs(city: City) -> tuple[int, int]:
    """Return the first and the last epoch of a competition day in a city."""
    begins = city.windows[city.depots :, 0]
    first, last = (int(max((moment - MARGIN) // EPOCH, 0)) for moment in (begins.min(), begins.max()))
    return first, last


def feasible_share(city: City, epoch: int) -> np.ndarray:
    """Return the chance (L,) that a request drawn at a customer can still be served in an epoch; a depot's is 0."""
    first, windows = city.depots, city.windows[city.depots :]
    arrival = np.maximum((epoch * EPOCH + MARGIN + city.out)[:, None], windows[:, 0])  # (L, windows)
    left = city.windows[city.depot, 1:] - arrival - city.back[:, None]  # for the service
    share = np.searchsorted(np.sort(city.service[first:]), left, side="right") / len(windows)
    chance = np.where(arrival <= windows[:, 1], share, 0).mean(axis=1)
    chance[:first] = 0
    return chance


class Forecast:
    """What is to be expected of the epochs after each epoch of a city's day.

    Attributes:
        grid: (T + 1, 2, g * g) requests expected in the cells of the map: in the next epoch, in those after it.
        neighbours: (T + 1, 2, L) the chance of at least one request of the same depot near a customer, likewise
            (independent Poisson).
    """

    def __init__(self, city: City, epochs: np.ndarray, rates: np.ndarray | None, grid: int):
        """Take the epochs (T,) of the day, those before its start negative, and their mean requests (None: of the
        competition's draws)."""
        expected = np.zeros((len(epochs) + 2, len(city.coords)))
        for t, epoch in enumerate(epochs):
            if epoch < 0:
                continue
            share = feasible_share(city, epoch)
            total = max(share.sum(), 1e-12) if rates is not None else len(city.coords) - city.depots
            per_request = share / total
            expected[t] = per_request * (rates[t] if rates is not None else CANDIDATES)
        following = expected[1:]
        later = np.cumsum(following[::-1], axis=0)[::-1] - following
        ahead = np.stack([following, later], axis=1)  # (T + 1, 2, L)
        low, high = city.coords.min(axis=0), city.coords.max(axis=0)
        cell = np.minimum((city.coords - low) / np.maximum(high - low, 1e-9) * grid, grid - 1).astype(int)
        onto = np.eye(grid * grid)[cell[:, 0] * grid + cell[:, 1]]
        self.grid = (ahead @ onto).astype(np.float32)
        apart = (city.durations + city.durations.T) / 2
        way = (city.out + city.back)[:, None] / 2
        close = ((apart < NEAR * way) & (city.depot == city.depot[:, None])).astype(float)  # (L, L)
        self.neighbours = 1 - np.exp(-(ahead @ close.T))
