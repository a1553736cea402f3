"""The chance of the whole store, drawn before an episode: visits, traffic, and what the choices of a day take."""

import numpy as np

from ..core.demand import Days, DemandSource, RateDemand
from ..core.random import CHOICE, DISRUPTION, EXCHANGE, as_keys, streams
from .fulfilment import STREAMS
from .params import LARGEST_FACTOR, MarketplaceParams

WEEK = np.array([0.9, 0.85, 0.9, 1.0, 1.15, 1.25, 0.95])  # visits by weekday, of a mean day
NOISE = 20.0  # dispersion of the visits' day-to-day factor (negative binomial)
MEAN_VISITS = 100.0  # of a mean day in a source of visits
TRAFFIC = 0.3  # largest share of the fleet's capacity that traffic takes


def draw(model, seeds) -> dict[str, np.ndarray]:
    """Draw every random quantity of the episodes with the given seeds or keys, one row each.

    Returns:
        Over T = horizon + 1 days, for the last observation: `factor` (n, T, 1) of visits, mean 1 over days,
        `traffic` (n, T, 1) share of the fleet, `scores` (n, T, (S + 1) I) uniform with `ranking=random`; what the
        fidelity asks for (see `shopping`; `thin` (n, T, k I) uniform); and what is observed: `calendar`,
        `forecast` (n, T, Q), `exchange` (n, T, S), `time_left` (n, T, 1). A row depends on its own seed alone.
    """
    p, keys, periods = model.params, as_keys(seeds), model.horizon + 1
    ahead = p.lead_time + 1
    drawn = model.source.draw(keys, periods + ahead * (p.forecast == "oracle"))
    factor = np.minimum(drawn["demand"] / np.float32(MEAN_VISITS), np.float32(LARGEST_FACTOR))
    scenario = {"factor": factor[:, :periods]}
    traffic = np.stack([rng.random((periods, 1)) for rng in streams(keys, DISRUPTION)])
    scenario["traffic"] = (TRAFFIC * traffic).astype(np.float32)
    rows = [_choices(model, rng, days) for rng, days in zip(streams(keys, CHOICE), scenario["factor"], strict=True)]
    scenario |= {name: np.stack([row[name] for row in rows]) for name in (rows[0] if rows else {})}
    if "calendar" in model._signals:
        scenario["calendar"] = drawn["calendar"][:, :periods]
    if p.forecast == "model":
        scenario["forecast"] = drawn["forecast"][:, :, 0] / (MEAN_VISITS * ahead)
    elif p.forecast == "oracle":
        window = np.cumsum(np.concatenate([factor[:, :1] * 0, factor], axis=1), axis=1)
        mean = (window[:, ahead : ahead + periods] - window[:, :periods]) / ahead
        scenario["forecast"] = np.repeat(mean, len(p.quantiles), axis=2)
    if p.exchange:
        scenario["exchange"] = np.stack([_rates(p, rng, periods) for rng in streams(keys, EXCHANGE)])
    if "time_left" in model._signals:
        scenario["time_left"] = model.time_left(len(keys), float)
    return scenario


def _rates(p: MarketplaceParams, rng: np.random.Generator, periods: int) -> np.ndarray:
    """Return the rates of exchange (periods, S) over those at the start: geometric random walks of mean 1."""
    deviation = np.array([market.volatility for market in p.countries])
    steps = deviation * rng.standard_normal((periods, p.segments)) - deviation**2 / 2
    steps[0] = 0
    return np.exp(np.cumsum(steps, axis=0)).astype(np.float32)


def _choices(model, rng: np.random.Generator, factor: np.ndarray) -> dict[str, np.ndarray]:
    p, periods = model.params, model.horizon + 1
    drawn = {}
    if p.ranking == "random":
        drawn["scores"] = rng.random((periods, (p.segments + 1) * p.items), dtype=np.float32)
    if p.fidelity == "fast":
        return drawn | {"uniform": rng.random((periods, p.items))}
    largest_rate = np.maximum(model._largest_rate * factor, 1e-6)
    many = model._candidates
    candidates = np.minimum(rng.poisson(largest_rate), many).astype(np.float32)
    uniform = rng.random((2, periods, many), dtype=np.float32)
    noise = rng.gumbel(size=(periods, many * (p.page_size + 1))).astype(np.float32)
    thin = rng.random((periods, (p.promise + STREAMS) * p.items), dtype=np.float32)
    drawn |= {} if model.routes is None else model.routes.draw(rng, periods)
    return drawn | {
        "largest_rate": largest_rate,
        "candidates": candidates,
        "who": uniform[0],
        "lets": uniform[1],
        "noise": noise,
        "thin": thin,
    }


def default_source() -> DemandSource:
    """Return visits of ten years with a weekly pattern and day-to-day noise."""
    days = np.arange(3650)
    angle = 2 * np.pi * days / 7
    calendar = Days(calendar=np.stack([np.sin(angle), np.cos(angle)], axis=1))
    return RateDemand(MEAN_VISITS * WEEK[days % 7][:, None], NOISE, calendar)
