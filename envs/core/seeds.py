"""The ledger of seed streams: which scenarios belong to which purpose. No two purposes ever share one.

A scenario's key is a pair of 64-bit numbers (seed, episode). Purposes lie apart in it:

| purpose | seed | episode |
|---|---|---|
| training of a learner | its block, from `TRAINING` on | 0, 1, ... up to 2^62 |
| evolution of a learner | its block, from `EVOLUTION` on | 0, 1, ... up to 2^62 |
| recorded history, tuning, curve, validation, data sets, prizes | from the purpose's first seed on | 0 |
| what a policy imagines | any | 2^62 and on |
| held-out test | any | 2^63 and on |

A learner with the seed s has a block of a million seeds for each of its two purposes: from 1,000,000 s on for s below
`BLOCKS`, and from 2^32 s on for the others, where no other purpose reaches. `gym.make(...).reset(seed=s)` walks through
(s, 0), (s, 1), ...: a user's own episodes are training.
"""

import numpy as np

from ...errors import FieldError

BLOCK = 1_000_000  # seeds of a learner
BLOCKS = 400  # learners whose blocks lie one behind the other, below the other purposes
START = 100_000  # seeds at the end of an evolution's block, that its first policy is looked for on
LARGEST_SEED = 2**31 - 1  # of a learner or an evaluation
TRAINING, EVOLUTION = 0, 500_000_000  # first seeds of the learners' blocks
# Purposes that belong to no learner -> their first seed and how many there are.
PURPOSES = {
    "history": (900_000_000, 100_000_000),
    "tuning": (1_000_000_000, 100_000_000),
    "curve": (1_100_000_000, 100_000_000),
    "validation": (1_200_000_000, 100_000_000),
    "dataset": (1_300_000_000, 700_000_000),
    "prizes": (2_000_000_000, 2_000_000_000),
}
IMAGINED, TEST = 2**62, 2**63  # first episodes


def purpose_seeds(purpose: str, count: int, first: int = 0) -> np.ndarray:
    """Return `count` seeds (count,) int64 of a purpose that belongs to no learner, from its `first` one on.

    Raises:
        FieldError: more than the purpose has.
    """
    start, size = PURPOSES[purpose]
    if not 0 <= first <= first + count <= size:
        raise FieldError("seeds", first + count, f"at most {size:,} scenarios for {purpose}")
    return start + first + np.arange(count)


def training_seeds(seed: int, rows: int) -> np.ndarray:
    """Return the seeds (rows,) int64 of the rows of a learner's batch; raises FieldError for more than a million."""
    return _block(TRAINING, seed) + _rows(rows, BLOCK)


def evolution_keys(seed: int, first: int, count: int) -> np.ndarray:
    """Return the keys (count, 2) uint64 of an evolution's training seasons `first`, `first + 1`, ..."""
    season, size = first + np.arange(count), BLOCK - START
    return np.stack([_block(EVOLUTION, seed) + season % size, season // size], axis=1).astype(np.uint64)


def evolution_start(seed: int, count: int) -> np.ndarray:
    """Return the seeds (count,) int64 of the seasons that an evolution's first policy is looked for on."""
    return _block(EVOLUTION, seed) + BLOCK - START + _rows(count, START)


def test_keys(seeds) -> np.ndarray:
    """Return the keys (n, 2) uint64 of held-out scenarios with the seeds (n,)."""
    seeds = np.asarray(seeds, dtype=np.uint64)
    return np.stack([seeds, np.full_like(seeds, TEST)], axis=1)


def imagined_keys(seed: int, count: int) -> np.ndarray:
    """Return the keys (count, 2) uint64 of scenarios that a policy draws to plan by: never those that are played."""
    episode = np.uint64(IMAGINED) + np.arange(count, dtype=np.uint64)
    return np.stack([np.full(count, seed, np.uint64), episode], axis=1)


def _block(first: int, seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
        raise FieldError("seed", seed, f"an integer from 0 to {LARGEST_SEED}")
    return first + (BLOCK * int(seed) if seed < BLOCKS else int(seed) << 32)


def _rows(count: int, largest: int) -> np.ndarray:
    if count > largest:
        raise FieldError("num_envs", count, f"at most {largest:,}")
    return np.arange(count)
