"""What forecasts of days not trained on say of a blend of forecasters: its weights, and its spread by demand class.

The spread is corrected in normal scores: a day's units stand at a level of the forecast made for it, and the root mean
square of these levels' normal quantiles is 1 where the forecast is as wide as its errors. Units are whole, many days
have none: the level is drawn from where the quantile function is flat (Smith 1985's randomised transform). Levels move,
not units: zero and whole units stay what they are.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from .backtest import CLASSES
from .distribution import LEVELS, at_levels

_START, _PICKS = 2, 6  # times that each member is in the blend beforehand, and that one is added
_ROWS = 2000  # windows that weights are chosen on, at most
_SHRUNK_BY = 2000  # days of a class that weigh as much as those of all classes
_GRID = torch.arange(1, 200) / 200
_TIED = 0.02  # scales: as near as this, units that are not whole are the quantile's
_LEAST, _MOST = 0.7, 1.6  # of a spread's factor


@dataclass
class Window:
    """`N` forecasts of `H` days by `M` members that were trained on the days before, and what came."""

    quantiles: torch.Tensor  # (M, N, H, Q) units, at LEVELS
    scale: torch.Tensor  # (N, H) units, 0 on closed days
    units: torch.Tensor  # (N, H), NaN = not observed, closed
    classes: np.ndarray  # (N,) demand classes
    whole: bool  # units are whole
    windows: int = 1  # origins

    @classmethod
    def joined(cls, windows: "list[Window]") -> "Window":
        parts = (
            torch.cat([window.quantiles for window in windows], dim=1),
            *(torch.cat([getattr(window, name) for window in windows]) for name in ("scale", "units")),
        )
        return cls(*parts, np.concatenate([window.classes for window in windows]), windows[0].whole, len(windows))

    def of(self, members: list[int]) -> "Window":
        """The same of some members."""
        return replace(self, quantiles=self.quantiles[members])

    def blend(self, weights: list[float]) -> torch.Tensor:
        """(N, H, Q)"""
        return torch.einsum("m,mnhq->nhq", torch.tensor(weights), self.quantiles)


def weights_of(window: Window) -> list[float]:
    """Weights of the members, by greedy selection with replacement (Caruana et al. 2004, ICML) on the pinball loss.

    Each member is in it twice beforehand, so that weights are drawn to equal ones. An item counts by the root of its
    scale: neither the best sellers alone decide, nor the many that hardly sell.
    """
    rows = np.linspace(0, len(window.units) - 1, min(_ROWS, len(window.units))).astype(int)
    quantiles, units, level = window.quantiles[:, rows], window.units[rows, :, None], torch.tensor(LEVELS)
    weight = window.scale[rows].amax(dim=1).clamp(min=1e-9).rsqrt()[:, None, None]

    def loss(counts: list[int]) -> float:
        error = units - torch.einsum("m,mnhq->nhq", torch.tensor(counts) / sum(counts), quantiles)
        return float((torch.maximum(level * error, (level - 1) * error) * weight).nanmean())

    counts = [_START] * len(quantiles)
    for _ in range(_PICKS):
        added = [[n + (k == place) for k, n in enumerate(counts)] for place in range(len(counts))]
        counts = min(added, key=loss)
    return [n / sum(counts) for n in counts]


@dataclass
class Spread:
    """Factors of a blend's spread by demand class, in normal scores, where its tail is `tail`."""

    factors: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CLASSES, 1.0))
    tail: float = 0.0

    @classmethod
    def fitted(cls, blend: torch.Tensor, window: Window, tail: float, seed: int) -> "Spread":
        """From the blend (N, H, Q) of past windows; few of them, or few days of a class, draw its factor to 1."""
        values = at_levels(blend, window.scale, tail, _GRID.expand(*blend.shape[:2], -1))
        units = window.units[..., None]
        tied = torch.tensor(0.5) if window.whole else _TIED * window.scale[..., None]
        below, up_to = (values < units - tied).sum(dim=-1), (values <= units + tied).sum(dim=-1)
        chance = torch.rand(below.shape, generator=torch.Generator().manual_seed(seed))
        level = (below + chance * (up_to + 1 - below)) / (len(_GRID) + 1)
        square = torch.special.ndtri(level.clamp(0.002, 0.998)) ** 2
        square, seen = square.numpy(), ~window.units.isnan().numpy()
        whole = square[seen].mean()
        factors = {}
        for name in CLASSES:
            own = square[(window.classes == name)[:, None] & seen]
            factor = np.sqrt((own.sum() + _SHRUNK_BY * whole) / (len(own) + _SHRUNK_BY))
            factors[name] = float(np.clip(1 + (factor - 1) * window.windows / (window.windows + 1), _LEAST, _MOST))
        return cls(factors, tail)

    def applied(self, quantiles: torch.Tensor, scale: torch.Tensor, classes: np.ndarray) -> torch.Tensor:
        """Quantiles (N, H, Q) at LEVELS, spread by the factors of the items' classes (N,)."""
        factor = torch.tensor([self.factors[name] for name in classes])
        if (factor == 1).all():
            return quantiles
        level = torch.special.ndtr(factor[:, None] * torch.special.ndtri(torch.tensor(LEVELS)))
        return at_levels(quantiles, scale, self.tail, level[:, None].expand(quantiles.shape)).clamp(min=0)
