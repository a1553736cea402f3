"""The synthetic games of InventoryBench (Baek, Fu, Ma and Peng 2025), drawn anew from their description.

A game is one item over 50 periods: five samples of history, demand, lead times, and what a unit sold brings and a unit
left costs. Forty demand processes stand in `VARIANTS`, ten patterns of four. `wide` draws processes of the same kinds
from ranges, so that what learns or is tuned need not know the forty.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.random import DEMAND, LEAD_TIME, streams
from ..core.seeds import test_keys

SAMPLES = 5  # of history
PERIODS = 50
LOST = 1e6  # periods: the lead time of an order that never arrives
ERRATIC = (1.0, 2.0, 3.0, LOST)  # stochastic lead times, each as likely
LEADS = {"0": 0, "4": 4, "stochastic": 2}  # setting -> promised lead time, periods
RATIOS = {"low": 1.0, "medium": 4.0, "high": 19.0}  # profit per unit, the holding cost being 1

REALISATIONS = 2  # demands drawn of each process in the benchmark
DRAW = 1000  # seeds between one draw of all games and the next

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]  # periods (k,), from 1 on -> demand (k,), not rounded


@dataclass(frozen=True)
class Process:
    """A demand process: how demand of periods is drawn."""

    draw: Draw
    history: bool = True  # whether the history is of the periods 1 to 5; else of period 1 alone, five times


def normal(mean: float, std: float) -> Draw:
    """Return the draws of a normal demand, units."""
    return lambda rng, t: rng.normal(mean, std, len(t))


def uniform(low: float, high: float) -> Draw:
    """Return the draws of an even demand, units."""
    return lambda rng, t: rng.uniform(low, high, len(t))


def curve(mean: Callable, std: Callable | float) -> Process:
    """Return a process whose mean, and maybe standard deviation, are functions of the period."""
    spread = std if callable(std) else lambda t: np.full(len(t), float(std))
    return Process(lambda rng, t: rng.normal(mean(t), spread(t)))


def regimes(*parts: tuple[int, Draw]) -> Process:
    """Return a process that goes over to the next regime at given periods."""

    def draw(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
        demand = np.empty(len(t))
        for first, part in parts:
            later = t >= first
            demand[later] = part(rng, t[later])
        return demand

    return Process(draw, history=False)


def autoregressive(phi: float, constant: float, std: float, first: float = 100.0) -> Process:
    """Return D(t) = phi D(t - 1) + constant + noise, D(0) = `first`."""

    def draw(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
        noise, demand, last = rng.normal(0, std, len(t)), np.empty(len(t)), first
        for k, e in enumerate(noise):
            demand[k] = last = phi * last + constant + e
        return demand

    return Process(draw)


def wave(period: float, amplitude: float, level: float = 100.0, std: float = 25.0) -> Process:
    """Return a season: `level` and a sine of a period and an amplitude, units."""
    return curve(lambda t: level + amplitude * np.sin(2 * math.pi * t / period), std)


def _change(first: tuple, *later: tuple) -> Process:
    """Return normal regimes: (mean, std), then (period, mean, std) of each change."""
    return regimes((1, normal(*first)), *((at, normal(mean, std)) for at, mean, std in later))


VARIANTS: dict[str, tuple[Process, ...]] = {
    "stationary": (
        _change((100, 25)),
        _change((100, 40)),
        _change((100, 15)),
        regimes((1, uniform(50, 150))),
    ),
    "mean up": tuple(_change((100, 25), (16, *to)) for to in ((200, 35), (150, 30), (300, 50), (200, 25))),
    "mean down": (
        *(_change((100, 25), (16, *to)) for to in ((50, 18), (70, 20), (30, 15))),
        _change((150, 30), (16, 80, 22)),
    ),
    "trend up": (
        curve(lambda t: 100 * t, lambda t: 25 * np.sqrt(t)),
        curve(lambda t: 50 + 3 * t, 20),
        curve(lambda t: 100 * 1.05**t, 25),
        curve(lambda t: 100 + 2 * t, lambda t: 25 * np.sqrt(t)),
    ),
    "trend down": (
        curve(lambda t: np.maximum(200 - 3 * t, 50), 25),
        curve(lambda t: 200 * 0.97**t, 20),
        curve(lambda t: np.maximum(150 - 2 * t, 30), 20),
        curve(lambda t: 200 / np.sqrt(t), 15),
    ),
    "variance": (
        regimes((1, normal(100, 25)), (16, uniform(0, 200))),
        _change((100, 25), (16, 100, 50)),
        _change((100, 50), (16, 100, 20)),
        regimes((1, uniform(50, 150)), (16, normal(100, 15))),
    ),
    "season": (wave(10, 30), wave(5, 50), wave(25, 40), wave(10, 30)),
    "two changes": (
        _change((100, 25), (16, 150, 30), (36, 80, 20)),
        _change((100, 25), (16, 60, 20), (36, 140, 30)),
        _change((100, 25), (16, 100, 50), (36, 100, 20)),
        _change((80, 20), (16, 120, 25), (36, 100, 22)),
    ),
    "spike or dip": (
        _change((100, 25), (16, 200, 35), (26, 100, 25)),
        _change((100, 25), (16, 50, 18), (26, 100, 25)),
        _change((100, 25), (16, 250, 40), (26, 120, 28)),
        _change((100, 25), (16, 40, 15), (26, 80, 22)),
    ),
    "autoregressive": tuple(
        autoregressive(*numbers) for numbers in ((0.7, 30, 20), (0.5, 50, 25), (0.3, 70, 30), (-0.3, 130, 25))
    ),
}  # fmt: skip


def demand_of(process: Process, rng: np.random.Generator, periods: int = PERIODS) -> tuple[np.ndarray, np.ndarray]:
    """Draw a history (5,) and the demand (periods,) of a game: whole units, at least 0."""
    first = np.arange(1, SAMPLES + 1) if process.history else np.ones(SAMPLES, int)
    drawn = process.draw(rng, first), process.draw(rng, np.arange(1, periods + 1))
    history, demand = (np.maximum(np.rint(units), 0) for units in drawn)
    return history, demand


def lead_times(setting: str, rng: np.random.Generator, periods: int = PERIODS) -> np.ndarray:
    """Draw the lead times (periods,) of the orders of each period under a setting of `LEADS`."""
    if setting == "stochastic":
        return np.array(ERRATIC)[rng.integers(len(ERRATIC), size=periods)]
    return np.full(periods, float(LEADS[setting]))


def wide(rng: np.random.Generator) -> Process:
    """Draw a process of the ten kinds with other numbers: level, variance, change points, slopes, seasons, memory."""
    level, cv = 100 * math.exp(rng.uniform(-1.2, 1.2)), rng.uniform(0.1, 0.5)
    kind = list(VARIANTS)[rng.integers(len(VARIANTS))]
    if kind == "stationary" or (kind == "variance" and rng.random() < 0.3):
        half = level * min(math.sqrt(3) * cv, 1)
        return regimes((1, _either(rng, level, cv, half)))
    if kind in ("trend up", "trend down"):
        return _wide_trend(rng, level, cv, kind == "trend up")
    if kind == "season":
        period, amplitude, phase = rng.uniform(4, 30), level * rng.uniform(0.15, 0.6), rng.uniform(0, 2 * math.pi)
        phase = phase if rng.random() < 0.5 else 0.0
        return curve(lambda t: level + amplitude * np.sin(2 * math.pi * t / period + phase), level * cv)
    if kind == "autoregressive":
        phi = rng.uniform(-0.5, 0.85)
        return autoregressive(phi, level * (1 - phi), level * cv * math.sqrt(1 - phi**2), level)
    count = 2 if kind in ("two changes", "spike or dip") else 1
    at = np.sort(rng.choice(np.arange(5, 47), count, replace=False)).tolist()
    log = {"mean up": (0.3, 1.2), "mean down": (-1.2, -0.3), "variance": (0, 0)}.get(kind, (-1.1, 1.1))
    levels = [level * math.exp(rng.uniform(*log)) for _ in at]
    if kind == "spike or dip":
        levels[1] = level * (1 if rng.random() < 0.5 else rng.uniform(0.7, 1.3))
    parts = [(1, _either(rng, level, cv, level * min(math.sqrt(3) * cv, 1)))]
    for first, mean in zip(at, levels, strict=True):
        spread = rng.uniform(0.1, 0.5) if kind == "variance" else cv * rng.uniform(0.7, 1.3)
        parts.append((first, _either(rng, mean, spread, mean * min(math.sqrt(3) * spread, 1))))
    return regimes(*parts)


def _either(rng: np.random.Generator, mean: float, cv: float, half: float) -> Draw:
    """Return an even demand between mean - half and mean + half once in five times, else a normal one."""
    return uniform(mean - half, mean + half) if rng.random() < 0.2 else normal(mean, mean * cv)


def _wide_trend(rng: np.random.Generator, level: float, cv: float, up: bool) -> Process:
    """Draw a linear, a geometric or a power trend; the standard deviation stays, or grows with the period's root."""
    form, growing = rng.integers(3), up and rng.random() < 0.5
    std: Callable | float = (lambda t: level * cv * np.sqrt(t)) if growing else level * cv
    if form == 0:
        slope = level * math.exp(rng.uniform(math.log(0.01), 0)) if up else -level * rng.uniform(0.008, 0.02)
        base, least = (level * rng.uniform(0, 1) if up else level), 0.2 * level
        return curve(lambda t: np.maximum(base + slope * t, least if not up else 0), std)
    if form == 1:
        rate = math.log(rng.uniform(1.01, 1.06) if up else rng.uniform(0.95, 0.99))
        return curve(lambda t: level * np.exp(rate * t), std if up else level * min(cv, 0.2))
    power = rng.uniform(0.2, 1.0) if up else -rng.uniform(0.2, 0.6)
    return curve(lambda t: level * t**power, std if up else level * min(cv, 0.15))


@dataclass(frozen=True)
class Game:
    """A game: what is told at its start, and what will come."""

    name: str  # folder in the benchmark
    pattern: str
    setting: str  # of `LEADS`
    history: np.ndarray  # (5,) units
    demand: np.ndarray  # (T,) units
    lead: np.ndarray  # (T,) periods, `LOST` for an order that never arrives
    promised: int  # lead time, periods
    profit: float  # money per unit sold, where a unit left costs 1
    history_end: int = SAMPLES  # period of the last sample, where the first one that is played is 1


def draw_games(number: int) -> list[Game]:
    """Draw the 720 games of the benchmark anew: forty processes x two demands x three lead times x three profits.

    The three profits and lead times share a demand, and all stochastic games one sequence of lead times, as there.

    Args:
        number: of the draw, from 0 on; all draws are held out.
    """
    processes = [(p, v, process) for p, variants in VARIANTS.items() for v, process in enumerate(variants, 1)]
    drawn, games = [each for each in processes for _ in range(REALISATIONS)], []
    keys = test_keys(DRAW * number + np.arange(len(drawn)))
    sequence = lead_times("stochastic", next(streams(keys[:1], LEAD_TIME)))
    for k, ((pattern, variant, process), rng) in enumerate(zip(drawn, streams(keys, DEMAND), strict=True)):
        history, demand = demand_of(process, rng)
        for setting, promised in LEADS.items():
            lead = sequence if setting == "stochastic" else np.full(PERIODS, float(promised))
            for ratio, profit in RATIOS.items():
                place = f"{pattern.replace(' ', '_')}/v{variant}/r{k % REALISATIONS + 1}_{ratio}"
                name = f"synthetic_trajectory/lead_time_{setting}/{place}"
                games.append(Game(name, pattern, setting, history, demand, lead, promised, profit))
    return games
