"""The days of a dispatch problem: its cities, their epochs, and how the requests are drawn."""

import math

import numpy as np

from ...errors import FieldError
from ..core.demand import DemandSource, RateDemand
from ..core.pmf import poisson
from ..core.random import as_keys
from ..core.seeds import imagined_keys
from .arrivals import draw_requests, last_epochs
from .city import City, read_city, synthetic_city
from .params import CANDIDATES, DispatchParams
from .state import REQUEST

GENERATED_DRAWS = 6  # candidates per request wanted: so many that those still feasible suffice


class Days:
    """Where and when requests come.

    Attributes:
        cities: read or generated.
        horizon: T, epochs of the longest day.
        epochs: (cities, T) hours of the decisions; -1 before a shorter day's first one: nothing happens then.
        rates: (T,) mean requests per epoch; None: as the competition draws them.
        largest: K, the largest number of requests of an epoch.
    """

    def __init__(self, params: DispatchParams, source: DemandSource | None):
        """Read or generate the cities; `source`: of the number of requests per epoch, generated cities only.

        Raises:
            FieldError: a malformed instance, a source of more than one item.
        """
        self.given = source
        if params.instances:
            if source is not None:
                raise FieldError("source", source, "None: they draw their own requests", "with instances")
            self.cities = [_read(path) for path in params.instances]
            spans = [last_epochs(city) for city in self.cities]
            self.horizon = max(last - first + 1 for first, last in spans)
            self.epochs = np.array([_padded(first, last, self.horizon) for first, last in spans])
            self.source, self.largest, self.rates = None, CANDIDATES, None
            return
        rates, self.horizon = params.rates, len(params.profile)
        self.source, self.rates = source or RateDemand(np.append(rates, 0)[:, None], math.inf), rates
        if self.source.items != 1:
            raise FieldError("source", self.source.items, "1 item: requests per epoch")
        bound = self.source.largest
        self.largest = max(1, math.ceil(_most(rates.max()) if bound is None else bound[0]))
        numbers = range(params.city_seed, params.city_seed + params.cities)
        day = (params.customers, self.horizon + 4, params.capacity, params.depots)
        self.cities = [synthetic_city(seed, *day) for seed in numbers]
        self.epochs = np.tile(np.arange(self.horizon), (len(self.cities), 1))

    def draw(self, seeds) -> dict[str, np.ndarray]:
        """Draw the days with the given seeds or keys; see `Dispatch.scenarios`."""
        keys, periods = as_keys(seeds), self.horizon + 1
        drawn = np.zeros((len(keys), periods, self.largest, len(REQUEST)), np.int64)
        city = np.array([np.random.default_rng([2, *map(int, key)]).integers(len(self.cities)) for key in keys])
        counts = None if self.source is None else self.source.draw(keys, periods)["demand"][..., 0]
        for row, (seed, episode) in enumerate(keys.tolist()):
            rng = np.random.default_rng(_entropy(seed, episode))
            for t, epoch in enumerate(self.epochs[city[row]]):
                if epoch < 0:
                    continue
                requests = self._requests(city[row], epoch, rng, None if counts is None else counts[row, t])
                drawn[row, t, : len(requests)] = requests
        epoch = np.concatenate([self.epochs[city], self.epochs[city, -1:] + 1], axis=1)
        cities = np.repeat(city[:, None, None], periods, axis=1)
        return {"city": cities, "epoch": epoch[..., None]} | dict(zip(REQUEST, np.moveaxis(drawn, -1, 0), strict=True))

    def future(self, city: int, period: int, ahead: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Draw what may come in the epochs after a period, `ahead` of them at most: (k, 5) each, as `draw_requests`."""
        counts = None
        if self.source is not None:
            counts = self.source.draw(imagined_keys(int(rng.integers(2**62)), 1), self.horizon + 1)["demand"]
        periods = range(period + 1, min(period + 1 + ahead, self.horizon))
        count = {t: None if counts is None else counts[0, t, 0] for t in periods}
        return [self._requests(city, self.epochs[city, t], rng, count[t]) for t in periods]

    def _requests(self, city: int, epoch: int, rng: np.random.Generator, count: float | None) -> np.ndarray:
        wanted = self.largest if count is None else min(int(count), self.largest)
        candidates = CANDIDATES if count is None else GENERATED_DRAWS * self.largest
        return draw_requests(self.cities[city], epoch, rng, candidates, wanted)


def _entropy(seed: int, episode: int) -> list[int]:
    """Return what a day's generator is seeded by: (seed, 0) is the stream of the competition with that seed.

    A seed of more than 32 bits would run into the episode's words: it is told apart by a fifth one.
    """
    if seed < 2**32:
        return [seed, episode]
    low = 2**32 - 1
    return [seed & low, seed >> 32, episode & low, episode >> 32, 1]


def _read(path: str) -> City:
    try:
        return read_city(path)
    except OSError as error:
        raise FieldError("instances", path, f"a readable file: {error.strerror}") from error


def _most(rate: float) -> float:
    """Return how many requests of an epoch have a place: with more, once in 100,000 epochs, the last are dropped."""
    exceeded = int(np.searchsorted(np.cumsum(poisson(rate)), 1 - 1e-5))
    return max(rate + 6 * math.sqrt(rate), exceeded)


def _padded(first: int, last: int, horizon: int) -> np.ndarray:
    """Return a day's epochs (horizon,), -1 for those before its first one."""
    epochs = np.arange(last - horizon + 1, last + 1)
    return np.where(epochs >= first, epochs, -1)
