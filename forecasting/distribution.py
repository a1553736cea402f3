"""From a few quantiles a day to a whole distribution: any level, the mean, and paths with correlated days.

Between the network's levels the quantile function is linear; above the last one it goes on as an exponential tail.
Days are tied by a Gaussian copula (Nelsen 2006, 2.3) with correlation `share + (1 - share) * memory ** lag`: a part
that all days of a horizon have in common (the level was forecast too high or low), and one that fades.
"""

import math
from dataclasses import dataclass

import torch

# The nine deciles, and a tail head: nine deciles say nothing of the one day in ten that decides a stock level.
LEVELS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
TOP, NINTH = LEVELS[-1], LEVELS.index(0.9)
_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
_MEMORIES = (0.0, 0.3, 0.6, 0.8)
_CALIBRATION_PATHS = 100
_TRIMMED = 0.1  # share of the excesses, the highest ones
_OF_EXPONENTIAL = 1 + _TRIMMED * math.log(_TRIMMED) / (1 - _TRIMMED)  # mean of what is left, in means of all
_SUM_DAYS = (3, 7, 14, 28)  # the protection intervals that the copula is fitted for


@dataclass
class Dependence:
    """What the quantiles don't say, fitted on the past by `calibrate`; the defaults serve a panel too short for it."""

    tail: float = 0.6  # mean excess over the last quantile, in spreads (see `_spread`)
    share: float = 0.1
    memory: float = 0.3


def _spread(quantiles: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The unit of the tail, (B, H): from the ninth decile to the last quantile, and a part of the item's scale."""
    return quantiles[..., -1] - quantiles[..., NINTH] + 0.1 * scale


def at_levels(quantiles: torch.Tensor, scale: torch.Tensor, tail: float, level: torch.Tensor) -> torch.Tensor:
    """The quantile function at `level` (B, H, N) from `quantiles` (B, H, Q) at LEVELS, in units, (B, H, N)."""
    levels = torch.tensor(LEVELS, dtype=quantiles.dtype)
    clipped = level.clamp(LEVELS[0], TOP)
    low = (torch.bucketize(clipped, levels, right=True) - 1).clamp(0, len(LEVELS) - 2)
    slope = quantiles.diff(dim=-1) / levels.diff()
    # Intercept and slope of the piece: two gathers instead of four.
    intercept = quantiles[..., :-1] - slope * levels[:-1]
    inside = intercept.gather(-1, low) + slope.gather(-1, low) * clipped
    beyond = torch.log((1 - TOP) / (1 - level.clamp(TOP, 1 - 1e-7)))
    return inside + tail * _spread(quantiles, scale)[..., None] * beyond


def mean(quantiles: torch.Tensor, scale: torch.Tensor, tail: float) -> torch.Tensor:
    """The mean of that distribution, (B, H): the area under the quantile function."""
    levels = torch.tensor(LEVELS, dtype=quantiles.dtype)
    inside = ((quantiles[..., 1:] + quantiles[..., :-1]) / 2 * levels.diff()).sum(dim=-1)
    top = quantiles[..., -1] + tail * _spread(quantiles, scale)
    return LEVELS[0] * quantiles[..., 0] + inside + (1 - TOP) * top


def draw_noise(windows: int, horizon: int, paths: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard normal numbers: one per window and path (B, 1, N), and one per day as well (B, H, N)."""
    common = torch.randn((windows, 1, paths), generator=generator)
    return common, torch.randn((windows, horizon, paths), generator=generator)


def correlated_uniforms(noise: tuple[torch.Tensor, torch.Tensor], share: float, memory: float) -> torch.Tensor:
    """Uniform numbers (B, H, N) with the copula's correlation along H; every window and path on its own."""
    common, own = noise
    days = [own[:, 0]]
    for day in range(1, own.shape[1]):
        days.append(memory * days[-1] + math.sqrt(1 - memory**2) * own[:, day])
    return torch.special.ndtr(math.sqrt(share) * common + math.sqrt(1 - share) * torch.stack(days, dim=1))


def calibrate(quantiles: torch.Tensor, scale: torch.Tensor, units: torch.Tensor, seed: int) -> Dependence:
    """Fit the tail and the copula on past windows: quantiles (B, H, Q), scale and units (B, H), NaN = not observed.

    The tail is that of `mean_excess`; the copula is the one of a grid whose quantiles of sums over several
    days have the least pinball loss, a proper score of just what a stock level is made from.
    """
    excess = units - quantiles[..., -1]
    above = excess > 0  # False where NaN
    if not above.any():
        return Dependence()
    tail = mean_excess(excess[above], _spread(quantiles, scale)[above], scale[above])

    observed = ~units.isnan()
    lengths = [days for days in _SUM_DAYS if days <= units.shape[1]]
    actual = _sums(units.nan_to_num()[..., None], scale, lengths)  # (B, 1, S)
    noise = draw_noise(*units.shape, _CALIBRATION_PATHS, torch.Generator().manual_seed(seed))
    best = (math.inf, 0.0, 0.0)
    for share in _SHARES:
        for memory in _MEMORIES:
            level = correlated_uniforms(noise, share, memory)  # the same noise for every candidate
            drawn = at_levels(quantiles, scale, tail, level) * observed[..., None]
            loss = _pinball_of_samples(_sums(drawn, scale, lengths), actual)
            best = min(best, (loss, share, memory))
    return Dependence(tail, best[1], best[2])


def mean_excess(excess: torch.Tensor, spread: torch.Tensor, scale: torch.Tensor) -> float:
    """The mean of `excess`, all (N,), in spreads, as an exponential's of which the highest tenth is left out.

    A ratio of sums over items, each in its own scale: neither the largest item nor one far-out day decides it.
    """
    order = torch.argsort(excess / spread)
    weight = (spread / scale)[order].double().cumsum(dim=0)
    kept = order[weight <= max(float((1 - _TRIMMED) * weight[-1]), float(weight[0]))]
    return float((excess / scale)[kept].sum() / (spread / scale)[kept].sum()) / _OF_EXPONENTIAL


def _sums(units: torch.Tensor, scale: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """asinh of the sums over the first days, in scales: (B, H, N) -> (B, N, S)."""
    total, usual = units.cumsum(dim=1), scale.amax(dim=1, keepdim=True).clamp(min=1e-9)
    return torch.stack([torch.asinh(total[:, days - 1] / (usual * days)) for days in lengths], dim=-1)


def _pinball_of_samples(samples: torch.Tensor, actual: torch.Tensor) -> float:
    level = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
    ordered = samples.sort(dim=1).values
    place = (level * (samples.shape[1] - 1)).round().long()
    error = actual - ordered[:, place]  # (B, L, S)
    return float(torch.maximum(level[:, None] * error, (level[:, None] - 1) * error).mean())
