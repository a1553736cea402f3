"""Lists that show more of the long tail: exposure-aware re-ranking."""

import numpy as np
import torch

from ..errors import FieldError
from .base import Histories, top


def rerank(
    scores: torch.Tensor,
    histories: Histories,
    k: int,
    weight: float,
    in_stock: np.ndarray | None = None,
    repeats: bool = False,
) -> np.ndarray:
    """(U, k) lists as of `base.top`, drawn up user after user: each item's score, in standard deviations of the user's
    scores, loses `weight` x log(1 + how often the lists before have shown it). Weight 0 is `top` itself.

    The scores (U, I) are overwritten. Raises ValueError for a negative weight.
    """
    if not weight >= 0:
        raise FieldError("weight", weight, "a number from 0")
    scores -= scores.mean(dim=1, keepdim=True)
    scores /= scores.std(dim=1, keepdim=True).clamp(min=1e-9)
    shown = torch.zeros(scores.shape[1])
    lists = np.full((len(scores), k), -1)
    for user in range(len(scores)):
        row = scores[user : user + 1] - weight * shown.log1p()
        mine = in_stock if in_stock is None or np.ndim(in_stock) == 1 else in_stock[user : user + 1]
        lists[user] = top(row, histories.take(np.array([user])), k, mine, repeats)[0]
        shown[torch.from_numpy(lists[user][lists[user] >= 0])] += 1
    return lists
