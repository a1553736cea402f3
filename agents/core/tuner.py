"""Tuning of heuristics: candidates are scored on the same training scenarios, and a pattern search improves the best.

Shapes: n scenarios, a parameter block (..., I) of any shape, whose last axis are items that are scored apart, or 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, product, takewhile
from typing import Any

import numpy as np

from ...envs.core.contract import Policy


def tiled(scenario: dict[str, np.ndarray], times: int) -> dict[str, np.ndarray]:
    """Return scenarios (n, ...) one after the other `times` over (times x n, ...): all rows of a candidate together."""
    return {name: np.concatenate([block] * times) for name, block in scenario.items()}


@dataclass
class Score:
    """What candidates earn on scenarios, the same for all of them (common random numbers)."""

    names: Sequence[str]  # of the parameters: the first axis of a candidate
    policy: Callable[[dict[str, np.ndarray]], Policy]  # of parameters (rows, ...), a row per candidate and scenario
    earned: Callable[[Policy, dict], np.ndarray]  # a policy's profit on scenarios by row and item (rows, I)
    scenario: dict[str, np.ndarray]  # of n rows
    rows: int = 2**62  # candidates x scenarios that are run in one batch
    bar: Any = None  # to count candidates on

    def __call__(self, candidates: np.ndarray) -> np.ndarray:
        """Return the mean profit (count, I) of candidates (count, parameters, ...)."""
        n = len(next(iter(self.scenario.values())))
        size, scores = max(1, self.rows // n), []
        for part in (candidates[i : i + size] for i in range(0, len(candidates), size)):
            values = {name: np.repeat(part[:, k], n, axis=0) for k, name in enumerate(self.names)}
            earned = self.earned(self.policy(values), tiled(self.scenario, len(part)))
            scores.append(earned.reshape(len(part), n, -1).mean(axis=1))
            if self.bar is not None:
                self.bar.update(len(part))
        return np.concatenate(scores)


def pattern_search(
    score: Callable[[np.ndarray], np.ndarray],
    candidates: np.ndarray,
    moves: Sequence[np.ndarray],
    steps: Sequence[np.ndarray],
    allowed: Callable[[np.ndarray], np.ndarray],
    tolerance: float = 1e-9,
    sweeps: int | None = None,
    joint: int = 0,
) -> np.ndarray:
    """Return each item's best parameters: the best candidate, then moves by shrinking steps as long as they help.

    Pattern search (Hooke and Jeeves 1961, Journal of the ACM 8(2)), all items side by side, each by its own score.

    Args:
        score: of candidates (count, ..., I), as (count, I), or (count, 1) where all items are scored as one.
        candidates: (count, ..., I), the first ones.
        moves: sets of moves (count, ..., 1 or I) in multiples of the step; a sweep tries one set after the other.
        steps: (..., I) or numbers, from coarse to fine: the next one is taken when a sweep has not helped.
        allowed: the nearest allowed parameters.
        tolerance: share of the score by which a move must improve it.
        sweeps: with one step at the most; None: as many as help.
        joint: how many moves in a row change one parameter alone; the best of each, all at once, are then a move as
            well. 0: none.
    """
    scores = score(candidates)
    best, value = _chosen(candidates, scores)
    for step in steps:
        for _ in count() if sweeps is None else range(sweeps):
            moved = False
            for one_set in moves:
                tried = allowed(best + one_set * step)
                scores = score(tried)
                if joint:
                    together = _joint(best, value, tried, scores, joint)[None]
                    tried, scores = np.concatenate([tried, together]), np.concatenate([scores, score(together)])
                choice, profit = _chosen(tried, scores)
                better = profit > value + tolerance * np.abs(value)
                best, value = np.where(better, choice, best), np.where(better, profit, value)
                moved |= bool(better.any())
            if not moved:
                break
    return best


def bar(steps, name: str, progress: bool):
    """Return the steps, with a bar where `progress` asks for one; without steps (None) a bar to count on, or None."""
    if not progress:
        return steps
    from tqdm import tqdm

    return tqdm(steps, desc=name, leave=False, disable=None)


def neighbourhood(parameters: int) -> np.ndarray:
    """Return the moves (3^parameters - 1, parameters, 1) to all neighbours of a point, diagonals among them."""
    return np.array([move for move in product((-1, 0, 1), repeat=parameters) if any(move)], dtype=float)[:, :, None]


def coordinates(shape: Sequence[int], factors: Sequence[float]) -> np.ndarray:
    """Return the moves (numbers x factors, *shape, 1) that change one number of a block alone, by each factor."""
    numbers = int(np.prod(shape))
    moves = np.eye(numbers)[:, None] * np.asarray(factors, dtype=float)[:, None]
    return moves.reshape(-1, *shape, 1)


def halved(step, smallest) -> list[np.ndarray]:
    """Return a step, half of it, and so on, as long as any number of it is above the smallest."""
    return list(takewhile(lambda now: np.any(now > smallest), (np.asarray(step) / 2**k for k in count())))


def _chosen(candidates: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each item's best candidate (..., I) and its score (I,), or (1,) where all items are scored as one."""
    choice = scores.argmax(axis=0)
    each = np.arange(candidates.shape[-1])
    return np.moveaxis(candidates[choice, ..., each], 0, -1), scores[choice, np.arange(len(choice))]


def _joint(best: np.ndarray, value: np.ndarray, tried: np.ndarray, scores: np.ndarray, factors: int) -> np.ndarray:
    """Return `best` (..., I) with each number's best move done, where it helps: all of them at once."""
    joint, each = best.copy(), np.arange(best.shape[-1])
    for k, place in enumerate(np.ndindex(best.shape[:-1])):
        own = slice(k * factors, (k + 1) * factors)
        pick = scores[own].argmax(axis=0)
        profit = scores[own][pick, np.arange(len(pick))]
        joint[place] = np.where(profit > value, tried[own][(pick, *place, each)], best[place])
    return joint
