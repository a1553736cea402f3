"""Days far out for their item, such as a mistyped quantity or a wholesale order: forecasters take them as not observed.

A mean of 56 days with one of 80,000 units in it says nothing of the others, and spreads, tails and the whole store's
sales are made of such means.
"""

import numpy as np

FENCE = 3.0  # interquartile ranges above the third quartile, of logs: Tukey 1977, "far out"
_SHARE = 0.01  # of an item's days with a sale that may be far out; what comes more often is demand
_LEAST_SALES = 8  # days with a sale, from which on an item has any


def without_far_out(units: np.ndarray) -> np.ndarray:
    """Units (D, I) with NaN on days far out for their item.

    Such a day is above the fence of the item's days with a sale, whose interquartile range counts as at least log 2,
    and above twice the largest of those that are left when a hundredth of them, and one, is taken away.
    """
    ordered = np.sort(np.where(units > 0, units, np.nan), axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    columns = np.flatnonzero(count >= _LEAST_SALES)
    if not len(columns):
        return units
    ordered, count = ordered[:, columns], count[columns]
    at = lambda place: ordered[place, np.arange(len(columns))]
    low, high = (np.log(at(np.rint(level * (count - 1)).astype(int))) for level in (0.25, 0.75))
    fence = np.exp(high + FENCE * np.maximum(high - low, np.log(2)))
    fence = np.maximum(fence, 2 * at(count - 2 - np.floor(_SHARE * count).astype(int)))
    far = units[:, columns] > fence
    if not far.any():
        return units
    result = units.copy()
    result[:, columns] = np.where(far, np.nan, units[:, columns])
    return result
