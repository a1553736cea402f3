"""The place that deliveries are made in: depots, customers and driving durations, read from a file or generated."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import FieldError
from ...reading import MEGABYTE, plain_bytes

FORMAT = {"EDGE_WEIGHT_TYPE": "EXPLICIT", "EDGE_WEIGHT_FORMAT": "FULL_MATRIX"}  # headers that allow one value
MOST = {"coords": 10**12, "durations": 10**7, "demand": 10**9, "service": 10**7, "windows": 10**7}  # 10^7 s: 115 days
LARGEST = 10**12  # of any number in a file
MOST_ROWS = 10_000  # depots and customers: their durations take 800 MB
SECTIONS = ("EDGE_WEIGHT", "NODE_COORD", "DEMAND", "DEPOT", "SERVICE_TIME", "TIME_WINDOW")


@dataclass
class City:
    """Depots (the first rows) and customers (the rows after them), with what their requests look like.

    Each customer belongs to the depot from which driving out and back takes least.

    Attributes:
        depot: (L,) the depot of each row; a depot's own is itself.
        out, back: (L,) seconds of driving from that depot, and to it.

    Raises:
        FieldError: an array of another shape, a negative number, a demand above the capacity, or a time window that
            nobody can meet; it names the customer.
    """

    name: str
    coords: np.ndarray  # (L, 2), for the map and for the grid of expected arrivals
    durations: np.ndarray  # (L, L) seconds of driving from row to column; need not be symmetric
    demand: np.ndarray  # (L,) units
    service: np.ndarray  # (L,) seconds at the door
    windows: np.ndarray  # (L, 2) seconds, first and last moment at which the service may begin; a depot's: its day
    capacity: int  # units per vehicle
    depots: int = 1

    def __post_init__(self):
        n = len(self.coords)
        shapes = {"coords": (n, 2), "durations": (n, n), "demand": (n,), "service": (n,), "windows": (n, 2)}
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name))
            if array.dtype.kind not in "iuf" or array.shape != shape or n < 2:
                raise FieldError(f"{self.name}: {name}", array.shape, f"numbers of shape {shape}", "as its shape")
            low = -MOST[name] if name == "coords" else 0
            good = (array >= low) & (array <= MOST[name])  # NaN is neither; sums of four stay far below 2^63
            if not good.all():
                at = np.argwhere(~good)[0].tolist()
                raise FieldError(
                    f"{self.name}: {name}{at}", array[tuple(at)].item(), f"a number >= {low:,} and <= {MOST[name]:,}"
                )
            setattr(self, name, array.astype(np.int64 if name != "coords" else float))
        if not 1 <= self.depots < n:
            raise FieldError(f"{self.name}: depots", self.depots, f"1 to {n - 1}, for {n} rows")
        around = self.durations[: self.depots] + self.durations[:, : self.depots].T
        self.depot = around.argmin(axis=0)
        self.depot[: self.depots] = np.arange(self.depots)
        rows = np.arange(n)
        self.out, self.back = self.durations[self.depot, rows], self.durations[rows, self.depot]
        self._check_customers()

    def _check_customers(self):
        if not 1 <= self.capacity <= MOST["demand"]:
            raise FieldError(f"{self.name}: capacity", self.capacity, f"1 to {MOST['demand']:,}")
        start, close = self.windows[self.depot].T
        arrival = np.maximum(start + self.out, self.windows[:, 0])
        late = (self.windows[:, 1] < arrival) | (arrival + self.service + self.back > close)
        wrong = {
            "demand": (self.demand > self.capacity, f"at most the capacity of {self.capacity}"),
            "window": (self.windows[:, 0] > self.windows[:, 1], "a start before its end"),
            "time": (late, "a window that a vehicle from the depot can meet, and be back in time"),
        }
        for what, (bad, expected) in wrong.items():
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                name, values = ("demand", self.demand) if what == "demand" else ("time window", self.windows)
                raise FieldError(f"{self.name}: {name} of customer {row}", values[row].tolist(), expected)


def read_city(path: str | Path) -> City:
    """Read an instance in the VRPLIB-like format of the EURO Meets NeurIPS 2022 competition (ORTEC).

    Raises:
        FieldError: a malformed file; it names the file and the line. Also of an encrypted one whose key is not there.
        OSError: no such file.
    """
    path = Path(path)
    lines = plain_bytes(path, 512 * MEGABYTE).decode(errors="replace").splitlines()
    headers, sections, at = {}, {}, 0

    def refuse(line: int, expected: str):
        text = lines[line].strip() if line < len(lines) else "end of file"
        raise FieldError(f"{path.name}, line {line + 1}", text[:40], expected)

    while at < len(lines) and lines[at].strip() != "EOF":
        line = lines[at].strip()
        name = line.removesuffix("_SECTION")
        if name in SECTIONS and line != name:
            at, sections[name] = _read_section(lines, at + 1, name, headers, refuse)
        elif ":" in line:
            key, _, value = line.partition(":")
            headers[key.strip()] = value.strip()
            most = {"DIMENSION": MOST_ROWS, "CAPACITY": MOST["demand"]}.get(key.strip())
            if most and not (re.fullmatch(r"[0-9]{1,12}", value.strip()) and int(value) <= most):
                refuse(at, f"{key.strip()} : a whole number of at most {most:,}")
            if (only := FORMAT.get(key.strip())) and value.strip() != only:
                refuse(at, f"{key.strip()} : {only}")
            at += 1
        elif line:
            refuse(at, f"KEY : value or one of {', '.join(s + '_SECTION' for s in SECTIONS)}")
        else:
            at += 1
    for name in SECTIONS:
        if name not in sections:
            raise FieldError(f"{path.name}: {name}_SECTION", None, "a section of this name")
    if "CAPACITY" not in headers:
        raise FieldError(f"{path.name}: CAPACITY", None, "CAPACITY : a whole number")
    demand, service = (sections[name][:, 0] for name in ("DEMAND", "SERVICE_TIME"))
    return City(
        name=headers.get("NAME", path.stem),
        coords=sections["NODE_COORD"],
        durations=sections["EDGE_WEIGHT"],
        demand=demand,
        service=service,
        windows=sections["TIME_WINDOW"],
        capacity=int(headers["CAPACITY"]),
        depots=len(sections["DEPOT"]),
    )


def _read_section(lines, at, name, headers, refuse) -> tuple[int, np.ndarray]:
    """Return the line after a section, and its numbers (L, width); nodes are numbered from 1, depots first."""
    if "DIMENSION" not in headers:
        refuse(at - 1, "DIMENSION before it")
    size = int(headers["DIMENSION"])
    width = {"EDGE_WEIGHT": size, "NODE_COORD": 2, "TIME_WINDOW": 2}.get(name, 1)
    numbered = name != "EDGE_WEIGHT"
    if name == "DEPOT":
        depots = 0
        while at + depots < len(lines) and lines[at + depots].strip() == str(depots + 1):
            depots += 1
        if not depots or at + depots == len(lines) or lines[at + depots].strip() != "-1":
            refuse(at + depots, "the depots 1, 2, ..., then -1")
        return at + depots + 1, np.zeros((depots, 1))
    if len(lines) - at < size:
        refuse(len(lines), f"{size} lines in {name}_SECTION, as DIMENSION says")
    rows = np.empty((size, width), np.int64)
    for row in range(size):
        fields = lines[at + row].split() if at + row < len(lines) else []
        try:
            numbers = [int(field) for field in fields]
        except ValueError:
            numbers = []
        if len(numbers) != width + numbered or not all(0 <= number <= LARGEST for number in numbers[numbered:]):
            what = f"{'node and ' if numbered else ''}{width} whole numbers, all at most {LARGEST:,} and >= 0"
            refuse(at + row, f"{what} in {name}_SECTION")
        if numbered and numbers[0] != row + 1:
            refuse(at + row, f"node {row + 1} of {size} in {name}_SECTION")
        rows[row] = numbers[numbered:]
    return at + size, rows


def synthetic_city(seed: int, customers: int, hours: int, capacity: int, depots: int = 1) -> City:
    """Generate a city: customers in clusters, depots, one-way streets, delivery windows of two to four hours.

    Half of the customers lie in clusters and half anywhere, as in the X instances (Uchoa et al. 2017, European Journal
    of Operational Research 257(3)); a cluster's density falls exponentially with the distance from its centre. Driving
    takes the straight line at 30 km/h and up to 20 % more by direction. The triangle inequality holds.

    Args:
        seed: of the city.
        customers: number of them.
        hours: of the depots' day.
        capacity: units per vehicle.
        depots: number of them.
    """
    rng = np.random.default_rng([seed, customers])
    extent = 15_000.0  # metres
    centres = rng.uniform(0.1 * extent, 0.9 * extent, (max(2, customers // 25), 2))
    around = centres[rng.integers(len(centres), size=customers)]
    around = around + rng.exponential(0.04 * extent, (customers, 1)) * _directions(rng, customers)
    anywhere = rng.uniform(0, extent, (customers, 2))
    where = np.where(rng.random((customers, 1)) < 0.5, around, anywhere)
    depot = rng.uniform(0.25 * extent, 0.75 * extent, (depots, 2))
    coords = np.round(np.clip(np.concatenate([depot, where]), 0, extent))
    seconds = np.linalg.norm(coords[:, None] - coords[None], axis=-1) / (30 / 3.6)
    durations = np.ceil(seconds * rng.uniform(1, 1.2, seconds.shape))
    np.fill_diagonal(durations, 0)
    for via in range(len(durations)):  # Floyd-Warshall: no detour is shorter than the way itself
        np.minimum(durations, durations[:, via : via + 1] + durations[via : via + 1], out=durations)
    none = np.zeros(depots, int)
    service = np.concatenate([none, 60 * rng.integers(2, 9, customers)])
    close = 3600 * hours
    width = 3600 * rng.integers(2, 5, customers)
    farthest = durations[depots:, :depots].max(axis=1).astype(int)
    latest = close - service[depots:] - farthest  # to be served by then
    begin = 1800 * rng.integers(2, np.maximum((latest - width) // 1800, 3))
    windows = np.stack([begin, np.minimum(begin + width, latest)], axis=1)
    demand = np.concatenate([none, 1 + rng.geometric(0.25, customers).clip(max=min(15, capacity - 1))])
    windows = np.concatenate([np.tile([0, close], (depots, 1)), windows])
    return City(f"synthetic-{seed}", coords, durations, demand, service, windows, capacity, depots)


def _directions(rng, count: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * math.pi, count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
