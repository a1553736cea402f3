"""More of the long tail: exposure-aware re-ranking of lists, and purchases in the training replaced by rarer ones."""

import numpy as np
import torch

from ..errors import FieldError
from .base import Histories, Log, top
from .neighbours import gram_matrix

_ALIKE = 5  # substitutes of an item, the most similar ones


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


def rarer_alike(log: Log, features: np.ndarray | None = None) -> np.ndarray:
    """(I, 5) for each item the most similar ones that have fewer buyers, but any; -1 where there are fewer than five.

    Similar by the cosine of their `features` (I, columns), without them by the cosine of their buyers.
    """
    if features is None or not features.any():
        table = gram_matrix(log).astype(float)
        norm = np.sqrt(np.diag(table))
    else:
        table, norm = features.astype(float) @ features.T.astype(float), np.linalg.norm(features, axis=1)
    table /= np.maximum(np.outer(norm, norm), 1e-9)
    buyers = np.asarray(log.histories.bought(len(log.items)).sum(axis=0))
    table[(buyers >= buyers[:, None]) | (buyers == 0)] = 0.0
    found = np.argsort(-table, axis=1, kind="stable")[:, :_ALIKE]
    return np.where(np.take_along_axis(table, found, axis=1) > 1e-9, found, -1)


def substituted(
    user: np.ndarray, item: np.ndarray, alike: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """(N,) items of purchases (N,) of which a share is replaced by a rarer item like it, `alike` by `rarer_alike`.

    All purchases of an item by a user are replaced together. A substitute is new to the user, and stands for one item
    of theirs; an item without such a substitute stays. Substitution as in CoSeRec (Liu et al. 2021, arXiv:2108.06479),
    here always by rarer items.
    """
    pairs, inverse = np.unique(user * len(alike) + item, return_inverse=True)
    owner, old = np.divmod(pairs, len(alike))
    near = alike[old]
    able = (near >= 0) & ~np.isin(owner[:, None] * len(alike) + near, pairs)
    chance = np.where(able, rng.random(near.shape), -1.0)
    new = np.take_along_axis(near, chance.argmax(axis=1)[:, None], axis=1)[:, 0]
    drawn = np.flatnonzero((rng.random(len(pairs)) < share) & able.any(axis=1))
    drawn = drawn[np.unique(owner[drawn] * len(alike) + new[drawn], return_index=True)[1]]
    old[drawn] = new[drawn]
    return old[inverse]
