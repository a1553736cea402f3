"""The families of problems that one network serves, and how it orders in them: in units of a problem's own demand.

All functions take their array module, `xp`: NumPy to act, torch to learn. A problem is a dict of arrays: `lost_sales`
and `dual_sourcing` make one, `stacked` many. A state is the stock on hand less the backlog (...,), units, and what is
on order (..., LONGEST), the next period's arrivals first. Orders are residuals of a rule in closed form.
"""

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from ...envs.inventory.references.newsvendor import critical_level

LONGEST = 8  # periods of lead time
PATHS = 32  # of demand, that stock is projected on: a quantile range of each period's demand in each
HIDDEN = (128, 128)  # units of the network's hidden layers
OUTPUTS = {"order": 1, "express": 1, "regular": 2}  # of each part of a network
SHARE = 0.25  # deviations of demand that an output of 1 of the network stands for


def moments(pmf: np.ndarray) -> tuple[float, float, float]:
    """Return the mean, the standard deviation and the skewness of a demand with probabilities (K,)."""
    units = np.arange(len(pmf))
    mean = float(pmf @ units)
    deviation = units - mean
    std = math.sqrt(max(float(pmf @ deviation**2), 1e-12))
    return mean, std, float(pmf @ deviation**3) / std**3


def strata(pmf: np.ndarray) -> np.ndarray:
    """Return the mean demand (PATHS,) in each of as many equally likely ranges of it."""
    cumulative, held = np.cumsum(pmf), np.cumsum(pmf * np.arange(len(pmf)))
    ends = np.interp(np.linspace(0, 1, PATHS + 1), np.r_[0, cumulative], np.r_[0, held])
    return PATHS * np.diff(ends)


def lost_sales(pmf: np.ndarray, lead_time: int, ratio: float, max_order: float, rng: np.random.Generator) -> dict:
    """Return a lost-sales problem.

    Args:
        pmf: P(D = k) of a period's demand at index k.
        lead_time: periods, at most LONGEST.
        ratio: what a lost sale costs in holding costs of a unit and period, > 0.
        max_order: units, the largest order.
        rng: orders the demands of the paths (McKay, Beckman and Conover 1979).
    """
    mean, std, skew = moments(pmf)
    level = critical_level(pmf, 1.0, ratio)
    top, z = min(float(max_order), float(level)), (level - mean) / std
    paths = rng.permuted(np.broadcast_to(strata(pmf), (LONGEST + 1, PATHS)), axis=1)
    paths[lead_time:LONGEST] = 0.0
    span = math.sqrt(lead_time + 1)
    normal = NormalDist().inv_cdf(ratio / (1 + ratio))
    known = [
        lead_time / LONGEST, span, 1 / span, float(lead_time == 0), z, math.log(ratio), normal, math.log(std), 1 / std,
        math.log(mean / std), std / mean, min(skew, 5.0), (top - mean) / std, top / max(level, 1),
    ]  # fmt: skip
    mask = (np.arange(LONGEST) < lead_time - 1).astype(float)
    place = (np.arange(LONGEST) == lead_time - 1).astype(float)
    numbers = {
        "mean": mean,
        "std": std,
        "top": top,
        "safety": z,
        "lead": lead_time,
        "ratio": ratio,
        "now": float(lead_time == 0),
    }
    return numbers | {"mask": mask, "place": place, "paths": paths, "known": np.array(known)}


def lost_sales_orders(xp, network: dict, p: dict, stock, pipeline) -> tuple:
    """Return the orders (..., 1) of a network in units, not whole, and the features that it saw."""
    mean, std, paths = p["mean"], p["std"], p["paths"]
    left, seen = stock[..., None], []
    for k in range(LONGEST):
        left = positive(xp, left - paths[..., k, :]) + pipeline[..., k, None]
        seen.append(left.mean(-1))
    expected = seen[-1]  # stock when the order comes, without it
    varied = xp.sqrt(((left - expected[..., None]) ** 2).mean(-1) + 1e-6)
    lacking = paths[..., LONGEST, :] - left
    short = positive(xp, lacking).mean(-1)
    spread = xp.sqrt(((lacking - (mean - expected)[..., None]) ** 2).mean(-1) + 1e-6)
    empty = xp.exp(-left / std[..., None]).mean(-1)
    order = mean - expected + p["safety"] * std
    position = (stock + pipeline.sum(-1) - (p["lead"] + 1) * mean) / (std * (p["lead"] + 1) ** 0.5)
    each = (pipeline - mean[..., None]) / std[..., None] * p["mask"]
    rows = [
        *((x - mean) / std for x in (stock, *seen)),
        varied / std,
        short / std,
        spread / std,
        empty,
        order / std,
        position,
    ]
    features = joined(xp, xp.stack(rows, -1), each[..., : LONGEST - 1], p["known"])
    order = order + std * forward(xp, network, features)[..., 0]
    return order[..., None], (features,)


def dual_sourcing(
    pmf: np.ndarray, leads: tuple[int, int], ratio: float, premium: float, tops: tuple[float, float]
) -> dict:
    """Return a problem with a regular and a faster, dearer source, and backorders.

    Args:
        pmf: P(D = k) of a period's demand at index k.
        leads: periods of the regular and the express source, LONGEST >= regular > express.
        ratio: what a unit that waits costs a period, in holding costs of a unit and period.
        premium: what a unit costs more from the express source, in the same.
        tops: units, the largest regular and express order.
    """
    mean, std, skew = moments(pmf)
    regular, express = leads
    saved = regular - express
    spans = [math.sqrt(regular + 1), math.sqrt(express + 1)]
    share = max(ratio - premium / saved, 0.1) / (ratio + 1)  # of the demand that express orders are to cover
    safety = [NormalDist().inv_cdf(x) for x in (ratio / (1 + ratio), min(max(share, 0.05), 0.99))]
    room = (min((top - mean) / std, 6.0) for top in tops)
    known = [
        regular / LONGEST, express / LONGEST, saved / LONGEST, *spans, *(1 / s for s in spans), *safety,
        math.log(ratio), math.log(premium), math.log(premium / saved), premium / saved / (ratio + 1),
        math.log(std), 1 / std, math.log(mean / std), std / mean, min(skew, 5.0), *room, float(saved == 1),
    ]  # fmt: skip
    mask = (np.arange(LONGEST) < saved - 1).astype(float)
    places = [(np.arange(LONGEST) == lead - 1).astype(float) for lead in leads]
    soon = (np.arange(LONGEST) < express).astype(float)
    # later[j, k] = 1 where what arrives in k + 1 periods is the j-th of those after an express order
    later = np.stack([np.arange(LONGEST) == express + j for j in range(LONGEST)]).astype(float)
    numbers = {
        "mean": mean,
        "std": std,
        "tops": np.array(tops),
        "levels": np.array(spans) * safety * std + mean * (np.array(leads) + 1),
    }
    numbers |= {"regular": regular, "express": express, "ratio": ratio, "premium": premium, "now": float(express == 0)}
    return numbers | {
        "mask": mask,
        "places": np.stack(places),
        "soon": soon,
        "later": later * mask[:, None],
        "known": np.array(known),
    }


def dual_sourcing_orders(xp, network: dict, p: dict, stock, pipeline) -> tuple:
    """Return the orders (..., 2) of a network, of the regular and the express source, units, not whole, and features.

    The express order raises what is there in time to a level that follows what arrives later; the regular one
    sees it. The regular order raises the whole position to a level, but for a cap: a capped dual-index policy whose
    numbers follow the state.
    """
    mean, std = p["mean"], p["std"]
    position = stock + (pipeline * p["soon"]).sum(-1)
    later = (p["later"] * pipeline[..., None, :]).sum(-1)  # (..., LONGEST)
    each = (later - mean[..., None]) / std[..., None] * p["mask"]
    ahead = xp.cumsum(each, -1)
    rest = joined(xp, each[..., : LONGEST - 1], ahead[..., : LONGEST - 1], p["known"])
    level = p["levels"][..., 1] + std * forward(xp, network, rest, "express")[..., 0]
    express = positive(xp, level - position)
    express = xp.minimum(express, p["tops"][..., 1] + 0 * express)
    raised = (position + express - (p["express"] + 1) * mean) / std
    all_of_it = position + express + later.sum(-1)
    regular = positive(xp, p["levels"][..., 0] - all_of_it)
    rows = [raised, regular / std, (all_of_it - p["levels"][..., 0]) / std]
    seen = joined(xp, xp.stack([*rows, *(raised + ahead[..., k] for k in range(LONGEST - 1))], -1), rest)
    more = std[..., None] * forward(xp, network, seen, "regular")  # of the level, and of the cap
    regular = xp.minimum(p["levels"][..., 0] - all_of_it + more[..., 0], mean + more[..., -1])
    return xp.stack([regular, level - position], -1), (rest, seen)


def positive(xp, x):
    """Return x where it is above 0, else 0."""
    return np.maximum(x, 0) if xp is np else xp.relu(x)


def joined(xp, *parts: Any):
    """Return features (..., F) of parts, of which some are the same for all rows."""
    rows = parts[0].shape[:-1]
    return xp.concatenate([xp.broadcast_to(part, (*rows, part.shape[-1])) for part in parts], -1)


def forward(xp, network: dict, features, name: str = "order"):
    """Return the outputs (..., O) of one of a network's parts at features (..., F): 0 of an empty network."""
    if not network:
        return 0 * features[..., :1]
    x = xp.clip((features - network[f"{name}.mean"]) / network[f"{name}.std"], -10, 10)
    for k in range(len(HIDDEN)):
        x = x @ network[f"{name}.{k}.weight"] + network[f"{name}.{k}.bias"]
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0))) if xp is np else xp.nn.functional.elu(x)
    k = len(HIDDEN)
    return (x @ network[f"{name}.{k}.weight"] + network[f"{name}.{k}.bias"]) * SHARE


def stacked(problems: list[dict]) -> dict:
    """Return many problems as one, with their arrays one above the other, float32."""
    return {name: np.stack([np.asarray(p[name], dtype=np.float32) for p in problems]) for name in problems[0]}
