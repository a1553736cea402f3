"""Random streams that depend on a scenario's key alone, never on the batch it is drawn in.

A scenario's key is a pair `(seed, episode)`. It keys a Philox generator (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"), whose streams for different keys are independent by design, so nothing has to be
hashed or stored: episode k after `reset(seed=s)` is the scenario `(s, k)`, drawn again at will.
"""

from collections.abc import Iterator

import numpy as np

from ...errors import FieldError

# What a stream is for: one block of Philox's counter space each.
DEMAND, LEAD_TIME, PATIENCE, CHOICE, YIELD, DISRUPTION, SUBSTITUTION, EXCHANGE = range(8)


def streams(keys: np.ndarray, purpose: int) -> Iterator[np.random.Generator]:
    """Yield a generator per row of `keys` (n, 2) uint64.

    It is one object, keyed anew at every step (1 us instead of 10): use it before asking for the next.
    """
    bits = np.random.Philox(0)
    rng = np.random.Generator(bits)
    state = bits.state
    state["state"]["counter"] = np.array([0, 0, 0, purpose], dtype=np.uint64)
    for key in keys:
        state["state"]["key"] = key
        bits.state = state
        yield rng


def as_keys(seeds) -> np.ndarray:
    """Turn seeds `(n,)` or keys `(n, 2)` into keys `(n, 2)` uint64; a bare seed is its first episode.

    Raises:
        FieldError: a seed that is not an integer of at least zero.
    """
    array = np.asarray(seeds)
    if array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise FieldError("seeds", seeds, "integers >= 0")
    if array.ndim == 1:
        array = np.stack([array, np.zeros_like(array)], axis=1)
    if array.ndim != 2 or array.shape[1] != 2:
        raise FieldError("seeds", array.shape, "shape (n,) or (n, 2)")
    return array.astype(np.uint64)
