"""Delivery by the router of `dispatch`, in place of the whole store's formula: parcels have places in a city.

The zones of the formula are sectors of a generated city, each with as many customers. A parcel's sector is drawn when
it is shipped; which customers of it get the day's parcels is drawn every day. It needs the extra `dispatch` (numba).
"""

import numpy as np

from ..dispatch.city import synthetic_city
from ..dispatch.routing import ROUTERS, RoutingProblem, check_routes
from .fulfilment import Thin
from .params import MarketplaceParams

ZONES, CUSTOMERS = 12, 25  # of a city; of a zone
ITERATIONS = 300  # of the router, per tour
USUAL, SAMPLES = 30, 20  # stops and number of the tours that give seconds a price


class Routes:
    """A city, and the store's deliveries in it."""

    count = ZONES

    def __init__(self, p: MarketplaceParams):
        """Generate the city of the parameters' `catalogue_seed`.

        Raises:
            ImportError: without numba.
        """
        import numba  # noqa: F401 (the router would only say so on the first day)

        self.params = p
        self.city = synthetic_city(p.catalogue_seed, ZONES * CUSTOMERS, 8, 10**9)
        from_centre = self.city.coords[1:] - self.city.coords[0]
        angle = np.arctan2(from_centre[:, 1], from_centre[:, 0])
        rng = np.random.default_rng(p.catalogue_seed)
        sectors = 1 + angle.argsort(kind="stable").reshape(ZONES, CUSTOMERS)
        self.zones = rng.permuted(sectors, axis=1)  # rows of the city, in no order within a zone
        stops = [rng.choice(np.arange(1, ZONES * CUSTOMERS + 1), USUAL, replace=False) for _ in range(SAMPLES)]
        self.second = p.tour_cost * np.sqrt(USUAL) / np.mean([self.tour(place) for place in stops])  # money

    def draw(self, rng: np.random.Generator, periods: int) -> dict[str, np.ndarray]:
        """Draw what a season's deliveries take (periods, numbers): zones of units, order, first customers of zones."""
        cells = ZONES * self.params.items
        return {
            "parcel": rng.random((periods, cells - self.params.items), dtype=np.float32),
            "zone": rng.random((periods, ZONES), dtype=np.float32),
            "turn": rng.random((periods, cells), dtype=np.float32),
            "door": rng.integers(CUSTOMERS, size=(periods, ZONES)).astype(np.float32),
        }

    def tour(self, stops: np.ndarray) -> int:
        """Return the seconds of the router's tour through rows of the city, one vehicle for all."""
        place, nothing = np.append(0, stops), np.zeros(len(stops) + 1, np.int64)
        problem = RoutingProblem(
            self.city.durations[np.ix_(place, place)], nothing, nothing + 10**9, nothing, nothing, 10**9,
            prize=np.zeros(len(place)), required=np.append(False, nothing[1:] == 0),
        )  # fmt: skip
        return check_routes(problem, ROUTERS["fast"](problem, ITERATIONS))

    def deliver(self, shipped: np.ndarray, parcels: tuple, zones: np.ndarray, capacity: np.ndarray, shock: dict):
        """Send a day's parcels: as `fulfilment.deliver`, but in whole parcels, and tours are driven.

        What must go goes first, in any order, then the zones visited, one after another, as far as the fleet carries.

        Args:
            shipped: units (n, I).
            parcels: units by days since the order, promise + 1 arrays (n, Z I).
            zones: the chance (n, 1) that a zone is visited.
            capacity: parcels that the fleet carries (n, 1), rounded.
            shock: the day of `draw`.

        Returns:
            Units sent by days (a list of (n, I)), units left by days (n, Z I), money for driving (n, 1).
        """
        p, n = self.params, len(shipped)
        thin, rest, fresh = Thin(shock["parcel"], p.items), shipped, []
        for zone in range(ZONES - 1):
            fresh.append(thin(rest, 1 / (ZONES - zone)))
            rest = rest - fresh[-1]
        waiting = np.stack([np.concatenate([*fresh, rest], axis=1), *parcels], axis=1)  # (n, days, Z I)
        turn = shock["turn"][:, None]
        zone = np.repeat(shock["zone"], p.items, axis=1)[:, None]
        must = np.arange(waiting.shape[1])[:, None] >= p.promise - 1
        order = np.where(must, turn, 1 + zone + turn / 1000).reshape(n, -1).argsort(axis=1, kind="stable")
        line = np.take_along_axis((waiting * (must | (zone < zones[:, :, None]))).reshape(n, -1), order, axis=1)
        taken = np.clip(np.rint(capacity) - (np.cumsum(line, axis=1) - line), 0, line)
        sent = np.empty_like(taken)
        np.put_along_axis(sent, order, taken, axis=1)
        sent = sent.reshape(waiting.shape)
        left = np.moveaxis(waiting - sent, 1, 0)
        sent = sent.reshape(n, -1, ZONES, p.items)
        count = sent.sum(axis=(1, 3)).astype(int)
        seconds = np.array([[self._day(*row)] for row in zip(count, shock["door"].astype(int), strict=True)])
        driving = p.stop_cost * count.sum(axis=1, keepdims=True) + self.second * seconds
        return list(np.moveaxis(sent.sum(axis=2), 1, 0)), (*left[: p.promise], left[-2] + left[-1]), driving

    def _day(self, count: np.ndarray, door: np.ndarray) -> int:
        """Return the seconds of a day's tour with so many parcels (Z,) for each zone's customers from number `door`."""
        stops = [self.zones[z, (door[z] + np.arange(min(k, CUSTOMERS))) % CUSTOMERS] for z, k in enumerate(count)]
        stops = np.concatenate(stops)
        return self.tour(stops) if len(stops) else 0
