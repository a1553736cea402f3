"""Demand sources: where a scenario's demand, prices, calendar and forecasts come from.

A source is anything with the attributes `items`, `known` and `largest` and the method `draw`: see `DemandSource`. The
environments take demand in no other way: a forecaster, a recorded history or a simulator is one more source.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np

from ...errors import FieldError
from . import kernels
from . import pmf as pmfs
from .checks import check_choice, check_episode, check_number
from .random import DEMAND, streams

KNOWN = ("price", "calendar", "forecast", "arrival")  # what a source may give before the period's order is placed


class DemandSource(Protocol):
    """The interface of a source of demand."""

    @property
    def items(self) -> int:
        """Return the number of items, I."""
        ...

    @property
    def known(self) -> Mapping[str, tuple[int, ...]]:
        """Return name (one of KNOWN) -> shape per period: price (I,), calendar (C,), forecast and arrival (I, Q)."""
        ...

    @property
    def largest(self) -> np.ndarray | None:
        """Return an upper bound on one period's demand (I,), units; None where none is known."""
        ...

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """Return `demand` (n, periods, I) and each of `known` (n, periods, ...), float32.

        Row i depends on `keys[i]` and `periods` alone.
        """
        ...


@dataclass
class DemandParams:
    """A stationary demand distribution, independent over items and periods.

    `mean`, `std` and `dispersion` are a number for all items or a list of one per item.
    """

    kind: str = "poisson"  # poisson | negative_binomial | geometric | normal | gamma
    mean: Any = 5.0  # units per period
    std: Any = 2.0  # units per period; normal (rounded to integers, truncated at 0) and gamma (rounded) only
    dispersion: Any = 2.0  # negative binomial only: variance = mean + mean^2 / dispersion

    def __post_init__(self):
        check_choice("demand.kind", self.kind, ("poisson", "negative_binomial", "geometric", "normal", "gamma"))
        check_number("demand.mean", self.mean, 0, 1e4, exclusive=True, items=np.size(self.mean))
        check_number("demand.std", self.std, 0, 1e4, exclusive=True, items=np.size(self.std))
        check_number("demand.dispersion", self.dispersion, 1e-3, 1e6, items=np.size(self.dispersion))

    def pmfs(self, items: int) -> list[np.ndarray]:
        """Return the items' probabilities (K,) of demands 0, 1, ..."""
        build, names = {
            "poisson": (pmfs.poisson, ["mean"]),
            "geometric": (pmfs.geometric, ["mean"]),
            "normal": (pmfs.normal, ["mean", "std"]),
            "gamma": (pmfs.gamma, ["mean", "std"]),
            "negative_binomial": (pmfs.negative_binomial, ["mean", "dispersion"]),
        }[self.kind]
        numbers = np.stack([np.broadcast_to(getattr(self, name), items) for name in names], axis=1).astype(float)
        rows, which = np.unique(numbers, axis=0, return_inverse=True)
        which = which.ravel()
        pmf, size, many = [], 0, np.bincount(which) if len(rows) > 1 else [1]  # one table serves items that are alike
        for row, count in zip(rows.tolist(), many, strict=True):
            pmf.append(build(*row))
            size += len(pmf[-1]) * int(count)
            check_episode("demand.mean", self.mean, size)
        return [pmf[k] for k in which.tolist()]


class TableDemand:
    """Independent, stationary demand of any probability mass function, by inverse transform.

    Exact to 32 bits: a uniform 32-bit integer is compared with the cumulative probabilities. A guide table over its
    leading bits (Chen and Asau 1974) gives the result for most integers. Those in a cell with a step of the cumulative
    function are searched for.
    """

    def __init__(self, item_pmfs: list[np.ndarray]):
        """Build the tables of the items' pmfs, each (K,) over demands 0, 1, ..., summing to 1.

        Raises:
            FieldError: a pmf with negative entries or a sum that is not 1.
        """
        self.items, self.known = len(item_pmfs), {}
        steps = []
        for item, p in enumerate(item_pmfs):
            p = np.asarray(p, dtype=float)
            if p.ndim != 1 or not (p >= 0).all() or abs(p.sum() - 1) > 1e-6:
                raise FieldError(f"item_pmfs[{item}]", p.tolist(), f"probabilities that sum to 1, not {p.sum():.6g}")
            cumulative = np.round(np.cumsum(p / p.sum())[:-1] * 2.0**32).astype(np.int64)
            steps.append(cumulative[cumulative < 2**32])
        self.largest = np.array([len(s) for s in steps], dtype=np.float32)
        same = all(s is steps[0] or (len(s) == len(steps[0]) and (s == steps[0]).all()) for s in steps)
        tables = steps[:1] if same else steps
        # The guide should stay in the cache: as fine as 2^19 cells in all allow.
        self._shift = 32 - min(16, max(8, 19 - math.ceil(math.log2(len(tables)))))
        edges = np.arange(2 ** (32 - self._shift) + 1, dtype=np.int64) << self._shift
        guides = []
        for s in tables:
            low = np.searchsorted(s, edges[:-1], side="right")
            high = np.searchsorted(s, edges[1:] - 1, side="right")
            guides.append(np.where(low == high, low, -1))
        widest = max(len(s) for s in tables)
        self._guide = np.concatenate(guides).astype(np.int16 if widest < 2**15 else np.int32)
        # One sorted array for all tables: table k's steps lie in [k 2^32, (k+1) 2^32).
        self._steps = np.concatenate([s + (k << 32) for k, s in enumerate(tables)])
        self._first = np.concatenate([[0], np.cumsum([len(s) for s in tables])])
        self._table = np.zeros(self.items, np.int64) if same else np.arange(self.items)

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """See `DemandSource.draw`."""
        count = periods * self.items
        demand = np.empty((len(keys), count), dtype=np.float32)
        if kernels.draws(demand.size):
            from . import philox

            rest = (self._shift, self._table, self._guide, self._steps, self._first)
            philox.draw(keys, np.uint64(DEMAND), *rest, demand)
            return {"demand": demand.reshape(len(keys), periods, self.items)}
        rows = max(1, 2**15 // count)  # so many at a time stay in the cache
        rngs = streams(keys, DEMAND)
        for start in range(0, len(keys), rows):
            part = demand[start : start + rows]
            raw = [rng.bit_generator.random_raw((count + 1) // 2).view(np.uint32)[:count] for rng in islice(rngs, rows)]
            self._look_up(np.concatenate(raw).reshape(-1, self.items), part.reshape(-1, self.items))
        return {"demand": demand.reshape(len(keys), periods, self.items)}

    def _look_up(self, bits: np.ndarray, out: np.ndarray) -> None:
        cell = bits >> np.uint32(self._shift)
        if len(self._first) > 2:  # more than one table
            cell += (self._table << (32 - self._shift)).astype(np.uint32)
        units = self._guide.take(cell)
        row, item = np.divmod(np.flatnonzero(units < 0), self.items)
        table = self._table[item]
        place = np.searchsorted(self._steps, bits[row, item].astype(np.int64) + (table << 32), side="right")
        units[row, item] = place - self._first[table]
        out[:] = units


class NormalDemand:
    """Independent normal demand of divisible goods, in units of any size; negative draws are 0."""

    def __init__(self, mean, std):
        """Take `mean` and `std` (I,), units per period, both > 0."""
        self._mean, self._std = np.asarray(mean, dtype=np.float32), np.asarray(std, dtype=np.float32)
        self.items, self.known, self.largest = len(self._mean), {}, None

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """See `DemandSource.draw`."""
        shape = (periods, self.items)
        drawn = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in streams(keys, DEMAND)])
        return {"demand": np.maximum(self._mean + self._std * drawn, 0)}


@dataclass
class Days:
    """What is known of each day of a calendar: the tables that day-based sources read."""

    price: np.ndarray | None = None  # (D, I) money per unit
    calendar: np.ndarray | None = None  # (D, C) features such as the weekday's sine and cosine
    forecast: np.ndarray | None = None  # (D, I, Q) quantiles of demand over the protection interval from that day
    arrival: np.ndarray | None = None  # (D, I, Q) of its last period alone, in which that day's order arrives
    length: int = field(init=False)

    def __post_init__(self):
        for name in KNOWN:
            table = getattr(self, name)
            if table is not None:
                table = np.ascontiguousarray(table, dtype=np.float32)
                if not np.isfinite(table).all():
                    bad = np.argwhere(~np.isfinite(table))[0]
                    raise FieldError(f"{name}{bad.tolist()}", float(table[tuple(bad)]), "a finite number")
                setattr(self, name, table)

    def tables(self, days: int) -> dict[str, np.ndarray]:
        """Return the tables that are there, by name. Raises a FieldError where one is not `days` long."""
        given = {name: getattr(self, name) for name in KNOWN if getattr(self, name) is not None}
        for name, table in given.items():
            if len(table) != days:
                raise FieldError(name, len(table), f"{days} days, as in demand")
        return given


def finite_demand(demand, ndim: int) -> np.ndarray:
    demand = np.ascontiguousarray(demand, dtype=np.float32)
    if demand.ndim != ndim:
        raise FieldError("demand", demand.shape, f"an array of {ndim} dimensions")
    if not (np.isfinite(demand).all() and (demand >= 0).all()):
        where = np.argwhere(~(np.isfinite(demand) & (demand >= 0)))[0]
        raise FieldError(f"demand{where.tolist()}", float(demand[tuple(where)]), "units >= 0")
    return demand


class DayDemand:
    """The base of the sources that walk through days: it draws a first day and gathers what is known of each."""

    def __init__(self, shape: tuple[int, ...], known: dict[str, np.ndarray]):
        """Take the number of days and of items (D, I), and the tables of what is known, each (D, ...)."""
        (self.days, self.items), self.tables = shape, known
        self.known = {name: table.shape[1:] for name, table in known.items()}
        self.largest: np.ndarray | None = None

    def _window(self, rng: np.random.Generator, periods: int) -> np.ndarray:
        if periods > self.days:
            raise FieldError("horizon", periods, f"at most the {self.days} days of demand", "with look-ahead")
        return rng.integers(self.days - periods + 1) + np.arange(periods)


class HistoryDemand(DayDemand):
    """Recorded demand, replayed from a random start or resampled in blocks.

    `replay` walks through consecutive days from a uniformly drawn first one. `bootstrap` joins uniformly drawn
    blocks of `block` days (Kunsch 1989) which start on the weekday that is due (days counted modulo 7).
    """

    def __init__(self, demand, days: Days | None = None, mode: str = "replay", block: int = 28):
        """Take `demand` (D, I) in units.

        Raises:
            FieldError: demand that is negative or not finite, tables of another length, an unknown mode, a block
                that is no multiple of 7, forecasts with `bootstrap` (they belong to the days as they were).
        """
        self.recorded = finite_demand(demand, 2)
        super().__init__(self.recorded.shape, (days or Days()).tables(len(self.recorded)))
        check_choice("mode", mode, ("replay", "bootstrap"))
        check_number("block", block, 7, 7 * (len(self.recorded) // 7) if mode == "bootstrap" else np.inf)
        if block % 7:
            raise FieldError("block", block, "a multiple of 7 days")
        if mode == "bootstrap" and "forecast" in self.known:
            raise FieldError("mode", mode, "'replay'", "with forecasts")
        self.mode, self.block = mode, block
        self.largest = self.recorded.max(axis=0)

    def part(self, first: int, last: int) -> "HistoryDemand":
        """Return the days from `first` to the one before `last`, with what is known of each."""
        known = {name: table[first:last] for name, table in self.tables.items()}
        return HistoryDemand(self.recorded[first:last], Days(**known), self.mode, self.block)

    def _bootstrap(self, rng: np.random.Generator, periods: int) -> np.ndarray:
        starts = np.arange(self.days - self.block + 1)
        first = rng.integers(7)
        starts = starts[starts % 7 == first] if (starts % 7 == first).any() else starts
        picks = starts[rng.integers(len(starts), size=-(-periods // self.block))]
        return (picks[:, None] + np.arange(self.block)).ravel()[:periods]

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """See `DemandSource.draw`."""
        pick = self._window if self.mode == "replay" else self._bootstrap
        day = np.stack([pick(rng, periods) for rng in streams(keys, DEMAND)])
        return {"demand": self.recorded[day]} | {name: table[day] for name, table in self.tables.items()}


class RateDemand(DayDemand):
    """Negative-binomial demand around a known rate per day and item: fresh demand of a known process.

    Variance = rate + rate^2 / dispersion (a gamma mixture of Poisson); `dispersion` infinite gives Poisson.
    """

    def __init__(self, rate, dispersion, days: Days | None = None):
        """Take `rate` (D, I) in units per day and `dispersion` (I,)."""
        self._rate = finite_demand(rate, 2).astype(float)
        super().__init__(self._rate.shape, (days or Days()).tables(len(self._rate)))
        self._dispersion = np.broadcast_to(np.asarray(dispersion, float), (self.items,))
        if not (self._dispersion > 0).all():
            raise FieldError("dispersion", float(self._dispersion.min()), "numbers > 0")
        largest = pmfs.largest(self._rate.max(axis=0, initial=0), self._dispersion)
        if (largest >= pmfs.MAX_SUPPORT).any():
            item = int(largest.argmax())
            because = f"for item {item} with dispersion {self._dispersion[item]:g}"
            expected = f"demand below {pmfs.MAX_SUPPORT:,} units, not up to {largest[item]:.3g}"
            raise FieldError("rate", float(self._rate[:, item].max()), expected, because)

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """See `DemandSource.draw`."""
        finite = np.isfinite(self._dispersion)
        shape = np.where(finite, self._dispersion, 1.0)
        day, demand = [], np.empty((len(keys), periods, self.items), np.float32)
        for row, rng in zip(demand, streams(keys, DEMAND), strict=True):
            day.append(self._window(rng, periods))
            rate = self._rate[day[-1]]
            mixed = np.where(finite, rng.standard_gamma(shape, rate.shape) / shape, 1.0) * rate
            row[:] = rng.poisson(mixed)
        day = np.stack(day)
        return {"demand": demand} | {name: table[day] for name, table in self.tables.items()}


class PathDemand(DayDemand):
    """A forecaster's sample paths as demand: every scenario is one of the paths, drawn uniformly.

    Paths of several items are drawn together, which keeps the forecaster's correlations.
    """

    def __init__(self, paths, days: Days | None = None):
        """Take `paths` (P, D, I) in units."""
        self._paths = finite_demand(paths, 3)
        super().__init__(self._paths.shape[1:], (days or Days()).tables(self._paths.shape[1]))
        self.largest = self._paths.max(axis=(0, 1))

    def draw(self, keys: np.ndarray, periods: int) -> dict[str, np.ndarray]:
        """See `DemandSource.draw`."""
        drawn = [(rng.integers(len(self._paths)), self._window(rng, periods)) for rng in streams(keys, DEMAND)]
        path, day = np.array([p for p, _ in drawn]), np.stack([d for _, d in drawn])
        known = {name: table[day] for name, table in self.tables.items()}
        return {"demand": self._paths[path[:, None], day]} | known
