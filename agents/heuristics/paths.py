"""Orders from sample paths of demand: for any forecaster, with stock projected to the order's arrival."""

import numpy as np


def order_on_paths(paths: np.ndarray, on_hand: np.ndarray, pipeline: np.ndarray, fractile: float) -> np.ndarray:
    """Return the orders (I,) that cover a fractile of the arrival period's demand, in whole units, with lost sales.

    On each path the stock is rolled through the periods before the order arrives: demand beyond the stock is lost, and
    what is due comes in. What the arrival period's demand then lacks is the need of the path. Ordering the fractile
    shortage / (shortage + holding cost) of the needs minimises the expected cost of that period, and of the horizon as
    long as what is left over never exceeds what the next order would raise the stock to (Morton 1969, Management
    Science 16(1), the myopic policy for lost sales).

    Args:
        paths: demand (I, P, L + 1) units, of this period and the L = lead time next ones.
        on_hand: (I,) units, with what came in for this period.
        pipeline: (L - 1, I) units, what comes in for the next period first; (0, I) for L <= 1.
        fractile: in (0, 1).
    """
    stock = np.broadcast_to(np.asarray(on_hand, dtype=float)[:, None], paths.shape[:2])
    for period in range(paths.shape[2] - 1):
        stock = np.maximum(stock - paths[:, :, period], 0)
        if period < len(pipeline):
            stock = stock + pipeline[period][:, None]
    need = np.sort(paths[:, :, -1] - stock, axis=1)
    place = min(int(fractile * need.shape[1]), need.shape[1] - 1)
    return np.maximum(np.ceil(need[:, place] - 0.5), 0)
