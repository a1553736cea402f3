"""Draws of a `TableDemand`, compiled: bit for bit those of NumPy's Philox generator. It needs numba.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", figure 2) turns a key and a counter
into four 64-bit numbers. It has no state beside them, so that a loop may draw and look up in one pass.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_64 = ir.IntType(64)


def _product(typingctx: Any, a: Any, b: Any):
    """Compile the upper 64 bits of the product of two 64-bit numbers."""

    def codegen(context, builder, signature, args):
        wide = [builder.zext(arg, ir.IntType(128)) for arg in args]
        return builder.trunc(builder.lshr(builder.mul(*wide), ir.Constant(ir.IntType(128), 64)), _64)

    return types.uint64(types.uint64, types.uint64), codegen


_high: Any = intrinsic(_product)


@njit(inline="always")
def _block(counter, purpose, key0, key1):
    """Return the four numbers (uint64) of a counter `(counter, 0, 0, purpose)` under a key."""
    c0, c1, c2, c3 = counter, np.uint64(0), np.uint64(0), purpose
    for _ in range(10):
        high0, low0 = _high(np.uint64(0xD2E7470EE14C6C93), c0), np.uint64(0xD2E7470EE14C6C93) * c0
        high1, low1 = _high(np.uint64(0xCA5A826395121157), c2), np.uint64(0xCA5A826395121157) * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0, key1 = key0 + np.uint64(0x9E3779B97F4A7C15), key1 + np.uint64(0xBB67AE8584CAA73B)
    return c0, c1, c2, c3


@njit
def _searched(wanted, steps, start, last):
    """Return how many of the steps from `start` to `last` are at most the number that is wanted."""
    place = start
    while place < last:
        middle = (place + last) >> 1
        if steps[middle] <= wanted:
            place = middle + 1
        else:
            last = middle
    return place - start


@njit(cache=True, nogil=True)
def draw(keys, purpose, shift, table, guide, steps, first, out):
    """Fill `out` (n, count) float32 with demands: entry j of a row is of the item j modulo the number of items.

    Args:
        keys: (n, 2) uint64.
        purpose: of the stream, uint64.
        shift: bits of a number that its cell of the guide leaves out.
        table: (items,) int64, of each item.
        guide: cell -> demand, -1 where the steps decide.
        steps: cumulative probabilities times 2^32, (K,) int64, table k's above k 2^32.
        first: (tables + 1,) int64, where each table's steps begin.
        out: filled.
    """
    count, items = out.shape[1], len(table)
    words = np.empty((count + 7) // 8 * 4, np.uint64)
    bits = words.view(np.uint32)
    for row in range(len(keys)):
        for block in range(len(words) // 4):
            at = 4 * block
            words[at], words[at + 1], words[at + 2], words[at + 3] = _block(
                np.uint64(block + 1), purpose, keys[row, 0], keys[row, 1]
            )
        for start in range(0, count, items):
            for item in range(items):
                number, which = np.int64(bits[start + item]), table[item]
                units = guide[(which << (32 - shift)) + (number >> shift)]
                if units < 0:
                    units = _searched(number + (which << 32), steps, first[which], first[which + 1])
                out[row, start + item] = units
