"""New items: without an observed day of its own, an item is forecast as one of its category, not known which.

Its distribution is the mixture of its category's forecasts, as if it were drawn from them at random (they are
exchangeable: Gelman et al. 2013, Bayesian Data Analysis, chapter 5). So it is as wide as the category is varied. The
category's own prices and promotions of the horizon are in it, not those of the new item.
"""

import numpy as np
import torch

from ..data import Panel
from .censored import tells_nothing
from .distribution import at_levels

_GRID = (torch.arange(100) + 0.5) / 100  # levels at which a member's quantile function enters the mixture


def new_items(history: Panel) -> list[tuple[np.ndarray, np.ndarray]]:
    """Columns of items without an observed day, and of those that stand in for them; a pair per category.

    These are the observed items of the same category, or of the whole store where there are none or the panel has no
    categories. No pair when no item at all was observed.
    """
    seen = (~np.isnan(history.units) & ~tells_nothing(history))[~history.closed].any(axis=0)
    category = np.array(history.category or [""] * len(seen))
    pairs = []
    for name in np.unique(category[~seen]):
        inside = category == name
        members = np.flatnonzero(inside & seen)
        pairs.append((np.flatnonzero(inside & ~seen), members if len(members) else np.flatnonzero(seen)))
    return [pair for pair in pairs if len(pair[1])]


def mixture_at_levels(quantiles: torch.Tensor, scale: torch.Tensor, tail: float, levels: torch.Tensor) -> torch.Tensor:
    """Quantiles of the mixture at `levels` (Q,), units (H, Q), from those of its members: see `at_levels`."""
    grid = _GRID.expand(*scale.shape, -1)
    values = at_levels(quantiles, scale, tail, grid).transpose(0, 1).flatten(1)  # (H, members * grid)
    return torch.quantile(values, levels, dim=1).T


def mixture_of_paths(paths: np.ndarray, members: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Paths (count, paths, H) of new items: each is a member's, drawn from `paths` (I, paths, H), whole."""
    chosen = np.random.default_rng(seed).choice(members, size=(count, paths.shape[1]))
    return paths[chosen, np.arange(paths.shape[1])]
